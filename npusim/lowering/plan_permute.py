"""Plans that move data: transposes on the DPU or by DMA, and the change from planes to channels-last and back."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import replace
from math import prod
from typing import Literal

from npusim.costs.work import DmaWork, DpuWork, Work
from npusim.hardware.schema import Hardware
from npusim.lowering.cells import WORKLOAD, Image, assemble, fit, workload_channels
from npusim.lowering.conv_parts import CHANNELS
from npusim.lowering.nodes import Node
from npusim.lowering.plan import CONSTANT, Load, Plan, Slice, Store, cmx_capacity, load_value, transfer
from npusim.lowering.values import WHOLE, Dist, Value, along, ceil_div, even, round_up

#: Workloads of one slice of a permuting pool.
SLICE_WORKLOADS = 16
#: Gives a value a storage of its own.
Fresh = Callable[[Value], Value]


def plan_permute(node: Node, hw: Hardware, hint: Dist | None = None) -> Plan:
    """A transpose: on the DPU an identity pooling whose output is written in another order; by permuting DMAs where the
    rows that it reads are no multiple of 16 elements, or where whole rows are swapped in each of a batch, which is more
    dimensions than a pool has (26 of 26 compiled transposes of 1 to 4 matrices)."""
    value = node.inputs[0]
    row = value.shape[value.memory_order[-1]] if value.memory_order else 1
    if row % CHANNELS or len(_moved_blocks(value, node.output)) > 3:
        return plan_permute_dma(node, hw)
    if node.params.get("reorder"):
        plan = _reorder_channels(node, hw, hint)
        if plan is not None:
            return plan
    return _permute_dpu(node, hw)


def _moved_blocks(value: Value, out: Value) -> tuple[int, ...]:
    """Extents of a value in memory, those that lie side by side in the same order before and after as one."""
    before, after = value.memory_order, out.memory_order
    blocks: list[int] = []
    for i, axis in enumerate(before):
        if i and after.index(axis) == after.index(before[i - 1]) + 1:
            blocks[-1] *= value.shape[axis]
        else:
            blocks.append(value.shape[axis])
    return tuple(blocks)


def _reorder_channels(node: Node, hw: Hardware, hint: Dist | None) -> Plan | None:
    """A channels-last value written row-major: every tile writes its channels, which its readers take over; it finds
    them in CMX (Mul_4 of Mamba), or gets the whole value (parts of Exp_1: one transfer to all tiles). What lies cut
    over rows stays so (Mul_4 with 8 tokens and more: 11 of 11). None where that does not fit CMX, or the channels are
    no multiple of 16 each."""
    value, out = node.inputs[0], node.output
    channels = value.shape[value.memory_order[-1]]
    pixels = value.elements // channels
    dims = [value.shape[d] for d in value.memory_order]
    rows, columns = (prod(dims[:-2]), dims[-2]) if len(dims) > 2 else (dims[0], 1)
    flat = len(dims) == 2 and not hw.software.upright_matrices
    if flat:
        rows, columns = 1, rows
    line = columns * channels
    by_rows = hint is not None and hint.outer == 1 and sum(hint.cuts) == rows * line and len(dims) > 2
    if hint is not None and by_rows and not any(c % line for c in hint.cuts):
        heights = [c // line for c in hint.cuts]
        in_dist, out_dist = hint, Dist(channels, tuple(h * columns for h in heights))
        cuts: tuple[int, ...] = (channels,) * hw.tiles
        held = hint.elements(0, 0) * (value.bits + out.bits)
    else:
        cuts = even(channels, hw.tiles, CHANNELS)
        if len(cuts) < hw.tiles or channels % CHANNELS:
            return None
        heights = [rows] * hw.tiles
        found = Dist(pixels, cuts)
        in_dist = found if hint == found else WHOLE
        out_dist = WHOLE if flat else Dist(1, tuple(c * pixels for c in cuts))
        held = in_dist.elements(0, value.elements) * value.bits + cuts[0] * pixels * out.bits
    if held > 8 * cmx_capacity(hw):
        return None

    def works(tile: int, _: int) -> Iterable[Work]:
        yield DpuWork("maxpool", heights[tile], columns, cuts[tile], in_bits=value.bits, out_bits=out.bits,
                      variant_channels=workload_channels(cuts[tile]), planes=columns > 1)  # fmt: skip

    return assemble(node, hw, [value], [in_dist], out, out_dist, 1, works, "to row-major over channels")


def plan_permute_dma(node: Node, hw: Hardware) -> Plan:
    """Into one tile's CMX, permuted there by one transfer an engine, and out (dwconv1d_c1536_t4: 2 of 0.195 us); in
    slices of its longest dimension where both do not fit (13 of 13 transposes of 0.3 to 6 MiB; dwconv1d_c4096_t100)."""
    value, out, engines = node.inputs[0], node.output, hw.dma.engines
    longest = max(_moved_blocks(value, out), default=1)
    line = (value.bytes + out.bytes) // longest
    slices = next(n for n in range(1, longest + 1) if ceil_div(longest, n) * line <= cmx_capacity(hw))
    parts = []
    for lines in even(longest, slices):
        elements = value.elements // longest * lines
        work: list[tuple[int, Work]] = [
            (0, DmaWork("cmx", "cmx", part * value.bits // 8, part * value.bits // 8))
            for part in even(elements, engines)
        ]
        load = Load(0, 0, load_value(value, elements, hw), elements * value.bits // 8)
        used = (elements * out.bits // 8,) + (0,) * (hw.tiles - 1)
        store = Store(0, transfer("cmx", "ddr", elements, out.stored_bits, hw))
        parts.append(Slice([load], work, [store], used))
    return Plan(node, [value], [None], out, None, parts, "permuted by DMA")


def is_two_pass(node: Node) -> bool:
    """Whether channels that are no multiple of 16 move outwards, and 16 pixels at a time are."""
    value = node.inputs[0]
    inner = value.shape[value.memory_order[-1]]
    line = node.output.shape[node.output.memory_order[-1]] if node.output.memory_order else 1
    return (
        inner % CHANNELS > 0 and line % CHANNELS == 0 and value.elements % (CHANNELS * CHANNELS * inner) == 0
    )


def plan_two_passes(node: Node, hw: Hardware, fresh: Fresh) -> list[Plan]:
    """Two permuting pools: 16 pixels at a time become planes, then those are sorted (CumSum_1 of mamba2-130m, 24 heads:
    [32 x 16 pixels, 384], then [32 x 24, 256] a tile and slice at t256; t64_c64; base and CumBA)."""
    value, out = node.inputs[0], node.output
    inner, line = value.shape[value.memory_order[-1]], out.shape[out.memory_order[-1]]
    wide = CHANNELS * inner
    first = replace(value, shape=(value.elements // (CHANNELS * wide), CHANNELS, wide), order=())
    middle = replace(fresh(value), shape=first.shape, order=(2, 0, 1))
    second = replace(middle, shape=(value.elements // (inner * line), inner, line), order=())
    target = replace(out, shape=second.shape, order=(2, 0, 1))
    ways = ((first, middle), (second, target))
    plans = [_permute_dpu(replace(node, inputs=[a], output=b), hw) for a, b in ways]
    return [replace(plans[0], out_dist=None), replace(plans[1], output=out, out_dist=None)]


def _permute_dpu(node: Node, hw: Hardware) -> Plan:
    """A permuting pool over rows, or over columns where there are fewer rows than tiles. A matrix has its rows as
    height (bmm_b1_*: 4 of 4 on 4000 and 5010)."""
    value, out, tiles = node.inputs[0], node.output, hw.tiles
    rows = _same_rows(value, out)
    if rows and rows[0] < tiles:
        return _permute_rows(node, hw, *rows)
    dims = [value.shape[d] for d in value.memory_order]
    dims = [1] * (3 - len(dims)) + dims
    height, width, channels = prod(dims[:-2]), dims[-2], dims[-1]
    upright = height == 1 and hw.software.upright_matrices
    if height == 1 < width and not upright and channels % (CHANNELS * tiles) == 0 and tiles > 1:
        return _permute_matrix(node, hw, width, channels)
    if upright:
        height, width = width, 1
    by_rows = height >= tiles
    by_outermost = by_rows and not upright and len(value.memory_order) > 2
    cuts = even(dims[0] if by_outermost else height if by_rows else width, tiles)
    if len(cuts) < tiles:
        in_dist = out_dist = WHOLE
    else:
        axis = value.memory_order[0 if by_outermost else -2]
        in_dist, out_dist = _along_memory(value, axis, cuts), _along_memory(out, axis, cuts)
    image = Image(height if by_rows else 1, width, round_up(channels, CHANNELS))
    share = in_dist.elements(0, value.elements) * value.bits // 8
    turned = width > 1 and out.memory_order[-1:] != value.memory_order[-1:] and not node.params.get("reorder")
    upended = out.memory_order[-1:] == value.memory_order[-2 if upright else -3 : -1 if upright else -2]
    cut = _permute_cut(image, share, turned and not upended, hw)

    def works(tile: int, index: int) -> Iterable[Work]:
        pixels = in_dist.elements(tile, value.elements) // channels
        if pixels:
            rows, columns = (pixels // width, width) if by_rows else (height, pixels // height)
            deep = round_up(ceil_div(image.channels, cut.channels), CHANNELS)
            yield DpuWork("maxpool", ceil_div(rows, cut.height), ceil_div(columns, cut.width), deep,
                          in_bits=value.bits, out_bits=out.bits, planes=turned and not upended,
                          upended=upended, variant_channels=workload_channels(deep))  # fmt: skip

    slices = cut.height * cut.width * cut.channels
    plan = assemble(node, hw, [value], [in_dist], out, out_dist, slices, works, "permuting pool")
    for part in plan.slices:
        part.stores *= node.params.get("copies", 1)
    return plan


def _permute_matrix(node: Node, hw: Hardware, width: int, channels: int) -> Plan:
    """A matrix that lies flat, its columns over the tiles: each gets the whole, and writes to all (3720: bmm_b1_* and
    three of one plane, 7 of 7)."""
    value, out = node.inputs[0], node.output
    own = channels // hw.tiles
    slices = fit(hw, value.bytes, out.bytes, own // CHANNELS, equal=True)

    def works(tile: int, _: int) -> Iterable[Work]:
        yield DpuWork("maxpool", 1, width, own // slices, in_bits=value.bits, out_bits=out.bits,
                      variant_channels=workload_channels(own // slices), planes=True)  # fmt: skip

    return assemble(node, hw, [value], [WHOLE], out, WHOLE, slices, works, "columns over the tiles")


def _same_rows(value: Value, out: Value) -> tuple[int, int, int] | None:
    """A value as [A, B, row], if a transpose only swaps A and B, and the rows are more than one dimension."""
    before, after = value.memory_order, out.memory_order
    if len(before) < 4 or before[2:] != after[2:]:
        return None
    return value.shape[before[0]], value.shape[before[1]], prod(value.shape[d] for d in before[2:])


def _permute_rows(node: Node, hw: Hardware, height: int, width: int, channels: int) -> Plan:
    """Whole rows are swapped: they are the channels, cut over the tiles, each of which gets all and writes to all, in
    slices of which two fit (Transpose_14 of Mamba-2: 4 slices of 2,048 channels, 8 of 1,024 for 80 heads)."""
    value, out = node.inputs[0], node.output
    units = channels // CHANNELS
    fits = (n for n in range(1, units + 1) if units % n == 0 and 4 * value.bytes <= n * cmx_capacity(hw))
    slices = next(fits, units)
    cuts = even(channels // slices, hw.tiles, CHANNELS)

    def works(tile: int, _: int) -> Iterable[Work]:
        if tile < len(cuts):
            yield DpuWork("maxpool", height, width, cuts[tile], in_bits=value.bits, out_bits=out.bits,
                          variant_channels=workload_channels(cuts[tile]))  # fmt: skip

    return assemble(node, hw, [value], [WHOLE], out, WHOLE, slices, works, "rows swapped over channels")


def _permute_cut(image: Image, share: int, turned: bool, hw: Hardware) -> Image:
    """Into how many slices a permuting pool is cut along height, width and channels.

    Rows if equal many are left, else columns (cumba_b24, _b32 and _b80, transpose_0132 on 3720 and 4000: 7 of 8);
    channels of a matrix, at most ``SLICE_WORKLOADS`` workloads a slice (bmm_b1_*: 2 of 3), and where writing planes is
    dear, so that no cell is begun twice (5010: 3 of 4).
    """
    rows = ceil_div(image.height, hw.tiles)
    slices = fit(hw, share, share, image.height * image.width * image.channels)
    if slices == 1:
        return Image(1, 1, 1)
    if image.width == 1:
        return Image(1, 1, max(slices, ceil_div(image.channels, WORKLOAD * SLICE_WORKLOADS)))
    parts, rest = divmod(image.channels, WORKLOAD)
    if turned and hw.dpu.costs.planes and not rest and slices <= parts:
        return Image(1, 1, parts)
    return Image(slices, 1, 1) if rows % slices == 0 or slices > image.width else Image(1, slices, 1)


def _along_memory(value: Value, axis: int, cuts: tuple[int, ...]) -> Dist:
    """The Dist of a value cut along one of its logical dimensions."""
    order = value.memory_order
    return along(tuple(value.shape[d] for d in order), order.index(axis), cuts)


# -- planes to channels last ------------------------------------------------------------------------------------------


def plan_reorder(
    node: Node, hw: Hardware, value: Value, target: Value, planes: tuple[int, int, int], fresh: Fresh,
    *, by_channels: bool = False, reader: Literal["", "rows", "halo"] = "",
) -> list[Plan]:  # fmt: skip
    """``value`` [C,H,W] written channels-last into ``target`` [H,W,C'], C' >= C: a DPU eltwise op of the value with
    itself whose view has W as channels and C as height (facts/vendor_lowering.md 1.1). It is cut over H like the
    pool or convolution that reads it, or over C (``by_channels``), and in slices along W, or C where W is too short.

    A reader of image rows finds them in CMX unless the pixels are folded, and then if every tile has folded its own
    rows and it needs no ``halo`` (110 of 112 convolutions and pools over rows on 3720, 4000 and 5010; not if rows are
    padded while they are loaded).
    Where W is no multiple of 16 the pixels are folded to 16 x HW/16 (dwconv2d_c144_h56); if that can't be, each row is
    padded, by copies in DDR or while it is loaded (dwconv2d_c384_h14, conv_c1024_256_h14_k1s1, conv_c512_512_h14_k3s1).
    """
    channels, height, width = planes
    tiles, wide = hw.tiles, target.elements // (height * width)
    plans: list[Plan] = []
    real, padded_loads = width, False
    fold = width % CHANNELS or height < tiles
    if fold and height * width % CHANNELS == 0:
        height, width = height * width // CHANNELS, CHANNELS
    elif width % CHANNELS:
        width = round_up(width, CHANNELS)
        if hw.software.padding_copies:
            plans, value = _padded_rows(node, hw, value, fresh, channels * height, real)
        else:
            value, padded_loads = replace(value, shape=(channels * height, width), order=()), True
    if by_channels:
        cuts = even(channels, tiles, CHANNELS)
        in_dist, out_dist = Dist(1, tuple(c * height * width for c in cuts)), Dist(height * real, cuts)
    else:
        cuts = even(height, tiles)
        in_dist = Dist(channels, tuple(c * width for c in cuts))
        per_row = target.elements // height
        out_dist = Dist(1, tuple(c * per_row for c in cuts))
    if len(cuts) < tiles:
        in_dist = out_dist = WHOLE
    largest = max(cuts)
    in_bytes = in_dist.elements(0, value.elements) * value.bits // 8
    out_bytes = out_dist.elements(0, target.elements) * target.bits // 8
    units = {"columns": width // CHANNELS, "rows": largest, "planes": channels}
    along_axis = "columns" if width > CHANNELS else "rows"
    slices = fit(hw, in_bytes, out_bytes, units[along_axis], ahead=False)
    if slices == units[along_axis] > 1 and not by_channels:
        along_axis = "planes"
        slices = fit(hw, in_bytes, out_bytes, channels, ahead=False)

    def works(tile: int, index: int) -> Iterable[Work]:
        if tile >= len(cuts) and not in_dist.whole:
            return
        share = largest if in_dist.whole else cuts[tile]
        depth = round_up(ceil_div(width, slices), CHANNELS) if along_axis == "columns" else width
        share = ceil_div(share, slices) if along_axis == "rows" else share
        planes_cut = ceil_div(channels, slices) if along_axis == "planes" else channels
        if by_channels:
            yield DpuWork("permute", share, height, depth, in_bits=value.bits, out_bits=target.bits)
        else:
            yield DpuWork("permute", planes_cut, share, depth, in_bits=value.bits, out_bits=target.bits)

    strategy = "to channels last" + (f", {channels} widened to {wide}" if wide != channels else "")
    plan = assemble(node, hw, [value], [in_dist], target, out_dist, slices, works, strategy)
    own_rows = tuple(rows * real for rows in even(planes[1], tiles))
    aligned = height == planes[1] or tuple(c * width for c in cuts) == own_rows
    plan.out_dist = (
        None if reader and fold and (reader == "halo" or padded_loads or not aligned) else out_dist
    )
    if padded_loads:
        for part in plan.slices:
            part.loads = [x for load in part.loads for x in _padded_load(load, value, real, hw)]
    return [*plans, plan]


def _padded_load(load: Load, value: Value, real: int, hw: Hardware) -> list[Load]:
    """A load of padded rows as one of their ``real`` elements and one of the zeros behind them."""
    width = value.shape[-1]
    rows = load.cmx_bytes * 8 // value.bits // width
    own, zeros = rows * real, rows * (width - real)
    return [
        replace(load, work=load_value(value, own, hw), cmx_bytes=ceil_div(own * value.bits, 8)),
        Load(
            CONSTANT,
            load.tile,
            transfer("ddr", "cmx", zeros, value.bits, hw),
            ceil_div(zeros * value.bits, 8),
        ),
    ]


def _padded_rows(
    node: Node, hw: Hardware, value: Value, fresh: Fresh, rows: int, width: int
) -> tuple[list[Plan], Value]:
    """Copies in DDR that pad rows to a multiple of 16, and the padded value."""
    wide = round_up(width, CHANNELS)
    full = replace(fresh(value), shape=(rows, wide), order=())
    moves = [
        (0, transfer("ddr", "ddr", elements, value.bits, hw))
        for elements in (rows * (wide - width), rows * width)
    ]
    return [Plan(node, [value], [None], full, None, [], "rows padded in DDR", ddr_moves=moves)], full
