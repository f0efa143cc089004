"""Scheduling: plans become tasks on queues, with barriers, prefetch and CMX accounting."""

from __future__ import annotations

from math import inf

from npusim.errors import UserError
from npusim.hardware.schema import Hardware
from npusim.lowering.ir.nodes import Conv
from npusim.lowering.ir.plan import ALL_TILES, CONSTANT, Load, Plan, cmx_capacity, load_bytes
from npusim.lowering.ir.repeat import Repeat
from npusim.lowering.schedule.assemble import finish
from npusim.lowering.schedule.emit import Emitter, Transfer
from npusim.lowering.schedule.memory import Booking, Pool
from npusim.lowering.schedule.replay import Replay
from npusim.lowering.schedule.residency import decide
from npusim.lowering.schedule.steps import Copy, Residency
from npusim.program import Program, ProgramOp
from npusim.program.work import DmaWork


class Scheduler:
    """Emits the tasks of a list of plans, step by step (a step is one slice of one plan): its loads, then what can be
    prefetched for later steps, its computes, its stores.

    The slices of one plan advance in step: while slice i computes, activations of slice i+1 are loaded and the result
    of slice i-1 is stored, all from the moment that slice i has its operands (every sliced SHAVE kernel, permute and
    cumba_* on 4000 and 5010; weights are not held back: matmul_m1_k768_n3352 on 5010)."""

    def __init__(self, plans: list[Plan], residency: Residency, homes: dict[int, int], hw: Hardware) -> None:
        """Start with nothing emitted; ``homes`` maps a piece to the Concat that holds it."""
        self.plans, self.residency, self.homes, self.hw = plans, residency, homes, hw
        self.out = Emitter(hw)
        self.pool = Pool(cmx_capacity(hw))
        self.level = list(residency.level)
        steps = residency.steps
        self.loaded = [self.out.group() for _ in steps]
        self.computed = [self.out.group() for _ in steps]
        self.has_loads = [False] * len(steps)
        copies = [copy for group in residency.copies.values() for copy in group]
        self.found = {(copy.step, copy.operand) for copy in copies if copy.until == copy.step}  # not spilled
        self.pending: list[dict[int, list[Load]]] = [self._own_loads(i) for i in range(len(steps))]
        self.sizes = [{k: load_bytes(x, hw.tiles) for k, x in p.items()} for p in self.pending]
        self.last_use: dict[tuple[int, tuple[int, ...]], int] = {
            (s.plan, x.key): i for i, s in enumerate(steps) for x in s.slice.loads if x.key
        }
        self.kept: dict[tuple[int, tuple[int, ...]], int] = {}  # (plan, load key) -> group that loaded it
        self.expiring: dict[
            int, list[tuple[Booking, tuple[int, ...]]]
        ] = {}  # step -> bookings that end with it
        self.written: dict[int, list[int]] = {}  # home storage -> groups that wrote it
        self.writers: dict[int, int] = {}  # home storage -> plans that have still to write it
        for plan in plans:
            home = self.home(plan.output.storage)
            self.writers[home] = self.writers.get(home, 0) + 1
        # step -> copies that are spilled before it, each with its booking, its group and the plan that made it
        self.spills: dict[int, list[tuple[Copy, Booking, int, int]]] = {}
        self.copied: dict[tuple[int, int], int] = {}  # (step, operand) -> group of the copy that it finds
        self.moved: set[int] = set()
        self.filled: dict[int, set[int]] = {}  # plan -> operands whose copies wait for nothing
        self.moved_first: dict[int, int] = {}  # group of copies that wait for nothing -> their plan
        self.after_moves = 0  # the first group behind those
        self.done = 0  # plans up to here have had their copies
        self.ended = _ended(plans)

    def home(self, storage: int) -> int:
        """The storage that holds a value in DDR (that of the Concat it is a piece of)."""
        while storage in self.homes:
            storage = self.homes[storage]
        return storage

    def _own_loads(self, index: int) -> dict[int, list[Load]]:
        """Loads of a step by operand, without what its plan finds in CMX."""
        step = self.residency.steps[index]
        loads: dict[int, list[Load]] = {}
        for load in step.slice.loads:
            found = step.plan, load.operand
            if (index, load.operand) in self.found:
                continue
            if found not in self.residency.resident and found not in self.residency.shared:
                loads.setdefault(load.operand, []).append(load)
        return loads

    def run(self, repeat: Repeat | None) -> None:
        """Emit everything. Of blocks of plans that ``repeat``, those that would come out alike are copied."""
        for number, plan in enumerate(self.plans):
            if any(not self._waits_for_data(plan, k) for k, _ in plan.ddr_moves):
                self._fill(number)
        self.after_moves = len(self.out.ends)
        replay = Replay(self, repeat) if repeat else None
        index = 0
        while index < len(self.residency.steps):
            index = replay.advance(index) if replay else index
            self.moves_before(self.residency.steps[index].plan + 1)
            self._step(index)
            index += 1
        self.moves_before(len(self.plans))

    def moves_before(self, number: int) -> None:
        """The DDR to DDR copies of all plans before this one."""
        for plan in range(self.done, number):
            self._moves(plan)
        self.done = max(self.done, number)

    # -- DDR ----------------------------------------------------------------------------------------------------

    def _waits_for_data(self, plan: Plan, operand: int) -> bool:
        """Whether an operand is still to be written to DDR."""
        value = plan.inputs[operand]
        return not value.constant and self.writers.get(self.home(value.storage), 0) > 0

    def fence(self, number: int) -> tuple[int, ...]:
        """Groups that end the function before that of a plan; nothing of the plan starts earlier."""
        last = self.ended[number]
        return tuple(self.written.get(self.home(self.plans[last].output.storage), ())) if last >= 0 else ()

    def _sources(self, number: int, operand: int) -> tuple[int, ...]:
        """Groups that must end before an operand of a plan can be read from DDR."""
        plan, fence = self.plans[number], self.fence(number)
        if operand == CONSTANT or plan.inputs[operand].constant:
            return fence
        written = self.written.get(self.home(plan.inputs[operand].storage), ())
        return tuple(dict.fromkeys((*written, *fence))) if fence else tuple(written)

    def _wrote(self, plan: Plan, group: int | None, last: bool) -> None:
        home = self.home(plan.output.storage)
        if group is not None:
            self.written.setdefault(home, []).append(group)
        if last:
            self.writers[home] -= 1

    def _fill(self, number: int) -> None:
        """The copies of a plan that wait for nothing, before all else (the zeros of every Pad and Concat of Mamba-2, of
        all four layers, before the gather: 4000, 5010)."""
        plan = self.plans[number]
        free = [(k, work) for k, work in plan.ddr_moves if not self._waits_for_data(plan, k)]
        group = self.out.group()
        self.moved_first[group] = number
        self.filled[number] = {k for k, _ in free}
        self.out.dma([(work, plan.op, (), group, "", None, -1) for _, work in free])
        self.written.setdefault(self.home(plan.output.storage), []).append(group)

    def _moves(self, number: int) -> None:
        """The DDR to DDR copies of a plan, but for those that have been emitted before all else."""
        plan = self.plans[number]
        if number in self.moved or (plan.slices and not plan.ddr_moves):
            return
        self.moved.add(number)
        if number in self.residency.joined:
            self._wrote(plan, None, True)
            return
        filled = self.filled.get(number, ())
        moves = [(k, work) for k, work in plan.ddr_moves if k not in filled]
        group = self.out.group() if moves else None
        if group is not None:
            self.out.dma(
                [(work, plan.op, self._sources(number, k), group, "", None, -1) for k, work in moves]
            )
        self._wrote(plan, group, last=not plan.slices)

    # -- loads --------------------------------------------------------------------------------------------------

    def _load(self, index: int, operand: int, loads: list[Load], waits: tuple[int, ...]) -> list[Transfer]:
        """Take CMX for some loads of one operand of a step, and their transfers."""
        step = self.residency.steps[index]
        plan = self.plans[step.plan]
        booked: list[tuple[Load, Booking]] = []
        for last, group in self._by_last_use(index, loads).items():
            size = load_bytes(group, self.hw.tiles)
            taken = self.pool.take(size)
            if taken is None:
                raise UserError(self._overflow(index))
            waits = tuple(dict.fromkeys((*waits, *taken)))
            booking = self.pool.book(size)
            self.expiring.setdefault(last, []).append((booking, (self.loaded[index],)))
            booked.extend((load, booking) for load in group)
        self.has_loads[index] = True
        engines = self._engines(loads)
        return [
            (x.work, plan.op, waits, self.loaded[index], step.slice.detail, b, engines.get(id(x), -1))
            for x, b in booked
        ]

    def _engines(self, loads: list[Load]) -> dict[int, int]:
        """The engines of loads that are one a tile: they alternate, however busy each engine is (matmul_m1_k1536_n80,
        matmul_m256_k256_n256, conv_c1024_256_h14_k1s1 on all platforms)."""
        own = [id(load) for load in loads if load.tile != ALL_TILES]
        return {load: i % self.out.engines for i, load in enumerate(own)} if len(own) > 1 else {}

    def _by_last_use(self, index: int, loads: list[Load]) -> dict[int, list[Load]]:
        """Loads by the last step that uses them, which for kept ones is a later slice of the plan."""
        plan = self.residency.steps[index].plan
        groups: dict[int, list[Load]] = {}
        for load in loads:
            last = self.residency.shared_until.get((plan, load.operand), index)
            if load.key:
                self.kept[plan, load.key] = self.loaded[index]
                last = max(last, self.last_use[plan, load.key])
            groups.setdefault(last, []).append(load)
        return groups

    def _fresh(self, index: int, loads: list[Load]) -> list[Load]:
        """Loads that no earlier step of the plan has done already."""
        plan = self.residency.steps[index].plan
        return [x for x in loads if not x.key or (plan, x.key) not in self.kept]

    def _loads(self, index: int) -> list[Transfer]:
        """All loads of a step that prefetch has not done."""
        number = self.residency.steps[index].plan
        items: list[Transfer] = []
        for operand, loads in self.pending[index].items():
            fresh = self._fresh(index, loads)
            if fresh:
                items.extend(self._load(index, operand, fresh, self._sources(number, operand)))
        self.pending[index] = {}
        return items

    def _prefetch(self, index: int, until_us: float) -> None:
        """Loads of later steps of the same function, in order, until one does not fit CMX or would start after
        ``until_us``, the end of what this step computes; those of the next step are due by then, and so wait for
        nothing."""
        capacity = cmx_capacity(self.hw)
        room = capacity - self.level[index]
        here = self.residency.steps[index]
        reach = self.hw.software.prefetch_slices
        for later in range(index + 1, min(len(self.pending), index + 1 + reach)):
            ahead = self.residency.steps[later]
            plan = self.plans[ahead.plan]
            far = plan.ahead and ahead.index - (here.index if ahead.plan == here.plan else -1) > plan.ahead
            held = ahead.plan == here.plan and ahead.index > 1 and not plan.ahead and _is_matmul(plan)
            if far or plan.function != self.plans[here.plan].function or (held and later > index + 1):
                return
            items: list[Transfer] = []
            for operand, loads in list(self.pending[later].items()):
                if operand != CONSTANT and self._waits_for_data(plan, operand):
                    continue
                sources = self._sources(ahead.plan, operand)
                fresh = self._fresh(later, loads)
                size = (
                    load_bytes(fresh, self.hw.tiles)
                    if len(fresh) < len(loads)
                    else self.sizes[later][operand]
                )
                late = later > index + 1 and self.out.start_us(len(loads), sources) >= until_us
                if late or size > room:
                    self.out.dma(items)
                    return
                if fresh:
                    waits = sources
                    first = _is_matmul(plan) and ahead.index == 1
                    if (
                        here.plan == ahead.plan
                        and operand != CONSTANT
                        and self.has_loads[index]
                        and not first
                    ):
                        waits = (*sources, self.loaded[index])  # when the slice before computes
                    elif held:
                        waits = (*sources, self.computed[index - 1], self.loaded[index])
                    items.extend(self._load(later, operand, fresh, waits))
                del self.pending[later][operand]
                for s in range(index, later):
                    self.level[s] += size
                room -= size
            self.out.dma(items)
            room = min(room, capacity - self.level[later])

    # -- steps --------------------------------------------------------------------------------------------------

    def _step(self, index: int) -> None:
        step = self.residency.steps[index]
        number, plan = step.plan, self.plans[step.plan]
        self._spill(index)
        if self._behind_copies(index):
            self._prefetch(index, 0.0)
        items = self._loads(index)
        self.out.dma(items)
        waits = self._compute_waits(index, number, plan)
        size = self.residency.output_bytes(plan, number, step.slice)
        booking, taken = self._book(index, size)
        waits = tuple(dict.fromkeys((*waits, *taken)))
        booking.writers.extend(self._computes(index, waits))
        release = [self.computed[index]]
        if number in self.residency.stored:
            store = self.out.group()
            waits = (self.computed[index],)
            if not step.last and self.has_loads[index + 1] and not self.pending[index + 1]:
                waits = (*waits, self.loaded[index + 1])
            self.out.dma(
                [(s.work, plan.op, waits, store, step.slice.detail, None, -1) for s in step.slice.stores]
            )
            release.append(store)
            self._wrote(plan, store, step.last)
        elif step.last and number not in self.residency.copies:
            self._wrote(plan, None, True)
        keep = self.residency.keep_step(index)
        copied = step.last and number in self.residency.copies
        if keep > index:
            self.expiring.setdefault(keep, []).append((booking, tuple(release)))
        elif not copied:
            self._release(booking, tuple(release))
        for old, groups in self.expiring.pop(index, ()):
            self._release(old, (*groups, *(release if plan.in_place else release[:1])))
        if copied:
            self._release(booking, (*release, *self._copy(index)))

    def _book(self, index: int, size: int) -> tuple[Booking, tuple[int, ...]]:
        """A booking for what a step makes, and the groups that must end before."""
        taken = self.pool.take(size)
        if taken is None:
            raise UserError(self._overflow(index))
        return self.pool.book(size), taken

    def _copy(self, index: int) -> list[int]:
        """Copy what a step has made for the slices of its reader, within CMX; the groups of the copies."""
        made, groups = self.residency.steps[index].plan, []
        for copy in self.residency.copies[made]:
            reader = self.residency.steps[copy.step]
            booking, waits = self._book(index, copy.bytes)
            group = self.out.group()
            works = [x.work for x in reader.slice.loads if x.operand == copy.operand]
            moves = [DmaWork("cmx", "cmx", work.bytes, work.counted_bytes) for work in works]
            waits = (self.computed[index], *waits)
            op = self.plans[reader.plan].op
            self.out.dma([(work, op, waits, group, reader.slice.detail, booking, -1) for work in moves])
            groups.append(group)
            if copy.until == copy.step:
                self.copied[copy.step, copy.operand] = group
                self.expiring.setdefault(copy.step, []).append((booking, (group,)))
            else:
                self.spills.setdefault(copy.until, []).append((copy, booking, group, made))
        if all(copy.until == copy.step for copy in self.residency.copies[made]):
            self._wrote(self.plans[made], None, True)
        return groups

    def _spill(self, index: int) -> None:
        """Write copies to DDR whose room a step needs."""
        spilled = self.spills.pop(index, [])
        for copy, booking, group, made in spilled:
            reader, store = self.residency.steps[copy.step], self.out.group()
            works = [x.work for x in reader.slice.loads if x.operand == copy.operand]
            moves = [DmaWork("cmx", "ddr", work.bytes, work.counted_bytes) for work in works]
            op = self.plans[reader.plan].op
            self.out.dma([(work, op, (group,), store, reader.slice.detail, None, -1) for work in moves])
            self._release(booking, (store,))
            self._wrote(self.plans[made], store, False)
        left = {made for pending in self.spills.values() for _, _, _, made in pending}
        for made in sorted({made for _, _, _, made in spilled} - left):
            self._wrote(self.plans[made], None, True)

    def _behind_copies(self, index: int) -> bool:
        """Whether a step must wait for DDR to DDR copies that waited for nothing: the weights of the next one are then
        issued first (conv_c1024_256_h14_k1s1, conv_c512_512_h14_k3s1, dwconv2d_c384_h14 on 4000 and 5010: 6 of 6)."""
        number = self.residency.steps[index].plan
        sources = [group for operand in self.pending[index] for group in self._sources(number, operand)]
        return len(self.plans[number].slices) == 1 and any(group in self.moved_first for group in sources)

    def _release(self, booking: Booking, groups: tuple[int, ...]) -> None:
        self.pool.release(booking, groups, self.out.ready(groups))

    def _compute_waits(self, index: int, number: int, plan: Plan) -> tuple[int, ...]:
        """Groups that the computes of a step wait for: its loads, kept loads, the makers of what is in CMX, and all
        tiles' computes of the slice before (489 of 489 pairs of uneven slices in the traces, 251 without a gap)."""
        step = self.residency.steps[index]
        waits: list[int] = [self.loaded[index]] if self.has_loads[index] else []
        if step.index:
            waits.append(self.computed[self.residency.steps_of[number][step.index - 1]])
        for load in step.slice.loads:
            group = self.kept.get((number, load.key)) if load.key else None
            if group is not None:
                waits.append(group)
        for operand in range(len(plan.inputs)):
            for source in self.residency.resident.get((number, operand), ()):
                waits.append(self.computed[self.residency.maker_step(source, index)])
            copy = self.copied.get((index, operand))
            if copy is not None:
                waits.append(copy)
            first = self.residency.shared.get((number, operand))
            if first is not None:
                waits.append(self.loaded[self.residency.steps_of[first[0]][0]])
        return tuple(dict.fromkeys(waits))

    def _computes(self, index: int, waits: tuple[int, ...]) -> list[int]:
        """Emit the computes of a step and what is prefetched meanwhile; the numbers of the former.

        A transfer among them (broadcast, gather) follows the kernels before it, and on its queue what was prefetched:
        a gather waits behind all weights that CMX has room for (every SSM trace on 4000). Kernels behind a transfer
        follow it, and so do copies behind an expansion. Kernels without a duration (index conversion, RMS norm,
        CumSum) set prefetch no limit.
        """
        step = self.residency.steps[index]
        op, group = self.plans[step.plan].op, self.computed[index]
        made: list[int] = []
        prefetched = False
        moved: str = ""
        for tile, work in step.slice.computes:
            moves = work.kind if isinstance(work, DmaWork) else ""
            if isinstance(work, DmaWork) and self.out.queues_with_loads(work) and not prefetched:
                self._prefetch(index, self._limit(group, made))
                prefetched = True
            if made and moves != moved:
                waits = (*waits, self._regroup(group, made))
            moved = moves
            first = self.out.count
            self.out.compute(tile, op, work, waits, group, step.slice.detail)
            made.extend(range(first, self.out.count))
        if not prefetched:
            self._prefetch(index, self._limit(group, made))
        return made

    def _limit(self, group: int, made: list[int]) -> float:
        """Until when loads are prefetched: the end of what has been computed."""
        return self.out.ends[group] if self.out.takes_time(made) else inf

    def _regroup(self, group: int, made: list[int]) -> int:
        """A group of their own for the tasks of a group so far."""
        before = self.out.group()
        self.out.regroup(made, before)
        self.out.ends[before] = self.out.ends[group]
        return before

    def _overflow(self, index: int) -> str:
        step = self.residency.steps[index]
        node = self.plans[step.plan].node
        limit = cmx_capacity(self.hw)
        need, has, gap = (f"{b / 1024:,.1f} KiB" for b in (step.demand, limit, max(step.demand - limit, 0)))
        return (
            f"op '{node.name}' ({node.type}) does not fit the scratchpad: one slice needs {need} a tile, "
            f"CMX has {has}, gap {gap}; levers: more tiles, a larger cmx.kib_per_tile, a smaller batch or fewer "
            "tokens, 8-bit weights"
        )


def _is_matmul(plan: Plan) -> bool:
    """Whether a plan is a MatMul by constant weights."""
    return isinstance(plan.node, Conv) and plan.node.window is None


def _ended(plans: list[Plan]) -> list[int]:
    """For each plan the last one of the function before its own; -1 in the first function."""
    ended: list[int] = []
    for number, plan in enumerate(plans):
        new = number > 0 and plan.function != plans[number - 1].function
        ended.append(number - 1 if new else ended[-1] if ended else -1)
    return ended


def schedule(
    plans: list[Plan],
    ops: list[ProgramOp],
    outputs: set[int],
    homes: dict[int, int],
    name: str,
    hw: Hardware,
    notes: tuple[str, ...],
    repeat: Repeat | None = None,
) -> Program:
    """The Program of a list of plans. ``outputs`` are the storages that the model returns; ``homes`` maps the storage
    of a piece to that of the Concat it is written into; ``repeat`` says which plans are blocks that are alike. Raises
    UserError where a slice does not fit CMX."""
    residency = decide(plans, outputs, hw.tiles, cmx_capacity(hw))
    scheduler = Scheduler(plans, residency, homes, hw)
    scheduler.run(repeat)
    return finish(scheduler.out, scheduler.pool.bookings, ops, name, hw, notes)
