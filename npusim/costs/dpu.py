"""What one DPU task costs: MAC-array cells, scratchpad reads, stencils and output drain.

The MAC array computes cells of 4x4 output pixels by 16 output channels; a stencil (MPE mode) groups cells that share
what is read from CMX. Formulas: facts/npu_hardware.md section 3.2 and facts/vendor_costs.md sections 4.3 and 4.4; the
coefficients stand in the hardware file.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple, TypeVar

from npusim.costs.work import DpuWork, MpeMode
from npusim.hardware.schema import CellCost, ConvCost, Hardware

#: Output pixels (x, y) of one stencil, by MPE mode.
STENCIL_PIXELS: Mapping[MpeMode, tuple[int, int]] = {"16x16": (16, 16), "8x16": (16, 8), "4x16": (8, 8)}
CELL_SIDE = 4
CELL_CHANNELS = 16
#: MACs that one cell does per output channel and reduced channel, summed over its 4x4x16 outputs.
CELL_OUTPUTS = CELL_SIDE * CELL_SIDE * CELL_CHANNELS
#: Channels are read and written in granules of this many bytes.
GRANULE_BYTES = 32

Row = TypeVar("Row", ConvCost, CellCost)


class NoDpuCost(ValueError):
    """The hardware file has no DPU row for this work."""


class ConvTerms(NamedTuple):
    """What a dense convolution does, as the terms of the cost formula.

    ``cells`` of 4x4 pixels x 16 channels; ``mac`` DPU cycles of the MAC array; ``act_bytes`` and ``wt_bytes`` read
    from CMX (activations once per channel stencil, weights once per spatial stencil); ``stencils``; ``out_bytes``.
    """

    cells: int
    mac: float
    act_bytes: float
    wt_bytes: float
    stencils: int
    out_bytes: float


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
    cost = _conv_cycles if work.kind == "conv" else _cell_cycles
    total = sum(count * cost(work, channels, hw) for channels, count in workloads(work))
    lut = hw.dpu.ppe.lut
    return max(total, roofline_cycles(work, hw)) + (lut.extra_cycles if work.lut and lut else 0.0)


def roofline_cycles(work: DpuWork, hw: Hardware) -> float:
    """DPU cycles of the multiply-accumulates alone at the peak rate of the element type."""
    return work.macs / _macs_per_cycle(work, hw)


def cmx_bytes(work: DpuWork, hw: Hardware) -> float:
    """Scratchpad bytes that one task moves: what its stencils read and what it writes."""
    if work.kind == "conv":
        terms = conv_terms(work, work.out_channels, hw)
        return terms.act_bytes + terms.wt_bytes + terms.out_bytes
    elements = work.height * work.width * work.out_channels
    operands = 2 if work.kind == "eltwise" else work.stride**2
    return elements * (operands * work.in_bits + work.out_bits) / 8


def conv_terms(work: DpuWork, channels: int, hw: Hardware) -> ConvTerms:
    """Terms of a dense convolution that computes ``channels`` of the task's output channels."""
    taps = work.kernel_h * work.kernel_w
    in_bytes = work.in_bits / 8
    grid_x, grid_y = STENCIL_PIXELS[work.mpe_mode]
    channel_stencils = _ceil(channels, hw.dpu.costs.stencil_channels[work.mpe_mode])
    spatial_stencils = _ceil(work.height, grid_y) * _ceil(work.width, grid_x)
    pixels = work.height * work.width
    cells = _ceil(work.height, CELL_SIDE) * _ceil(work.width, CELL_SIDE) * _ceil(channels, CELL_CHANNELS)
    reduced = taps * 16 * _ceil(work.in_channels, 16)
    return ConvTerms(
        cells=cells,
        mac=cells * reduced * CELL_OUTPUTS / _macs_per_cycle(work, hw),
        act_bytes=channel_stencils * pixels * work.in_channels * taps * in_bytes,
        wt_bytes=spatial_stencils * channels * work.in_channels * taps * in_bytes,
        stencils=channel_stencils * spatial_stencils,
        out_bytes=pixels * channels * in_bytes,
    )


def _conv_cycles(work: DpuWork, channels: int, hw: Hardware) -> float:
    costs = hw.dpu.costs
    by_type = _type(work)
    by_class = f"{by_type} {_conv_class(work)}"
    row = _lookup(costs.conv, (f"{by_class} {work.mpe_mode}", by_class, by_type), hw)
    terms = conv_terms(work, channels, hw)
    drain = costs.drain_cycles_per_cell[by_type] * terms.cells
    reads = (terms.act_bytes + terms.wt_bytes) / costs.read_bytes_per_cycle
    return (
        row.c0
        + row.c_mac * terms.mac
        + row.c_act * terms.act_bytes / 100
        + row.c_wt * terms.wt_bytes / 100
        + row.c_stencil * terms.stencils
        + row.c_out * terms.out_bytes / 100
        + row.c_drain * max(0.0, drain - terms.mac)
        + row.c_bound * max(terms.mac, reads)
    )


def _cell_cycles(work: DpuWork, channels: int, hw: Hardware) -> float:
    by_type = f"{work.kind} {_type(work)}"
    by_class = [f"{by_type} {kernel_class}" for kernel_class in _kernel_classes(work)]
    keys = [f"{key} {channels}" for key in by_class] + by_class + [by_type]
    row = _lookup(hw.dpu.costs.cells, tuple(keys), hw)
    taps = work.kernel_h * work.kernel_w
    granules = _ceil(channels, CELL_CHANNELS) if taps == 1 else _ceil(channels * work.in_bits, 8 * GRANULE_BYTES)
    cells = _cell_columns(work) * _ceil(work.height, CELL_SIDE)
    per_cell = row.cell_cycles + row.tap_cycles * taps
    return row.startup_cycles + granules * (
        row.granule_cycles + row.granule_tap_cycles * taps + cells * per_cell
    )


def _cell_columns(work: DpuWork) -> float:
    """Cells across the width. Pooled outputs up to 2 wide cost by pixel, not by cell (facts/vendor_costs.csv)."""
    if work.width <= 2 and work.kind in ("dwconv", "maxpool", "avgpool"):
        return work.width / CELL_SIDE
    return _ceil(work.width, CELL_SIDE)


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


def _conv_class(work: DpuWork) -> str:
    if work.kernel_h * work.kernel_w > 1:
        return "img3"
    return "W1" if work.width <= 2 else "W4" if work.width <= 5 else "W8" if work.width <= 10 else "img1"


def _kernel_classes(work: DpuWork) -> tuple[str, ...]:
    """Classes of a pooling kernel, the narrowest first."""
    if work.kernel_h * work.kernel_w == 1:
        return ("k1",)
    if work.stride > 1:
        return ("s2",)
    return ("k3s1", "s1") if work.kernel_w == 3 else ("s1",)


def _type(work: DpuWork) -> str:
    return "int8" if work.in_bits <= 8 else "fp16"


def _macs_per_cycle(work: DpuWork, hw: Hardware) -> float:
    rates = hw.dpu.macs_per_cycle
    return rates.int8 if work.in_bits <= 8 else rates.fp16


def _ceil(value: int, unit: int) -> int:
    return -(-value // unit)
