"""Nodes that become several nodes or plans, none of which is an op of the model by itself."""

from __future__ import annotations

from dataclasses import replace
from math import prod

from npusim.lowering.ir.nodes import Eltwise, Node, Reduce, Unary
from npusim.lowering.ir.plan import Plan
from npusim.lowering.ir.shapes import CHANNELS
from npusim.lowering.ir.values import ADDED_CONSTANT, WHOLE, Fresh, canonical4
from npusim.lowering.place.factors import is_channel_vector
from npusim.lowering.place.neighbours import Neighbours
from npusim.lowering.plans.dma.moves import plan_broadcast, plan_expand
from npusim.lowering.plans.dpu.depthwise import plan_activation, plan_scale
from npusim.lowering.plans.dpu.eltwise import plan_add
from npusim.lowering.plans.dpu.reduce import plan_reduce
from npusim.lowering.plans.shave.kernel import plan_shave


def sum_on_shave(node: Reduce, near: Neighbours) -> Plan:
    """A sum as a SHAVE kernel over its results, each of which reads its terms wherever they lie."""
    before, length, after = node.view
    terms = replace(node.inputs[0], shape=(before * after, length), order=())
    sums = replace(node.output, shape=(before * after, 1), order=())
    plan = plan_shave(replace(node, inputs=(terms,), output=sums), near.hw, "reducesum")
    in_dists = plan.in_dists if after == 1 else [None]
    return replace(plan, node=node, inputs=[node.inputs[0]], in_dists=in_dists, output=node.output)


def least(node: Reduce, near: Neighbours, fresh: Fresh) -> list[Plan]:
    """Negation on SHAVE, a chain of max-pools, negation (evidence/lowering.md#1.2.26)."""
    negated = replace(node, output=fresh(node.inputs[0]))
    largest = replace(node, inputs=(negated.output,), output=fresh(node.output), by="max")
    back = replace(node, inputs=(largest.output,))
    return [
        plan_shave(negated, near.hw, "negative"),
        *plan_reduce(largest, near.hw, fresh),
        plan_shave(back, near.hw, "negative"),
    ]


def clamp_planes(node: Unary, near: Neighbours, fresh: Fresh) -> list[Plan]:
    """A clamp of planes that the DPU can't apply all of: what it can, then the kernel on its channels."""
    planes = prod(canonical4(node.inputs[0].shape)[:2])
    pooled = replace(node, output=fresh(node.output))
    pools = plan_activation(pooled, near.hw, fresh)
    kept = pools[-1].resident_output and planes % CHANNELS == 0
    hint = pools[-1].out_dist if kept else None
    return [*pools, plan_shave(replace(node, inputs=(pooled.output,)), near.hw, node.kernel, hint)]


def difference(node: Eltwise, near: Neighbours, fresh: Fresh) -> list[Plan]:
    """x - y of one shape: y negated on the DPU, in whatever order its elements lie, and added."""
    first, second = node.inputs
    negated = replace(node, inputs=(second,), output=fresh(second))
    total = replace(node, inputs=(first, negated.output))
    return [*plan_scale(negated, near.hw, fresh, any_order=True), plan_add(total, near.hw)]


def reciprocal(node: Eltwise, fresh: Fresh) -> list[Node]:
    """x / y with y broadcast: 1 / y on the small operand, then a Multiply (evidence/lowering.md#1.2.18)."""
    dividend, divisor = node.inputs
    ones = replace(divisor, storage=ADDED_CONSTANT, constant=True, partial=False, bits=16, stored_bits=16)
    inverse = fresh(divisor)
    return [
        replace(node, inputs=(ones, divisor), output=inverse),
        replace(node, inputs=(dividend, inverse), kernel="multiply"),
    ]


def broadcast_add(node: Eltwise, near: Neighbours, fresh: Fresh) -> list[Plan]:
    """A sum of what is broadcast: expanded first, where the SHAVE does not add it as it is."""
    small = [v for v in node.inputs if v.elements != node.output.elements and not v.constant]
    if not small or any(is_channel_vector(v, node.output) for v in node.inputs):
        return [plan_shave(node, near.hw, "add", near.common_hint(node))]
    inputs = tuple(v if v.elements == node.output.elements else fresh(node.output) for v in node.inputs)
    total = plan_add(replace(node, inputs=inputs), near.hw)
    plans = []
    for value, full, dist in zip(node.inputs, inputs, total.in_dists, strict=True):
        if value is not full:
            expand = replace(node, inputs=(value,), output=full)
            alone = len(total.slices) == 1 and dist is not None
            within = plan_expand(expand, near.hw, dist) if alone and dist is not None else None
            plans.append(within or plan_broadcast(expand, near.hw))
    return [*plans, total]


def repeated_rows(node: Eltwise, near: Neighbours, fresh: Fresh) -> list[Plan]:
    """A product of planes with a row of each, which is repeated in CMX first. Planes that lie on every tile are
    multiplied on every tile."""
    row, planes = sorted(node.inputs, key=lambda v: v.elements)
    full = fresh(node.output)
    hint = WHOLE if near.hint(planes) == WHOLE else None
    product = plan_add(replace(node, inputs=(planes, full)), near.hw, hint)
    expand = replace(node, inputs=(row,), output=full)
    dist = product.in_dists[1]
    within = plan_expand(expand, near.hw, dist, alone=False, everywhere=True) if dist is not None else None
    return [within or plan_broadcast(expand, near.hw), product]
