"""Plans that move data: transposes on the DPU or by DMA, and the change from planes to channels-last and back."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace
from math import prod

from npusim.costs.dpu import cycles
from npusim.hardware.schema import Hardware
from npusim.lowering.ir.images import CHANNELS_LAST, is_image
from npusim.lowering.ir.nodes import Node, Transpose
from npusim.lowering.ir.plan import Plan, cmx_capacity
from npusim.lowering.ir.shapes import CHANNELS, MAX_DIMENSION
from npusim.lowering.ir.values import WHOLE, Dist, Fresh, Value, along, ceil_div, even, round_up
from npusim.lowering.plans.dma.permute import moved_blocks, plan_permute_dma
from npusim.lowering.plans.dpu.images import WORKLOAD, Image, assemble, fit, workload_channels
from npusim.lowering.tile.pools import Counts, PoolSlices
from npusim.program.work import DpuWork, Work

#: Workloads of one slice of a permuting pool.
SLICE_WORKLOADS = 16
#: Elements from which rows that change places as they are, [H, C, W] to [C, H, W], are moved by a pool, not by DMA
#: (npu_compiler: convert_mem_permute_to_pool.cpp, 2024: a measured crossing).
POOLED_ROWS = 32 * 16 * 224


def plan_permute(node: Node, hw: Hardware, hint: Dist | None = None) -> Plan:
    """A transpose: on the DPU an identity pooling whose output is written in another order; by permuting DMAs where the
    rows that it reads are no multiple of 16 elements, where few whole rows change places, or where they do in each of
    a batch, which is more dimensions than a pool has."""
    pixels = prod(node.output.shape[2:])
    if node.each and node.output.order == CHANNELS_LAST and pixels % CHANNELS == 0:
        images, channels = node.output.shape[:2]
        return replace(_permute_columns(node, hw, images, channels, pixels), out_dist=None)
    if is_moved_by_dma(node):
        return plan_permute_dma(node, hw, hint)
    blocks = moved_blocks(node.inputs[0], node.output)
    if len(blocks) == 2 and blocks[0] < CHANNELS and blocks[1] > MAX_DIMENSION:
        return _permute_long(node, hw, *blocks)
    if isinstance(node, Transpose) and node.reorder:
        plan = _reorder_channels(node, hw, hint)
        if plan is not None:
            return plan
    return _permute_dpu(node, hw)


def is_moved_by_dma(node: Node) -> bool:
    """Whether a transpose is left to DMA."""
    value = node.inputs[0]
    row = value.shape[value.memory_order[-1]] if value.memory_order else 1
    blocks = moved_blocks(value, node.output)
    in_rows = len(blocks) == 3 and value.memory_order[-1] == node.output.memory_order[-1]
    return row % CHANNELS > 0 or len(blocks) > 3 or (in_rows and value.elements < POOLED_ROWS)


def _reorder_channels(node: Node, hw: Hardware, hint: Dist | None) -> Plan | None:
    """A channels-last value written row-major: every tile writes its channels, which its readers take over; it finds
    them in CMX (Mul_4 of Mamba), or gets the whole value (parts of Exp_1: one transfer to all tiles). What lies cut
    over rows stays so (Mul_4 with 8 tokens and more). None where that does not fit CMX, or the channels are no multiple
    of 16 each."""
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
    plans = [_permute_dpu(replace(node, inputs=(a,), output=b), hw) for a, b in ways]
    return [replace(plans[0], out_dist=None), replace(plans[1], output=out, out_dist=None)]


def is_narrow_image(node: Node) -> bool:
    """Whether an image of channels that are no multiple of 16, and lie last, is turned to planes, and its rows and
    lines are such multiples."""
    value = node.inputs[0]
    if value.order != CHANNELS_LAST or not node.output.plain or not is_image(value.shape):
        return False
    _, channels, height, width = value.shape
    return channels % CHANNELS > 0 and height % CHANNELS == 0 and width * channels % CHANNELS == 0


def plan_planes_of_narrow(node: Node, hw: Hardware, fresh: Fresh) -> list[Plan]:
    """Such an image as planes, by two permuting pools: its rows become the innermost dimension, and what lay in a row
    is sorted by channels."""
    value, out = node.inputs[0], node.output
    _, channels, height, width = value.shape
    lines = replace(value, shape=(height, width * channels // CHANNELS, CHANNELS), order=())
    upright = replace(fresh(value), shape=lines.shape, order=(1, 2, 0))
    columns = replace(upright, shape=(width, channels, height), order=())
    target = replace(out, shape=columns.shape, order=(1, 2, 0))
    ways = ((lines, upright), (columns, target))
    plans = [_permute_dpu(replace(node, inputs=(a,), output=b), hw) for a, b in ways]
    return [replace(plans[0], out_dist=None), replace(plans[1], output=out)]


def _permute_dpu(node: Node, hw: Hardware) -> Plan:
    """A permuting pool over rows, or over columns where there are fewer rows than tiles. A matrix has its rows as
    height."""
    value, out, tiles = node.inputs[0], node.output, hw.tiles
    rows = _same_rows(value, out)
    if rows and rows[0] < tiles:
        return _permute_rows(node, hw, *rows)
    dims = [value.shape[d] for d in value.memory_order]
    dims = [1] * (3 - len(dims)) + dims
    if _is_small_batch(value, hw):
        return _permute_columns(node, hw, dims[0], prod(dims[1:-1]), dims[-1])
    height, width, channels = prod(dims[:-2]), dims[-2], dims[-1]
    upright = height == 1 and hw.software.upright_matrices
    if height == 1 < width and not upright and channels % (CHANNELS * tiles) == 0 and tiles > 1:
        return _permute_columns(node, hw, height, width, channels)
    if height > 1 and width > 1 and channels >= CHANNELS * tiles and _by_columns(value, out, height, hw):
        return _permute_columns(node, hw, height, width, channels)
    if upright:
        height, width = width, 1
    by_rows = height >= tiles and (height > 1 or width == 1)
    by_outermost = by_rows and not upright and len(value.memory_order) > 2
    cuts = even(dims[0] if by_outermost else height if by_rows else width, tiles)
    if len(cuts) < tiles:
        in_dist = out_dist = WHOLE
    else:
        axis = value.memory_order[0 if by_outermost else -2]
        in_dist, out_dist = _along_memory(value, axis, cuts), _along_memory(out, axis, cuts)
    image = Image(height if by_rows else 1, width, round_up(channels, CHANNELS))
    share = in_dist.elements(0, value.elements) * value.bits // 8
    reorder, copies = (node.reorder, node.copies) if isinstance(node, Transpose) else (False, 1)
    turned = width > 1 and out.memory_order[-1:] != value.memory_order[-1:] and not reorder
    upended = out.memory_order[-1:] == value.memory_order[-2 if upright else -3 : -1 if upright else -2]
    cut = _permute_cut(image, share, turned and not upended, value, out, hw)

    def works(tile: int, index: int) -> Iterable[Work]:
        pixels = in_dist.elements(tile, value.elements) // channels
        if pixels:
            rows, columns = (pixels // width, width) if by_rows else (height, pixels // height)
            deep = round_up(ceil_div(image.channels, cut.channels), CHANNELS)
            yield DpuWork("maxpool", ceil_div(rows, cut.height), ceil_div(columns, cut.width), deep,
                          in_bits=value.bits, out_bits=out.bits, planes=turned and not upended,
                          upended=upended, variant_channels=workload_channels(deep))  # fmt: skip

    plan = assemble(node, hw, [value], [in_dist], out, out_dist, cut.slices, works, "permuting pool")
    return plan.changed(lambda part: replace(part, stores=[*part.stores] * copies))


def _is_small_batch(value: Value, hw: Hardware) -> bool:
    """Whether a value is a batch of few images, channels last, of which every tile can hold all and write some channels
    as planes."""
    images, channels = value.shape[0], value.shape[1]
    few = 1 < images <= max(hw.tiles, hw.software.row_fold) and channels >= CHANNELS * hw.tiles > CHANNELS
    return value.order == CHANNELS_LAST and few and 2 * value.bytes <= cmx_capacity(hw)


def _by_columns(value: Value, out: Value, height: int, hw: Hardware) -> bool:
    """Whether the tiles share the columns of several matrices: of fewer than they are, and where writing planes is dear
    (5010) also where they would turn fewer than two each."""
    if height < hw.tiles or not hw.dpu.costs.planes:
        return height < hw.tiles
    before, after = value.memory_order, out.memory_order
    turned = len(before) == 3 and after == (before[0], before[2], before[1])
    return turned and height < 2 * hw.tiles


def _permute_long(node: Node, hw: Hardware, height: int, length: int) -> Plan:
    """A few rows longer than any dimension may be: the longest pieces of them that a barrier counts the workloads of
    are the channels of one slice each, which the tiles share (the sources of the states of Mamba-2)."""
    value, out = node.inputs[0], node.output
    most = min(MAX_DIMENSION, WORKLOAD * hw.software.barrier_workloads - CHANNELS)
    channels = next(c for c in range(most - most % CHANNELS, 0, -CHANNELS) if length % c == 0)
    cuts = even(channels, hw.tiles, CHANNELS)

    def works(tile: int, _: int) -> Iterable[Work]:
        if tile < len(cuts):
            yield DpuWork("maxpool", height, 1, cuts[tile], in_bits=value.bits, out_bits=out.bits,
                          variant_channels=workload_channels(cuts[tile]))  # fmt: skip

    slices = length // channels
    dist = Dist(height * slices, cuts)
    plan = assemble(node, hw, [value], [WHOLE], out, dist, slices, works, "long rows over channels")
    return replace(plan, out_dist=None)


def _permute_columns(node: Node, hw: Hardware, height: int, width: int, channels: int) -> Plan:
    """Few matrices, or one that lies flat (3720), their columns over the tiles: each gets the whole, and writes to
    all. Slices are of columns of one that lies flat, else of rows, of which two fit."""
    value, out = node.inputs[0], node.output
    cuts = even(channels, hw.tiles, CHANNELS)
    if height == 1:
        slices = deep = fit(hw, value.bytes, out.bytes, min(cuts) // CHANNELS, equal=True)
    else:
        alone, deep = value.bytes + out.bytes <= cmx_capacity(hw), 1
        slices = 1 if alone else min(width, ceil_div(2 * (value.bytes + out.bytes), cmx_capacity(hw)))
    wide = ceil_div(width * deep, slices)

    def works(tile: int, _: int) -> Iterable[Work]:
        own = ceil_div(cuts[tile], deep)
        yield DpuWork("maxpool", height, wide, own, in_bits=value.bits, out_bits=out.bits,
                      variant_channels=workload_channels(own), planes=True)  # fmt: skip

    return assemble(node, hw, [value], [WHOLE], out, WHOLE, slices, works, "columns over the tiles")


def _same_rows(value: Value, out: Value) -> tuple[int, int, int] | None:
    """A value as [A, B, row], if a transpose only swaps A and B, and the rows are more than one dimension."""
    before, after = value.memory_order, out.memory_order
    if len(before) < 4 or before[2:] != after[2:]:
        return None
    return value.shape[before[0]], value.shape[before[1]], prod(value.shape[d] for d in before[2:])


def _permute_rows(node: Node, hw: Hardware, height: int, width: int, channels: int) -> Plan:
    """Whole rows are swapped: they are the channels, cut over the tiles, each of which gets all and writes to all, in
    slices of which two fit (Transpose_14 of Mamba-2)."""
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


def _permute_cut(image: Image, share: int, turned: bool, value: Value, out: Value, hw: Hardware) -> Counts:
    """Into how many slices a permuting pool is cut along height, width and channels: channels of a matrix, at most
    ``SLICE_WORKLOADS`` workloads a slice."""
    if image.width == 1:
        slices = fit(hw, share, share, image.height * image.channels)
        return Counts(
            channels=max(slices, ceil_div(image.channels, WORKLOAD * SLICE_WORKLOADS)) if slices > 1 else 1
        )

    def compute_us(rows: int, columns: int, channels: int) -> float:
        work = DpuWork("maxpool", rows, columns, channels, in_bits=value.bits, out_bits=out.bits, planes=turned,
                       variant_channels=workload_channels(channels))  # fmt: skip
        return cycles(work, hw) / hw.clocks.dpu_mhz

    bits = max(value.bits, out.bits)
    return PoolSlices(image.height, image.width, image.channels, bits, compute_us).choose(hw)


def _along_memory(value: Value, axis: int, cuts: tuple[int, ...]) -> Dist:
    """The Dist of a value cut along one of its logical dimensions."""
    order = value.memory_order
    return along(tuple(value.shape[d] for d in order), order.index(axis), cuts)


# -- planes to channels last ------------------------------------------------------------------------------------------
