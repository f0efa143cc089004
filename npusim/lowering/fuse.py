"""From Graph to nodes: views folded away, groups fused, operands classified. No hardware but the software rules and
the number of tiles."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

from npusim.errors import UserError
from npusim.graph.ir import BITS, Graph, Op
from npusim.hardware.schema import Software
from npusim.lowering import fuse_eltwise, fuse_matmul, fuse_other, fuse_reduce, fuse_views
from npusim.lowering.conv_parts import CHANNELS
from npusim.lowering.fuser import Fuser
from npusim.lowering.nodes import Node
from npusim.lowering.patterns import Match
from npusim.lowering.values import Value

_HANDLERS: dict[str, Callable[[Fuser, Op], None]] = {
    **dict.fromkeys(("Reshape", "Squeeze", "Unsqueeze", "Identity"), fuse_views.view),
    **dict.fromkeys(fuse_eltwise.UNARY_OPS, fuse_eltwise.unary),
    **dict.fromkeys(fuse_eltwise.ELTWISE_OPS, fuse_eltwise.eltwise),
    **dict.fromkeys(fuse_reduce.REDUCE_OPS, fuse_reduce.reduce),
    "Convert": fuse_eltwise.convert,
    "Select": fuse_eltwise.select,
    "FakeConvert": fuse_eltwise.fake_quantize,
    "FakeQuantize": fuse_eltwise.fake_quantize,
    "Transpose": fuse_views.transpose,
    "Slice": fuse_views.slice,
    "StridedSlice": fuse_views.strided_slice,
    "Split": fuse_views.split,
    "VariadicSplit": fuse_views.split,
    "Gather": fuse_views.gather,
    "Concat": fuse_views.concat,
    "Pad": fuse_views.pad,
    "Broadcast": fuse_views.broadcast,
    "Tile": fuse_views.broadcast,
    "MatMul": fuse_matmul.matmul,
    "ScaledDotProductAttention": fuse_matmul.attention,
    "Convolution": fuse_matmul.convolution,
    "GroupConvolution": fuse_matmul.convolution,
    "MaxPool": fuse_matmul.pool,
    "AvgPool": fuse_matmul.pool,
    "Interpolate": fuse_matmul.interpolate,
    **dict.fromkeys(("ReadValue", "Assign"), fuse_views.view),
    **dict.fromkeys(fuse_other.KERNEL_OPS, fuse_other.kernel),
    "DetectionOutput": fuse_other.detection_output,
    "DepthToSpace": fuse_other.depth_to_space,
    "SpaceToDepth": fuse_other.space_to_depth,
    "ShuffleChannels": fuse_other.shuffle_channels,
    "BatchNormInference": fuse_other.batch_norm,
    "GroupNormalization": fuse_other.group_norm,
    "ConvolutionBackpropData": fuse_other.backprop,
    "GroupConvolutionBackpropData": fuse_other.backprop,
    **dict.fromkeys(
        ("GRUCell", "GRUSequence", "LSTMCell", "LSTMSequence", "RNNCell", "RNNSequence"), fuse_other.recurrent
    ),
    "Einsum": fuse_other.einsum,
}

#: By Match.kind.
_GROUPS: dict[str, Callable[[Fuser, Match], Node]] = {
    "rms": fuse_eltwise.group,
    "swish": fuse_eltwise.group,
    "factor": fuse_reduce.factor,
    "contract": fuse_reduce.contract,
}


def _run(fuser: Fuser) -> None:
    """Every op of the Graph in order: as the root of its group, or by itself."""
    for op in fuser.graph.ops:
        match = fuser.matches.get(op.outputs[0])
        if match is not None:
            node = _GROUPS[match.kind](fuser, match)
            node.fused = tuple(o.name for o in match.covered if o is not match.root)
        elif id(op) not in fuser.covered:
            handler = _HANDLERS.get(op.type)
            if handler is None:
                raise UserError(
                    f"op '{op.name}' has the type {op.type}, which npusim does not know how to lower"
                )
            handler(fuser, op)


def _write_planes(fuser: Fuser, id: int) -> None:
    """Let the convolution or pooling that makes a model output write it as planes itself (the output data unit
    permutes): conv_*, dwconv_*: 12 of 12 cases have no task for it."""
    value = fuser.values[id]
    node = fuser.producer(id)
    if (
        node is not None
        and node.kind in ("conv", "dwconv", "pool")
        and node.output == value
        and not value.plain
    ):
        node.output = fuser.values[id] = replace(value, order=())


def _writes_wide(node: Node) -> bool:
    """Whether the DPU writes the result as FP32: of a sum of four dimensions (Mamba's of two are converted) or a scale,
    not of a convolution, a pooling or planes that are scaled as channels (6 and 4 cases on 4000)."""
    shape = node.output.shape
    if node.kind == "eltwise":
        same = all(value.elements == node.output.elements for value in node.inputs)
        return node.params["kernel"] in ("add", "subtract") and same and len(shape) == 4
    scales = node.kind == "scale" or (node.kind == "unary" and node.params["kernel"] == "negative")
    return scales and node.output.plain and not (len(shape) == 3 and shape[1] % CHANNELS == 0)


def _result(fuser: Fuser, id: int, value: Value) -> Value:
    """A result whose interface is FP32 is converted by a SHAVE kernel of its own (facts 1.6, 43 public traces), or
    written so by the DPU."""
    tensor = fuser.graph.tensors[id]
    if BITS[tensor.stored_dtype] != 32 or value.bits != 16 or tensor.dtype != "f16":
        return value
    node = fuser.producer(id)
    if node is not None and node.output == value and not fuser.readers.get(id) and _writes_wide(node):
        node.output = fuser.values[id] = replace(value, bits=32, stored_bits=32)
        return node.output
    wide = Value(fuser.storage(), value.shape, bits=32, stored_bits=32)
    return fuser.add(Node("unary", tensor.name, "Result", [value], wide, {"kernel": "convert"})).output


def fuse(graph: Graph, software: Software, tiles: int) -> tuple[list[Node], list[Value]]:
    """The nodes of a Graph in execution order, and its outputs in row-major memory order.

    Raises UserError naming an op whose type is not known.
    """
    fuser = Fuser(graph, software, tiles)
    _run(fuser)
    outputs = []
    for id in graph.outputs:
        op = fuser.index.maker.get(id) or Op(graph.tensors[id].name, "Result", (), ())
        _write_planes(fuser, id)
        outputs.append(_result(fuser, id, fuser.plain(fuser.values[id], op)))
    return fuser.nodes, outputs
