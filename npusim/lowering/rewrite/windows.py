"""Graph to Graph before fusion: convolutions in the parts that the DPU's windows allow.

A window of the DPU has at most ``MAX_KERNEL`` rows and columns and moves by at most ``MAX_STRIDE``. The compiler cuts a
larger kernel into several, each over its own part of the input, and adds up what they make; a longer stride becomes a
short one, of whose results most are dropped; one without a short divisor is computed position by position.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import product
from math import prod

from npusim.graph.ir import Graph, Op, Tensor
from npusim.lowering.ir.shapes import MAX_KERNEL, MAX_STRIDE
from npusim.lowering.ir.values import ceil_div, even
from npusim.lowering.rewrite.writer import Writer


@dataclass(frozen=True, slots=True)
class _Piece:
    """Some taps of a kernel along one axis: ``offset`` of the first and ``extent`` to the last, in input elements."""

    offset: int
    taps: int
    extent: int


def split_windows(graph: Graph) -> Graph:
    """The Graph with every convolution in such parts."""
    wide = [
        op for op in graph.ops if op.type in ("Convolution", "GroupConvolution") and _too_large(graph, op)
    ]
    return _Windows(graph).rewritten({id(op) for op in wide}) if wide else graph


def _spatial(op: Op) -> int:
    return len(op.attrs["strides"])


def _extents(tensors: Sequence[Tensor], op: Op) -> tuple[int, ...]:
    """Rows and columns that a kernel spans, the gaps of a dilated one included."""
    kernel = tensors[op.inputs[1]].shape[-_spatial(op) :]
    return tuple((k - 1) * int(d) + 1 for k, d in zip(kernel, op.attrs["dilations"], strict=True))


def _too_large(graph: Graph, op: Op) -> bool:
    longest = max(int(s) for s in op.attrs["strides"])
    return _spatial(op) < 3 and (max(_extents(graph.tensors, op)) > MAX_KERNEL or longest > MAX_STRIDE)


class _Windows(Writer):
    """Writes a Graph anew."""

    def rewritten(self, wide: set[int]) -> Graph:
        """The Graph with the ops of these identities in parts."""
        biased: set[int] = set()
        for op in self.graph.ops:
            if id(op) in biased:
                continue
            if id(op) not in wide:
                self.ops.append(op)
                continue
            bias = self.bias(op)
            if bias is not None:
                biased.add(id(bias))
            self._convolution(op, bias)
        return self.written()

    # -- one convolution ----------------------------------------------------------------------------------------

    def _convolution(self, op: Op, bias: Op | None) -> None:
        weights = self.tensors[op.inputs[1]]
        if op.type == "GroupConvolution" and weights.shape[1:3] == (1, 1):
            op = self._as_dense(op)
        elif op.type == "GroupConvolution":
            self._group_by_group(op)
            if bias is not None:
                self.ops.append(bias)
            return
        folded = self._folded(op, bias)
        if folded:
            return
        gaps, total = max(op.attrs["dilations"]) > 1, -1
        for piece in self._pieces(op):
            made = self._piece(op, piece)
            if total < 0 and bias is not None and not gaps:
                made = self._biased(op, bias, made)
            total = made if total < 0 else self.emit(op.name, "Add", (total, made), self.tensors[made].shape)
        if bias is not None and gaps:
            total = self._biased(op, bias, total)
        self.makes(total, (bias or op).outputs[0])

    def _biased(self, op: Op, bias: Op, made: int) -> int:
        """What ``made`` of a convolution is with its bias: of the first part, or of the sum where a kernel has gaps."""
        inputs = tuple(made if i == op.outputs[0] else i for i in bias.inputs)
        return self.emit(bias.name, bias.type, inputs, self.tensors[bias.outputs[0]].shape)

    def _pieces(self, op: Op) -> list[tuple[_Piece, ...]]:
        """The parts of a kernel of which not all lies in the padding."""
        kernel = self.tensors[op.inputs[1]].shape[-_spatial(op) :]
        alone = sum(k > 1 for k in kernel) < 2
        extents = _extents(self.tensors, op)
        axes = [
            list(_taps(k, int(d), extent, alone))
            for k, d, extent in zip(kernel, op.attrs["dilations"], extents, strict=True)
        ]
        inside = [[one for one in pieces if self._read(op, i, one)[2]] for i, pieces in enumerate(axes)]
        return list(product(*inside))

    def _read(self, op: Op, axis: int, piece: _Piece) -> tuple[int, int, range]:
        """Where a part of the kernel begins and ends along an axis, padding counted, and which places are data."""
        size, out = (self.tensors[i].shape[2 + axis] for i in (op.inputs[0], op.outputs[0]))
        begin = piece.offset - int(op.attrs["pads_begin"][axis])
        end = begin + (out - 1) * int(op.attrs["strides"][axis]) + piece.extent
        return begin, end, range(max(0, begin), min(size, end))

    def _piece(self, op: Op, pieces: tuple[_Piece, ...]) -> int:
        """The convolution of a part of the kernel."""
        rank = _spatial(op)
        data, out = op.inputs[0], self.tensors[op.outputs[0]].shape
        before, behind, strides, short = [], [], [], []
        for i, piece in enumerate(pieces):
            stride = int(op.attrs["strides"][i])
            begin, end, data_range = self._read(op, i, piece)
            data = self.part(op.name, data, 2 + i, data_range.start, data_range.stop)
            before.append(data_range.start - begin)
            behind.append(end - data_range.stop)
            strides.append(stride)
            short.append(_short(stride))
        weights = self._weights(op, tuple(piece.taps for piece in pieces))
        if any(
            2 * pad > piece.extent for pad, piece in zip((*before, *behind), (*pieces, *pieces), strict=True)
        ):
            data = self._padded(op.name, data, before, behind)
            before = behind = [0] * rank
        dilations = [int(d) for d in op.attrs["dilations"]]
        if 0 in short:
            return self._by_position(op, data, weights, pieces, before, behind)
        counts = [(n - 1) * (s // t) + 1 for n, s, t in zip(out[2:], strides, short, strict=True)]
        made = self.emit(
            op.name, op.type, (data, weights), (*out[:2], *counts),
            **{**op.attrs, "strides": short, "pads_begin": before, "pads_end": behind, "dilations": dilations},
        )  # fmt: skip
        return self._thinned(op.name, made, [s // t for s, t in zip(strides, short, strict=True)], out)

    def _weights(self, op: Op, taps: tuple[int, ...]) -> int:
        whole = self.tensors[op.inputs[1]]
        shape = (*whole.shape[: -len(taps)], *taps)
        return op.inputs[1] if shape == whole.shape else self.tensor(whole, shape)

    def _padded(self, name: str, data: int, before: Sequence[int], behind: Sequence[int]) -> int:
        shape = self.tensors[data].shape
        grown = [size + a + b for size, a, b in zip(shape[2:], before, behind, strict=True)]
        return self.emit(name, "Pad", (data,), (*shape[:2], *grown))

    def _thinned(self, name: str, made: int, steps: Sequence[int], out: Sequence[int]) -> int:
        """Every so many-th result along each axis, by poolings of one element."""
        rest = list(steps)
        while max(rest) > 1:
            now = [s if s <= MAX_STRIDE else _short(s) or s for s in rest]
            rest = [s // n for s, n in zip(rest, now, strict=True)]
            counts = [(n - 1) * r + 1 for n, r in zip(out[2:], rest, strict=True)]
            ones, none = [1] * len(now), [0] * len(now)
            made = self.emit(
                name, "MaxPool", (made,), (*out[:2], *counts),
                strides=now, kernel=ones, pads_begin=none, pads_end=none,
            )  # fmt: skip
        return made

    def _by_position(
        self,
        op: Op,
        data: int,
        weights: int,
        pieces: tuple[_Piece, ...],
        before: Sequence[int],
        behind: Sequence[int],
    ) -> int:
        """Every result by itself, where the stride has no divisor that the DPU can do."""
        out = self.tensors[op.outputs[0]].shape
        ones = [1] * _spatial(op)
        if any((*before, *behind)):
            data = self._padded(op.name, data, before, behind)
        found = []
        for place in product(*(range(n) for n in out[2:])):
            part = data
            for i, at in enumerate(place):
                begin = at * int(op.attrs["strides"][i])
                part = self.part(op.name, part, 2 + i, begin, begin + pieces[i].extent)
            none = [0] * len(place)
            attrs = {"pads_begin": none, "pads_end": none, "dilations": op.attrs["dilations"]}
            found.append(
                self.emit(op.name, op.type, (part, weights), (*out[:2], *ones), strides=ones, **attrs)
            )
        line = (*out[:2], prod(out[2:]), *ones[1:])
        joined = self.emit(op.name, "Concat", tuple(found), line, axis=2)
        return self.emit(op.name, "Reshape", (joined,), out)

    def _group_by_group(self, op: Op) -> None:
        """A convolution of groups of several channels as one convolution a group."""
        data, weights, out = (self.tensors[i] for i in (*op.inputs[:2], op.outputs[0]))
        groups = weights.shape[0]
        part = (data.shape[0], data.shape[1] // groups, *data.shape[2:])
        parts = tuple(self.tensor(data, part) for _ in range(groups))
        self.ops.append(Op(op.name, "Split", op.inputs[:1], parts))
        made = []
        for data_part in parts:
            result = self.tensor(out, (out.shape[0], out.shape[1] // groups, *out.shape[2:]))
            one = replace(
                op,
                type="Convolution",
                inputs=(data_part, self.tensor(weights, weights.shape[1:])),
                outputs=(result,),
            )
            self._convolution(one, None)
            made.append(result)
        self.ops.append(Op(op.name, "Concat", tuple(made), op.outputs, {"axis": 1}))

    def _as_dense(self, op: Op) -> Op:
        """A depth-wise convolution whose kernel alone is too large: a dense one with zeros for what channels do not
        read of each other. One that is only dilated, or moves far, stays depth-wise."""
        weights = self.tensors[op.inputs[1]]
        channels, _, _, *kernel = weights.shape
        if max(kernel) <= MAX_KERNEL:
            return op
        dense = self.tensor(weights, (channels, channels, *kernel))
        attrs = {**op.attrs, "zeros": 1 - 1 / channels}
        return replace(op, type="Convolution", inputs=(op.inputs[0], dense), attrs=attrs)

    def _folded(self, op: Op, bias: Op | None) -> bool:
        """A long window along one signal (a spectrogram's), be it an image's only row or column: as many samples as it
        moves by become channels, so that it moves by one of them. A padded signal stays as it is."""
        data, weights, out = (self.tensors[i] for i in (*op.inputs[:2], op.outputs[0]))
        rank, kernels = _spatial(op), weights.shape[2:]
        long = [i for i in range(rank) if (data.shape[2 + i], kernels[i]) != (1, 1)]
        if op.type != "Convolution" or weights.shape[1] != 1 or len(long) != 1:
            return False
        (axis,) = long
        padded = any((*op.attrs["pads_begin"], *op.attrs["pads_end"]))
        stride, kernel = int(op.attrs["strides"][axis]), kernels[axis]
        taps, size, count = ceil_div(kernel, stride), data.shape[2 + axis], out.shape[2 + axis]
        if padded or op.attrs["dilations"][axis] != 1 or stride == 1:
            return False
        if kernel <= MAX_KERNEL or taps > MAX_KERNEL:
            return False
        needed, source = (count - 1 + taps) * stride, op.inputs[0]
        if rank > 1:
            source = self.emit(op.name, "Reshape", (source,), (data.shape[0], 1, size))
        source = self.part(op.name, source, 2, 0, min(size, needed))
        if size < needed:
            source = self._padded(op.name, source, [0], [needed - size])
        rows = self.emit(op.name, "Reshape", (source,), (data.shape[0], needed // stride, stride))
        turned = self.emit(
            op.name, "Transpose", (rows, self._order()), (data.shape[0], stride, needed // stride)
        )
        matrix = self.tensor(weights, (weights.shape[0], stride, taps))
        attrs = {"strides": [1], "pads_begin": [0], "pads_end": [0], "dilations": [1]}
        made = self.emit(op.name, op.type, (turned, matrix), (*out.shape[:2], count), **attrs)
        if bias is not None:
            (constant,) = (self.tensors[i] for i in bias.inputs if i != op.outputs[0])
            line = self.tensor(constant, (1, constant.elements, 1))
            made = self.emit(bias.name, bias.type, (made, line), self.tensors[made].shape)
        if rank > 1:
            made = self.emit(op.name, "Reshape", (made,), out.shape)
        self.makes(made, (bias or op).outputs[0])
        return True

    def _order(self) -> int:
        order = Tensor(len(self.tensors), "order", (3,), "i64", "i64", constant=True, value=[0, 2, 1])
        self.tensors.append(order)
        return order.id


def _short(stride: int) -> int:
    """The longest stride of the DPU that divides one; 0 where there is none."""
    if stride <= MAX_STRIDE:
        return stride
    return next((s for s in range(MAX_STRIDE, 1, -1) if stride % s == 0), 0)


def _taps(kernel: int, dilation: int, extent: int, alone: bool) -> Iterator[_Piece]:
    """The parts of a kernel along one axis. One without gaps is cut into the largest windows and what is left; one with
    gaps evenly, or into single taps where it has no other axis (``alone``)."""
    if extent <= MAX_KERNEL:
        yield _Piece(0, kernel, extent)
        return
    if dilation == 1:
        for begin in range(0, kernel, MAX_KERNEL):
            taps = min(MAX_KERNEL, kernel - begin)
            yield _Piece(begin, taps, taps)
        return
    most = 1 if alone else (MAX_KERNEL - 1) // dilation + 1
    begin = 0
    for taps in even(kernel, ceil_div(kernel, most)):
        yield _Piece(begin * dilation, taps, (taps - 1) * dilation + 1)
        begin += taps
