"""Metrics: what a Timeline amounts to, under the vendor's own names, and what binds every op.

The statistics are those of the ``taskStatistics`` that Intel's compiler writes into its schedule traces: a duration
is the union of the busy time of an engine kind (over all its tiles and channels), an overlap the intersection of two
such unions, idle the time in which no task runs at all.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt

from npusim.analysis.bottleneck import KINDS, CriticalPath, binding_kind, critical_path, task_kinds
from npusim.analysis.intervals import grouped_union_length, intersection, length, union
from npusim.costs.prices import PROVENANCE, Prices
from npusim.engine.timeline import Timeline
from npusim.hardware.schema import Hardware
from npusim.program import ENGINES, Indices, engines_of
from npusim.program.work import DmaWork, ShaveWork

_WAIT = KINDS.index("barrier/dependency")
#: The SHAVE kernel that changes element types.
_CONVERT = "convert"


@dataclass(frozen=True, slots=True)
class OpRow:
    """One op of the Program on the wall clock.

    ``start_us`` and ``end_us`` span all its tasks, prefetched transfers included (0 and 0 if it has none).
    ``dma_us``, ``dpu_us``, ``shave_us`` and ``block_us`` are how long at least one of its tasks ran on that engine
    kind. ``engine`` is the compute engine it runs on: the busiest of DPU, SHAVE (which counts for nothing beside the
    DPU where it only converts what goes in or out) and blocks, or ``dma`` for a mere move.
    ``exposed_us`` is its share of the latency: its time on the critical path. All rows sum to the latency.

    ``bound`` is what binds it: of an op on the critical path, the engine that most of its exposed time goes to
    (``dpu``, ``shave``, or transfers, and of those the largest part: ``start-up``, ``dma``, or ``ddr`` for what they
    lost to others by sharing it; see bottleneck.binding_kind). An op that is hidden behind
    others costs no latency; its bound is whatever most of its span goes to: one of those kinds, or
    ``barrier/dependency`` where for the larger part of the span no task of it runs. (The kinds of a hidden op share
    the time in which it runs in proportion to what its tasks spend on them.)

    ``provenance`` is where the costs of the largest part of its exposed time come from (of a hidden op: of its busy
    time), and ``guess_us`` the part of its exposed time that is guessed: over all rows the guessed part of the latency.
    """

    name: str
    type: str
    engine: str
    start_us: float
    end_us: float
    dma_us: float
    dpu_us: float
    shave_us: float
    bound: str
    provenance: str
    exposed_us: float
    guess_us: float = 0.0
    block_us: float = 0.0


@dataclass(frozen=True, slots=True)
class Metrics:
    """What `npusim run` reports of one Timeline.

    ``provenance_share`` is the share of the latency, on the critical path, by where its costs come from;
    ``exposed_us`` the same path by kind (bottleneck.KINDS); ``utilisation`` the busy share of all servers of an
    engine kind over the latency; ``queue_utilisation`` of every queue. ``contended_us`` is by how much transfers were
    stretched, in all. ``tier_bytes``: read from and written to each tier of memory that is used, by its name.
    """

    latency_us: float
    statistics: Mapping[str, float]
    tasks: Mapping[str, int]
    ops: tuple[OpRow, ...]
    provenance_share: Mapping[str, float]
    exposed_us: Mapping[str, float]
    utilisation: Mapping[str, float]
    queue_utilisation: Mapping[str, float]
    ddr_bytes: Mapping[str, int]
    contended_us: float
    energy_uj: float
    tier_bytes: Mapping[str, Mapping[str, int]] = field(default_factory=dict)


def metrics(timeline: Timeline, prices: Prices, hw: Hardware | None = None) -> Metrics:
    """Everything about one Timeline. With ``hw``, the energy includes its static power over the latency."""
    program = timeline.program
    latency = timeline.latency_us
    engine = program.engine
    path = critical_path(timeline, prices)

    busy_us = timeline.end_us - timeline.start_us
    queue_busy = np.bincount(program.tasks.queue, busy_us, minlength=len(program.queues))
    servers = np.array([q.servers for q in program.queues], np.int64)
    there = engines_of(program)
    of_engine = [[queue.engine == name for queue in program.queues] for name in there]
    static_mw = hw.static_mw if hw else 0.0
    counted = zip(program.tasks.works, program.tasks.count_of_work().tolist(), strict=True)
    transfers = [(work, count) for work, count in counted if isinstance(work, DmaWork)]
    return Metrics(
        latency_us=latency,
        statistics=statistics(timeline, engine),
        tasks={name: int(np.sum(engine == number)) for number, name in enumerate(there)},
        ops=_op_rows(timeline, prices, engine, path),
        provenance_share=_provenance_share(path, prices, latency),
        exposed_us=path.by_kind(),
        utilisation={
            name: _share(float(queue_busy[mine].sum()), latency * int(servers[mine].sum()))
            for name, mine in zip(there, of_engine, strict=True)
        },
        queue_utilisation={
            q.name: _share(float(busy), latency * q.servers)
            for q, busy in zip(program.queues, queue_busy, strict=True)
        },
        ddr_bytes={
            "read": sum(count * work.ddr_read_bytes for work, count in transfers),
            "write": sum(count * work.ddr_write_bytes for work, count in transfers),
        },
        contended_us=float(timeline.contended_us.sum()),
        energy_uj=float(prices.energy_pj.sum()) * 1e-6 + static_mw * latency * 1e-3,
        tier_bytes={name: _tier_bytes(name, transfers) for name in (hw.memory.tiers if hw else ())},
    )


def _tier_bytes(name: str, transfers: Sequence[tuple[DmaWork, int]]) -> dict[str, int]:
    """Bytes that so many of each transfer read from a tier and write to it."""
    return {
        "read": sum(count * work.bytes for work, count in transfers if work.src == name),
        "write": sum(count * work.bytes for work, count in transfers if name in (work.dst, work.kept)),
    }


def statistics(timeline: Timeline, engine: Indices) -> dict[str, float]:
    """The vendor's task statistics, µs; ``engine`` is each task's index into ENGINES."""
    start, end = timeline.start_us, timeline.end_us
    dma, dpu, shave, block = (
        union(start[engine == kind], end[engine == kind]) for kind in range(len(ENGINES))
    )
    total = timeline.latency_us
    took = np.bincount(engine, end - start, minlength=len(ENGINES)).tolist()
    return {
        "total_us": total,
        "dma_us": length(dma),
        "dpu_us": length(dpu),
        "shave_us": length(shave),
        "dma_dpu_overlap_us": length(intersection(dma, dpu)),
        "dma_shave_overlap_us": length(intersection(dma, shave)),
        "shave_dpu_overlap_us": length(intersection(shave, dpu)),
        "idle_us": max(total - length(union(start, end)), 0.0),
        "sum_dma_us": took[0],
        "sum_dpu_us": took[1],
        "sum_shave_us": took[2],
        **({"block_us": length(block), "sum_block_us": took[3]} if len(block) else {}),
    }


def _op_rows(timeline: Timeline, prices: Prices, engine: Indices, path: CriticalPath) -> tuple[OpRow, ...]:
    program = timeline.program
    count = len(program.ops)
    start, end = timeline.start_us, timeline.end_us
    op = program.tasks.op
    first, last = np.full(count, np.inf), np.zeros(count)
    np.minimum.at(first, op, start)
    np.maximum.at(last, op, end)
    first = np.minimum(first, last)
    by_engine = grouped_union_length(start, end, op * len(ENGINES) + engine, count * len(ENGINES))
    by_engine = by_engine.reshape(count, len(ENGINES))

    known = np.zeros((count, len(PROVENANCE)))
    source = prices.provenance.astype(np.int64)
    np.add.at(known, (op[path.tasks], source[path.tasks]), path.kind_us.sum(axis=1))
    guess_us = known[:, PROVENANCE.index("guess")].copy()
    busy = np.zeros_like(known)
    np.add.at(busy, (op, source), end - start)
    hidden = known.sum(axis=1) <= 0
    known[hidden] = busy[hidden]
    mostly = known.argmax(axis=1)
    exposed = path.by_op()
    bound = np.where(
        exposed.sum(axis=1) > 0, binding_kind(exposed), _hidden_bound(timeline, prices, op, last - first)
    )
    runs_on = _runs_on(timeline, by_engine)
    return tuple(
        OpRow(
            name=program.ops[i].name,
            type=program.ops[i].type,
            engine=ENGINES[runs_on[i]],
            start_us=float(first[i]),
            end_us=float(last[i]),
            dma_us=float(by_engine[i, 0]),
            dpu_us=float(by_engine[i, 1]),
            shave_us=float(by_engine[i, 2]),
            bound=KINDS[bound[i]],
            provenance=PROVENANCE[mostly[i]],
            exposed_us=float(exposed[i].sum()),
            guess_us=float(guess_us[i]),
            block_us=float(by_engine[i, 3]),
        )
        for i in range(count)
    )


def _runs_on(timeline: Timeline, by_engine: npt.NDArray[np.float64]) -> Indices:
    """The engine of every op, as an index into ENGINES (see OpRow); ``by_engine`` is its busy time, µs, an engine."""
    tasks = timeline.program.tasks
    converts = np.array(
        [isinstance(work, ShaveWork) and work.kernel == _CONVERT for work in tasks.works], bool
    )
    only = np.ones(len(by_engine), bool)  # ops whose work on SHAVE, if any, is but conversion
    on_shave = timeline.program.engine == ENGINES.index("shave")
    only[tasks.op[on_shave & ~converts[tasks.work]]] = False
    _, dpu_us, shave_us, block_us = by_engine.T
    on_block = (block_us > 0) & (block_us >= np.maximum(dpu_us, np.where(only, 0.0, shave_us)))
    on_dpu = (dpu_us > 0) & (only | (dpu_us >= shave_us))
    return np.where(on_block, 3, np.where(on_dpu, 1, np.where(shave_us > 0, 2, 0))).astype(np.int32)


def _hidden_bound(
    timeline: Timeline, prices: Prices, op: Indices, span_us: npt.NDArray[np.float64]
) -> npt.NDArray[np.int64]:
    """The kind that most of an op's own span goes to, as an index into KINDS (see OpRow)."""
    spent = np.zeros((len(span_us), len(KINDS)))
    np.add.at(spent, op, task_kinds(timeline, prices))
    running = grouped_union_length(timeline.start_us, timeline.end_us, op, len(span_us))
    total = spent.sum(axis=1)
    spent *= np.divide(running, total, out=np.zeros_like(total), where=total > 0)[:, None]
    spent[:, _WAIT] = span_us - running
    return binding_kind(spent)


def _provenance_share(path: CriticalPath, prices: Prices, latency: float) -> dict[str, float]:
    of_task = prices.provenance[path.tasks].astype(np.int64)
    exposed = np.bincount(of_task, path.kind_us.sum(axis=1), minlength=len(PROVENANCE))
    return {name: _share(float(time), latency) for name, time in zip(PROVENANCE, exposed, strict=True)}


def _share(part: float, whole: float) -> float:
    return part / whole if whole > 0 else 0.0
