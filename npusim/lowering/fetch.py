"""Fetches: the transfers that bring task descriptors to the NPU before the tasks run (facts/vendor_costs.md 5)."""

from __future__ import annotations

from npusim.costs.dpu import workloads
from npusim.costs.work import DmaWork, DpuWork, ShaveWork
from npusim.hardware.schema import Hardware
from npusim.lowering.emit import Draft

#: Op index of tasks that belong to no op of the model.
NO_OP = 0


def _group_tasks(drafts: list[Draft], hw: Hardware) -> tuple[list[int], dict[tuple[int, int], list[int]]]:
    """For each task the number of its fetch group (-1: needs none), and the groups of each FIFO in order. Of the tasks
    that an op puts on a tile's SHAVEs, each goes to the next FIFO."""
    fetch = hw.software.fetch
    assert fetch is not None
    group_of = [-1] * len(drafts)
    by_queue: dict[tuple[int, int], list[int]] = {}
    fill: dict[tuple[int, int], tuple[int, int]] = {}
    beside: dict[
        int, tuple[int, int]
    ] = {}  # queue -> (task group of its last task, place of that task in it)
    count = 0
    for i, draft in enumerate(drafts):
        fifo = 0
        if isinstance(draft.work, DpuWork):
            limit, variants = fetch.tasks_per_group, len(workloads(draft.work))
        elif isinstance(draft.work, ShaveWork):
            limit, variants = fetch.shave_tasks_per_group, 0
            group, place = beside.get(draft.queue, (-1, -1))
            place = place + 1 if group == draft.group else 0
            beside[draft.queue] = draft.group, place
            fifo = place % fetch.shave_queues_per_tile
        else:
            continue
        key = draft.queue, fifo
        tasks, used = fill.get(key, (limit, 0))
        if tasks + 1 > limit or used + variants > fetch.variants_per_group:
            by_queue.setdefault(key, []).append(count)
            count += 1
            tasks = used = 0
        fill[key] = (tasks + 1, used + variants)
        group_of[i] = by_queue[key][-1]
    return group_of, by_queue


def add_fetches(drafts: list[Draft], groups: int, hw: Hardware) -> tuple[list[Draft], dict[int, int]]:
    """The drafts with their fetches: the first two groups of every queue before all else, later ones when the group
    before the previous one has ended. ``groups`` is the number of task groups so far. Returns the drafts and the new
    place of every old one."""
    fetch = hw.software.fetch
    computes = any(isinstance(d.work, (DpuWork, ShaveWork)) for d in drafts)
    if fetch is None or not (computes or fetch.program_transfers):
        return drafts, {i: i for i in range(len(drafts))}
    group_of, by_queue = _group_tasks(drafts, hw)
    work = DmaWork("ddr", "cmx", 0, 0, "fetch")
    start = groups
    groups += 1
    before = [Draft(0, NO_OP, work, (), start, "barrier programming") for _ in range(fetch.program_transfers)]
    for owned in by_queue.values():
        before.extend(Draft(0, NO_OP, work, (), start, "fetch") for _ in owned[:2])
    before.append(Draft(0, NO_OP, DmaWork("ddr", "ddr", 0, 0, "sync"), (), start, "start barrier"))
    if fetch.enqueue_transfers:
        before.extend(Draft(0, NO_OP, work, (start,), groups, "enqueue") for _ in by_queue)
        groups += 1
    ends = {draft.group: i for i, draft in enumerate(drafts)}
    last_task: dict[int, int] = {}
    first_task: dict[int, int] = {}
    for i, g in enumerate(group_of):
        if g >= 0:
            last_task[g] = i
            first_task.setdefault(g, i)
    ready: dict[int, int] = {}  # later group -> task group of its fetch
    insert_after: dict[int, list[tuple[int, int]]] = {}  # place -> (task group to wait for, later group)
    for owned in by_queue.values():
        for earlier, later in zip(owned, owned[2:], strict=False):
            last = drafts[last_task[earlier]]
            place, awaited = ends[last.group], last.group
            if (
                drafts[first_task[later]].group == awaited
            ):  # a slice of so many tasks: its own end would be too late
                place, awaited = last_task[earlier], groups
                last.also = awaited
                groups += 1
            ready[later] = groups
            insert_after.setdefault(place, []).append((awaited, later))
            groups += 1
    result = before
    position: dict[int, int] = {}
    seen: set[int] = set()
    for i, draft in enumerate(drafts):
        if draft.queue not in seen:
            seen.add(draft.queue)
            draft.waits = (*draft.waits, start)
        g = group_of[i]
        if g in ready and first_task[g] == i:
            draft.waits = (*draft.waits, ready[g])
        position[i] = len(result)
        result.append(draft)
        for awaited, later in insert_after.get(i, ()):
            result.append(Draft(0, draft.op, work, (awaited,), ready[later], "fetch"))
    return result, position
