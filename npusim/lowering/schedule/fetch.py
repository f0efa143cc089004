"""Fetches: the transfers that bring task descriptors to the NPU before the tasks run (evidence/costs.md#5)."""

from __future__ import annotations

from dataclasses import dataclass, field, replace

import numpy as np

from npusim.costs.dpu import workloads
from npusim.hardware.schema import Hardware
from npusim.hardware.software import Fetch
from npusim.lowering.schedule.drafts import Drafts
from npusim.lowering.schedule.emit import Emitter
from npusim.program import Indices, Lists
from npusim.program.tasks import grouped
from npusim.program.work import DmaWork, DpuWork, ShaveWork, Work

#: Op index of tasks that belong to no op of the model.
NO_OP = 0
_FETCH = DmaWork("ddr", "cmx", 0, 0, "fetch")
_SYNC = DmaWork("ddr", "ddr", 0, 0, "sync")


@dataclass(frozen=True, slots=True)
class Fetched:
    """Drafts with their fetches; ``position`` is the new place of every old one, ``also`` the second group of those
    tasks (new places) that are in two."""

    drafts: Drafts
    position: Indices
    also: dict[int, int] = field(default_factory=dict)


def _group_tasks(
    drafts: Drafts, works: list[Work], fetch: Fetch
) -> tuple[dict[int, int], dict[int, int], list[list[int]]]:
    """The first and the last task of every fetch group, and the groups of each FIFO in order. Of the tasks that an op
    puts on a tile's SHAVEs, each goes to the next FIFO."""
    variants = [len(workloads(w)) if isinstance(w, DpuWork) else isinstance(w, ShaveWork) - 1 for w in works]
    of_task = np.array(variants, np.int64)[drafts.work]
    mine = np.flatnonzero(of_task >= 0)
    rows = zip(*(c[mine].tolist() for c in (of_task, drafts.queue, drafts.group)), mine.tolist(), strict=True)
    first: dict[int, int] = {}
    last: dict[int, int] = {}
    by_queue: dict[tuple[int, int], list[int]] = {}
    fill: dict[tuple[int, int], tuple[int, int]] = {}
    beside: dict[int, tuple[int, int]] = {}  # queue -> (group of its last task, place of that task in it)
    count = 0
    for needs, queue, group, i in rows:
        fifo = 0
        limit = fetch.tasks_per_group
        if not needs:
            limit = fetch.shave_tasks_per_group
            known, place = beside.get(queue, (-1, -1))
            place = place + 1 if known == group else 0
            beside[queue] = group, place
            fifo = place % fetch.shave_queues_per_tile
        key = queue, fifo
        tasks, used = fill.get(key, (limit, 0))
        if tasks + 1 > limit or used + needs > fetch.variants_per_group:
            by_queue.setdefault(key, []).append(count)
            first[count] = i
            count += 1
            tasks = used = 0
        fill[key] = (tasks + 1, used + needs)
        last[by_queue[key][-1]] = i
    return first, last, list(by_queue.values())


def add_fetches(drafts: Drafts, out: Emitter, hw: Hardware) -> Fetched:
    """The drafts of ``out`` with their fetches: the first two groups of every queue before all else, later ones when
    the group before the previous one has ended."""
    fetch, count = hw.software.fetch, len(drafts)
    computes = any(isinstance(work, (DpuWork, ShaveWork)) for work in out.works)
    if fetch is None or not (computes or fetch.program_transfers):
        return Fetched(drafts, np.arange(count, dtype=np.int32))
    first, last, by_queue = _group_tasks(drafts, list(out.works), fetch)
    rows = _Rows(out)
    start, groups = len(out.ends), len(out.ends) + 1
    for _ in range(fetch.program_transfers):
        rows.add(-1, NO_OP, _FETCH, (), start, "barrier programming")
    for owned in by_queue:
        for _ in owned[:2]:
            rows.add(-1, NO_OP, _FETCH, (), start, "fetch")
    rows.add(-1, NO_OP, _SYNC, (), start, "start barrier")
    if fetch.enqueue_transfers:
        for _ in by_queue:
            rows.add(-1, NO_OP, _FETCH, (start,), groups, "enqueue")
        groups += 1
    end_of_group = np.zeros(start, np.int64)
    end_of_group[drafts.group] = np.arange(count)
    extra: dict[int, list[int]] = {}  # task -> groups that it waits for besides
    for begin in np.unique(drafts.queue, return_index=True)[1].tolist():
        extra.setdefault(begin, []).append(start)
    also: dict[int, int] = {}
    later_rows: list[tuple[int, int, int]] = []  # place, group to wait for, group of the fetch
    for owned in by_queue:
        for earlier, later in zip(owned, owned[2:], strict=False):
            awaited = int(drafts.group[last[earlier]])
            place = int(end_of_group[awaited])
            if drafts.group[first[later]] == awaited:
                # A slice of so many tasks: its own end would be too late.
                place, awaited = last[earlier], groups
                also[place] = awaited
                groups += 1
            later_rows.append((place, awaited, groups))
            extra.setdefault(first[later], []).append(groups)
            groups += 1
    for place, awaited, group in later_rows:
        rows.add(place, int(drafts.op[place]), _FETCH, (awaited,), group, "fetch")
    every = Drafts.joined([rows.drafts(), _waiting(drafts, extra)])
    after = np.concatenate([np.array(rows.after, np.int64), np.arange(count)])
    behind = np.concatenate([np.ones(len(rows.after), bool), np.zeros(count, bool)])
    order = np.lexsort((behind, after)).astype(np.int32)
    place_of = np.empty(len(order), np.int32)
    place_of[order] = np.arange(len(order), dtype=np.int32)
    position = place_of[len(rows.after) :]
    return Fetched(every.take(order), position, {int(position[i]): group for i, group in also.items()})


class _Rows:
    """New drafts, each of which comes right after an old one (-1: before all)."""

    def __init__(self, out: Emitter) -> None:
        self.out = out
        self.after: list[int] = []
        self.rows: list[tuple[int, int, int, int, int]] = []
        self.waits: list[tuple[int, ...]] = []

    def add(
        self, after: int, op: int, work: DmaWork, waits: tuple[int, ...], group: int, detail: str
    ) -> None:
        self.after.append(after)
        labels = self.out.details
        self.rows.append((0, op, self.out.number(work), group, labels.setdefault(detail, len(labels))))
        self.waits.append(waits)

    def drafts(self) -> Drafts:
        return Drafts(np.array(self.rows, np.int32).reshape(-1, 5).T, Lists.of(self.waits))


def _waiting(drafts: Drafts, extra: dict[int, list[int]]) -> Drafts:
    """The drafts, some of which wait for more groups."""
    more = [(task, group) for task, groups in extra.items() for group in groups]
    tasks, groups = np.array(more, np.int32).reshape(-1, 2).T
    owner = np.concatenate([drafts.waits.owner, tasks])
    return replace(drafts, waits=grouped(owner, np.concatenate([drafts.waits.values, groups]), len(drafts)))
