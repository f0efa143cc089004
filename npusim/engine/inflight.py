"""Several inferences of one Program in flight: side by side on tiles of their own, and one behind another.

Every stream has its own queues (its tiles, its DMA FIFOs); what streams share is DDR, which the engines divide among
all transfers in flight. An inference starts when the one before it in its stream has ended. The streams of a running
machine are not in step, so stream ``i`` of ``n`` starts ``i/n`` of an inference late.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from npusim.costs.prices import Prices
from npusim.engine.compile import compile_program
from npusim.engine.fast import simulate_fast
from npusim.program import Program, Task, Tasks
from npusim.program.work import DmaWork

#: Inferences a stream. The first and the last are not counted: others start or have ended beside them.
ROUNDS = 5
_NOTHING = DmaWork("cmx", "cmx", 0, 0, "sync")


class InFlight:
    """A Program alone and with ``streams`` of it side by side, compiled once for any number of prices."""

    def __init__(self, program: Program, streams: int) -> None:
        """``streams`` of ``program``, each of which runs one inference after another."""
        self.streams = streams
        self._tasks = len(program.tasks)
        self._alone = compile_program(program)
        self._many = compile_program(side_by_side(program, streams, ROUNDS)) if streams > 1 else None

    def times_us(self, prices: Prices) -> tuple[float, float]:
        """Latency of one inference that is alone, and the time between two results once all streams run without a
        pause, µs."""
        alone_us = float(simulate_fast(self._alone, prices).end_us.max(initial=0.0))
        if self._many is None:
            return alone_us, alone_us
        many = prices_of(prices, self.streams, ROUNDS, alone_us / self.streams)
        ends = (
            simulate_fast(self._many, many).end_us.reshape(self.streams, ROUNDS, self._tasks + 1).max(axis=2)
        )
        return alone_us, float(np.mean(ends[:, -2] - ends[:, 0])) / (ROUNDS - 2) / self.streams


def side_by_side(program: Program, streams: int, rounds: int) -> Program:
    """The Program of ``streams`` x ``rounds`` inferences.

    Its tasks are those of ``program``, stream by stream and round by round, each inference behind one task of its own
    that starts it.
    """
    queues, once = len(program.queues), list(program.tasks)
    tasks: list[Task] = []
    for stream in range(streams):
        starter = streams * queues + stream
        for turn in range(rounds):
            base = (stream * rounds + turn) * (program.barriers + 2)
            begin, done = base, base + program.barriers + 1
            before = (base - 1,) if turn else ()
            tasks.append(Task(starter, 0, _NOTHING, before, (begin,)))
            tasks.extend(
                replace(
                    task,
                    queue=task.queue + stream * queues,
                    waits=(begin, *(base + 1 + barrier for barrier in task.waits)),
                    updates=(*(base + 1 + barrier for barrier in task.updates), done),
                )
                for task in once
            )
    own = [replace(queue, name=f"{queue.name} of {s}") for s in range(streams) for queue in program.queues]
    starters = [replace(program.queues[0], name=f"start of {s}") for s in range(streams)]
    return replace(
        program,
        queues=(*own, *starters),
        tasks=Tasks.of(tasks),
        barriers=streams * rounds * (program.barriers + 2),
        buffers=(),
    )


def prices_of(prices: Prices, streams: int, rounds: int, offset_us: float) -> Prices:
    """Prices of ``side_by_side``: what starts an inference lasts ``offset_us`` times the stream in the first round, and
    then no time."""
    waits_us = np.zeros((streams, rounds))
    waits_us[:, 0] = offset_us * np.arange(streams)
    return Prices(
        duration_us=_repeated(prices.duration_us, waits_us),
        latency_us=_repeated(prices.latency_us, waits_us),
        ddr_bytes=_repeated(prices.ddr_bytes, np.zeros_like(waits_us)),
        provenance=_repeated(prices.provenance, np.zeros_like(waits_us)).astype(np.int8),
        energy_pj=_repeated(prices.energy_pj, np.zeros_like(waits_us)),
        ddr_gbps=prices.ddr_gbps,
    )


def _repeated(values: np.ndarray, starters: np.ndarray) -> np.ndarray:
    """``values`` once an inference, each behind the value of its starter; ``starters`` (streams, rounds)."""
    inferences = np.broadcast_to(values, (starters.size, len(values)))
    return np.concatenate([starters.reshape(-1, 1), inferences], axis=1).ravel()
