"""Loads of steps: what a step needs before it computes, and what is prefetched for later ones meanwhile."""

from __future__ import annotations

from npusim.errors import UserError
from npusim.lowering.ir.convolution import brings_weights
from npusim.lowering.ir.nodes import Conv
from npusim.lowering.ir.plan import ALL_TILES, CONSTANT, Load, Plan, load_bytes
from npusim.lowering.schedule.emit import Transfer
from npusim.lowering.schedule.memory import Booking
from npusim.lowering.schedule.state import State


def book(s: State, index: int, size: int) -> tuple[Booking, tuple[int, ...]]:
    """A booking of CMX for a step, and the groups that must end before it is free."""
    taken = s.pool.take(size)
    if taken is None:
        raise UserError(_overflow(s, index))
    return s.pool.book(size), taken


def loads_left(s: State, index: int) -> list[Transfer]:
    """All loads of a step that have not been prefetched."""
    number = s.given.residency.steps[index].plan
    items: list[Transfer] = []
    for operand, loads in s.pending[index].items():
        fresh = _fresh(s, index, loads)
        if fresh:
            items.extend(_load(s, index, fresh, s.sources(number, operand)))
    s.pending[index] = {}
    return items


def prefetch(s: State, index: int, until_us: float) -> None:
    """Loads of later steps of the same function, in order, until one does not fit CMX or would start after the end of
    what this step computes (``until_us``); those of the next step are due by then, and so wait for nothing."""
    steps, capacity = s.given.residency.steps, s.given.capacity
    room = capacity - s.level[index]
    here = steps[index]
    reach = s.given.hw.software.prefetch_slices
    for later in range(index + 1, min(len(steps), index + 1 + reach)):
        ahead = steps[later]
        plan = s.given.plans[ahead.plan]
        far = plan.ahead and ahead.index - (here.index if ahead.plan == here.plan else -1) > plan.ahead
        held = ahead.plan == here.plan and ahead.index > 1 and not plan.ahead and is_matmul(plan)
        if far or plan.function != s.given.plans[here.plan].function or (held and later > index + 1):
            return
        begins = _begins_image(s, later)
        if begins and later > index + 1:
            return
        items: list[Transfer] = []
        for operand, loads in list(s.pending[later].items()):
            if operand != CONSTANT and s.waits_for_data(plan, operand):
                continue
            sources = s.sources(ahead.plan, operand)
            fresh = _fresh(s, later, loads)
            whole = len(fresh) == len(loads)
            size = s.sizes[later][operand] if whole else load_bytes(fresh, s.given.hw.tiles)
            late = later > index + 1 and s.out.start_us(len(loads), sources) >= until_us
            if late or size > room:
                s.out.dma(items)
                return
            if fresh:
                waits = (
                    *sources,
                    *_holds(s, index, later, operand, held or (begins and operand != CONSTANT)),
                )
                items.extend(_load(s, later, fresh, waits))
            del s.pending[later][operand]
            for step in range(index, later):
                s.level[step] += size
            room -= size
        s.out.dma(items)
        room = min(room, capacity - s.level[later])


def _begins_image(s: State, index: int) -> bool:
    """Whether a step is the first of an image that then passes through two more plans or more: it is loaded when the
    last of them begins with the image before, where it is not copied in DDR first (evidence/lowering.md#4.1)."""
    steps, plans = s.given.residency.steps, s.given.plans
    first, before = steps[index].plan, steps[index - 1].plan
    images = plans[first].images > 1 and not plans[first].ddr_moves and before - first > 1
    return images and plans[before].chain == plans[first].chain >= 0


def _holds(s: State, index: int, later: int, operand: int, held: bool) -> tuple[int, ...]:
    """Groups that a load for a later step waits for besides its data: an activation of the next slice comes when the
    slice before it computes, and so do the weights of a MatMul from its third slice on (``held``)."""
    here, ahead = (s.given.residency.steps[i] for i in (index, later))
    first = is_matmul(s.given.plans[ahead.plan]) and ahead.index == 1
    if here.plan == ahead.plan and operand != CONSTANT and s.has_loads[index] and not first:
        return (s.loaded(index),)
    return (s.computed(index - 1), s.loaded(index)) if held else ()


def _load(s: State, index: int, loads: list[Load], waits: tuple[int, ...]) -> list[Transfer]:
    """Take CMX for some loads of one operand of a step, and their transfers."""
    step = s.given.residency.steps[index]
    group = s.loaded(index)
    booked: list[tuple[Load, Booking]] = []
    for last, together in _by_last_use(s, index, loads).items():
        booking, taken = book(s, index, load_bytes(together, s.given.hw.tiles))
        waits = tuple(dict.fromkeys((*waits, *taken)))
        s.expiring.setdefault(last, []).append((booking, (group,)))
        booked.extend((load, booking) for load in together)
    s.has_loads[index] = True
    engines, op, detail = _engines(s, loads), s.given.accounts[step.plan], step.slice.detail
    return [Transfer(x.work, op, waits, group, detail, b, engines.get(id(x), -1)) for x, b in booked]


def _engines(s: State, loads: list[Load]) -> dict[int, int]:
    """The engines of loads that are one a tile: they alternate, however busy each engine is (all platforms)."""
    own = [id(load) for load in loads if load.tile != ALL_TILES]
    return {load: i % s.out.engines for i, load in enumerate(own)} if len(own) > 1 else {}


def _by_last_use(s: State, index: int, loads: list[Load]) -> dict[int, list[Load]]:
    """Loads by the last step that uses them, which for kept ones is a later slice of the plan."""
    plan = s.given.residency.steps[index].plan
    groups: dict[int, list[Load]] = {}
    for load in loads:
        last = s.given.residency.shared_until.get((plan, load.operand), index)
        if brings_weights(load):
            last = s.given.residency.weights_until.get(plan, last)
        if load.key:
            s.kept[plan, load.key] = s.loaded(index)
            last = max(last, s.given.last_use[plan, load.key])
        groups.setdefault(last, []).append(load)
    return groups


def _fresh(s: State, index: int, loads: list[Load]) -> list[Load]:
    """Loads that no earlier step of the plan has done already."""
    plan = s.given.residency.steps[index].plan
    return [x for x in loads if not x.key or (plan, x.key) not in s.kept]


def is_matmul(plan: Plan) -> bool:
    """Whether a plan is a MatMul by constant weights."""
    return isinstance(plan.node, Conv) and plan.node.window is None


def _overflow(s: State, index: int) -> str:
    step = s.given.residency.steps[index]
    node = s.given.plans[step.plan].node
    limit = s.given.capacity
    need, has, gap = (f"{b / 1024:,.1f} KiB" for b in (step.demand, limit, max(step.demand - limit, 0)))
    return (
        f"op '{node.name}' ({node.type}) does not fit the scratchpad: one slice needs {need} a tile, "
        f"CMX has {has}, gap {gap}; levers: more tiles, a larger cmx.kib_per_tile, a smaller batch or fewer "
        "tokens, 8-bit weights"
    )
