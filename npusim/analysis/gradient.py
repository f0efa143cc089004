"""The gradient of the latency of a schedule: by how much it moves with the price of every task.

Without contention the latency is the sum of the durations along the critical path, so that its derivative is 1 there
and 0 elsewhere. Where DDR is contended the end ``e`` of a transfer is given by the bytes it has to move,

    ddr_bytes = sum over the intervals k of its flow of rate[k] * (t[k + 1] - t[k]),

with ``t`` the arrivals and landings of all transfers, its own arrival first and ``e`` last. While the order of these
events stays as it is, a rate is the transfer's own cap, or an equal share of what the capped ones leave. This is
differentiated as it stands, and followed back from the end of the last task (adjoints): exact, for one pass in all.

The derivative holds while the critical path and the order of arrivals and landings stay as they are. Where two events
coincide by chance it is one of two one-sided derivatives.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from npusim.costs.prices import Prices
from npusim.engine.sharing import BYTES_PER_US_PER_GBPS, fair_rates, own_cap
from npusim.engine.timeline import Timeline, Times

ARRIVES, ENDS = range(2)


@dataclass(frozen=True, slots=True)
class Gradient:
    """Derivatives of the latency by ``duration_us`` and ``latency_us`` of every task (µs per µs, shape (tasks,)), and
    by ``ddr_gbps`` (µs per GB/s; 0 where DDR is not contended)."""

    duration: Times
    latency: Times
    ddr_gbps: float


def latency_gradient(timeline: Timeline, prices: Prices) -> Gradient:
    """The gradient of ``timeline.latency_us`` at the prices it was simulated for, by any engine."""
    adjoint = _Adjoint(timeline, prices)
    if len(timeline.end_us):
        adjoint.of_end[int(np.argmax(timeline.end_us))] = 1.0
    for kind, task in reversed(adjoint.events):
        if adjoint.shares[task]:
            adjoint.transfer(kind, task)
        else:
            adjoint.task(task)
    return adjoint.gradient(prices)


class _Adjoint:
    """Derivatives of the latency by times, rates and prices, as they are gathered from the last event to the first."""

    def __init__(self, timeline: Timeline, prices: Prices) -> None:
        """``of_...``: the derivative by an end (the last one is that of no task), by a transfer's cap, by the shared
        bandwidth, and by the bytes of every flow that is in flight."""
        shares = (prices.ddr_bytes > 0) & (prices.ddr_gbps is not None)
        columns = (prices.ddr_bytes.tolist(), prices.duration_us.tolist(), prices.latency_us.tolist())
        self.shares: list[bool] = shares.tolist()
        self.cap = {
            task: own_cap(*(column[task] for column in columns)) for task in np.flatnonzero(shares).tolist()
        }
        self.events = _events(timeline, prices, shares)
        self.intervals = self._intervals(timeline, prices)
        self.wait_for: list[int] = timeline.wait_for.tolist()
        self.leads: list[bool] = (prices.latency_us <= prices.duration_us).tolist()
        self.of_end = [0.0] * (len(shares) + 1)
        self.of_duration, self.of_latency = np.zeros(len(shares)), np.zeros(len(shares))
        self.of_cap = dict.fromkeys(self.cap, 0.0)
        self.of_capacity = 0.0
        self.of_bytes: dict[int, float] = {}

    def task(self, task: int) -> None:
        """An end moves with start and duration."""
        if self.of_end[task]:
            self.of_duration[task] += self.of_end[task]
            self.of_end[self.wait_for[task]] += self.of_end[task]

    def transfer(self, kind: int, task: int) -> None:
        """An arrival or a landing changes the rates of all flows, and thus the bytes that each has moved by its end.

        A landing moves with the bytes that are left to it, at its last rate; an arrival with start and latency.
        """
        (until_us, after), (since_us, before) = self.intervals.pop(), self.intervals[-1]
        moved_by = self.of_bytes.pop(task) * after[task] if kind == ARRIVES else self.of_end[task]
        moved_by += sum(of * (after[flow] - before[flow]) for flow, of in self.of_bytes.items())
        if kind == ENDS:
            self.of_bytes[task] = moved_by / before[task]
        elif moved_by:
            (self.of_latency if self.leads[task] else self.of_duration)[task] += moved_by
            self.of_end[self.wait_for[task]] += moved_by
        self._rates(before, until_us - since_us)

    def _rates(self, rate: dict[int, float], lasts_us: float) -> None:
        """Rates of an interval: a transfer's own cap, or an equal share of what the capped ones leave."""
        level = [flow for flow in rate if rate[flow] < self.cap[flow]]
        of_level = -lasts_us * sum(self.of_bytes[flow] for flow in level) / max(len(level), 1)
        self.of_capacity += of_level
        for flow, own in rate.items():
            if own >= self.cap[flow]:
                self.of_cap[flow] -= lasts_us * self.of_bytes[flow] + of_level

    def gradient(self, prices: Prices) -> Gradient:
        """By prices; a cap is ``ddr_bytes / (duration_us - latency_us)``."""
        for task, of_cap in self.of_cap.items():
            if of_cap:
                slower = of_cap * self.cap[task] / (prices.duration_us[task] - prices.latency_us[task])
                self.of_duration[task] -= slower
                self.of_latency[task] += slower
        return Gradient(self.of_duration, self.of_latency, self.of_capacity * BYTES_PER_US_PER_GBPS)

    def _intervals(self, timeline: Timeline, prices: Prices) -> list[tuple[float, dict[int, float]]]:
        """When each arrival or landing was, and the flows and their rates from there on; first, that there are none."""
        capacity = (prices.ddr_gbps or 0.0) * BYTES_PER_US_PER_GBPS
        arrival, end = _arrival_us(timeline, prices).tolist(), timeline.end_us.tolist()
        result: list[tuple[float, dict[int, float]]] = [(0.0, {})]
        for kind, task in self.events:
            if self.shares[task]:
                flows = [flow for flow in result[-1][1] if flow != task] + [task] * (kind == ARRIVES)
                rates = fair_rates([self.cap[flow] for flow in flows], capacity)
                result.append(
                    ((arrival if kind == ARRIVES else end)[task], dict(zip(flows, rates, strict=True)))
                )
        return result


def _arrival_us(timeline: Timeline, prices: Prices) -> Times:
    """When the bytes of each task begin to flow."""
    return timeline.start_us + np.minimum(prices.latency_us, prices.duration_us)


def _events(timeline: Timeline, prices: Prices, shares: np.ndarray) -> list[tuple[int, int]]:
    """(kind, task) of all ends and of the arrivals of transfers that share DDR, each after what it follows from."""
    transfers = np.flatnonzero(shares)
    task = np.concatenate((transfers, np.arange(len(shares))))
    kind = np.repeat([ARRIVES, ENDS], [len(transfers), len(shares)])
    time = np.concatenate((_arrival_us(timeline, prices)[transfers], timeline.end_us))
    order = np.lexsort((kind, _depth(timeline.wait_for)[task], time))
    return list(zip(kind[order].tolist(), task[order].tolist(), strict=True))


def _depth(wait_for: np.ndarray) -> np.ndarray:
    """How many tasks each follows from, one after another: the order of those that end together."""
    parent = np.append(wait_for, -1)  # -1 is its own parent
    depth = np.append((wait_for >= 0).astype(np.int64), 0)
    while (parent >= 0).any():
        depth += depth[parent]
        parent = parent[parent]
    return depth[:-1]
