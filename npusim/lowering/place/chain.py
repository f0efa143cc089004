"""Plans cut together with the sliced convolution before them (vertical fusion, evidence/lowering.md#4.3).

While a SHAVE kernel works on slice i from CMX, the DPU computes slice i+1 and the weights of slice i+2 are loaded
(feed-forward layers).
"""

from __future__ import annotations

from collections import Counter
from dataclasses import replace
from itertools import pairwise
from math import prod

from npusim.hardware.schema import Hardware
from npusim.lowering.ir.convolution import geometry, is_line_of_planes, table_load, weights_load
from npusim.lowering.ir.kernels import KERNELS
from npusim.lowering.ir.moves import moves_us
from npusim.lowering.ir.nodes import Conv, Convert, Node, Unary
from npusim.lowering.ir.plan import ALL_TILES, CONSTANT, Load, Plan, Slice, booked_bytes, cmx_capacity
from npusim.lowering.ir.shapes import CHANNELS, FLAT_GRANULE, H
from npusim.lowering.ir.values import ADDED_CONSTANT, Dist, Value, ceil_div, even, row_dist
from npusim.lowering.place.neighbours import Neighbours
from npusim.lowering.plans.dpu.images import Image, depthwise_tasks
from npusim.lowering.split.dpu import Wanted
from npusim.program.work import DmaWork, ShaveWork, Work


def joins(node: Unary, near: Neighbours, producer: Plan) -> bool:
    """Whether an elementwise kernel, which alone reads what the plan just before makes, runs slice by slice behind it.

    A convolution whose tiles or slices are rows carries its kernel along, and so does a MatMul of several rows, but for
    padded ones that nothing pads again; one that finds its activation in CMX does not, for its weights already come
    while it computes (of 8 bits up to ``software.joined_rows`` rows do). A convolution of one column that writes
    planes, which the kernel cuts over channels, carries it along only where tiles keep their own channels (3720). Of a
    batch only kernels that run item by item are.
    """
    conv, rules = producer.node, near.hw.software
    if not isinstance(conv, Conv) or producer.chain >= 0 or len(producer.slices) == 1:
        return False
    first = producer.inputs[0]
    if node.axis is not None or node.runs("convert") or node.inputs[0].elements != producer.output.elements:
        return False
    several = conv.window is not None and node.output.shape[0] > 1
    if several and KERNELS[node.kernel].batch != "one by one":
        return False
    if is_line_of_planes(conv) and (rules.broadcast_output or not _takes_whole(producer)):
        return False
    few = conv.m <= rules.joined_rows
    if conv.window is None and near.hint(first) is not None and not (few and first.bits <= 8):
        return False
    whole = conv.m == prod(geometry(conv, near.hw)) or bool(near.read_by(node.output))
    dist = producer.in_dists[0]
    keys = [{x.key for x in part.loads if x.operand == 0} for part in producer.slices]
    by_rows = (dist is not None and not dist.whole) or any(a != b for a, b in pairwise(keys))
    return by_rows or (conv.m > 1 and whole and (few or conv.window is None))


def read_us(node: Conv, near: Neighbours) -> float:
    """What the compiler counts for convolutions that load what a kernel makes of a convolution's result, µs."""
    reader = near.sole_reader(node.output)
    convs = reader is not None and any(isinstance(n, Conv) for n in near.read_by(reader.output))
    return moves_us([node.output.bytes], near.hw) if convs else 0.0


def follower(node: Conv, wanted: Wanted, near: Neighbours) -> str:
    """The elementwise kernel that is the only reader of a convolution and can be cut together with it."""
    reader = near.sole_reader(node.output)
    if wanted is not Wanted.CUT or not isinstance(reader, Unary):
        return ""
    return reader.kernel if follows(reader, near) else ""


def follows(kernel: Unary, near: Neighbours) -> bool:
    """Whether a kernel can be cut together with the convolution before it: an elementwise one whose result is not
    changed to 8 bits, by what finds it in CMX."""
    quantised = any(isinstance(n, Convert) and n.quantize for n in near.read_by(kernel.output))
    return kernel.axis is None and not quantised


def apart_us(node: Conv, near: Neighbours) -> float:
    """What it takes to bring the result of a MatMul through DDR to a kernel that the tiles share by rows, a part from
    each tile and one to each, µs: a split over channels costs so much more."""
    reader, tiles = near.sole_reader(node.output), near.hw.tiles
    kernel = isinstance(reader, Unary) and reader.axis is None and KERNELS[reader.kernel].axes[0] == H
    padded = node.m < prod(geometry(node, near.hw))
    if not kernel or padded or node.window is not None or near.hint(node.inputs[0]) is not None:
        return 0.0
    return 2 * moves_us([ceil_div(node.output.bytes, tiles)] * tiles, near.hw)


def padded_rows(node: Unary, near: Neighbours) -> Plan | None:
    """The plan of the MatMul just before an elementwise kernel, if that works on its padded rows where they lie, as
    what reads its result pads them again."""
    value, plan = node.inputs[0], near.latest
    if plan is None or plan.output.storage != value.storage or near.sole_reader(value) is None:
        return None
    conv, reader = plan.node, near.sole_reader(node.output)
    if not isinstance(conv, Conv) or not isinstance(reader, Conv) or conv.window or reader.window:
        return None
    alone = len(plan.slices) == 1 and plan.chain < 0 and node.axis is None and not node.runs("convert")
    own = KERNELS[node.kernel].axes[0] == H
    return plan if alone and not own and conv.m < prod(geometry(conv, near.hw)) else None


def wanted_cut(node: Unary, near: Neighbours) -> Dist | None:
    """How the tiles share an elementwise kernel: as its operand lies or, where the kernel's cost is known to be the
    same for any split, by the rows that the MatMul sees which makes it over channels, and by its own (None) behind a
    running sum."""
    value = node.inputs[0]
    hint = near.hint(value) or near.channel_cut(value)
    maker = near.makers.get(value.storage)
    if hint is None or node.axis is not None or KERNELS[node.kernel].axes[0] != H:
        return hint
    if isinstance(maker, Unary) and maker.runs("cumsum"):
        return None
    if hint.outer == 1:
        return hint
    if not isinstance(maker, Conv) or maker.window is not None or maker.n % CHANNELS:
        return hint
    height, _ = geometry(maker, near.hw)
    return hint if height < near.hw.tiles else row_dist(node.output, height, near.hw.tiles)


def _takes_whole(plan: Plan) -> bool:
    """Whether every tile gets all of a plan's activation."""
    return plan.in_dists[0] is None or plan.in_dists[0].whole


def plan_joined(node: Node, hw: Hardware, kernel: str, producer: Plan) -> Plan:
    """The slices of an elementwise kernel over those of ``producer``, which it is chained to."""
    shaves = 1 if kernel in hw.software.unsplit_kernels else hw.shave.per_tile
    output, read = node.output, producer.output.bits
    parts = []
    for part in producer.slices:
        computes: list[tuple[int, Work]] = []
        for tile, held in enumerate(part.out_bytes):
            elements = held * 8 // read
            for share in even(elements, shaves, FLAT_GRANULE) if elements else ():
                size = ceil_div(share * output.bits, 8)
                computes.append((tile, ShaveWork(kernel, share, size, size + ceil_div(share * read, 8))))
        stores = [replace(store, work=_as_wide(store.work, output.bits, read)) for store in part.stores]
        held_bytes = tuple(ceil_div(held * output.bits, read) for held in part.out_bytes)
        parts.append(Slice([], computes, stores, held_bytes, part.detail))
    strategy = f"{kernel}, cut with the op before it in {len(parts)} slices"
    return Plan(node, [node.inputs[0]], [None], output, None, parts, strategy, chain=producer.chain_number)


def has_room(producer: Plan, kernel: Plan, hw: Hardware) -> bool:
    """Whether CMX takes one slice of both results beside what ``producer`` loads once and keeps for all slices."""
    count: Counter[tuple[int, ...]] = Counter()
    loads: dict[tuple[int, ...], Load] = {}
    for part in producer.slices:
        count.update({x.key for x in part.loads if x.key})
        loads |= {x.key: x for x in part.loads if x.key}
    kept = booked_bytes([load for key, load in loads.items() if count[key] > 1], hw.tiles)
    results = zip(producer.slices, kernel.slices, strict=True)
    return kept + max(max(a.out_bytes) + max(b.out_bytes) for a, b in results) <= cmx_capacity(hw)


def plan_scaled(node: Node, hw: Hardware, kernel: Plan, conv: Plan) -> Plan | None:
    """The slices of a scale by constants along the channels (a depth-wise 1x1 convolution) behind those of ``kernel``,
    which is chained to ``conv``; None where the slices are not channels or two of them do not fit (the smoothing behind
    a Gelu of 8 bits on 3720)."""
    pixels = conv.out_dist.outer if conv.out_dist is not None else 1
    if pixels == 1 or not isinstance(conv.node, Conv):
        return None
    height, width = geometry(conv.node, hw)
    if pixels != height * width or kernel.output.elements != node.output.elements:
        return None
    output, value = node.output, kernel.output
    weights = Value(ADDED_CONSTANT, (1, CHANNELS), 16, 16, constant=True)
    parts = []
    for number, part in enumerate(kernel.slices):
        channels = [held * 8 // value.bits // pixels for held in part.out_bytes]
        image = Image(height, width, max(channels))
        more = {"in_bits": value.bits, "out_bits": output.bits}
        computes = [
            (t, work)
            for t, c in enumerate(channels)
            if c
            for work in depthwise_tasks(image, height, width, c, hw, **more)
        ]
        loads = [
            weights_load(CONSTANT, t, c, CHANNELS, weights, hw, (number,))
            for t, c in enumerate(channels)
            if c
        ]
        loads += [table_load(t, c, hw, (number,)) for t, c in enumerate(channels) if c]
        stores = [replace(store, work=_as_wide(store.work, output.bits, value.bits)) for store in part.stores]
        held_bytes = tuple(c * pixels * output.bits // 8 for c in channels)
        parts.append(Slice(loads, computes, stores, held_bytes, part.detail))
    if any(
        _twice(*together) > cmx_capacity(hw)
        for together in zip(conv.slices, kernel.slices, parts, strict=True)
    ):
        return None
    strategy = f"depth-wise, cut with the ops before it in {len(parts)} slices"
    return Plan(node, [node.inputs[0]], [None], output, None, parts, strategy, chain=kernel.chain)


def _twice(*parts: Slice) -> int:
    """CMX bytes of the first tile for two slices of a chain side by side."""
    loaded = sum(load.cmx_bytes for part in parts for load in part.loads if load.tile in (0, ALL_TILES))
    return 2 * (loaded + sum(max(part.out_bytes, default=0) for part in parts))


def _as_wide(work: DmaWork, bits: int, was: int) -> DmaWork:
    """The transfer of as many elements of ``bits`` as ``work`` has of ``was``."""
    if bits == was:
        return work
    return replace(
        work, bytes=ceil_div(work.bytes * bits, was), counted_bytes=ceil_div(work.counted_bytes * bits, was)
    )
