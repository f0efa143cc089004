"""Which engine runs a node: a table from its kind to a function that says how it is placed, and with which plans.

Such a function gives plans, in order, and nodes that are placed in its stead; what it has given is known to its
``Neighbours`` when it goes on.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import replace
from math import prod
from typing import Any

from npusim.lowering.fuse.reduce import WORTH_CONVOLVING
from npusim.lowering.ir.convolution import fits_padded, flattened, folded, is_stem
from npusim.lowering.ir.nodes import (
    POINT,
    AttentionKernel,
    BlockCall,
    Bmm,
    Broadcast,
    ChannelsLast,
    Concat,
    Conv,
    Convert,
    Copy,
    DepthToSpace,
    Depthwise,
    Eltwise,
    Further,
    Gather,
    Node,
    Pool,
    Reduce,
    Resize,
    Scale,
    Transpose,
    Unary,
    Upsample,
)
from npusim.lowering.ir.plan import Plan, multicast
from npusim.lowering.ir.values import WHOLE, Fresh, canonical4
from npusim.lowering.place import decompose, movement, summed
from npusim.lowering.place.activation import on_shave
from npusim.lowering.place.chain import (
    apart_us,
    follower,
    read_us,
)
from npusim.lowering.place.depthwise import depthwise
from npusim.lowering.place.factors import (
    channel_factor,
    divides_by_smaller,
    has_row_factor,
    is_row_product,
    repeats_rows,
)
from npusim.lowering.place.fed import fed
from npusim.lowering.place.neighbours import Neighbours
from npusim.lowering.place.pipelined import begins_pipeline, ends_pipeline
from npusim.lowering.place.rotary import turned_heads
from npusim.lowering.place.scales import scale, scale_by_activation, scale_rows, widened_sum
from npusim.lowering.place.settle import apart, expanded_before, found_whole, is_loose, shared_by
from npusim.lowering.place.spread import plan_rows_of_planes, plan_spread, spread_factor
from npusim.lowering.plans.dpu.bmm import lacks_columns, plan_bmm
from npusim.lowering.plans.dpu.channels_last import channels_last
from npusim.lowering.plans.dpu.conv import plan_conv
from npusim.lowering.plans.dpu.depthwise import plan_activation, plan_pool, plan_scale
from npusim.lowering.plans.dpu.eltwise import is_row, is_runtime_scale, plan_add, plan_runtime_scale
from npusim.lowering.plans.dpu.padding import plan_expansion
from npusim.lowering.plans.dpu.permute import (
    is_narrow_image,
    is_two_pass,
    plan_permute,
    plan_planes_of_narrow,
    plan_two_passes,
)
from npusim.lowering.plans.dpu.reduce import plan_reduce
from npusim.lowering.plans.dpu.reduce_conv import plan_one_term, plan_reduce_conv
from npusim.lowering.plans.dpu.surroundings import Surroundings
from npusim.lowering.plans.dpu.widen import widened_terms
from npusim.lowering.plans.shave.attention import plan_attention
from npusim.lowering.plans.shave.dot import plan_dot
from npusim.lowering.plans.shave.kernel import plan_further, plan_shave
from npusim.lowering.plans.shave.resize import plan_resize
from npusim.lowering.tile.matmul_estimate import NOTHING
from npusim.program.journal import note

#: Plans of a node, and nodes that are placed in its stead.
Steps = Iterator[Plan | Node]


def _because(node: Node, why: str) -> None:
    note("engine", node.name, why)


# -- DPU ----------------------------------------------------------------------------------------------------------


def _conv(node: Conv, near: Neighbours, fresh: Fresh) -> Steps:
    hw, reordered = near.hw, False
    if node.window is not None:
        if near.read_by(node.output) and is_stem(node) and not (near.batched or fits_padded(node, hw)):
            node = folded(node, node.window)
        window = node.window or POINT
        before, source = channels_last(node, hw, node.inputs[0], window, fresh, near.batched)
        if before:
            before = [found_whole(before[0], near), *before[1:]]
            yield from before
            node = replace(node, inputs=(source, *node.inputs[1:]), k=max(node.k, source.shape[1]))
        reordered = bool(before) or near.is_turned(source)
        node = flattened(node, window, hw.tiles)
    last = ends_pipeline(node, near) if node.window is not None else None
    if last is not None:
        yield last
        return
    source = node.inputs[0]
    behind = fed(node, near) if node.window is None and node.inputs[1].constant else NOTHING
    wanted = near.wanted(node, behind)
    around = Surroundings(
        near.hint(source), source.storage in near.sliced, wanted, follower(node, wanted, near), near.gates(node),
        read_us(node, near), reordered, behind, near.spilled_us(node) + apart_us(node, near), is_loose(node, near),
    )  # fmt: skip
    plan = plan_conv(node, hw, around)
    plan = begins_pipeline(node, plan, near) or plan
    if expanded_before(node, plan, near):
        expansion, node = plan_expansion(node, hw, fresh)
        yield expansion
        plan = plan_conv(node, hw, around)
    yield replace(plan, gathered=plan.gathered or near.gathers(node, plan))


def _bmm(node: Bmm, near: Neighbours, fresh: Fresh) -> Steps:
    shave = node.on == "shave"
    _because(node, "SHAVE: this compiler contracts there" if shave else "DPU: a product of two activations")
    left = node.inputs[0].storage in near.makers
    if shave:
        plan = plan_dot(node, near.hw)
    else:
        wide, node = widened_terms(node, near.hw, fresh)
        full, node = summed.expanded_inputs(node, near, fresh)
        yield from (*wide, *full)
        right = node.inputs[1]
        bare = right.storage not in near.makers and not right.partial and lacks_columns(node, near.hw)
        plan = plan_bmm(node, near.hw, summed.shares_rows(node, near), not left, bare)
    yield summed.padded_groups(plan, node, near)


def _attention(node: AttentionKernel, near: Neighbours, fresh: Fresh) -> Steps:
    _because(node, "SHAVE: one kernel computes all of this attention")
    yield plan_attention(node, near.hw)


def _pool(node: Pool, near: Neighbours, fresh: Fresh) -> Steps:
    turned, shared = near.is_turned(node.inputs[0]), shared_by(near.latest, node.inputs[0], near)
    yield from plan_pool(node, near.hw, fresh, turned, near.batched, shared)


def _transpose(node: Transpose, near: Neighbours, fresh: Fresh) -> Steps:
    """A move of data; planes for a product of the DPU, and values for a kernel that computes attention, are written to
    all tiles."""
    if node.reorder and is_two_pass(node):
        yield from plan_two_passes(node, near.hw, fresh)
        return
    if is_narrow_image(node):
        first, last = plan_planes_of_narrow(node, near.hw, fresh)
        yield first
    else:
        last = apart(plan_permute(node, near.hw, near.whole_hint(node.inputs[0])), near)
    readers = near.read_by(node.output)
    multiplied = readers and all(isinstance(n, Eltwise) and repeats_rows(n, near.hw) for n in readers)
    if multiplied or any(isinstance(n, AttentionKernel) for n in readers):
        yield multicast(last, near.hw)
    else:
        yield replace(last, out_dist=None) if is_narrow_image(node) else last


def _reduce(node: Reduce, near: Neighbours, fresh: Fresh) -> Steps:
    hw = near.hw
    if not node.axes:
        yield from plan_one_term(node, hw, fresh)
    elif node.by == "sum" and hw.software.reduce_sum_engine == "shave":
        _because(node, "SHAVE: this compiler sums there")
        yield decompose.sum_on_shave(node, near)
    elif node.by == "min":
        yield from decompose.least(node, near, fresh)
    elif node.by == "sum" and node.view[2] == 1 and node.inputs[0].elements >= WORTH_CONVOLVING:
        yield plan_reduce_conv(node, hw, near.hint(node.inputs[0]) == WHOLE or _added_to_row(node, near))
    else:
        *before, plan = plan_reduce(node, hw, fresh)
        convolved = any(isinstance(n, Conv) for n in near.read_by(node.output))
        yield from (*before, multicast(plan, hw) if convolved and len(node.axes) > 1 else plan)


def _added_to_row(node: Reduce, near: Neighbours) -> bool:
    """Whether every tile computes all of a sum because it is added to a row, which each has whole: as it is, where it
    has not to be cut out of the 16 channels that a convolution is padded to. What the DPU has cut stays so."""
    reader, made = near.sole_reader(node.output), node.inputs[0].storage in near.on_dpu
    one = near.hw.software.real_channels and not made
    return one and reader is not None and reader.runs("add") and is_row(reader.output)


# -- elementwise --------------------------------------------------------------------------------------------------


def _unary(node: Unary, near: Neighbours, fresh: Fresh) -> Steps:
    hw, value = near.hw, node.inputs[0]
    fused = node.low == 0.0 or "ClampAny" in hw.software.fused_activations
    if node.runs("negative"):
        _because(node, "DPU: a scale by -1")
        yield from plan_scale(node, hw, fresh)
    elif node.runs("relu", "leakyrelu") or (node.runs("clamp") and fused):
        _because(node, "DPU: it has this activation itself")
        readers, maker = near.read_by(node.output), near.makers.get(value.storage)
        normed = isinstance(maker, Unary) and maker.planes and value.shape[0] == 1
        turned = hw.software.broadcast_output and any(isinstance(n, Conv | ChannelsLast) for n in readers)
        yield from plan_activation(node, hw, fresh, near.hint(value), normed, turned, not readers)
    elif node.runs("clamp") and value.plain and prod(canonical4(value.shape)[:2]) > 1:
        _because(node, "DPU for the planes, SHAVE for what it cannot clamp")
        yield from decompose.clamp_planes(node, near, fresh)
    else:
        _because(node, f"SHAVE: the DPU has no {node.kernel}")
        yield on_shave(node, near)


def _further(node: Further, near: Neighbours, fresh: Fresh) -> Steps:
    assert near.latest is not None
    yield plan_further(node, near.latest, near.hw)


def _resize(node: Resize, near: Neighbours, fresh: Fresh) -> Steps:
    _because(node, "SHAVE: the DPU does not resize by these factors")
    yield plan_resize(node, near.hw)


def _eltwise(node: Eltwise, near: Neighbours, fresh: Fresh) -> Steps:
    hw = near.hw
    same = all(v.elements == node.output.elements for v in node.inputs)
    together = summed.plan_summed(node, near) if same else None
    if together is not None:
        _because(node, "DPU: a sum of operands of one size, with the kernel behind it")
        yield together
    elif node.runs("add") and same:
        _because(node, "DPU: a sum of operands of one size")
        yield summed.plan_alike(node, near)
        yield from widened_sum(node, near, fresh)
    elif node.runs("subtract") and same:
        _because(node, "DPU: a sum with what is negated before")
        yield from decompose.difference(node, near, fresh)
    elif node.runs("add"):
        _because(
            node, "by how the smaller operand lies: SHAVE if it adds it as it is, else expanded for the DPU"
        )
        yield from decompose.broadcast_add(node, near, fresh)
    elif node.runs("divide") and divides_by_smaller(node, hw):
        _because(node, "a product with the reciprocal of the smaller operand, which costs less")
        yield from decompose.reciprocal(node, fresh)
    elif node.runs("multiply", "square"):
        yield from _product(node, near, fresh)
    else:
        _because(node, f"SHAVE: the DPU has no {node.kernel} of these operands")
        turned = node.runs("rope") and not node.inputs[0].plain
        plan = plan_shave(node, hw, node.kernel, near.common_hint(node))
        yield from turned_heads(node, near, fresh) if turned else [plan]


def _product(node: Eltwise, near: Neighbours, fresh: Fresh) -> Steps:
    hw, axis, small = near.hw, channel_factor(node, near.hw), spread_factor(node)
    if near.is_dpu_product(node):
        _because(node, "DPU: a product of what two MatMuls make")
        first, *others = [near.hint(v) for v in node.inputs]
        yield plan_add(node, hw, first if all(h == first for h in others) else None)
    elif is_runtime_scale(node) or is_row_product(node):
        _because(node, "DPU: a scale that is computed, of channels")
        yield plan_runtime_scale(node, hw)
    elif axis is not None:
        _because(node, "DPU: one factor varies over one axis alone, the channels of a scale")
        yield from scale_by_activation(node, axis, near, fresh)
    elif has_row_factor(node, hw):
        _because(node, "DPU: one factor is the same for a whole row, which is a channel")
        yield from scale_rows(node, near, fresh)
    elif repeats_rows(node, hw):
        _because(node, "DPU: one factor is a row of each plane, which is repeated for all rows first")
        yield from decompose.repeated_rows(node, near, fresh)
    elif small is not None:
        _because(
            node, "SHAVE, whose kernel broadcasts one dimension: the rest of the factor is expanded first"
        )
        yield from plan_spread(node, hw, node.kernel, small, fresh, near.granule(node))
    else:
        _because(node, "SHAVE: the DPU does not multiply these operands")
        hint = near.outer_hint(node) if node.outer else near.common_hint(node)
        granule = 1 if node.outer or len(node.output.shape) > 4 else near.granule(node)
        plan = plan_shave(node, hw, node.kernel, hint, granule, batched=near.batched)
        yield plan_rows_of_planes(plan, hw) if near.turned_planes(node) else apart(plan, near)


#: How each kind of node is placed.
ENGINES: dict[type[Node], Callable[[Any, Neighbours, Fresh], Steps]] = {
    Conv: _conv,
    Depthwise: depthwise,
    Scale: scale,
    Bmm: _bmm,
    AttentionKernel: _attention,
    Pool: _pool,
    Transpose: _transpose,
    ChannelsLast: movement.channels_last,
    Reduce: _reduce,
    Unary: _unary,
    Resize: _resize,
    Further: _further,
    Eltwise: _eltwise,
    DepthToSpace: movement.depth_to_space,
    Upsample: movement.upsample,
    Concat: movement.concat,
    Copy: movement.copy,
    Broadcast: movement.broadcast,
    Gather: movement.gather,
    Convert: movement.convert,
    BlockCall: movement.block_call,
}
