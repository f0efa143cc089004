"""Graph to Graph before fusion: an image of one row that is longer than the DPU's tensors is one-dimensional data.

Slices are cut along rows, which such an image has one of; as data of one dimension its positions are the rows.
"""

from __future__ import annotations

from dataclasses import replace

from npusim.graph.ir import Graph, Op, Tensor
from npusim.lowering.ir.shapes import MAX_DIMENSION

#: What a convolution says of each of its spatial dimensions.
_SPATIAL = ("strides", "dilations", "pads_begin", "pads_end")


def turn_long_rows(graph: Graph) -> Graph:
    """The Graph with every convolution along one such row as one of one dimension, between views."""
    tensors, ops = list(graph.tensors), []

    def flat(id: int, axis: int) -> int:
        shape = tensors[id].shape
        tensors.append(replace(tensors[id], id=len(tensors), shape=(*shape[:axis], *shape[axis + 1 :])))
        return len(tensors) - 1

    for op in graph.ops:
        if not _is_long_row(op, tensors):
            ops.append(op)
            continue
        data, weights, result = op.inputs[0], op.inputs[1], op.outputs[0]
        row, kernel, made = flat(data, 2), flat(weights, len(tensors[weights].shape) - 2), flat(result, 2)
        attrs = {**op.attrs, **{name: list(op.attrs[name])[1:] for name in _SPATIAL}}
        ops += [
            Op(op.name, "Squeeze", (data,), (row,)),
            replace(op, inputs=(row, kernel, *op.inputs[2:]), outputs=(made,), attrs=attrs),
            Op(op.name, "Unsqueeze", (made,), (result,)),
        ]
    return replace(graph, tensors=tuple(tensors), ops=tuple(ops)) if len(ops) > len(graph.ops) else graph


def _is_long_row(op: Op, tensors: list[Tensor]) -> bool:
    if op.type not in ("Convolution", "GroupConvolution"):
        return False
    data, weights, result = (tensors[id].shape for id in (*op.inputs[:2], op.outputs[0]))
    image = len(data) == len(result) == 4 and data[2] == result[2] == weights[-2] == 1
    return image and max(data[3], result[3]) > MAX_DIMENSION
