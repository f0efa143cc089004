"""In which order images [1, C, H, W] lie: as planes, or channels last as the DPU reads and writes them.

Sums and joins take either, as long as all operands lie alike. The compiler lets them lie channels last where somebody
reads the result so, and one change of layout then serves all who read an operand; else as planes, which the DPU op
that makes an operand writes at once.
"""

from __future__ import annotations

from collections import Counter

from npusim.graph.ir import Graph, Op
from npusim.lowering.ir.kernels import KERNEL_OF, Reads

#: [N, C, H, W] with C innermost in memory.
CHANNELS_LAST = (0, 2, 3, 1)
#: Ops that read and write images channels last.
_WINDOWED = frozenset(
    {"Convolution", "GroupConvolution", "MaxPool", "AvgPool", "Interpolate", "DepthToSpace"}
)
#: Ops of several images that lie alike in any order.
JOINING = frozenset({"Add", "Concat"})


def is_image(shape: tuple[int, ...]) -> bool:
    """Whether a shape is that of one image of more than one channel, row and column."""
    return len(shape) == 4 and shape[0] == 1 and min(shape[1:]) > 1


def scales_channels(graph: Graph, op: Op) -> bool:
    """Whether an op multiplies every channel of an image by a number that is computed, which is a depth-wise
    convolution."""
    shape = graph.tensors[op.outputs[0]].shape
    if op.type != "Multiply" or not is_image(shape):
        return False
    factors = [graph.tensors[id] for id in op.inputs if graph.tensors[id].shape != shape]
    return len(factors) == 1 and not factors[0].constant and factors[0].shape == (1, shape[1], 1, 1)


def readers_channels_last(graph: Graph) -> Counter[int]:
    """How many readers take a tensor channels last: convolutions and poolings, and sums and joins that lie so for their
    own readers or, where the tensor may, since all their other operands do."""
    made: set[int] = set()
    either: set[int] = set()
    for op in graph.ops:
        operands = _images(graph, op)
        if slides(graph, op) or (_passes(op) and operands and made.issuperset(operands)):
            made.add(op.outputs[0])
        if slides(graph, op) or (_passes(op) and not either.isdisjoint(operands)):
            either.add(op.outputs[0])
    readers: Counter[int] = Counter()
    for op in reversed(graph.ops):
        operands = _images(graph, op)
        if slides(graph, op):
            readers.update(operands[:1])
        elif _passes(op):
            on = readers[op.outputs[0]] > 0
            readers.update(id for id in operands if on or (id in either and _lie_so(operands, id, made)))
    return readers


def _lie_so(operands: list[int], id: int, made: set[int]) -> bool:
    """Whether an op has other operands than one, and they are all made channels last."""
    others = {o for o in operands if o != id}
    return bool(others) and others <= made


def slides(graph: Graph, op: Op) -> bool:
    """Whether an op reads and writes images channels last."""
    return op.type in _WINDOWED or scales_channels(graph, op)


def _images(graph: Graph, op: Op) -> list[int]:
    """The operands of an op that are images, constants left out."""
    tensors = (graph.tensors[id] for id in op.inputs)
    return [t.id for t in tensors if not t.constant and is_image(t.shape)]


def _passes(op: Op) -> bool:
    """Whether the result of an op lies as its operands do."""
    kernel = KERNEL_OF.get(op.type)
    alone = kernel is not None and kernel.reads is Reads.ONE and kernel.axis is None
    return op.type in JOINING or op.type == "FakeQuantize" or alone
