"""From Graph to nodes: views folded away, groups fused, operands classified. No hardware but the software rules, the
number of tiles, and which zeros are skipped."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from itertools import islice

from npusim.errors import UserError
from npusim.graph.ir import Graph, Op
from npusim.hardware.schema import Hardware
from npusim.lowering.fuse import (
    einsum,
    eltwise,
    kernels,
    matmul,
    other,
    recurrent,
    reduce,
    resize,
    types,
    views,
)
from npusim.lowering.fuse.fuser import Fuser
from npusim.lowering.fuse.refused import REFUSED
from npusim.lowering.fuse.results import result
from npusim.lowering.ir.kernels import KERNEL_OF, Reads
from npusim.lowering.ir.nodes import Node
from npusim.lowering.ir.optypes import RESHAPES
from npusim.lowering.ir.values import Value
from npusim.lowering.rewrite.blocks import CALL
from npusim.lowering.rewrite.debatch import JOIN_BATCH, SPLIT_BATCH, gives_each_tile_an_image
from npusim.lowering.rewrite.patterns import Match
from npusim.program.journal import note, recording

#: Of ops that are more than a SHAVE kernel.
_HANDLERS: dict[str, Callable[[Fuser, Op], None]] = {
    **dict.fromkeys((*RESHAPES, "Identity", "ReadValue", "Assign"), views.view),
    **dict.fromkeys(reduce.REDUCE_OPS, reduce.reduce),
    "Convert": types.convert,
    "ConvertLike": types.convert,
    "ConvertPromoteTypes": types.convert_both,
    "Select": eltwise.select,
    "FakeConvert": types.fake_quantize,
    "FakeQuantize": types.fake_quantize,
    "Transpose": views.transpose,
    "Slice": views.slice,
    "StridedSlice": views.strided_slice,
    "Split": views.split,
    "VariadicSplit": views.split,
    "Gather": views.gather,
    "Concat": views.concat,
    "Pad": views.pad,
    "Broadcast": views.broadcast,
    "Tile": views.broadcast,
    "MatMul": matmul.matmul,
    "ScaledDotProductAttention": matmul.attention,
    "Convolution": matmul.convolution,
    "GroupConvolution": matmul.convolution,
    "MaxPool": matmul.pool,
    "AvgPool": matmul.pool,
    "Interpolate": resize.interpolate,
    "DetectionOutput": kernels.detection_output,
    "DepthToSpace": other.depth_to_space,
    "SpaceToDepth": other.space_to_depth,
    "ShuffleChannels": other.shuffle_channels,
    "BatchNormInference": other.batch_norm,
    "GroupNormalization": other.group_norm,
    "ConvolutionBackpropData": other.backprop,
    "GroupConvolutionBackpropData": other.backprop,
    "Einsum": einsum.einsum,
    CALL: other.block_call,
    SPLIT_BATCH: views.split_batch,
    JOIN_BATCH: views.join_batch,
}

#: Of all others, by how their kernel reads its operands.
_BY_OPERANDS: dict[Reads, Callable[[Fuser, Op], None]] = {
    Reads.ONE: eltwise.unary,
    Reads.BROADCAST: eltwise.eltwise,
    Reads.WHOLE: kernels.kernel,
    Reads.GATES: recurrent.lstm,
}

#: By Match.kind; all others are groups that one kernel runs.
_GROUPS: dict[str, Callable[[Fuser, Match], Node]] = {"factor": reduce.factor, "contract": reduce.contract}


def _run(fuser: Fuser) -> None:
    """Every op of the Graph in order: as the root of its group, or by itself."""
    for op in fuser.graph.ops:
        fuser.region = str(op.attrs.get("function", ""))
        match = fuser.matches.get(op.outputs[0])
        if match is not None:
            node = _GROUPS.get(match.kind, eltwise.group)(fuser, match)
            node = fuser.amend(node, fused=tuple(o.name for o in match.covered if o is not match.root))
            for covered in match.covered:
                note("fuse", covered.name, f"the pattern {match.kind} runs as one: {node.name}")
        elif id(op) not in fuser.covered:
            kernel = KERNEL_OF.get(op.type)
            handler = _HANDLERS.get(op.type) or (_BY_OPERANDS[kernel.reads] if kernel is not None else None)
            if handler is None:
                why = REFUSED.get(op.type, "npusim does not know how to lower this type")
                raise UserError(f"op '{op.name}' ({op.type}) cannot be run: {why}")
            first = len(fuser.made)
            handler(fuser, op)
            if recording():
                new = islice(reversed(fuser.made.values()), max(0, len(fuser.made) - first))
                _enter(fuser, op, list(new)[::-1])


def _enter(fuser: Fuser, op: Op, made: Sequence[Node]) -> None:
    """Enter in the journal what became of an op of the model."""
    into = fuser.doing(op)
    if into is not None:
        note("fuse", op.name, f"done by {into.name} ({into.type}) while it writes its result")
    elif made:
        kinds = ", ".join(dict.fromkeys(type(node).__name__.lower() for node in made))
        note("fuse", op.name, f"{len(made)} node{'s' * (len(made) != 1)} of its own: {kinds}")
    else:
        note("fuse", op.name, "nothing to do: a view of the same memory, or read where it is needed")


def fuse(graph: Graph, hw: Hardware) -> tuple[list[Node], list[Value]]:
    """The nodes of a Graph in execution order, and its outputs in row-major memory order.

    Raises UserError naming an op whose type is not known.
    """
    each = gives_each_tile_an_image(graph, hw)
    fuser = Fuser(graph, hw.software, hw.tiles, hw.tiles * hw.shave.per_tile, hw.dpu.sparsity, each)
    _run(fuser)
    outputs = []
    for id in graph.outputs:
        op = fuser.index.maker.get(id) or Op(graph.tensors[id].name, "Result", (), ())
        fuser.write_planes(id)
        fuser.write_seen_planes(id)
        fuser.work_on_planes(id)
        outputs.append(result(fuser, id, fuser.plain(fuser.values[id], op)))
    return list(fuser.made.values()), outputs
