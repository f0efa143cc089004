"""The DPU's part of a hardware description: peak rates, post-processing, and what its workloads cost."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field, ValidationInfo, field_validator

from npusim.hardware.base import Count, NonNegative, Positive, Provenance, Section
from npusim.hardware.zeros import Sparsity


class MacsPerCycle(Section):
    """Peak multiply-accumulates per DPU cycle of one tile, by element type.

    They bound every DPU task from below; what a task costs beyond that is told by ``dpu.costs``.
    """

    int8: Positive
    """8-bit operands (4-bit weights are computed as 8-bit ones)."""
    fp16: Positive
    """16-bit operands, FP16 and BF16."""
    fp8: Positive | None = None
    """8-bit floats; null: the engine has none."""


class ConvCost(Section):
    """One row of the additive conv model (evidence/costs.md#4.3, refitted): DPU cycles of one workload.

    ``c0 + c_mac*mac + c_deep*deep + c_drain*max(mac, D*cells)
    + (c_act*act + c_wt*wt + c_weights*weights + c_out*out)/100
    + c_stencil*stencils + c_bound*max(mac, (act + wt)/read_bytes_per_cycle, D*cells)``, with the terms of
    ``npusim.costs.dpu.ConvTerms``. No coefficient is negative: within a row, more work never costs less.
    """

    c0: NonNegative
    c_mac: NonNegative = 0
    c_deep: NonNegative = 0
    c_drain: NonNegative = 0
    c_act: NonNegative = 0
    c_wt: NonNegative = 0
    c_weights: NonNegative = 0
    c_out: NonNegative = 0
    c_stencil: NonNegative = 0
    c_bound: NonNegative = 0


class CellCost(Section):
    """Depth-wise, pooling, eltwise and permute: DPU cycles of one workload.

    ``startup_cycles + granules*(granule_cycles + granule_tap_cycles*taps + cells*(cell_cycles + tap_cycles*taps))``:
    granules of 32 bytes of channels (16 channels where the kernel is 1x1), cells of 4x4 output pixels, taps of the
    kernel (evidence/hardware.md#3.2).
    """

    startup_cycles: NonNegative
    granule_cycles: NonNegative = 0
    granule_tap_cycles: NonNegative = 0
    cell_cycles: NonNegative = 0
    tap_cycles: NonNegative = 0


class PlanesCost(Section):
    """DPU cycles more that a workload takes to write planes, per granule of 16 channels and cell of 4x4 pixels, by what
    it computes meanwhile."""

    permute: NonNegative
    """Max-poolings of 1x1, which only change the order."""
    k1: NonNegative
    """Average poolings and depth-wise convolutions of 1x1."""
    window: NonNegative
    """Those of larger kernels."""
    window_least: NonNegative = 0
    """Cycles a cell that such a workload of up to 32x32 pixels takes in all, at least."""
    conv: NonNegative
    """Dense convolutions."""
    upended: NonNegative = 0
    """Max-poolings that write the rows innermost, by pixels, not by begun cells."""


class DpuCosts(Section):
    """Cost tables of the DPU."""

    provenance: Provenance = "fitted"
    """How far to trust the tables."""
    stencil_channels: dict[Literal["16x16", "8x16", "4x16"], Count] = Field(
        default={"16x16": 64, "8x16": 128, "4x16": 256}
    )
    """Output channels that one stencil of an MPE mode covers."""
    read_bytes_per_cycle: Positive = 146.2
    """Bytes that one DPU reads from CMX per DPU cycle (the ``c_bound`` term)."""
    drain_cycles_per_cell: dict[Literal["int8", "fp16"], NonNegative] = Field(default={"int8": 8, "fp16": 20})
    """Cycles to write one 4x4x16 cell of output (``D`` of the ``c_drain`` and ``c_bound`` terms), by element type."""
    conv: dict[str, ConvCost]
    """Key: ``TYPE``, or ``TYPE CLASS``, or ``TYPE CLASS MODE``, e.g. ``fp16 W4 16x16``; the longest that exists wins.
    Classes: output width up to 2 (``W1``), 5 (``W4``), 10 (``W8``), wider (``img1``), kernels over 1x1 (``img3``),
    such kernels over one column (``line3``, else ``img3``)."""
    products: Literal["vpu-2.7", "npu-5.1"] | None = None
    """The table of ``npusim.costs.products`` that prices dense products in place of ``conv``; null: none."""
    windows: Literal["vpu-2.7-windows"] | None = None
    """The table that prices convolutions of images by the windows that it has in place of ``conv``; null: none."""
    long_narrow: NonNegative = 0
    """Part of a cell that a row of cells costs more in depth-wise and pooling workloads with a window, of 64 channels,
    one or two columns and more than 16 rows."""
    long_strides: Positive = 1
    """Cells that one whole cell of a pooling with a stride of 8 or more is charged for."""
    short_pools: Positive = 1
    """Rows of cells that strided poolings down the rows are charged for at least."""
    shared_rows: Positive = 1
    """How many times longer depth-wise and pooling windows take where the tiles share the rows of an image."""
    full_tap_cycles: NonNegative = 0
    """Cycles a tap that a 16-bit depth-wise or pooling workload of 64 channels takes at least, however few its outputs
    are."""
    wide_results: bool = True
    """Whether results of 32 bits cost anything; Intel's estimator does not know them, and takes 0."""
    narrow_weights_kib: Positive | None = None
    """KiB of a workload's operands and result, weights of 4 bits counted as 16, above which such weights cost nothing:
    Intel's estimator takes it for one that CMX does not hold, and has no price; null: they always cost."""
    planes: PlanesCost | None = None
    """Writing results with the channels outermost; null: it costs nothing more."""
    cells: dict[str, CellCost]
    """Key: ``OP TYPE``, or ``OP TYPE CLASS``, or ``OP TYPE CLASS CHANNELS``, e.g. ``dwconv fp16 s1``; the longest that
    exists wins. Classes: kernel 1x1 (``k1``), 3 wide at stride 1 (``k3s1``, else ``s1``), other kernels by stride
    (``s1``; ``s2`` for any above 1). Eltwise and permute that write another type first look for ``OP fp16>int8``."""

    @field_validator("stencil_channels", "drain_cycles_per_cell")
    @classmethod
    def _rest_by_default(cls, given: dict[str, float], info: ValidationInfo) -> dict[str, float]:
        return {**cls.model_fields[str(info.field_name)].default, **given}


class PpeLut(Section):
    """A look-up table in the DPU's drain path (PPE) that evaluates activations while results are written."""

    functions: tuple[str, ...]
    """Activations that the table can hold: OpenVINO op types in lower case. ``software.fused_activations`` says which
    of them the compiler makes use of."""
    segments: Count = 32
    """Linear segments it has (bounds the accuracy of a rewrite; it costs no time)."""
    bytes: dict[str, Count] = Field(default_factory=dict)
    """Size of the table of an activation, by its name: it is loaded with each slice of what it is applied to."""
    extra_cycles: NonNegative = 0
    """DPU cycles that a task with a table takes longer."""


class Ppe(Section):
    """Post-processing engine of the DPU: what is done to a result while it is written, at no cost of its own."""

    lut: PpeLut | None = None
    """Look-up table for curved activations; null: there is none."""


class WeightTables(Section):
    """Weights that are stored as places in a table of FP16 numbers, a table a row (palettised weights), and looked up
    as the DPU reads them."""

    bits: Annotated[tuple[Literal[1, 2, 3, 4, 6], ...], Field(min_length=1)]
    """Bits of a place."""
    lookups_per_cycle: Positive
    """Weights that one DPU looks up a cycle: a workload takes no fewer cycles than its weights need."""


class Dpu(Section):
    """The MAC array of one tile."""

    macs_per_cycle: MacsPerCycle
    """Peak rates."""
    ppe: Ppe = Ppe()
    """Post-processing engine."""
    sparsity: Sparsity | None = None
    """Zeros whose products are skipped; null: zeros are weights as any other."""
    weight_tables: WeightTables | None = None
    """Weights from tables; null: the compiler decodes them to FP16, as those for today's NPUs do."""
    costs: DpuCosts
    """What a workload costs."""
