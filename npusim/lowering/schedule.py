"""Scheduling: plans become tasks on queues, with barriers, prefetch and CMX accounting."""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass, field

from npusim.costs.price import work_us
from npusim.costs.work import DmaWork, DpuWork, ShaveWork, Work
from npusim.errors import UserError
from npusim.hardware.schema import Hardware
from npusim.lowering.fetch import add_fetches
from npusim.lowering.plan import ALL_TILES, CONSTANT, Load, Plan, cmx_capacity
from npusim.lowering.program import CmxBuffer, Program, ProgramOp, Queue, Task
from npusim.lowering.residency import Residency, decide


@dataclass(slots=True)
class Draft:
    """A task in the making: ``waits`` and ``group`` are groups of tasks, which become barriers."""

    queue: int
    op: int
    work: Work
    waits: tuple[int, ...]
    group: int
    detail: str


@dataclass(slots=True)
class _Buffer:
    bytes: int
    per_tile: list[tuple[int, int]]
    users: list[int]
    name: str


@dataclass(slots=True)
class _Memory:
    """CMX as a pool of bytes on the fullest tile. Buffers whose last user has been issued wait in ``dead``; taking
    their bytes again means waiting for that user."""

    free: int
    dead: deque[tuple[int, tuple[int, ...]]] = field(default_factory=deque)

    def take(self, size: int) -> list[int] | None:
        """Groups to wait for before ``size`` bytes are free; None where that can't be."""
        waits: list[int] = []
        while self.free < size:
            if not self.dead:
                return None
            freed, groups = self.dead.popleft()
            self.free += freed
            waits.extend(groups)
        self.free -= size
        return waits


def queues(hw: Hardware) -> tuple[Queue, ...]:
    """The FIFOs of a machine: DMA engine x source memory, then per tile DPU and SHAVE."""
    dma = [Queue(f"DMA {e} {c.upper()}", "dma", e, c) for c in ("ddr", "cmx") for e in range(hw.dma.engines)]
    dpu = [Queue(f"DPU {t}", "dpu", t) for t in range(hw.tiles)]
    shave = [Queue(f"SHAVE {t}", "shave", t, servers=hw.shave.per_tile) for t in range(hw.tiles)]
    return (*dma, *dpu, *shave)


class Scheduler:
    """Emits the tasks of a list of plans. See ``schedule``."""

    def __init__(self, plans: list[Plan], residency: Residency, homes: dict[int, int], hw: Hardware) -> None:
        self.plans, self.residency, self.homes, self.hw = plans, residency, homes, hw
        self.drafts: list[Draft] = []
        self.groups = 0
        self.memory = _Memory(cmx_capacity(hw))
        self.level = list(residency.level)
        self.engine_us = {c: [0.0] * hw.dma.engines for c in ("ddr", "cmx")}
        self.written: dict[int, list[int]] = {}  # home storage -> groups that wrote it
        steps = residency.steps
        self.loaded = [self.group() for _ in steps]
        self.computed = [self.group() for _ in steps]
        self.has_loads = [False] * len(steps)
        self.kept: dict[tuple[int, tuple[int, ...]], int] = {}  # (plan, key) -> load group
        self.kept_bytes: dict[int, list[tuple[int, int]]] = {}
        self.pending: list[list[Load]] = [self._own_loads(i) for i in range(len(steps))]
        self.step_loads: list[list[tuple[int, int]]] = [[] for _ in steps]  # buffers: (bytes, load group)
        self.output_bytes: dict[int, int] = {}
        self.last_key_step: dict[tuple[int, tuple[int, ...]], int] = {}
        for i, step in enumerate(steps):
            for load in step.slice.loads:
                if load.key:
                    self.last_key_step[step.plan, load.key] = i
        self.costs: dict[DmaWork, float] = {}
        self.prefetched = 0
        self.buffers: list[_Buffer] = []
        self.expiring: dict[int, list[tuple[int, list[int]]]] = {}

    def group(self) -> int:
        """A new group of tasks."""
        self.groups += 1
        return self.groups - 1

    def _own_loads(self, index: int) -> list[Load]:
        step = self.residency.steps[index]
        return [x for x in step.slice.loads if (step.plan, x.operand) not in self.residency.resident]

    # -- emission -----------------------------------------------------------------------------------------------

    def cost(self, work: DmaWork) -> float:
        """Estimated µs of a transfer, for balancing the engines."""
        if work not in self.costs:
            self.costs[work] = work_us(work, self.hw)
        return self.costs[work]

    def dma(self, work: DmaWork, op: int, waits: tuple[int, ...], group: int, detail: str, lone: bool) -> None:
        """One transfer on the engine with less queued work; cut in two where it is long and alone."""
        load = self.engine_us[work.src]
        engine = min(range(len(load)), key=load.__getitem__)
        base = 0 if work.src == "ddr" else self.hw.dma.engines
        halves = len(load)
        if lone and halves > 1 and work.bytes > self.hw.software.dma_split_bytes and work.kind in ("copy", "convert"):
            part = DmaWork(work.src, work.dst, -(-work.bytes // halves), -(-work.counted_bytes // halves), work.kind)
            for e in range(halves):
                load[e] += self.cost(part)
                self.drafts.append(Draft(base + e, op, part, waits, group, detail))
            return
        load[engine] += self.cost(work)
        self.drafts.append(Draft(base + engine, op, work, waits, group, detail))

    def balance(self, channel: str) -> None:
        """Forget what the engines of a channel did: a new batch starts level."""
        self.engine_us[channel] = [0.0] * self.hw.dma.engines

    def batch(self, items: list[tuple[DmaWork, int, tuple[int, ...], int, str]]) -> None:
        """Transfers issued together: alternating over the engines, a long odd one cut in two."""
        if not items:
            return
        self.balance(items[0][0].src)
        for i, (work, op, waits, group, detail) in enumerate(items):
            load = self.engine_us[work.src]
            level = max(load) - min(load) < self.cost(work) / 2
            self.dma(work, op, waits, group, detail, lone=i == len(items) - 1 and level)

    def waits_for(self, plan: Plan, operand: int) -> tuple[int, ...]:
        """Groups that must end before an operand can be read from DDR."""
        if operand == CONSTANT:
            return ()
        return tuple(self.written.get(self.homes.get(plan.inputs[operand].storage, -1), ()))

    def collect_loads(self, index: int, only_ready: bool, before: int) -> list[tuple[DmaWork, int, tuple[int, ...], int, str]] | None:
        """Transfers of a step not issued yet, with their CMX taken; None where a prefetch (``only_ready``) does not fit
        beside what the steps from ``before`` on need."""
        step = self.residency.steps[index]
        plan = self.plans[step.plan]
        items = []
        rest: list[Load] = []
        blocked = False
        by_operand: dict[int, list[Load]] = {}
        for load in self.pending[index]:
            by_operand.setdefault(load.operand, []).append(load)
        for operand, loads in by_operand.items():
            fresh = []
            for load in loads:
                if load.key and (step.plan, load.key) in self.kept:
                    continue
                fresh.append(load)
            if not fresh:
                continue
            if only_ready:
                if operand != CONSTANT and not self._available(plan, operand, before):
                    rest.extend(loads)
                    continue
                size = self._bytes(fresh)
                if blocked or any(self.level[s] + size > self.memory_limit() for s in range(before, index)):
                    rest.extend(loads)
                    blocked = True
                    continue
                for s in range(before, index):
                    self.level[s] += size
            size = self._bytes(fresh)
            taken = self.memory.take(size)
            if taken is None:
                raise UserError(self._overflow(index, size))
            waits = tuple(dict.fromkeys((*self.waits_for(plan, operand), *taken)))
            self._hold(index, step.plan, fresh, size)
            for load in fresh:
                items.append((load.work, plan.op, waits, self.loaded[index], f"{step.slice.detail}"))
            self.has_loads[index] = True
        self.pending[index] = rest
        return None if blocked and not items else items

    def memory_limit(self) -> int:
        """Bytes of one tile."""
        return cmx_capacity(self.hw)

    def _available(self, plan: Plan, operand: int, before: int) -> bool:
        """Whether an operand's bytes are in DDR (or on their way) before step ``before`` computes."""
        storage = self.homes.get(plan.inputs[operand].storage, -1)
        return storage not in self.unwritten

    def _bytes(self, loads: list[Load]) -> int:
        shared = sum(x.cmx_bytes for x in loads if x.tile == ALL_TILES)
        own: dict[int, int] = {}
        for x in loads:
            if x.tile != ALL_TILES:
                own[x.tile] = own.get(x.tile, 0) + x.cmx_bytes
        return shared + max(own.values(), default=0)

    def _hold(self, index: int, plan: int, loads: list[Load], size: int) -> None:
        """Book loaded bytes until the last step that uses them has computed."""
        last = index
        for load in loads:
            if load.key:
                self.kept[plan, load.key] = self.loaded[index]
                last = max(last, self.last_key_step[plan, load.key])
        self.expiring.setdefault(last, []).append((size, [self.computed[last]]))

    def _overflow(self, index: int, size: int) -> str:
        step = self.residency.steps[index]
        plan = self.plans[step.plan]
        limit, demand = cmx_capacity(self.hw), step.demand
        kib = [f"{b / 1024:.0f} KiB" for b in (demand, limit, max(demand - limit, 0))]
        return (
            f"op '{plan.node.name}' ({plan.node.type}) does not fit the scratchpad: one slice needs {kib[0]} a tile, "
            f"CMX has {kib[1]}, gap {kib[2]}; levers: more tiles, a larger cmx.kib_per_tile, a smaller batch or "
            "fewer tokens, 8-bit weights"
        )

    def run(self) -> None:
        """Emit everything."""
        steps = self.residency.steps
        self.unwritten = {
            self.homes[p.output.storage] for p in self.plans if p.output.storage in self.homes
        }
        self.remaining_writers: dict[int, int] = {}
        for p in self.plans:
            home = self.homes.get(p.output.storage)
            if home is not None:
                self.remaining_writers[home] = self.remaining_writers.get(home, 0) + 1
        emitted_plans = 0
        for index, step in enumerate(steps):
            while emitted_plans <= step.plan:
                self._moves(emitted_plans)
                emitted_plans += 1
            self._step(index)
        for rest in range(emitted_plans, len(self.plans)):
            self._moves(rest)

    def _moves(self, number: int) -> None:
        """The DDR to DDR copies of a plan."""
        plan = self.plans[number]
        if not plan.ddr_moves:
            if not plan.slices:
                self._wrote(plan, ())
            return
        waits = tuple(
            dict.fromkeys(g for k in range(len(plan.inputs)) for g in self.waits_for(plan, k))
        )
        group = self.group()
        self.batch([(w, plan.op, waits, group, "") for w in plan.ddr_moves])
        self._wrote(plan, (group,))

    def _wrote(self, plan: Plan, groups: tuple[int, ...]) -> None:
        home = self.homes.get(plan.output.storage)
        if home is None:
            return
        self.written.setdefault(home, []).extend(groups)
        self.remaining_writers[home] -= 1
        if not self.remaining_writers[home]:
            self.unwritten.discard(home)

    def _step(self, index: int) -> None:
        steps = self.residency.steps
        step = steps[index]
        plan = self.plans[step.plan]
        items = self.collect_loads(index, only_ready=False, before=index) or []
        items.extend(self._prefetch(index))
        self.batch(items)
        waits = self._compute_waits(index, step.plan, plan)
        out = max(step.slice.out_bytes, default=0)
        taken = self.memory.take(out)
        if taken is None:
            raise UserError(self._overflow(index, out))
        waits = tuple(dict.fromkeys((*waits, *taken)))
        self._computes(step.slice.computes, plan.op, waits, self.computed[index], step.slice.detail)
        release = [self.computed[index]]
        if step.plan in self.residency.stored:
            store = self.group()
            self.batch([(s.work, plan.op, (self.computed[index],), store, step.slice.detail) for s in step.slice.stores])
            release.append(store)
            self._stored(plan, store, step.last)
        elif step.last:
            self._wrote(plan, ())
        keep = self.residency.keep_until.get(step.plan)
        if out:
            if keep is not None and keep > index:
                self.expiring.setdefault(keep, []).append((out, [*release, self.computed[keep]]))
            else:
                self.memory.dead.append((out, tuple(release)))
        for size, groups in self.expiring.pop(index, ()):
            extra = tuple(release) if plan.in_place else ()
            self.memory.dead.append((size, tuple(dict.fromkeys((*groups, *extra)))))

    def _stored(self, plan: Plan, group: int, last: bool) -> None:
        home = self.homes.get(plan.output.storage)
        if home is None:
            return
        self.written.setdefault(home, []).append(group)
        if last:
            self._wrote(plan, ())

    def _compute_waits(self, index: int, number: int, plan: Plan) -> tuple[int, ...]:
        waits: list[int] = [self.loaded[index]] if self.has_loads[index] else []
        for load in self.residency.steps[index].slice.loads:
            if load.key and (number, load.key) in self.kept:
                waits.append(self.kept[number, load.key])
        for operand in range(len(plan.inputs)):
            source = self.residency.resident.get((number, operand))
            if source is not None:
                waits.append(self.computed[self.residency.first_step[source]])
        return tuple(dict.fromkeys(waits))

    def _computes(
        self, computes: list[tuple[int, Work]], op: int, waits: tuple[int, ...], group: int, detail: str
    ) -> None:
        """Computes of a step; a DMA among them (broadcast, gather) waits for the compute before it."""
        dpu0 = 2 * self.hw.dma.engines
        shave0 = dpu0 + self.hw.tiles
        previous = waits
        for position, (tile, work) in enumerate(computes):
            if isinstance(work, DmaWork):
                inner = previous
                if position:
                    inner = (*previous, self._chain(position))
                base = 0 if work.src == "ddr" else self.hw.dma.engines
                self.drafts.append(Draft(base, op, work, inner, group, detail))
                continue
            queue = dpu0 + tile if isinstance(work, DpuWork) else shave0 + tile
            self.drafts.append(Draft(queue, op, work, waits, group, detail))

    def _chain(self, position: int) -> int:
        """A group for the task just emitted, for the next to wait on."""
        group = self.group()
        self.drafts[-1].group = group
        return group

    def _prefetch(self, index: int) -> list[tuple[DmaWork, int, tuple[int, ...], int, str]]:
        """Loads of later steps whose data are in DDR already and for which CMX has room."""
        items = []
        steps = self.residency.steps
        limit = min(len(steps), index + 1 + PREFETCH_STEPS)
        for later in range(index + 1, limit):
            if not self.pending[later]:
                continue
            if steps[later].plan - steps[index].plan > self.hw.software.prefetch_ops:
                break
            found = self.collect_loads(later, only_ready=True, before=index)
            if found is None:
                break
            items.extend(found)
        return items


#: Steps that prefetch looks ahead over.
PREFETCH_STEPS = 64


def schedule(plans: list[Plan], ops: list[ProgramOp], outputs: set[int], homes: dict[int, int], name: str, hw: Hardware, notes: tuple[str, ...]) -> Program:
    """The Program of a list of plans. ``homes`` maps the storage of every plan's output to where it lies in DDR
    (pieces of a Concat lie in its result). Raises UserError where a slice does not fit CMX."""
    residency = decide(plans, outputs, hw.tiles, cmx_capacity(hw))
    scheduler = Scheduler(plans, residency, homes, hw)
    scheduler.run()
    drafts = scheduler.drafts
    drafts, extra_groups = add_fetches(drafts, scheduler.groups, hw)
    waited = {g for d in drafts for g in d.waits}
    present = {d.group for d in drafts}
    number = {g: i for i, g in enumerate(sorted(waited & present))}
    tasks = tuple(
        Task(
            d.queue,
            d.op,
            d.work,
            tuple(number[g] for g in d.waits if g in number),
            (number[d.group],) if d.group in number else (),
            d.detail,
        )
        for d in drafts
    )
    return Program(
        name=name,
        queues=queues(hw),
        tasks=tasks,
        ops=tuple(ops),
        barriers=len(number),
        buffers=(),
        cmx_bytes_per_tile=cmx_capacity(hw),
        tiles=hw.tiles,
        notes=notes,
    )


__all__ = ["CmxBuffer", "Draft", "Scheduler", "ShaveWork", "queues", "schedule"]
