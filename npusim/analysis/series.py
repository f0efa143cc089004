"""Quantities over time, as averages (rates) or maxima (occupancy) of equal bins."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from npusim.costs.prices import Prices
from npusim.engine.timeline import Timeline
from npusim.program import ENGINES, Engine

Floats = npt.NDArray[np.float64]


def edges_us(timeline: Timeline, bins: int) -> Floats:
    """``bins + 1`` bin edges from 0 to the latency, µs."""
    return np.linspace(0.0, timeline.latency_us or 1.0, bins + 1)


def mean_rate(edges: Floats, start: Floats, end: Floats, rate: Floats) -> Floats:
    """Average over every bin of the sum of ``rate`` over the intervals [start, end) that cover it.

    Exact: the difference of the integral at the edges, whose ramps are summed with prefix sums.
    """
    return np.diff(_ramps(edges, start, rate) - _ramps(edges, end, rate)) / np.diff(edges)


def _ramps(at: Floats, begin: Floats, slope: Floats) -> Floats:
    """Sum of ``slope * max(0, at - begin)``."""
    order = np.argsort(begin, kind="stable")
    begin, slope = begin[order], slope[order]
    upto = np.searchsorted(begin, at)
    slopes = np.concatenate([[0.0], np.cumsum(slope)])[upto]
    areas = np.concatenate([[0.0], np.cumsum(slope * begin)])[upto]
    result: Floats = at * slopes - areas
    return result


def ddr_gbps(timeline: Timeline, prices: Prices, edges: Floats) -> Floats:
    """DDR traffic (read and written) of every bin, GB/s."""
    moved = prices.ddr_bytes > 0
    start = timeline.start_us[moved] + prices.latency_us[moved]
    end = np.maximum(timeline.end_us[moved], start + 1e-6)
    return np.maximum(mean_rate(edges, start, end, prices.ddr_bytes[moved] / (end - start)) * 1e-3, 0.0)


def busy_share(timeline: Timeline, engine: Engine, edges: Floats) -> Floats:
    """Share of the servers of one engine kind that are busy, 0..1."""
    program = timeline.program
    servers = sum(queue.servers for queue in program.queues if queue.engine == engine)
    mask = program.engine == ENGINES.index(engine)
    if not servers or not mask.any():
        return np.zeros(len(edges) - 1)
    ones = np.full(int(mask.sum()), 1.0 / servers)
    return np.clip(mean_rate(edges, timeline.start_us[mask], timeline.end_us[mask], ones), 0.0, 1.0)


def cmx_kib(timeline: Timeline, edges: Floats) -> Floats:
    """Largest CMX occupancy of every tile in every bin, KiB, shape (tiles, bins); an upper bound, as buffers are.

    A buffer counts on the tiles whose DPU or SHAVEs write or read it, and on all tiles if only DMA does.
    """
    program = timeline.program
    begin, finish = timeline.start_us.tolist(), timeline.end_us.tolist()
    tile_of_queue = [-1 if queue.engine == "dma" else queue.unit for queue in program.queues]
    tile_of = [tile_of_queue[queue] for queue in program.tasks.queue.tolist()]
    first = np.array([min(begin[i] for i in buffer.writers) for buffer in program.buffers], np.float64)
    users = [(*buffer.writers, *buffer.readers) for buffer in program.buffers]
    last = np.array([max(finish[i] for i in tasks) for tasks in users], np.float64)
    size = np.array([buffer.bytes for buffer in program.buffers], np.float64) / 1024
    tiles = [{tile_of[i] for i in tasks} - {-1} for tasks in users]
    held = np.array([[not those or tile in those for those in tiles] for tile in range(program.tiles)], bool)
    return np.array([_peak(edges, first[mine], last[mine], size[mine]) for mine in held])


def _peak(edges: Floats, start: Floats, end: Floats, size: Floats) -> Floats:
    """Maximum over every bin of the sum of ``size`` over live intervals; frees come before allocations."""
    time = np.concatenate([end, start])
    order = np.argsort(time, kind="stable")
    level = np.concatenate([[0.0], np.cumsum(np.concatenate([-size, size])[order])])
    upto = np.searchsorted(time[order], edges, side="right")
    peak = np.maximum(level[upto[:-1]], level[upto[1:]])
    starts, ends = upto[:-1], upto[1:]
    busy = ends > starts
    if busy.any():
        # reduceat over [start, next start) of consecutive busy bins covers each bin's own steps.
        peak[busy] = np.maximum(peak[busy], np.maximum.reduceat(level[1:], starts[busy]))
    return np.maximum(peak, 0.0)
