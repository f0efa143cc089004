"""Lower bounds of the latency of a Program: what no schedule, or no order of events, can beat.

Two kinds. Of the hardware (``dpu``, ``shave``, ``ddr``): all work of one kind at the peak rate of all units together.
Of the prices (``queue``, ``dependency``): the busiest queue, and the longest chain of tasks that barriers tie
together, had every task a server of its own. A simulated latency is never below any of them.
"""

from __future__ import annotations

from dataclasses import dataclass, fields, replace

import numpy as np

from npusim.costs.dpu import roofline_cycles
from npusim.costs.prices import Prices
from npusim.engine.fast import simulate_fast
from npusim.engine.sharing import BYTES_PER_US_PER_GBPS
from npusim.hardware.schema import Hardware
from npusim.program import Program, Queue
from npusim.program.work import DmaWork, DpuWork, ShaveWork


@dataclass(frozen=True, slots=True)
class LowerBounds:
    """Lower bounds, µs."""

    dpu_us: float
    """MACs over the peak of all tiles' MAC arrays (``dpu.macs_per_cycle``, by element type)."""
    shave_us: float
    """Output of SHAVE calls over the vector width of all SHAVEs. Elements wider than 16 bits count as 16, which is
    what the kernels compute in. Kernels that the hardware file charges their start-up alone count nothing."""
    ddr_us: float
    """DRAM traffic over ``ddr.bandwidth_gbps``; where DDR is not contended, every DMA FIFO has that to itself."""
    queue_us: float
    """The largest sum of task durations of one queue, over its servers."""
    dependency_us: float
    """The longest chain of durations along barriers."""

    @property
    def latency_us(self) -> float:
        """The highest of them."""
        return max(getattr(self, field.name) for field in fields(self))

    @property
    def highest(self) -> str:
        """Name of the highest bound, without its unit: ``dpu``, ``shave``, ``ddr``, ``queue`` or ``dependency``."""
        return max((field.name for field in fields(self)), key=lambda name: getattr(self, name)).removesuffix(
            "_us"
        )


def lower_bounds(program: Program, prices: Prices, hw: Hardware) -> LowerBounds:
    """All bounds of a Program at the given prices on the hardware that they are for."""
    works = list(zip(program.tasks.works, program.tasks.count_of_work().tolist(), strict=True))
    dpu = sum(count * roofline_cycles(work, hw) for work, count in works if isinstance(work, DpuWork))
    shave = sum(count * _vector_cycles(work, hw) for work, count in works if isinstance(work, ShaveWork))
    return LowerBounds(
        dpu_us=dpu / (hw.tiles * hw.clocks.dpu_mhz),
        shave_us=shave / (hw.tiles * hw.shave.per_tile * hw.clocks.vpu_mhz),
        ddr_us=_ddr_us(program, [(w, n) for w, n in works if isinstance(w, DmaWork)], hw),
        queue_us=busiest_queue_us(program, prices),
        dependency_us=dependency_us(program, prices),
    )


def busiest_queue_us(program: Program, prices: Prices) -> float:
    """The largest sum of task durations of one queue, over its servers, µs."""
    busy = np.bincount(program.tasks.queue, prices.duration_us, minlength=len(program.queues))
    servers = np.array([q.servers for q in program.queues], float)
    return float((busy / servers).max(initial=0.0))


def dependency_us(program: Program, prices: Prices) -> float:
    """Latency if every task had a queue of its own: the longest chain of durations along barriers, µs."""
    free = replace(
        program,
        queues=tuple(Queue(f"task {i}", "dma", i) for i in range(len(program.tasks))),
        tasks=replace(program.tasks, queue=np.arange(len(program.tasks), dtype=np.int32)),
    )
    return simulate_fast(free, replace(prices, ddr_gbps=None)).latency_us


def _vector_cycles(work: ShaveWork, hw: Hardware) -> float:
    kernel = hw.shave.kernels.get(work.kernel, hw.shave.kernels["default"])
    if kernel.per_cycle is None:
        return 0.0
    return 8 * max(min(work.out_bytes, 2 * work.out_elements), 2 * work.macs) / hw.shave.vector_bits


def _ddr_us(program: Program, transfers: list[tuple[DmaWork, int]], hw: Hardware) -> float:
    bytes_per_us = hw.ddr.bandwidth_gbps * BYTES_PER_US_PER_GBPS
    if hw.ddr.contention:
        moved = sum(count * (work.ddr_read_bytes + work.ddr_write_bytes) for work, count in transfers)
        return moved / bytes_per_us
    priced = [
        count * work.counted_bytes
        for work, count in transfers
        if work.kind not in ("fetch", "sync") and "ddr" in (work.src, work.dst)
    ]
    fifos = sum(queue.engine == "dma" for queue in program.queues)
    return sum(priced) / (bytes_per_us * fifos) if fifos else 0.0
