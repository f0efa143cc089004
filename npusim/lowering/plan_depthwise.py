"""Plans of depth-wise DPU ops: convolution, scale and shift, identity pooling with an activation, pooling."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace
from typing import Literal

from npusim.costs.price import work_us
from npusim.costs.work import Work
from npusim.hardware.schema import Hardware
from npusim.lowering.cells import (
    Image,
    assemble,
    borrow_channels,
    fit,
    refold,
    row_split,
    workload_channels,
    workload_slices,
)
from npusim.lowering.conv_parts import (
    CHANNELS,
    TABLE_BYTES,
    fold_rows,
    fused_constant,
    fused_lut,
    geometry,
    table_load,
    weights_load,
)
from npusim.lowering.nodes import Node
from npusim.lowering.plan import (
    ALL_TILES,
    CONSTANT,
    Load,
    Plan,
    Store,
    cmx_capacity,
    odd_halves,
    output_stores,
    transfer,
)
from npusim.lowering.plan_eltwise import depthwise_tasks
from npusim.lowering.plan_permute import Fresh, plan_permute_dma, plan_reorder
from npusim.lowering.plan_reduce_conv import plan_widen
from npusim.lowering.values import WHOLE, Dist, Value, canonical4, ceil_div, even, round_up

#: Largest dimension of a DPU tensor (facts/npu_hardware.md section 1); more planes than that are refolded.
MAX_DIMENSION = 8192
#: Share of the time of reading an activation, at the bandwidth of DDR, that counts where splits are compared
#: (dwconv1d_*: up to 0.44 on 4000 and 0.52 on 5010 leave rows, 0.73 and 0.84 and more do not).
READ_SHARE = 0.62
#: What a channel-wise op computes: a depth-wise convolution, or a pooling.
Kind = Literal["dwconv", "avgpool", "maxpool"]


def plan_depthwise(node: Node, hw: Hardware, fresh: Fresh) -> list[Plan]:
    """Depth-wise convolution; what brings its input to channels last comes first."""
    act, weights, out = node.inputs[0], node.inputs[1], node.output
    height, width = geometry(node, hw)
    channels, kernel, stride = out.shape[1], node.params["kernel"], node.params["stride"][0]
    image = Image(height, width, round_up(channels, CHANNELS))
    in_rows = act.shape[2] if len(act.shape) > 2 else height
    before, last = channels_last(node, hw, act, fresh)
    over_channels = _over_channels(hw, image, kernel, act, out)
    if (before and width > 1) or (kernel != (1, 1) and width == 1 and hw.software.broadcast_output):
        over_channels = _channels_are_cheaper(hw, image, "dwconv", kernel, stride, last, out)
    act = last
    pads = node.params["pads"]
    rows = [p - kernel[0] // 2 for p in (pads[0], pads[len(pads) // 2]) if p > kernel[0] // 2]
    if rows and not over_channels:
        joined = fresh(act)
        moves = [(0, transfer("ddr", "ddr", channels * r, act.bits, hw)) for r in rows]
        apart = before and (len(before[-1].slices) > 1 or act.elements // channels % (CHANNELS * hw.tiles))
        if apart:  # the rows that a tile has turned are not those that it convolves
            moves.append((0, transfer("ddr", "ddr", act.elements, act.bits, hw)))
        before.append(Plan(node, [act], [None], joined, None, [], "rows concatenated", ddr_moves=moves))
        act = joined
    plan = _channelwise(
        node,
        hw,
        act,
        out,
        image,
        "dwconv",
        kernel,
        stride,
        weights.stored_bits,
        in_rows=in_rows,
        over_channels=over_channels,
    )
    if rows and over_channels:
        fill = [transfer("ddr", "cmx", channels * r, act.bits, hw) for r in rows]
        plan.slices[0].loads.extend(Load(CONSTANT, ALL_TILES, w, w.bytes) for w in fill)
    return [*before, plan]


def channels_last(node: Node, hw: Hardware, act: Value, fresh: Fresh) -> tuple[list[Plan], Value]:
    """The plans that bring the activation [1,C,H,W] of a convolution or pooling to channels last (C widened to a
    multiple of 16, but for a convolution whose channels are folded pixels), and it; none where it lies so already.
    One-dimensional data (W = 1) are transposed."""
    shape = act.shape
    channels, height = shape[1], shape[2]
    width = shape[3] if len(shape) > 3 else 1
    order = act.memory_order
    if not order or channels == 1 or order[-1] == 1 or height * width == 1:
        return [], act
    order = tuple(d for d in range(len(shape)) if d != 1) + (1,)
    moved = replace(fresh(act), order=order, stored_bits=min(act.stored_bits, act.bits))
    if width == 1 and height % CHANNELS:
        return [plan_permute_dma(replace(node, inputs=[act], output=moved), hw)], moved
    wide = channels if "width" in node.params else round_up(channels, CHANNELS)
    target = moved if wide == channels else replace(moved, shape=(shape[0], wide, *shape[2:]))
    planes = (channels, 1, height) if width == 1 else (channels, height, width)
    halo = hw.software.halo_copies and node.params["kernel"][0] > node.params["stride"][0]
    return plan_reorder(node, hw, act, target, planes, fresh, reader="halo" if halo else "rows"), target


def plan_scale(node: Node, hw: Hardware, fresh: Fresh, any_order: bool = False) -> list[Plan]:
    """Multiply or add by a constant that is scalar or varies along one axis: a depth-wise 1x1 convolution.

    ``any_order``: the reader takes the result in any order of its elements, so that planes need not become channels.
    Rows of 16 scaled by a computed vector are folded like those of a MatMul, which the compiler makes of it (Mul_8 of
    Mamba's single token: 384 x 4 on 4000, 192 x 8 on 5010).
    """
    value, out, axis = node.inputs[0], node.output, node.params.get("axis")
    n, c, h, w = canonical4(out.physical)
    if not value.plain or (axis is not None and value.memory_order[-1:] == (axis,)):
        fold = hw.software.row_fold
        if n * c > 1:
            image = Image(n * c, h, w)
        elif h % fold == 0 and h > fold:  # rms_1x1x256x1536: 4 x 64 on 3720 and 4000, 8 x 32 on 5010
            as_matmul = w == CHANNELS and any(not v.constant for v in node.inputs[1:])
            image = Image(*(fold_rows(h, fold) if as_matmul else (fold, h // fold)), w)
        else:
            image = Image(h, 1, w, flat=True)
        return [_channelwise(node, hw, value, out, image)]
    if axis is None and (n * c == 1 or any_order or n * c > MAX_DIMENSION):
        borrowed = borrow_channels(out.physical, hw.tiles) if n * c <= MAX_DIMENSION else None
        image = borrowed or refold(out.physical)
        return [_channelwise(node, hw, value, out, image)]
    return plan_planes(node, hw, "dwconv", fresh)


def plan_activation(node: Node, hw: Hardware, fresh: Fresh) -> list[Plan]:
    """An activation that the PPE applies, alone: behind an identity average pooling (facts 1.2; relu_*, clamp_*)."""
    value, out = node.inputs[0], node.output
    n, c, h, w = canonical4(out.physical)
    if not value.plain:
        return [_channelwise(node, hw, value, out, Image(n * c, h, w), "avgpool")]
    if n * c == 1 or n * c > MAX_DIMENSION:
        return [_channelwise(node, hw, value, out, refold(out.physical), "avgpool")]
    return plan_planes(node, hw, "avgpool", fresh)


def plan_planes(node: Node, hw: Hardware, kind: Kind, fresh: Fresh) -> list[Plan]:
    """A channel-wise op on row-major [C,H,W]: brought to channels last (C widened to a multiple of 16), computed, and
    written back as planes (relu_l, negative_m, bcast_1x24x1x256)."""
    value, out, axis = node.inputs[0], node.output, node.params.get("axis")
    n, c, h, w = canonical4(out.physical)
    if axis is not None:
        shape = out.shape
        c, h, w = shape[axis], 1, out.elements // shape[axis]
        if len(shape) - axis == 3:
            h, w = shape[axis + 1], shape[axis + 2]
    else:
        c = n * c
    wide = round_up(c, CHANNELS)
    target = replace(fresh(value), shape=(h, w, wide), order=())
    before = (_columns_to_channels if w == 1 < h and wide > c else plan_reorder)(
        node, hw, value, target, (c, h, w), fresh
    )
    image = Image(h, w, wide) if h >= hw.tiles else Image(h * w, 1, wide, flat=True)
    return [*before, _channelwise(node, hw, target, out, image, kind, planes=c)]


def _columns_to_channels(
    node: Node, hw: Hardware, value: Value, target: Value, planes: tuple[int, int, int], fresh: Fresh
) -> list[Plan]:
    """Planes of one column written channels last, where their number must be padded: the column is widened to 16, the
    wide planes are turned, and one of their 16 columns is kept (bcast_1x24x256x1 on all platforms)."""
    channels, height, _ = planes
    if height % CHANNELS:
        return plan_reorder(node, hw, value, target, planes, fresh)
    widened = replace(fresh(value), shape=(channels, height, CHANNELS), order=())
    turned = replace(target, shape=(height, CHANNELS, target.shape[-1]))
    first = plan_widen(node, hw, value, widened)
    last = plan_reorder(node, hw, widened, turned, (channels, height, CHANNELS), fresh)[-1]
    slices = len(last.slices)
    for i, part in enumerate(last.slices):
        part.stores = output_stores(target, row_split(target, height, hw.tiles), hw.tiles, hw, slices, i)
    return [replace(first, out_dist=None), replace(last, output=target, out_dist=None)]


def _over_channels(hw: Hardware, image: Image, kernel: tuple[int, int], act: Value, out: Value) -> bool:
    """Split over channels (SOK): where every tile gets equal many granules and both tensors fit each tile's CMX whole;
    1x1 only where there are few rows (facts 2.2; rms_1x1x4x768, and rms_1x1x256x1536 and dwconv1d_c1792 on 3720 alone).
    """
    tiles = hw.tiles
    if kernel == (1, 1) and image.height > max(tiles, hw.software.row_fold):
        return False
    if image.channels % (CHANNELS * tiles):
        return image.height < tiles and image.channels >= CHANNELS * tiles
    return image.height < tiles or _fits_whole(hw, image, kernel, act, out)


def _fits_whole(hw: Hardware, image: Image, kernel: tuple[int, int], act: Value, out: Value) -> bool:
    """Whether a tile can hold the whole activation, its padding and the result, or its part of it."""
    copies = 1 if hw.software.broadcast_output else hw.tiles
    taps = round_up(kernel[0] * kernel[1], CHANNELS)
    constants = image.channels // hw.tiles * (taps * 2 + TABLE_BYTES)
    padding = (kernel[0] - 1) * image.width * image.channels * act.bits // 8
    return act.bytes + padding + out.bytes // copies + constants <= cmx_capacity(hw)


def _channels_are_cheaper(
    hw: Hardware, image: Image, kind: Kind, kernel: tuple[int, int], stride: int, act: Value, out: Value
) -> bool:
    """Whether an image that a pass before it brings to channels last is split over channels (SOK): where that takes the
    DPU less long than rows do, and both tensors fit each tile's CMX whole.

    Rows need not leave CMX where that pass works on the image itself, which it does where rows are multiples of 16
    pixels: then rows it is (23 of 25 of dwconv2d_* and pools; of the others the shorter split in 88 of 101). Data of
    one dimension, which come from DDR with their padding, are read by one engine for all tiles or by all engines in
    parts (dwconv1d_* on 4000 and 5010: 25 of 26).
    """
    tiles = hw.tiles
    if image.channels < CHANNELS * tiles or not _fits_whole(hw, image, kernel, act, out):
        return False
    if image.height < tiles:
        return True
    flat = image.width == 1
    if not flat and kernel[0] > 1 and act.shape[2] >= tiles and act.shape[3] % CHANNELS == 0:
        return False
    more = {
        "kernel_h": kernel[0],
        "kernel_w": kernel[1],
        "stride": stride,
        "in_bits": act.bits,
        "out_bits": out.bits,
    }
    read = READ_SHARE * act.bytes / hw.ddr.bandwidth_gbps / 1e3 if flat else 0.0

    def time(rows: int, channels: int) -> float:
        if kind == "dwconv":
            works = depthwise_tasks(image, rows, image.width, channels, hw, **more)
        else:
            unit = workload_channels(channels)
            works = [image.work(kind, rows, image.width, channels, variant_channels=unit, **more)]
        return sum(work_us(work, hw) for work in works)

    by_channels = time(image.height, even(image.channels, tiles, CHANNELS)[0]) + read
    by_rows = time(even(image.height, tiles)[0], image.channels) + read / hw.dma.engines
    return by_channels < hw.software.channel_patience * by_rows


def _channelwise(
    node: Node, hw: Hardware, act: Value, out: Value, image: Image, kind: Kind = "dwconv",
    kernel: tuple[int, int] = (1, 1), stride: int = 1, weight_bits: int = 16, *,
    in_rows: int = 0, planes: int = 0, over_channels: bool | None = None,
) -> Plan:  # fmt: skip
    """One depth-wise or pooling op over channels or rows. ``planes`` > 0: the result is written as so many planes."""
    tiles, channels = hw.tiles, image.channels
    taps = round_up(kernel[0] * kernel[1], CHANNELS)
    weights = Value(-1, (channels, taps), 16, weight_bits, constant=True)
    weighted = kind == "dwconv"
    turned = planes > 0 or (node.kind in ("dwconv", "pool") and out.plain and image.width > 1)
    more = {"kernel_h": kernel[0], "kernel_w": kernel[1], "stride": stride, "in_bits": act.bits, "out_bits": out.bits,
            "planes": turned, "fp8": act.fp8, "lut": fused_lut(node, hw)}  # fmt: skip
    if over_channels is None:
        over_channels = weighted and _over_channels(hw, image, kernel, act, out)
    if over_channels:
        return _over_channel_tiles(node, hw, act, out, image, kind, weights, more)
    rows = even(image.height, tiles)
    whole = len(rows) < tiles
    rows = (image.height,) * tiles if whole else rows
    source_rows = in_rows or image.height
    in_dist = WHOLE if whole else row_split(act, source_rows, tiles)
    overlap = ceil_div(max(0, kernel[0] - stride), node.params.get("grown", 1))
    halo = overlap * (act.elements // source_rows) if not whole else 0
    if whole:
        out_dist = WHOLE
    elif planes:
        out_dist = Dist(planes, tuple(r * image.width for r in rows))
    else:
        out_dist = row_split(out, image.height, tiles)
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
        share = channels // slices if by_channels else channels
        if weighted:
            return depthwise_tasks(image, rows[tile], columns, share, hw, **more)
        return [
            image.work(kind, rows[tile], columns, share, variant_channels=workload_channels(share), **more)
        ]

    def constants(index: int) -> list[Load]:
        share = channels // slices if by_channels else channels
        return [fused_constant(share, taps, weights, hw, index if by_channels else 0)] if weighted else []

    strategy = f"{'depth-wise' if weighted else kind} over rows (SOH)"
    plan = assemble(node, hw, [act], [in_dist], out, out_dist, slices, works, strategy, constants)
    if halo:
        pads = node.params["pads"]
        top, bottom = (min(p, kernel[0] // 2) for p in (pads[0], pads[len(pads) // 2]))
        for part in plan.slices:
            part.loads = [
                _with_halo(x, halo, (top, bottom), kernel[0] - stride, slices, act, hw) for x in part.loads
            ]
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
) -> Plan:
    """Each tile computes its own channels of the whole activation. Results reach every tile, but images written as
    planes (dwconv2d_c384_h14) and everything where results are not multicast stay cut; the latter leaves in one
    strided transfer (dwconv1d_*, dwconv2d_c384_h14, rms_1x1x256x1536 on 3720)."""
    tiles, taps = hw.tiles, weights.shape[1]
    cuts = even(image.channels, tiles, CHANNELS)
    real = (*cuts[:-1], cuts[-1] - (image.channels - out.elements // (image.height * image.width)))
    segments = Dist(image.height * image.width, real)
    whole = hw.software.broadcast_output and (image.flat or image.width == 1 or not out.plain)

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
    plan = assemble(node, hw, [act], [WHOLE], out, dist, 1, works, strategy, constants)
    if not hw.software.broadcast_output:
        stored = transfer("cmx", "ddr", out.elements, out.stored_bits, hw)
        plan.slices[0].stores = [Store(ALL_TILES, stored)]
    return plan


def plan_pool(node: Node, hw: Hardware, fresh: Fresh) -> list[Plan]:
    """Max or average pooling, over rows."""
    act, out = node.inputs[0], node.output
    height, width = geometry(node, hw)
    channels = out.shape[1]
    kind: Kind = "maxpool" if node.params["pool"] == "max" else "avgpool"
    before, act = channels_last(node, hw, act, fresh)
    image = Image(height, width, round_up(channels, CHANNELS))
    kernel, stride = node.params["kernel"], node.params["stride"]
    over_channels = (
        bool(before) and width > 1 and _channels_are_cheaper(hw, image, kind, kernel, stride[0], act, out)
    )
    plan = _channelwise(
        node, hw, act, out, image, kind, kernel, stride[0], in_rows=act.shape[2], over_channels=over_channels
    )
    return [*before, plan]


__all__ = ["channels_last", "plan_activation", "plan_depthwise", "plan_pool", "plan_scale"]
