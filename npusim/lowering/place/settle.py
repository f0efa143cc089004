"""What is settled about a plan once it is known what its neighbours hold: each function gives the plan anew."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from npusim.hardware.schema import Hardware
from npusim.lowering.ir.convolution import zeros_behind
from npusim.lowering.ir.nodes import Conv, Depthwise, Eltwise, Pool, Product, Reduce, Scale, Unary
from npusim.lowering.ir.plan import ALL_TILES, CONSTANT, Load, Plan, multicast, portion
from npusim.lowering.ir.values import WHOLE, Value
from npusim.lowering.place.kernels import has_padded_planes
from npusim.lowering.place.neighbours import Neighbours
from npusim.lowering.place.pieces import in_pieces
from npusim.lowering.plans.dpu.scaled_rows import scales_rows
from npusim.lowering.split.dpu import choose
from npusim.program.work import DmaWork, DpuWork


def settled(plan: Plan, near: Neighbours) -> Plan:
    """A plan as its neighbours need it."""
    if (
        has_padded_planes(plan.node, near.hw)
        and plan.output == plan.node.output
        and not near.hw.software.permuted_in_cmx
    ):
        plan = replace(plan, out_dist=None)  # what is cut off in CMX elsewhere goes through DDR
    plan = _shared(with_table(plan, near.hw), near)
    return in_pieces(_trim(overlapped(plan, near), near), near)


def shared_by(plan: Plan | None, value: Value, near: Neighbours) -> bool:
    """Whether a plan makes a value of one that it finds in CMX."""
    return plan is not None and plan.output.storage == value.storage and near.hint(plan.inputs[0]) is not None


def wanted_whole(node: Eltwise, near: Neighbours) -> bool:
    """Whether readers of a sum of images find it whole on every tile: its mean alone, or where results are multicast
    convolutions split over channels (of those with 1x1 windows ResNet's read it from DDR)."""
    mean = near.sole_reader(node.output)
    if isinstance(mean, Reduce):
        return mean.axes == (2, 3) and not node.output.plain
    convs = [n for n in near.read_by(node.output) if isinstance(n, Conv)]
    images = all(n.window is not None and n.window.kernel[0] > 1 for n in convs)
    shared = bool(convs) and images and all(choose(n, near.hw, True) == "channels" for n in convs)
    return shared and near.hw.software.broadcast_output


def with_table(plan: Plan, hw: Hardware) -> Plan:
    """A plan whose slices load the table of the activation that the DPU applies to what they compute."""
    lut = hw.dpu.ppe.lut
    size = lut.bytes.get(plan.node.post, 0) if lut is not None else 0
    if not size or not any(
        isinstance(w, DpuWork) and w.lut for part in plan.slices[:1] for _, w in part.computes
    ):
        return plan
    table = Load(CONSTANT, ALL_TILES, DmaWork("ddr", "cmx", size, size), size)
    return plan.changed(lambda part: replace(part, loads=[*part.loads, table]))


def overlapped(plan: Plan, near: Neighbours) -> Plan:
    """An image cut into rows feeds a reader that needs other rows too: the producer writes those to both tiles
    (resnet50: 14 rows computed, 15 or 16 written; mobilenet-v2 on 6 tiles: strides). A SHAVE kernel can not: what it
    makes goes through DDR to a window that reaches over a tile's rows."""
    if isinstance(plan.node, Scale):
        return _of_whole(plan, near)
    window = plan.node.window if isinstance(plan.node, Conv | Depthwise | Pool) else None
    if window is None or len(plan.inputs) != 1:
        return plan
    value, wanted = plan.inputs[0], plan.in_dists[0]
    hint = near.hint(value)
    if hint is None or wanted is None or not hint.outer == wanted.outer == 1:
        return plan
    reaches = near.hw.software.halo_copies and window.kernel[0] > window.stride[0] and len(wanted.cuts) > 1
    if reaches and value.storage not in near.on_dpu:
        return replace(plan, in_dists=[None])
    return replace(plan, in_dists=[hint]) if len(hint.cuts) == len(wanted.cuts) > 1 else plan


def _shared(plan: Plan, near: Neighbours) -> Plan:
    """A scale whose tiles share its channels, written to every tile for the products behind it."""
    over_channels = isinstance(plan.node, Scale) and plan.in_dists[0] == WHOLE and plan.out_dist != WHOLE
    read = any(isinstance(n, Conv) for n in near.read_by(plan.output))
    return multicast(plan, near.hw) if over_channels and read else plan


def _of_whole(plan: Plan, near: Neighbours) -> Plan:
    """A scale over rows of an image that a convolution has left whole on every tile, for a pool that reads it too: each
    tile takes its rows of that."""
    value, wanted = plan.inputs[0], plan.in_dists[0]
    image = not value.plain and isinstance(near.makers.get(value.storage), Conv | Depthwise)
    cut = wanted is not None and wanted.outer == 1 and len(wanted.cuts) > 1 and len(plan.slices) == 1
    found = image and cut and near.hint(value) == WHOLE
    return replace(plan, in_dists=[WHOLE, *plan.in_dists[1:]]) if found else plan


def found_whole(plan: Plan, near: Neighbours) -> Plan:
    """A change of layout in one piece whose operand lies whole on every tile: each takes its part of that."""
    found = near.hint(plan.inputs[0]) == WHOLE and len(plan.slices) == 1
    return replace(plan, in_dists=[WHOLE]) if found else plan


def _trim(plan: Plan, near: Neighbours) -> Plan:
    """A result that is in CMX at once, and of which one Slice is all that is read, leaves it as that Slice
    (conv1d, ReduceSum_2 and Mul_10 of Mamba-2: 3,072 B a tile of 196,608)."""
    whole = plan.output
    parts = [v for n in near.read_by(whole) for v in n.inputs if v.storage == whole.storage]
    if len(parts) != 1 or not parts[0].partial or len(plan.slices) != 1 or whole.storage in near.outputs:
        return plan
    stores = [
        replace(store, work=portion(store.work, parts[0].elements, whole.elements))
        for store in plan.slices[0].stores
    ]
    return plan.changed(lambda part: replace(part, stores=stores))


def apart(plan: Plan, near: Neighbours) -> Plan:
    """A plan whose result goes through DDR where all its readers are sums that fold it anew."""
    return replace(plan, out_dist=None) if near.refolds(plan.output) else plan


def is_loose(node: Conv, near: Neighbours) -> bool:
    """Whether the rows that a MatMul reads were made without padding, and not by another MatMul or what works on its
    result element by element: there the padding is never cut off."""
    maker = near.makers.get(node.inputs[0].storage)
    while isinstance(maker, Unary) and maker.axis is None:
        maker = near.makers.get(maker.inputs[0].storage)
    padded = isinstance(maker, Product) or (isinstance(maker, Scale) and scales_rows(maker, near.hw))
    return node.window is None and not node.inputs[0].constant and not padded


def expanded_before(node: Conv, plan: Plan, near: Neighbours) -> bool:
    """Whether loose rows that come from DDR are expanded for the DPU there, before they are loaded."""
    found = near.hint(node.inputs[0])
    if not is_loose(node, near) or (found is not None and found == plan.in_dists[0]):
        return False
    zeros = zeros_behind(node, near.hw)
    return any(zeros) and (all(zeros) or plan.in_dists[0] != WHOLE or len(plan.slices) > 1)


def linked(plans: Sequence[Plan]) -> list[Plan]:
    """The plans, of which those that others are chained to are of their chains as well."""
    chains = {plan.chain for plan in plans if plan.chain >= 0}
    return [
        replace(p, chain=p.chain_number) if p.chain < 0 and p.chain_number in chains else p for p in plans
    ]
