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
    is)``; then the counted bytes move at the slower of the path and of DDR. Bytes below one beat of the path still
    take that beat. A ``fetch`` costs ``software.fetch.us``, a ``sync`` nothing.
    """
    if work.kind == "sync":
        return 0.0, 0.0
    if work.kind == "fetch":
        fetch_us = hw.software.fetch.us if hw.software.fetch else 0.0
        return fetch_us, fetch_us
    path = _path(work, hw)
    latency_us = path.startup_cycles / hw.clocks.vpu_mhz + _ddr_latency_us(work, hw)
    per_cycle = path.bytes_per_cycle
    if work.kind in ("resize", "gather") and path.resize_bytes_per_cycle is not None:
        per_cycle = path.resize_bytes_per_cycle
    bytes_per_us = min(per_cycle * hw.clocks.vpu_mhz, _ddr_bytes_per_us(work, hw))
    return latency_us, latency_us + work.counted_bytes / bytes_per_us


def _path(work: DmaWork, hw: Hardware) -> DmaPath:
    paths = hw.dma.paths
    if work.src == "ddr":
        return paths.ddr_to_ddr if work.dst == "ddr" else paths.ddr_to_cmx
    return paths.cmx_to_ddr if work.dst == "ddr" else paths.cmx_to_cmx


def _ddr_latency_us(work: DmaWork, hw: Hardware) -> float:
    read_ns = hw.ddr.latency_ns if work.src == "ddr" else 0.0
    write_ns = hw.ddr.write_latency_ns if work.dst == "ddr" else 0.0
    return max(read_ns, write_ns) / 1000.0


def _ddr_bytes_per_us(work: DmaWork, hw: Hardware) -> float:
    """Payload bytes per µs that DDR alone would allow (1 GB/s is 1000 bytes/µs).

    A DDR to DDR copy crosses the shared bus twice. Without contention each side of an engine has the bandwidth to
    itself (Intel's estimator takes the slower of the two sides), so there it counts once.
    """
    crossings = (work.src == "ddr") + (work.dst == "ddr")
    if crossings == 0:
        return float("inf")
    return 1000.0 * hw.ddr.bandwidth_gbps / (crossings if hw.ddr.contention else 1)
