"""What every lane of the timeline does with its time: busy, and why not."""

from __future__ import annotations

import numpy as np

from npusim.analysis.intervals import union
from npusim.analysis.series import Floats
from npusim.api import Result
from npusim.engine.timeline import WAIT_REASONS
from npusim.program import ENGINES
from npusim.report.timeline_data import lane_of_task, lanes

#: What a lane's time goes to; a row of lane_times for each.
STATES = (
    "busy", "stretched by shared DDR", "waits for DMA", "waits for DPU", "waits for SHAVE",
    "waits its turn in the queue", "nothing left to do",
)  # fmt: skip


def lane_times(result: Result) -> Floats:
    """µs by state and lane, shape (states, lanes); every column sums to the latency."""
    program, timeline = result.program, result.timeline
    table = np.zeros((len(STATES), len(lanes(program))))
    table[-1] = timeline.latency_us
    if not len(timeline.start_us):
        return table
    lane = lane_of_task(result)
    order = np.lexsort((np.arange(len(lane)), timeline.start_us, lane))
    lane, start, end = lane[order], timeline.start_us[order], timeline.end_us[order]
    first = np.r_[True, lane[1:] != lane[:-1]]
    gap = np.maximum(start - np.where(first, 0.0, np.r_[0.0, end[:-1]]), 0.0)
    stretched = np.minimum(timeline.contended_us[order], end - start)
    np.add.at(table[0], lane, end - start - stretched)
    np.add.at(table[1], lane, stretched)
    np.add.at(table, (_gap_state(result)[order], lane), gap)
    last = np.r_[lane[1:] != lane[:-1], True]
    table[-1, lane[last]] = timeline.latency_us - end[last]
    return table


def _gap_state(result: Result) -> np.ndarray[tuple[int], np.dtype[np.int64]]:
    """State that the gap before every task belongs to: the engine of what it waited for, or its own queue."""
    program, timeline = result.program, result.timeline
    engine = program.engine
    waited = (timeline.wait_reason == WAIT_REASONS.index("barrier")) & (timeline.wait_for >= 0)
    return np.where(waited, STATES.index("waits for DMA") + engine[timeline.wait_for], STATES.index(
        "waits its turn in the queue"))  # fmt: skip


def engine_partition(result: Result) -> dict[tuple[str, ...], float]:
    """The latency, µs, by which engines are busy at once; the empty tuple is idle time. Sums to the latency."""
    program, timeline = result.program, result.timeline
    kinds = program.engine
    busy = [
        union(timeline.start_us[kinds == kind], timeline.end_us[kinds == kind])
        for kind in range(len(ENGINES))
    ]
    points = np.unique(np.concatenate([[0.0, timeline.latency_us], *(each.ravel() for each in busy)]))
    middle = (points[:-1] + points[1:]) / 2
    code = np.zeros(len(middle), np.int64)
    for kind, intervals in enumerate(busy):
        # Inside an interval where an odd number of its edges lie before.
        code += (np.searchsorted(intervals.ravel(), middle) % 2) << kind
    times = np.bincount(code, np.diff(points), minlength=2 ** len(ENGINES))
    sets = [
        tuple(name for bit, name in enumerate(ENGINES) if number >> bit & 1) for number in range(len(times))
    ]
    return dict(zip(sets, times.tolist(), strict=True))
