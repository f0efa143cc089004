"""Scales: depth-wise 1x1 convolutions, of constants or of what is computed, and the transposes around them."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from math import prod

from npusim.hardware.schema import Hardware
from npusim.lowering.ir.nodes import Eltwise, Node, Scale, Transpose
from npusim.lowering.ir.plan import ALL_TILES, Load, Plan, load_value
from npusim.lowering.ir.values import WHOLE, Value
from npusim.lowering.place.chain import plan_scaled
from npusim.lowering.place.neighbours import Neighbours
from npusim.lowering.plans.dpu.depthwise import plan_scale
from npusim.lowering.plans.dpu.reorder import Fresh, plan_reorder


def scale(node: Scale, near: Neighbours, fresh: Fresh) -> Iterator[Plan | Node]:
    """A scale along the innermost dimension or over planes; its operand is transposed before it, and its result back,
    where the axis lies between others."""
    value, axis = node.inputs[0], node.axis
    movable = value.plain and (axis is None or prod(value.shape[:axis]) == 1)
    if axis is not None and not movable and value.memory_order[-1:] != (axis,) and value.shape[axis] > 1:
        order = tuple(d for d in (value.order or range(len(value.shape))) if d != axis) + (axis,)
        moved = replace(fresh(value), order=order)
        made = replace(fresh(node.output), order=order)
        permute = Transpose(node.name, node.type, (value,), moved, node.fused, region=node.region)
        scaled = plan_scale(replace(node, inputs=(moved, node.inputs[1]), output=made), near.hw, fresh)
        yield permute
        yield from scaled
        yield replace(permute, inputs=(made,), output=node.output)
        return
    chained = _in_chain(node, near)
    if chained is not None:
        yield chained
        return
    plans = plan_scale(node, near.hw, fresh, node.any_order)
    hint = near.hint(value)
    if len(plans) == 1 and plans[0].in_dists[0] == WHOLE and hint is not None and hint.outer > 1:
        # A tile scales its own channels (the smoothing behind bert's Gelu).
        plans = [replace(plans[0], in_dists=[hint, *plans[0].in_dists[1:]])]
    yield from plans


def _in_chain(node: Scale, near: Neighbours) -> Plan | None:
    """The plan of a scale by constants along the channels that goes on a chain of a convolution and a kernel, which
    must have been placed just before it: plans of a chain run in step."""
    value = node.inputs[0]
    kernel = near.sliced.get(value.storage)
    conv = near.sliced.get(kernel.inputs[0].storage) if kernel is not None and kernel.chain >= 0 else None
    along = value.memory_order[-1:] == (node.axis,)
    if kernel is None or conv is None or kernel is not near.latest or not along:
        return None
    if kernel.chain != conv.chain_number:
        return None
    constant = all(v.constant for v in node.inputs[1:])
    return plan_scaled(node, near.hw, kernel, conv) if constant and near.sole_reader(value) else None


def scale_by_activation(node: Eltwise, axis: int, near: Neighbours, fresh: Fresh) -> list[Plan | Node]:
    """A product as a depth-wise 1x1 convolution whose weights are computed: the factor is one more load."""
    factor = min(node.inputs, key=lambda v: v.elements)
    value = max(node.inputs, key=lambda v: v.elements)
    operands = (value, factor)
    as_scale = Scale(
        node.name, node.type, operands, node.output, node.fused, node.post, region=node.region, axis=axis
    )
    steps = list(scale(as_scale, near, fresh))
    scales = [i for i, step in enumerate(steps) if isinstance(step, Plan) and isinstance(step.node, Scale)]
    last = steps[scales[-1]]
    assert isinstance(last, Plan)
    steps[scales[-1]] = _with_factor(last, factor, near.hw)
    return steps


def _with_factor(plan: Plan, factor: Value, hw: Hardware) -> Plan:
    operand = len(plan.inputs)
    key = (operand,) if len(plan.slices) > 1 else ()
    load = Load(operand, ALL_TILES, load_value(factor, factor.elements, hw), factor.bytes, key)
    plan = plan.changed(lambda part: replace(part, loads=[*part.loads, load]))
    return replace(plan, inputs=[*plan.inputs, factor], in_dists=[*plan.in_dists, None])


def scale_rows(node: Eltwise, near: Neighbours, fresh: Fresh) -> list[Plan | Node]:
    """[M, K] scaled by [M, 1]: M becomes the channels, and the result is stored with them last, as its readers
    permute it anyway (PermuteQuantize and as_scaleshift of Mul_7)."""
    factor, value = sorted(node.inputs, key=lambda v: v.elements)
    rows, width = factor.elements, value.elements // factor.elements
    turned = replace(fresh(value), shape=(1, width, rows), order=())
    before = plan_reorder(node, near.hw, value, turned, (rows, 1, width), fresh)
    small = replace(factor, shape=(1, 1, rows), order=())
    scaled = replace(node, inputs=(turned, small), output=replace(node.output, shape=turned.shape, order=()))
    *others, last = scale_by_activation(scaled, 2, near, fresh)
    assert isinstance(last, Plan)
    return [*before, *others, replace(last, node=node, output=node.output, out_dist=None)]
