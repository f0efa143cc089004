"""What one DPU task costs: MAC-array cells, scratchpad reads, stencils and output drain.

The MAC array computes cells of 4x4 output pixels by 16 output channels; a stencil (MPE mode) groups cells that share
what is read from CMX. Formulas: evidence/hardware.md#3.2 and evidence/costs.md#4.3, #4.4; the
coefficients stand in the hardware file.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Literal, NamedTuple, TypeVar

from npusim.costs.products import Grid, grids
from npusim.costs.zeros import time_share
from npusim.hardware.dpu import CellCost, ConvCost
from npusim.hardware.schema import Hardware
from npusim.program.work import DpuWork, MpeMode

#: Output pixels (x, y) of one stencil, by MPE mode.
STENCIL_PIXELS: Mapping[MpeMode, tuple[int, int]] = {"16x16": (16, 16), "8x16": (16, 8), "4x16": (8, 8)}
CELL_SIDE = 4
#: Bits of a wide result, and of narrow weights.
WIDE, NARROW = 32, 4
FP16_BYTES = 2
CELL_CHANNELS = 16
#: MACs that one cell does per output channel and reduced channel, summed over its 4x4x16 outputs.
CELL_OUTPUTS = CELL_SIDE * CELL_SIDE * CELL_CHANNELS
#: Channels are read and written in granules of this many bytes.
GRANULE_BYTES = 32
#: Rows of cells, and channels, above which a narrow depth-wise or pooling workload costs more (``long_narrow``).
NARROW_ROWS, NARROW_CHANNELS = 4, 32
#: Channels of a full depth-wise or pooling workload.
FULL = 64
#: Stride from which poolings of whole cells cost more (``long_strides``).
LONG_STRIDE = 8
#: Cells of 4x4 pixels up to which writing planes of a window is bound by the writing (5010: 32x32 pixels are, of 40x40
#: those of 16 channels are in part).
SMALL_CELLS = 64
#: Reduced channels (times taps) from which MACs count as deep (``ConvCost.c_deep``): FP16 and INT8 workloads 4 wide in
#: mode 16x16 are priced right up to 1,536 and 9 to 18 % low from 2,048 on.
DEEP = 2048

Row = TypeVar("Row", ConvCost, CellCost)


class NoDpuCost(ValueError):
    """The hardware file has no DPU row for this work."""


class ConvTerms(NamedTuple):
    """What a dense convolution does, as the terms of the cost formula.

    ``cells`` of 4x4 pixels x 16 channels; ``mac`` DPU cycles of the MAC array, ``deep`` the same where long sums are
    made and else 0, ``drain`` of writing the cells;
    ``act_bytes`` and ``wt_bytes`` read from CMX (activations once per channel stencil, weights once per spatial
    stencil, of which part of one counts as part); ``weight_bytes`` of the kernel itself; ``stencils`` (whole ones);
    ``out_bytes``.
    """

    cells: int
    mac: float
    deep: float
    drain: float
    act_bytes: float
    wt_bytes: float
    weight_bytes: float
    stencils: int
    out_bytes: float


class CellTerms(NamedTuple):
    """What a depth-wise, pooling, eltwise or permute workload does: see ``hardware.dpu.CellCost``."""

    granules: int
    taps: int
    cells: float


def choose_mode(height: int, width: int, channels: int, hw: Hardware) -> MpeMode:
    """The stencil that reads least for an output of this shape, as Intel's compiler chooses it.

    Minimises ``ceil(C/gz)*H*W + ceil(H/gy)*ceil(W/gx)*C`` over the modes; ties go to 16x16, then 8x16, then 4x16.
    To be asked with the output of the layer (slice) before it is split over tiles.
    """

    def reads(mode: MpeMode) -> int:
        grid_x, grid_y = STENCIL_PIXELS[mode]
        channel_stencils = _ceil(channels, hw.dpu.costs.stencil_channels[mode])
        return channel_stencils * height * width + _ceil(height, grid_y) * _ceil(width, grid_x) * channels

    return min(STENCIL_PIXELS, key=reads)


def cycles(work: DpuWork, hw: Hardware) -> float:
    """DPU cycles of one task: the sum of its workloads, never below the roofline of the MAC array.

    A look-up activation (``lut``) adds the cycles that its table takes to set up.
    """
    if unpriced(work, hw):
        return 0.0
    cost = _conv_cycles if work.kind == "conv" else _cell_cycles
    total = sum(
        count * _written(cost(work, channels, hw), work, channels, hw) for channels, count in workloads(work)
    )
    lut = hw.dpu.ppe.lut
    return max(total, roofline_cycles(work, hw), _lookup_cycles(work, hw)) + (
        lut.extra_cycles if work.lut and lut else 0.0
    )


def unpriced(work: DpuWork, hw: Hardware) -> bool:
    """Whether an estimator knows no price of a task: of wide results, or of narrow weights."""
    return (work.out_bits == WIDE and not hw.dpu.costs.wide_results) or too_narrow(work, hw)


def too_narrow(work: DpuWork, hw: Hardware) -> bool:
    """Whether the estimator takes a task of 4-bit weights for one that CMX does not hold (``narrow_weights_kib``)."""
    most_kib = hw.dpu.costs.narrow_weights_kib
    if work.weight_bits != NARROW or work.kind != "conv" or most_kib is None:
        return False
    pixels, channels, reduced = work.height * work.width, work.out_channels, work.in_channels
    return ((pixels + channels) * reduced + pixels * channels) * FP16_BYTES > most_kib * 1024


def _written(computed: float, work: DpuWork, channels: int, hw: Hardware) -> float:
    """Cycles of a workload that takes ``computed`` ones, with what it takes longer to write its result as planes."""
    row = hw.dpu.costs.planes
    if row is not None and work.upended:
        return computed + row.upended * work.height * work.width * channels / (CELL_SIDE**2 * CELL_CHANNELS)
    if row is None or not work.planes:
        return computed
    cells = _ceil(work.height, CELL_SIDE) * _ceil(work.width, CELL_SIDE)
    written = cells * _ceil(channels, CELL_CHANNELS)
    if work.kind == "conv":
        return computed + written * (0.0 if "line3" in _conv_classes(work) else row.conv)
    if work.kernel_h * work.kernel_w > 1:
        return max(computed + row.window * written, row.window_least * written * (cells <= SMALL_CELLS))
    return computed + written * (row.permute if work.kind == "maxpool" else row.k1)


def roofline_cycles(work: DpuWork, hw: Hardware) -> float:
    """DPU cycles of the multiply-accumulates alone at the peak rate of the element type."""
    return work.macs / _macs_per_cycle(work, hw)


def _lookup_cycles(work: DpuWork, hw: Hardware) -> float:
    """DPU cycles that weights take to be looked up in their tables; 0 where they are not."""
    tables = hw.dpu.weight_tables
    if tables is None or work.kind != "conv" or work.weight_bits not in tables.bits:
        return 0.0
    weights = work.out_channels * work.in_channels * work.kernel_h * work.kernel_w
    return weights / tables.lookups_per_cycle


def cmx_bytes(work: DpuWork, hw: Hardware) -> float:
    """Scratchpad bytes that one task moves: what its stencils read and what it writes."""
    if work.kind == "conv":
        terms = conv_terms(work, work.out_channels, hw, time_share(work, work.out_channels, hw))
        return terms.act_bytes + terms.wt_bytes + terms.out_bytes
    elements = work.height * work.width * work.out_channels
    operands = 2 if work.kind == "eltwise" else work.stride**2
    return elements * (operands * work.in_bits + work.out_bits) / 8


def conv_terms(work: DpuWork, channels: int, hw: Hardware, share: float = 1.0) -> ConvTerms:
    """Terms of a dense convolution of ``channels`` of the task's output channels, or of a ``share`` of it."""
    taps = work.kernel_h * work.kernel_w * (1 - work.skipped) * share
    in_bytes = work.in_bits / 8
    pixels = work.height * work.width
    grid_x, grid_y = STENCIL_PIXELS[work.mpe_mode]
    grid_z = hw.dpu.costs.stencil_channels[work.mpe_mode]
    columns = _ceil(work.width, grid_x)
    cells = _ceil(work.height, CELL_SIDE) * _ceil(work.width, CELL_SIDE) * _ceil(channels, CELL_CHANNELS)
    reduced = taps * 16 * _ceil(work.in_channels, 16)
    weight_bytes = channels * work.in_channels * taps * in_bytes
    mac = cells * reduced * CELL_OUTPUTS / _macs_per_cycle(work, hw)
    return ConvTerms(
        cells=cells,
        mac=mac,
        deep=mac if reduced >= DEEP else 0.0,
        drain=cells * hw.dpu.costs.drain_cycles_per_cell[_type(work)],
        act_bytes=max(1.0, channels / grid_z) * pixels * work.in_channels * taps * in_bytes,
        wt_bytes=columns * max(1.0, work.height / grid_y) * weight_bytes,
        weight_bytes=weight_bytes,
        stencils=_ceil(channels, grid_z) * columns * _ceil(work.height, grid_y),
        out_bytes=pixels * channels * in_bytes,
    )


def conv_keys(work: DpuWork) -> tuple[str, ...]:
    """Rows of the conv table that may price this work, the most special first."""
    by_type = _type(work)
    classes = [f"{by_type} {one}" for one in _conv_classes(work)]
    return (*(key for by_class in classes for key in (f"{by_class} {work.mpe_mode}", by_class)), by_type)


def cell_keys(work: DpuWork, channels: int) -> tuple[str, ...]:
    """Rows of the cells table that may price a workload of ``channels``, the most special first."""
    by_type = f"{work.kind} {_type(work)}"
    if work.kind in ("eltwise", "permute"):
        converted = work.in_bits > 8 >= work.out_bits
        return (f"{by_type}>int8", by_type) if converted else (by_type,)
    by_class = [f"{by_type} {kernel_class}" for kernel_class in _kernel_classes(work)]
    return (*(f"{key} {channels}" for key in by_class), *by_class, by_type)


def cell_terms(work: DpuWork, channels: int, hw: Hardware) -> CellTerms:
    """Terms of a workload of ``channels`` that is not a dense convolution."""
    taps = work.kernel_h * work.kernel_w
    granules = (
        _ceil(channels, CELL_CHANNELS) if taps == 1 else _ceil(channels * work.in_bits, 8 * GRANULE_BYTES)
    )
    return CellTerms(granules, taps, _pixel_cells(work, channels, hw))


def _conv_cycles(work: DpuWork, channels: int, hw: Hardware) -> float:
    return time_share(work, channels, hw) * _dense_cycles(work, channels, hw)


def _dense_cycles(work: DpuWork, channels: int, hw: Hardware) -> float:
    """What a convolution takes that skips no zeros."""
    costs = hw.dpu.costs
    grid = _grid(work, hw)
    if grid is not None:
        return grid.at((work.height, work.in_channels, channels))
    image = _image_grid(work, hw)
    if image is not None:
        return image.at((work.height, work.width, work.in_channels, channels))
    row = _lookup(costs.conv, conv_keys(work), hw)
    terms = conv_terms(work, channels, hw)
    reads = (terms.act_bytes + terms.wt_bytes) / costs.read_bytes_per_cycle
    moved = (
        row.c_act * terms.act_bytes
        + row.c_wt * terms.wt_bytes
        + row.c_weights * terms.weight_bytes
        + row.c_out * terms.out_bytes
    )
    return (
        row.c0
        + row.c_mac * terms.mac
        + row.c_deep * terms.deep
        + row.c_drain * max(terms.mac, terms.drain)
        + moved / 100
        + row.c_stencil * terms.stencils
        + row.c_bound * max(terms.mac, reads, terms.drain)
    )


def _grid(work: DpuWork, hw: Hardware) -> Grid | None:
    """The estimator's answers for products that are computed as 1x1 convolutions of so wide an image."""
    table = hw.dpu.costs.products
    if table is None or work.kernel_h * work.kernel_w > 1 or work.skipped:
        return None
    known, by_type = grids(table), _type(work)
    to = " to all" if work.everywhere else ""
    least = known.get(f"{by_type} by {work.weight_bits} {work.width}{to}")  # whatever the stencil
    return least or known.get(f"{by_type} {work.width} {work.mpe_mode}")


def _image_grid(work: DpuWork, hw: Hardware) -> Grid | None:
    """The estimator's answers for convolutions of images by such a window, whose strides are one."""
    table = hw.dpu.costs.windows
    if table is None or work.stride > 1 or work.weight_bits != work.in_bits or work.skipped:
        return None
    return grids(table).get(f"{_type(work)} {work.kernel_h}x{work.kernel_w} {work.mpe_mode}")


def _cell_cycles(work: DpuWork, channels: int, hw: Hardware) -> float:
    row = _lookup(hw.dpu.costs.cells, cell_keys(work, channels), hw)
    granules, taps, cells = cell_terms(work, channels, hw)
    per_granule = row.granule_cycles + row.granule_tap_cycles * taps
    per_cell = row.cell_cycles + row.tap_cycles * taps
    floor = hw.dpu.costs.full_tap_cycles * taps if taps > 1 and work.in_bits > 8 and channels >= FULL else 0.0
    longer = hw.dpu.costs.shared_rows if work.shared_rows and taps > 1 else 1.0
    return longer * (row.startup_cycles + max(floor, granules * (per_granule + cells * per_cell)))


def _pixel_cells(work: DpuWork, channels: int, hw: Hardware) -> float:
    """Cells of 4x4 pixels that a workload is charged for.

    Eltwise and permute pay by pixel above one cell. Pooled outputs of one or two columns do not pay for the whole
    width of a cell: by pixel where the kernel is 1x1 (the output is the limit), half of it for larger ones, and more
    (``long_narrow``) in long ones of many channels.
    """
    if work.kind in ("eltwise", "permute"):
        return max(1.0, work.height / CELL_SIDE) * max(1.0, work.width / CELL_SIDE)
    rows = _ceil(work.height, CELL_SIDE)
    if work.width > 2:
        least = hw.dpu.costs.short_pools if work.stride > 1 == work.kernel_w else 1
        full = work.stride >= LONG_STRIDE and min(work.height, work.width) >= CELL_SIDE
        return max(rows, least) * _ceil(work.width, CELL_SIDE) * (hw.dpu.costs.long_strides if full else 1)
    if work.kernel_h * work.kernel_w == 1:
        return rows * work.width / CELL_SIDE
    long = max(0, rows - NARROW_ROWS) if channels > NARROW_CHANNELS else 0
    return rows * 0.5 + long * hw.dpu.costs.long_narrow


def workloads(work: DpuWork) -> list[tuple[int, int]]:
    """(channels, count) of the workloads that a task is cut into."""
    if not work.variant_channels or work.variant_channels >= work.out_channels:
        return [(work.out_channels, 1)]
    full, rest = divmod(work.out_channels, work.variant_channels)
    return [(work.variant_channels, full)] + ([(rest, 1)] if rest else [])


def _lookup(table: Mapping[str, Row], keys: tuple[str, ...], hw: Hardware) -> Row:
    """The row of the first of ``keys`` that ``table`` has."""
    for key in keys:
        row = table.get(key)
        if row is not None:
            return row
    raise NoDpuCost(f"{hw.name} has no DPU cost for '{keys[-1]}'; add it to dpu.costs in the hardware file")


def _conv_classes(work: DpuWork) -> tuple[str, ...]:
    """Classes of a convolution, the narrowest first: of a window over one column, a window, or a width."""
    if work.kernel_h * work.kernel_w > 1:
        return ("line3", "img3") if work.width == 1 else ("img3",)
    return ("W1" if work.width <= 2 else "W4" if work.width <= 5 else "W8" if work.width <= 10 else "img1",)


def _kernel_classes(work: DpuWork) -> tuple[str, ...]:
    """Classes of a pooling kernel, the narrowest first."""
    if work.kernel_h * work.kernel_w == 1:
        return ("k1",)
    if work.stride > 1:
        return ("s2",)
    return ("k3s1", "s1") if work.kernel_w == 3 else ("s1",)


def _type(work: DpuWork) -> Literal["int8", "fp16"]:
    """The rows that price a task: 8-bit floats cost what 8-bit integers do, but in eltwise what FP16 does (the comment
    on types in dpu_types.h of npu-nn-cost-model, evidence/hardware.md#1)."""
    return "int8" if work.in_bits <= 8 and not (work.fp8 and work.kind == "eltwise") else "fp16"


def _macs_per_cycle(work: DpuWork, hw: Hardware) -> float:
    rates = hw.dpu.macs_per_cycle
    if work.in_bits > 8:
        return rates.fp16
    return rates.fp8 if work.fp8 and rates.fp8 else rates.int8


def _ceil(value: int, unit: int) -> int:
    return -(-value // unit)
