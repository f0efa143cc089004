"""Graph to Graph before fusion: transposed convolutions as convolutions, and depths spread over pixels as transposed
convolutions, as the compiler takes one for the other.

A transposed convolution of 4 x 4 that doubles an image exactly is four convolutions of 2 x 2, one for each place in a
square of four pixels, whose results are channels that are spread over the square (npu_compiler,
convert_convbackpropdata_to_conv_or_transposedconv.cpp). Depths of few channels are spread by a transposed convolution
that picks one channel each (convert_d2s_to_transpose_conv.cpp).
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import product

from npusim.graph.ir import Graph, Op, Tensor
from npusim.hardware.schema import Software
from npusim.lowering.rewrite.writer import Writer

#: Extent of a kernel that is cut in four, the pixels that it makes of one along an axis, and its padding.
_KERNEL, _GROWN, _PAD = 4, 2, 1
#: Block from which depths are spread by transfers, and most channels that a convolution spreads.
_LARGE_BLOCK, _MOST_CHANNELS = 4, 256


def split_transposed(graph: Graph, rules: Software) -> Graph:
    """The Graph with such transposed convolutions and depths written so."""
    changed = [op for op in graph.ops if _is_cut(graph, op, rules) or _is_picked(graph, op)]
    return _Transposed(graph, rules).rewritten({id(op) for op in changed}) if changed else graph


def _is_cut(graph: Graph, op: Op, rules: Software) -> bool:
    """Whether a transposed convolution is cut: of enough channels where it has as many behind it as before."""
    if op.type != "ConvolutionBackpropData" or len(op.inputs) > 2:
        return False
    data, weights, out = (graph.tensors[i] for i in (*op.inputs, op.outputs[0]))
    if len(data.shape) != 4 or weights.shape[2:] != (_KERNEL, _KERNEL) or not weights.constant:
        return False
    doubled = tuple(size * _GROWN for size in data.shape[2:]) == out.shape[2:]
    pads = {int(p) for p in (*op.attrs["pads_begin"], *op.attrs["pads_end"])}
    strides = {int(s) for s in op.attrs["strides"]}
    before, behind = weights.shape[:2]
    enough = before != behind or before == 1 or before > rules.whole_transposed_channels
    return doubled and pads == {_PAD} and strides == {_GROWN} and enough


def _is_picked(graph: Graph, op: Op) -> bool:
    """Whether the channels that spread over a pixel lie side by side, and are few."""
    if op.type != "DepthToSpace" or not str(op.attrs.get("mode")).startswith("depth"):
        return False
    shape = graph.tensors[op.inputs[0]].shape
    return len(shape) == 4 and int(op.attrs["block_size"]) < _LARGE_BLOCK and shape[1] <= _MOST_CHANNELS


class _Transposed(Writer):
    """Writes a Graph anew."""

    def __init__(self, graph: Graph, rules: Software) -> None:
        super().__init__(graph)
        self.rules = rules

    def rewritten(self, changed: set[int]) -> Graph:
        """The Graph with the ops of these identities written otherwise."""
        taken: set[int] = set()
        for op in self.graph.ops:
            if id(op) in taken:
                continue
            if id(op) not in changed:
                self.ops.append(op)
            elif op.type == "DepthToSpace":
                self._picked(op)
            else:
                behind = self._behind(op)
                taken.update(map(id, behind))
                self._cut(op, behind)
        return self.written()

    def _behind(self, op: Op) -> list[Op]:
        """The bias and the rectifier behind a convolution, which are done for every quarter."""
        bias = self.bias(op)
        found = [] if bias is None else [bias]
        made = (bias or op).outputs[0]
        readers = self.readers.get(made, [])
        alone = len(readers) == 1 and made not in self.graph.outputs
        return [*found, readers[0]] if alone and readers[0].type == "Relu" else found

    def _cut(self, op: Op, behind: Sequence[Op]) -> None:
        data, weights, out = (self.tensors[i] for i in (*op.inputs, op.outputs[0]))
        wide = out.shape[2] * out.shape[3] >= self.rules.shifted_transposed_pixels
        quarter = (weights.shape[1], weights.shape[0], _GROWN + wide, _GROWN + wide)
        attrs: dict[str, object] = {"strides": [1, 1], "dilations": [1, 1]}
        if wide:  # every quarter of the kernel in a corner of a window of 3 x 3, padded alike
            attrs["zeros"] = 1 - _GROWN**2 / (_GROWN + 1) ** 2
        shape, made = (*out.shape[:2], *data.shape[2:]), []
        for row, column in product(range(_GROWN), repeat=2):
            pads = ([1, 1], [1, 1]) if wide else ([1 - row, 1 - column], [row, column])
            inputs = (data.id, self.tensor(weights, quarter))
            one = self.emit(
                op.name, "Convolution", inputs, shape, **attrs, pads_begin=pads[0], pads_end=pads[1]
            )
            source = op.outputs[0]
            for after in behind:
                one = self.emit(
                    after.name, after.type, tuple(one if i == source else i for i in after.inputs), shape
                )
                source = after.outputs[0]
            made.append(one)
        joined = self.emit(
            op.name, "Concat", tuple(made), (shape[0], _GROWN**2 * shape[1], *shape[2:]), axis=1
        )
        last = (op, *behind)[-1]
        self.ops.append(
            Op(
                last.name,
                "DepthToSpace",
                (joined,),
                last.outputs,
                {"block_size": _GROWN, "mode": "blocks_first"},
            )
        )

    def _picked(self, op: Op) -> None:
        block, channels = int(op.attrs["block_size"]), self.tensors[op.inputs[0]].shape[1]
        shape = (channels, channels // block**2, block, block)
        picks = Tensor(len(self.tensors), f"{op.name}/picks", shape, "f16", "f16", constant=True)
        self.tensors.append(picks)
        none = [0, 0]
        attrs = {"strides": [block] * 2, "pads_begin": none, "pads_end": none, "dilations": [1, 1]}
        inputs = (op.inputs[0], picks.id)
        zeros = {"zeros": 1 - 1 / channels}
        self.ops.append(Op(op.name, "ConvolutionBackpropData", inputs, op.outputs, {**attrs, **zeros}))
