"""The hardware description: what a YAML file of ``hwconfigs/`` may say, and nothing else.

Every section is a frozen pydantic model that refuses unknown keys. Sources of the numbers stand in the YAML files,
beside the numbers; the docstrings here say what a number means and in which unit.
"""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field, model_validator

Positive = Annotated[float, Field(gt=0, allow_inf_nan=False)]
NonNegative = Annotated[float, Field(ge=0, allow_inf_nan=False)]
Count = Annotated[int, Field(ge=1)]
Provenance = Literal["measured", "fitted", "roofline", "guess"]


class Section(BaseModel):
    """Base of all sections: frozen, unknown keys refused."""

    model_config = ConfigDict(frozen=True, extra="forbid", use_attribute_docstrings=True)


class Clocks(Section):
    """Clock frequencies."""

    dpu_mhz: Positive
    """Clock of the MAC array (DPU), MHz."""
    vpu_mhz: Positive
    """Clock of SHAVE, CMX and DMA, MHz."""


class MacsPerCycle(Section):
    """Peak multiply-accumulates per DPU cycle of one tile, by element type."""

    int8: Positive
    fp16: Positive
    fp8: Positive | None = None
    """None: the engine has no FP8."""


class ConvCost(Section):
    """One row of the additive conv model (facts/vendor_costs.md 4.3): DPU cycles of one workload =
    ``c0 + c_mac*mac + c_act*act/100 + c_wt*wt/100 + c_stencil*S + c_out*out/100 + c_drain*max(0, K*cells - mac)``."""

    c0: float
    c_mac: float
    c_act: float = 0
    c_wt: float = 0
    c_stencil: float = 0
    c_out: float = 0
    c_drain: float = 0


class AffineCost(Section):
    """Cycles of one workload = ``startup_cycles + cycles_per_cell * cells``."""

    startup_cycles: float
    cycles_per_cell: Positive


class DpuCosts(Section):
    """Cost tables of the DPU (see npusim.costs.dpu for the keys)."""

    provenance: Provenance = "fitted"
    stencil_channels: dict[Literal["16x16", "8x16", "4x16"], Count] = {"16x16": 64, "8x16": 128, "4x16": 256}
    """Output channels that one stencil of an MPE mode covers."""
    conv: dict[str, ConvCost]
    """Key: ``TYPE CLASS MODE``, e.g. ``fp16 W4 16x16``."""
    cells: dict[str, AffineCost]
    """Key: ``OP KERNEL CHANNELS`` for depth-wise and pooling, e.g. ``dwconv 3x3s1 32``; ``eltwise fp16 narrow`` ..."""


class PpeLut(Section):
    """A look-up table in the DPU's drain path (PPE) that evaluates activations while results are written."""

    functions: tuple[str, ...]
    """Activations that the table can hold (op types in lower case)."""
    segments: Count = 32
    """Linear segments it has."""
    extra_cycles: NonNegative = 0
    """DPU cycles that a task with a table takes longer."""


class Ppe(Section):
    """Post-processing engine of the DPU."""

    lut: PpeLut | None = None


class Dpu(Section):
    """One DPU (MAC array) a tile."""

    macs_per_cycle: MacsPerCycle
    ppe: Ppe = Ppe()
    costs: DpuCosts


class Kernel(Section):
    """Cost of one SHAVE kernel call: ``startup_cycles + counted / per_cycle`` VPU cycles."""

    startup_cycles: NonNegative = 0
    per_cycle: Positive | None = None
    """What of ``counts`` is done per VPU cycle; None: the kernel is charged its start-up alone."""
    counts: Literal["output_bytes", "io_bytes", "output_elements"] = "output_bytes"
    provenance: Provenance = "fitted"


class Shave(Section):
    """SHAVE DSPs."""

    per_tile: Count
    """SHAVE processors of one tile; they drain one queue."""
    vector_bits: Count = 512
    """Width of the vector unit, bits (roofline)."""
    kernels: dict[str, Kernel]
    """Kernel table; ``default`` prices kernels that are supported and not listed."""


class DmaPath(Section):
    """Cost of moving bytes between two memories: ``startup_cycles`` + bytes at ``bytes_per_cycle`` (VPU cycles)."""

    startup_cycles: NonNegative
    bytes_per_cycle: Positive
    resize_bytes_per_cycle: Positive | None = None
    """Rate where source and destination sizes differ (broadcast, gather); None: the same."""


class DmaPaths(Section):
    """The four paths of a DMA engine."""

    ddr_to_cmx: DmaPath
    cmx_to_ddr: DmaPath
    cmx_to_cmx: DmaPath
    ddr_to_ddr: DmaPath


class Dma(Section):
    """DMA engines. Every engine has one FIFO per source memory (DDR, CMX)."""

    engines: Count
    bytes_per_cycle: Positive
    """Width of one engine's port, bytes per VPU cycle."""
    paths: DmaPaths
    counting: Literal["bytes", "elements"] = "bytes"
    """``bytes``: what is moved is what is charged. ``elements``: as Intel's estimator counts (2 bytes for every
    element that is wider or narrower than 8 bits, whole tables for gathers; facts/vendor_costs.md section 2)."""
    provenance: Provenance = "fitted"


class Ddr(Section):
    """Main memory as the NPU sees it."""

    bandwidth_gbps: Positive
    """GB/s (1e9 bytes/s) that all transfers in flight share."""
    latency_ns: NonNegative
    """Latency of a read, ns, added to a transfer whose source is DDR."""
    write_latency_ns: NonNegative = 0
    """Latency of a write, ns, added to a transfer whose destination is DDR (the larger of both counts once)."""
    contention: bool = True
    """False: every engine has ``bandwidth_gbps`` to itself (what Intel's estimator assumes)."""


class Cmx(Section):
    """Scratchpad memory of one tile."""

    kib_per_tile: Positive
    """KiB that the compiler may use, per tile."""
    bytes_per_cycle: Positive = 256
    """Read bandwidth, bytes per VPU cycle and tile (roofline)."""


class Energy(Section):
    """Energy per event, picojoules. Absolute figures are not public; see the YAML for the source of each."""

    mac_int8_pj: NonNegative
    mac_fp16_pj: NonNegative
    shave_op_pj: NonNegative
    cmx_byte_pj: NonNegative
    ddr_byte_pj: NonNegative
    static_mw: NonNegative = 0
    """Power while the NPU is on, mW."""
    provenance: Provenance = "guess"


class Fetch(Section):
    """How task descriptors reach the NPU before they run (facts/vendor_costs.md section 5)."""

    us: NonNegative
    """Duration of one fetch transfer, µs."""
    tasks_per_group: Count = 32
    variants_per_group: Count = 64
    shave_tasks_per_group: Count = 32
    shave_queues_per_tile: Count = 1
    """FIFOs that SHAVE tasks of one tile are grouped by."""
    program_transfers: int = 0
    """Transfers before the fetches (barrier programming)."""
    enqueue_transfers: bool = False
    """One more transfer per FIFO after the start barrier."""


class Software(Section):
    """What the compiler and driver generation decides: the same silicon has several."""

    name: str
    fetch: Fetch | None = None
    """None: descriptors cost nothing visible."""
    grouped_matmul: bool = True
    """Batched act x act MatMul runs as one op whose groups are split over tiles."""
    contract_multiply_reduce: bool = True
    """Broadcast Multiply + ReduceSum becomes a batched MatMul."""
    reduce_sum_engine: Literal["dpu", "shave"] = "dpu"
    """Where ReduceSum runs."""
    fused_activations: tuple[str, ...] = ("Relu", "Clamp", "LeakyRelu")
    """Activations that the PPE applies while the DPU writes its output."""
    eltwise_multiply_on_dpu: bool = False
    """Multiply of an activation by a broadcast activation runs on the DPU's eltwise path."""
    row_fold: Count = 4
    """Width that MatMul rows are folded to where it divides them."""
    dma_gather: bool = True
    """Gather of rows runs as one DMA; else on SHAVE."""
    dma_convert: bool = True
    """Convert f32 to f16 runs as a DMA; else on SHAVE."""
    reciprocal_divide: bool = True
    """Division by a smaller activation computes 1/y first and multiplies."""
    broadcast_output: bool = True
    """A MatMul split over output channels multicasts its result to all tiles."""
    dma_split_bytes: Count = 77_000
    """A lone transfer above this size is cut in two, one an engine."""
    unsplit_kernels: tuple[str, ...] = ()
    """SHAVE kernels that are not cut over the SHAVEs of a tile."""
    single_tile_kernels: tuple[str, ...] = ()
    """SHAVE kernels that run on one tile only."""
    prefetch_ops: int = 4
    """How many ops ahead constants are loaded."""


class Host(Section):
    """What an inference costs outside the NPU's schedule."""

    overhead_us: NonNegative = 0
    """Driver and host time per inference, µs, added to the reported latency only where asked for."""


class Hardware(Section):
    """One NPU with one generation of software."""

    name: str
    platform: Literal["3720", "4000", "5010"]
    """Intel's platform number, which names the compiler back-end."""
    tiles: Count
    clocks: Clocks
    dpu: Dpu
    shave: Shave
    dma: Dma
    ddr: Ddr
    cmx: Cmx
    energy: Energy
    software: Software
    host: Host = Host()

    @model_validator(mode="after")
    def _default_kernel(self) -> Hardware:
        if "default" not in self.shave.kernels:
            raise ValueError("shave.kernels needs a 'default' row")
        return self
