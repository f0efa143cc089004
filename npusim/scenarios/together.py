"""together: two or more programs on one NPU, each on tiles of its own at once, or each on all tiles in turns.

By tiles, every program has its own queues and runs one inference after another; what they share is DDR, which is
divided among the transfers in flight, as with several requests in flight (npusim.engine.inflight). In turns nothing
overlaps.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from itertools import accumulate

import numpy as np

from npusim.costs.prices import Prices
from npusim.engine.fast import simulate_fast
from npusim.engine.inflight import prices_of, side_by_side
from npusim.errors import UserError
from npusim.program import Program, Task, Tasks
from npusim.scenarios.spec import TogetherSpec
from npusim.scenarios.timed import Bench, Timed

#: Inferences of the slowest program; the others run as many as fit beside them, at most ``_MOST`` of each.
_ROUNDS, _MOST = 3, 40


@dataclass(frozen=True, slots=True)
class Companion:
    """One of the programs: its tiles, an inference of it alone on these, the time between two results beside the
    others, µs, and when its inferences begin and end."""

    name: str
    tiles: int
    alone_us: float
    period_us: float
    runs: tuple[tuple[float, float], ...]

    @property
    def slowdown(self) -> float:
        """How many times as long as alone."""
        return self.period_us / self.alone_us


@dataclass(frozen=True, slots=True)
class Company:
    """All of them."""

    by: str
    each: tuple[Companion, ...]

    @property
    def per_second(self) -> float:
        """Inferences a second of all programs."""
        return sum(1e6 / one.period_us for one in self.each)

    @property
    def alone_per_second(self) -> float:
        """As many if none disturbed another."""
        return sum(1e6 / one.alone_us for one in self.each)


def together(bench: Bench, spec: TogetherSpec) -> Company:
    """The programs of a scenario beside each other. Raises UserError."""
    return _by_tiles(bench, spec) if spec.by == "tiles" else _in_turns(bench, spec)


def _in_turns(bench: Bench, spec: TogetherSpec) -> Company:
    calls = [bench.timed(name) for name in spec.programs]
    ends = list(accumulate((call.device_us + spec.switch_us for call in calls), initial=0.0))
    period = ends[-1]
    each = [
        Companion(
            call.name,
            call.result.program.tiles,
            call.device_us,
            period,
            tuple((start + turn * period, start + turn * period + call.device_us) for turn in range(_ROUNDS)),
        )
        for call, start in zip(calls, ends, strict=False)
    ]
    return Company("turns", tuple(each))


def _by_tiles(bench: Bench, spec: TogetherSpec) -> Company:
    have = bench.machine().tiles
    tiles = spec.tiles or _even(have, len(spec.programs))
    if sum(tiles) > have or not all(tiles):
        raise UserError(
            f"{' + '.join(map(str, tiles))} tiles for {len(spec.programs)} programs, and the machine has {have}: "
            "give fewer programs or tiles, or by: turns"
        )
    calls = [_on(bench, name, count) for name, count in zip(spec.programs, tiles, strict=True)]
    longest = max(call.device_us for call in calls)
    rounds = [min(_MOST, round(_ROUNDS * longest / call.device_us) + 1) for call in calls]
    program = merged([side_by_side(call.result.program, 1, n) for call, n in zip(calls, rounds, strict=True)])
    prices = joined([prices_of(call.result.prices, 1, n, 0.0) for call, n in zip(calls, rounds, strict=True)])
    timeline = simulate_fast(program, prices)
    ends, at = [], 0
    for call, n in zip(calls, rounds, strict=True):
        size = n * (len(call.result.program.tasks) + 1)
        ends.append(timeline.end_us[at : at + size].reshape(n, -1).max(axis=1))
        at += size
    crowded = min(float(one[-1]) for one in ends)
    each = [
        Companion(call.name, count, call.device_us, _period(one, crowded), tuple(_runs(one)))
        for call, count, one in zip(calls, tiles, ends, strict=True)
    ]
    return Company("tiles", tuple(each))


def _on(bench: Bench, name: str, tiles: int) -> Timed:
    asked = bench.asked(name)
    return bench.call(name, asked.graph, asked.hardware.model_copy(update={"tiles": tiles}))


def _even(tiles: int, programs: int) -> tuple[int, ...]:
    return tuple(tiles // programs + (number < tiles % programs) for number in range(programs))


def _period(ends: np.ndarray, crowded: float) -> float:
    """Time between two results while all programs run; of one that ends late, over all its inferences."""
    counted = max(int((ends <= crowded).sum()), 1)
    return float(ends[counted - 1] / counted)


def _runs(ends: np.ndarray) -> list[tuple[float, float]]:
    return list(zip([0.0, *ends[:-1].tolist()], ends.tolist(), strict=True))


def merged(programs: Sequence[Program]) -> Program:
    """Programs with queues of their own as one."""
    tasks: list[Task] = []
    queues = ops = barriers = 0
    for one in programs:
        tasks += [
            replace(
                task,
                queue=task.queue + queues,
                op=task.op + ops,
                waits=tuple(barrier + barriers for barrier in task.waits),
                updates=tuple(barrier + barriers for barrier in task.updates),
            )
            for task in one.tasks
        ]
        queues, ops, barriers = queues + len(one.queues), ops + len(one.ops), barriers + one.barriers
    return replace(
        programs[0],
        name=" and ".join(one.name for one in programs),
        queues=tuple(queue for one in programs for queue in one.queues),
        tasks=Tasks.of(tasks),
        ops=tuple(op for one in programs for op in one.ops),
        barriers=barriers,
        buffers=(),
        tiles=sum(one.tiles for one in programs),
    )


def joined(prices: Sequence[Prices]) -> Prices:
    """Prices of programs as those of one."""

    def column(name: str) -> np.ndarray:
        return np.concatenate([getattr(one, name) for one in prices])

    return Prices(
        duration_us=column("duration_us"),
        latency_us=column("latency_us"),
        ddr_bytes=column("ddr_bytes"),
        provenance=column("provenance"),
        energy_pj=column("energy_pj"),
        ddr_gbps=prices[0].ddr_gbps,
    )
