"""Ops that work channel by channel over an image: split over rows or channels, and their slices."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace

from npusim.hardware.schema import Hardware
from npusim.lowering.ir.convolution import (
    TABLE_BYTES,
    address_loads,
    fused_constant,
    fused_lut,
    table_load,
    weights_load,
)
from npusim.lowering.ir.nodes import POINT, Depthwise, Node, Pool, Window
from npusim.lowering.ir.plan import ALL_TILES, Load, Plan, Store, odd_halves, transfer
from npusim.lowering.ir.shapes import CHANNELS
from npusim.lowering.ir.values import ADDED_CONSTANT, WHOLE, Dist, Value, ceil_div, even, round_up
from npusim.lowering.plans.dpu.channel_share import Kind, over_channels_alone
from npusim.lowering.plans.dpu.images import (
    Image,
    assemble,
    depthwise_tasks,
    fit,
    row_split,
    workload_channels,
    workload_slices,
)
from npusim.program.work import Work


def plan_channelwise(
    node: Node, hw: Hardware, act: Value, out: Value, image: Image, kind: Kind = "dwconv",
    window: Window = POINT, weight_bits: int = 16, *,
    in_rows: int = 0, planes: int = 0, over_channels: bool | None = None, own_channels: bool = False,
    kept: bool = False,
) -> Plan:  # fmt: skip
    """One depth-wise or pooling op over channels or rows. ``planes`` > 0: the result is written as so many planes;
    ``own_channels``: tiles that split the channels read their own alone; ``kept``: they keep what they compute."""
    image = replace(image, channels=round_up(image.channels, CHANNELS))
    tiles, channels, kernel, stride = hw.tiles, image.channels, window.kernel, window.stride[0]
    taps = round_up(kernel[0] * kernel[1], CHANNELS)
    weights = Value(ADDED_CONSTANT, (channels, taps), 16, weight_bits, constant=True)
    weighted = kind == "dwconv"
    turned = planes > 0 or (isinstance(node, Depthwise | Pool) and out.plain and image.width > 1)
    more = {"kernel_h": kernel[0], "kernel_w": kernel[1], "stride": stride, "in_bits": act.bits, "out_bits": out.bits,
            "planes": turned, "fp8": act.fp8, "lut": fused_lut(node, hw)}  # fmt: skip
    if over_channels is None:
        over_channels = weighted and over_channels_alone(hw, image, kernel, act, out)
    if over_channels:
        return _over_channel_tiles(node, hw, act, out, image, kind, weights, more, own_channels, kept)
    rows = even(image.height, tiles)
    whole = len(rows) < tiles
    rows = (image.height,) * tiles if whole else rows
    source_rows = in_rows or image.height
    in_dist = WHOLE if whole else row_split(act, source_rows, tiles)
    overlap = ceil_div(max(0, kernel[0] - stride), window.grown)
    halo = overlap * (act.elements // source_rows) if not whole and not window.addressed else 0
    if whole:
        out_dist = WHOLE
    elif turned:
        out_dist = Dist(planes or out.shape[1], tuple(r * image.width for r in rows))
    else:
        out_dist = row_split(out, image.height, tiles)
    more["shared_rows"] = not whole and tiles > 1 and image.width > 1
    fixed = channels * (taps * 2 + TABLE_BYTES) if weighted else 0
    per_row = image.width * channels * 2
    in_bytes = (in_dist.elements(0, act.elements) + halo) * act.bits // 8
    by_channels = image.width == 1 or image.flat or (weighted and image.height <= hw.software.row_fold)
    needed = workload_slices(channels, hw)
    by_channels |= needed > 1
    units = channels // CHANNELS if by_channels else image.width
    slices = fit(hw, in_bytes, rows[0] * per_row, units, fixed=fixed, equal=by_channels, least=needed)
    if slices >= units > 1 and not by_channels:
        by_channels, units = True, channels // CHANNELS
        slices = fit(hw, in_bytes + fixed, rows[0] * per_row, units, equal=True)

    def works(tile: int, index: int) -> Iterable[Work]:
        columns = image.width if by_channels else ceil_div(image.width, slices)
        share = ceil_div(channels, slices) if by_channels else channels
        if weighted:
            return depthwise_tasks(image, rows[tile], columns, share, hw, **more)
        return [
            image.work(kind, rows[tile], columns, share, variant_channels=workload_channels(share), **more)
        ]

    def constants(index: int) -> list[Load]:
        share = ceil_div(channels, slices) if by_channels else channels
        if not (weighted or window.addressed):
            return []
        columns = image.width if by_channels else ceil_div(image.width, slices)
        tables = address_loads(node, list(enumerate(rows)), columns, share, hw, index)
        return [*tables, fused_constant(share, taps, weights, hw, index if by_channels else 0)]

    strategy = f"{'depth-wise' if weighted else kind} over rows (SOH)"
    plan = assemble(node, hw, [act], [in_dist], out, out_dist, slices, works, strategy, constants)
    if halo:
        top, bottom = (min(p, kernel[0] // 2) for p in (window.top, window.bottom))
        taller = kernel[0] - stride
        return plan.changed(
            lambda part: replace(
                part,
                loads=[_with_halo(x, halo, (top, bottom), taller, slices, act, hw) for x in part.loads],
            )
        )
    return plan


def _with_halo(
    load: Load, halo: int, pads: tuple[int, int], rows: int, slices: int, act: Value, hw: Hardware
) -> Load:
    """A load with the halo rows of its tile, less those that are padding."""
    if load.operand != 0 or load.tile == ALL_TILES:
        return load
    padding = (pads[0] if load.tile == 0 else 0) + (pads[1] if load.tile == hw.tiles - 1 else 0)
    extra = halo * max(0, rows - padding) // rows // slices
    work = transfer("ddr", "cmx", load.work.bytes * 8 // act.bits + extra, act.bits, hw, load.work.kind)
    return replace(load, work=work, cmx_bytes=work.bytes)


def _over_channel_tiles(
    node: Node,
    hw: Hardware,
    act: Value,
    out: Value,
    image: Image,
    kind: Kind,
    weights: Value,
    more: dict[str, int],
    own: bool,
    kept: bool,
) -> Plan:
    """Each tile computes its own channels of the whole activation, and reads (``own``) no others. Results reach every
    tile, but images written as planes, those that are ``kept`` and everything where results are not multicast stay cut;
    the latter leaves in one strided transfer (3720)."""
    tiles, taps = hw.tiles, weights.shape[1]
    cuts = even(image.channels, tiles, CHANNELS)
    real = (*cuts[:-1], cuts[-1] - (image.channels - out.elements // (image.height * image.width)))
    segments = Dist(image.height * image.width, real)
    whole = hw.software.broadcast_output and not kept and (image.flat or image.width == 1 or not out.plain)

    def works(tile: int, index: int) -> Iterable[Work]:
        if tile >= len(cuts):
            return []
        if kind == "dwconv":
            return depthwise_tasks(image, image.height, image.width, cuts[tile], hw, **more)
        unit = workload_channels(cuts[tile])
        return [image.work(kind, image.height, image.width, cuts[tile], variant_channels=unit, **more)]

    def constants(index: int) -> list[Load]:
        if kind != "dwconv":
            return []
        loads = [weights_load(-1, t, c, taps, weights, hw, ()) for t, c in enumerate(cuts)]
        tables = [table_load(t, c, hw, ()) for t, c in enumerate(cuts)]
        return [*odd_halves(loads, hw), *odd_halves(tables, hw)]

    dist = WHOLE if whole else segments
    strategy = f"{'depth-wise' if kind == 'dwconv' else kind} over channels (SOK)"
    read = Dist(act.elements // image.channels, cuts) if own and len(cuts) == tiles else WHOLE
    plan = assemble(node, hw, [act], [read], out, dist, 1, works, strategy, constants)
    if not hw.software.broadcast_output:
        stored = transfer("cmx", "ddr", out.elements, out.stored_bits, hw)
        return plan.changed(lambda part: replace(part, stores=[Store(ALL_TILES, stored)]))
    return plan
