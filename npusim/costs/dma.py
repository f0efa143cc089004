"""What one transfer costs: start-up and DDR latency, then bytes at the rate of its path.

Model: evidence/costs.md#2 (exact for Intel's estimator) and evidence/hardware.md#3.3 (the same
form fitted to Intel's silicon figures).
"""

from __future__ import annotations

from npusim.hardware.schema import DmaPath, Hardware
from npusim.program.work import DmaWork


def time(work: DmaWork, hw: Hardware) -> tuple[float, float]:
    """Latency and whole duration, µs, of a transfer that is alone on the machine.

    ``latency = startup_cycles / vpu_mhz + max(read latency if the source is DDR, write latency if the destination
    is)``, or that of a tier in its place; then the counted bytes move at the slowest of the path, of DDR and of a tier.
    Bytes below one beat of the path still take that beat. A ``fetch`` costs ``software.fetch.us``, a ``sync`` nothing.
    """
    if work.kind == "sync":
        return 0.0, 0.0
    if work.kind == "fetch":
        fetch_us = hw.software.fetch.us if hw.software.fetch else 0.0
        return fetch_us, fetch_us
    path = _path(work, hw)
    latency_us = path.startup_cycles / hw.clocks.vpu_mhz + _latency_us(work, hw)
    per_cycle = path.bytes_per_cycle
    if work.kind in ("resize", "gather") and path.resize_bytes_per_cycle is not None:
        per_cycle = path.resize_bytes_per_cycle
    bytes_per_us = min(
        per_cycle * hw.clocks.vpu_mhz, _ddr_bytes_per_us(work, hw), _tier_bytes_per_us(work, hw)
    )
    return latency_us, latency_us + work.counted_bytes / bytes_per_us


def _path(work: DmaWork, hw: Hardware) -> DmaPath:
    paths = hw.dma.paths
    if work.src != "cmx":
        return paths.ddr_to_cmx if work.dst == "cmx" else paths.ddr_to_ddr
    return paths.cmx_to_cmx if work.dst == "cmx" else paths.cmx_to_ddr


def _latency_us(work: DmaWork, hw: Hardware) -> float:
    read_ns = hw.ddr.latency_ns if work.src == "ddr" else 0.0
    write_ns = hw.ddr.write_latency_ns if work.dst == "ddr" else 0.0
    tiers = [hw.memory.tiers[name].latency_ns for name in (work.src, work.dst) if name in hw.memory.tiers]
    return max(read_ns, write_ns, *tiers) / 1000.0


def _ddr_bytes_per_us(work: DmaWork, hw: Hardware) -> float:
    """Payload bytes per µs that DDR alone would allow (1 GB/s is 1000 bytes/µs).

    A DDR to DDR copy crosses the shared bus twice. Without contention each side of an engine has the bandwidth to
    itself (Intel's estimator takes the slower of the two sides), so there it counts once.
    """
    crossings = (work.src == "ddr") + (work.dst == "ddr")
    if crossings == 0:
        return float("inf")
    return 1000.0 * hw.ddr.bandwidth_gbps / (crossings if hw.ddr.contention else 1)


def _tier_bytes_per_us(work: DmaWork, hw: Hardware) -> float:
    """The same for the tiers that a transfer reads or writes; of a shared one, an engine's even part."""
    read, written = (hw.memory.tiers.get(name) for name in (work.src, work.dst))
    sides = ([(read, read.read_gbps)] if read else []) + ([(written, written.write_gbps)] if written else [])
    engines = hw.dma.engines
    return min(
        (1000.0 * gbps / (engines if tier.each == "npu" else 1) for tier, gbps in sides), default=float("inf")
    )
