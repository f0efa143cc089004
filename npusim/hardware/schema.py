"""The hardware description: what a YAML file of ``hwconfigs/`` may say, and nothing else.

Every section is a frozen pydantic model that refuses unknown keys. Sources of the numbers stand in the YAML files,
beside the numbers; the docstrings here say what a number means and in which unit.
"""

from __future__ import annotations

from typing import Any, Literal

from pydantic import Field, field_validator

from npusim.hardware.base import (
    Count,
    Gbps,
    Kib,
    Megahertz,
    NonNegative,
    Parts,
    Positive,
    Provenance,
    Section,
)
from npusim.hardware.blocks import Block
from npusim.hardware.dpu import Dpu, DpuCosts
from npusim.hardware.outside import Client, ClientName, Energy, Host
from npusim.hardware.software import Fetch, Software
from npusim.hardware.tiers import Memory

__all__ = [
    "Client",
    "ClientName",
    "Clocks",
    "Cmx",
    "Ddr",
    "Dma",
    "DmaPath",
    "DmaPaths",
    "Dpu",
    "Dvfs",
    "Energy",
    "Fetch",
    "Hardware",
    "Host",
    "Kernel",
    "PowerMode",
    "Role",
    "ScheduledFor",
    "Shave",
    "Software",
]


Role = Literal["silicon", "machine", "estimator", "software"]


class Clocks(Section):
    """Clock frequencies."""

    dpu_mhz: Megahertz
    """Clock of the MAC array (DPU), MHz. Every DPU cycle in this file is one of these."""
    vpu_mhz: Megahertz
    """Clock of SHAVE, CMX and DMA, MHz: on silicon a fixed fraction of the DPU clock. A VPU cycle is one of these."""


class Dvfs(Section):
    """The clocks that the silicon runs at."""

    lowest_dpu_mhz: Positive
    """Lowest DPU clock, MHz."""
    highest_dpu_mhz: Positive
    """Highest DPU clock, MHz."""
    vpu_share: Positive
    """VPU clock over DPU clock."""


class PowerMode(Section):
    """The speeds that a power limit leaves; null: as in ``clocks`` and ``ddr``."""

    dpu_mhz: Megahertz | None = None
    """``clocks.dpu_mhz``."""
    vpu_mhz: Megahertz | None = None
    """``clocks.vpu_mhz``."""
    ddr_gbps: Gbps | None = None
    """``ddr.bandwidth_gbps``."""


class Kernel(Section):
    """Cost of one SHAVE kernel call: ``startup_cycles + counted / per_cycle`` VPU cycles."""

    startup_cycles: NonNegative = 0
    """VPU cycles of a call, whatever its size."""
    per_cycle: Positive | None = None
    """What of ``counts`` is done per VPU cycle; null: the kernel is charged its start-up alone."""
    counts: Literal["output_bytes", "io_bytes", "output_elements", "macs"] = "output_bytes"
    """What is counted: bytes or elements of the output, the bytes of all inputs and outputs, or multiply-accumulates
    (of ``dot`` alone)."""
    provenance: Provenance = "fitted"
    """How far to trust this row."""


class Shave(Section):
    """SHAVE DSPs, which run everything that the DPU cannot."""

    per_tile: Parts
    """SHAVE processors of one tile; they drain one queue."""
    vector_bits: Count = 512
    """Width of the vector unit, bits (roofline)."""
    kernels: dict[str, Kernel]
    """Kernel table, by kernel name. ``default`` prices, as a guess, the kernels that are not listed."""

    @field_validator("kernels")
    @classmethod
    def _has_default(cls, kernels: dict[str, Kernel]) -> dict[str, Kernel]:
        if "default" not in kernels:
            raise ValueError("needs a 'default' row")
        return kernels


class DmaPath(Section):
    """Cost of moving bytes between two memories: ``startup_cycles`` + bytes at ``bytes_per_cycle`` (VPU cycles)."""

    startup_cycles: NonNegative
    """VPU cycles before the first byte, without the latency of DDR, which ``ddr`` has in ns."""
    bytes_per_cycle: Positive
    """Rate of one engine that is alone."""
    resize_bytes_per_cycle: Positive | None = None
    """Rate where source and destination sizes differ (broadcast, gather); null: the same."""


class DmaPaths(Section):
    """The four paths of a DMA engine."""

    ddr_to_cmx: DmaPath
    """Inputs, weights, descriptors."""
    cmx_to_ddr: DmaPath
    """Outputs and spills."""
    cmx_to_cmx: DmaPath
    """Broadcasts and exchanges between tiles."""
    ddr_to_ddr: DmaPath
    """Concat, Split, Pad; crosses the DDR bus twice."""


class Dma(Section):
    """DMA engines and their FIFOs."""

    engines: Parts
    """Engines; each moves one transfer of each of its FIFOs at a time."""
    channels: Literal[1, 2] = 2
    """FIFOs of an engine: one per source memory (DDR, CMX), whose transfers overlap, or one for both."""
    bytes_per_cycle: Positive
    """Width of one engine's port, bytes per VPU cycle."""
    paths: DmaPaths
    """What the four kinds of transfer cost."""
    counting: Literal["bytes", "elements"] = "bytes"
    """``bytes``: what is moved is what is charged. ``elements``: as Intel's estimator counts (2 bytes for every
    element that is wider or narrower than 8 bits, whole tables for gathers; evidence/costs.md#2)."""
    narrow_bytes: bool = False
    """With ``counting: elements``, elements of 2 to 7 bits count as the bytes that they take."""
    convert_bytes: Count = 2
    """Bytes charged for an element that is converted from f32 on the way, with ``counting: elements``."""
    provenance: Provenance = "fitted"
    """How far to trust ``paths``."""


class Ddr(Section):
    """Main memory as the NPU sees it."""

    bandwidth_gbps: Gbps
    """GB/s (1e9 bytes/s) that all transfers in flight share, reads and writes together."""
    latency_ns: NonNegative
    """Latency of a read, ns, added to a transfer whose source is DDR. It does not change with the clocks."""
    write_latency_ns: NonNegative = 0
    """Latency of a write, ns, added to a transfer whose destination is DDR (the larger of both counts once)."""
    contention: bool = True
    """False: every engine has ``bandwidth_gbps`` to itself (what Intel's estimator assumes)."""


class Cmx(Section):
    """Scratchpad memory of one tile."""

    kib_per_tile: Kib
    """KiB per tile that the compiler may use: what is there less what firmware and kernels reserve."""
    bytes_per_cycle: Positive = 256
    """Read bandwidth, bytes per VPU cycle and tile (roofline)."""


class ScheduledFor(Section):
    """What the compiler takes the machine to be while it weighs one schedule against another.

    A section that is null is taken from the hardware as it is. The shipped files state all of them, so that a clock,
    a bandwidth, a latency or a kernel's speed that a simulation sets changes when tasks run, never which tasks.
    """

    clocks: Clocks | None = None
    """In place of ``clocks``."""
    dpu_costs: DpuCosts | None = None
    """In place of ``dpu.costs``."""
    kernels: dict[str, Kernel] | None = None
    """In place of ``shave.kernels``."""
    dma_paths: DmaPaths | None = None
    """In place of ``dma.paths``."""
    ddr: Ddr | None = None
    """In place of ``ddr``."""


class Hardware(Section):
    """One NPU with one generation of software."""

    name: str
    """What reports call it."""
    platform: str
    """Intel's platform number, which names the compiler back-end."""
    role: Role = "software"
    """What the file stands for: the platform's NPU as best known (``silicon``), the same as Intel's compiler prices it
    for its own estimate (``estimator``), the same in another machine (``machine``) or with other software. By it and
    the platform, `npusim validate` finds the files that it compares with."""
    machines: tuple[str, ...] = ()
    """Machines that the file is of, where one platform's differ: words that stand in the name of the processor or in
    OpenVINO's release, as ``256V`` or ``258V 2025.1``."""
    tiles: Parts
    """NCE tiles that one inference uses; each has a DPU, SHAVEs and CMX."""
    clocks: Clocks
    power: dict[str, PowerMode] = Field(default={})
    """Power modes that ``npusim run --power`` chooses from, by name, as ``17w``."""
    dvfs: Dvfs | None = None
    """What `npusim hw check` compares ``clocks`` with; null: with nothing."""
    dpu: Dpu
    shave: Shave
    dma: Dma
    ddr: Ddr
    cmx: Cmx
    memory: Memory = Memory()
    blocks: dict[str, Block] = Field(default={})
    """Units beside the tiles, by name."""
    energy: Energy
    software: Software
    host: Host = Host()
    scheduled_for: ScheduledFor = ScheduledFor()

    @property
    def static_mw(self) -> float:
        """Power of the NPU while it is on, mW, whatever it does."""
        tiers = ((t, self.tiles if t.each == "tile" else 1) for t in self.memory.tiers.values())
        beside = sum(block.static_mw for block in self.blocks.values())
        return self.energy.static_mw + sum(tier.static_mw * count for tier, count in tiers) + beside

    @field_validator("platform", mode="before")
    @classmethod
    def _unquoted(cls, platform: Any) -> Any:
        return str(platform) if type(platform) is int else platform

    @field_validator("platform")
    @classmethod
    def _number(cls, platform: str) -> str:
        if not (platform.isascii() and platform.isdigit()):
            raise ValueError(f"must be a number, as 4000 (got '{platform}')")
        return platform
