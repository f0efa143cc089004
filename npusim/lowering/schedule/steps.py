"""Steps: the slices of all plans in the order in which they run, and what is known of what stays in CMX across them."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Annotated, NamedTuple

from npusim.lowering.ir.nodes import Further
from npusim.lowering.ir.plan import Load, Plan, Slice, booked_bytes, load_bytes
from npusim.lowering.schedule.forms import PLAIN, PLAN, STEP, Each, Row, Settled, Table


@dataclass(slots=True)
class Step:
    """One slice of one plan, in execution order. ``demand`` is the CMX that it needs on the fullest tile, bytes."""

    plan: int
    slice: Slice
    index: int
    last: bool
    demand: int = 0


class Copy(NamedTuple):
    """The part of a result that one slice of its reader needs, copied within CMX: ``step`` is that slice, ``operand``
    which of its operands, ``bytes`` its size on the fullest tile. It is spilled to DDR before the step ``until``, or
    found by the slice where that is ``step``."""

    step: int
    operand: int
    bytes: int
    until: int


COPY = Row((STEP, PLAIN, PLAIN, STEP))
#: A plan and the number of one of its operands.
_Operand = tuple[int, int]
OPERAND = Row((PLAN, PLAIN))


@dataclass(slots=True)
class Residency:
    """What stays in CMX of the results of ``plans``; ``capacity`` is that of each of the ``tiles``, bytes."""

    plans: Annotated[Sequence[Plan], Settled("constant")]
    tiles: Annotated[int, Settled("constant")]
    capacity: Annotated[int, Settled("constant")]
    steps: Annotated[list[Step], Settled("of the plans")] = field(init=False)
    steps_of: Annotated[list[list[int]], Settled("of the plans")] = field(init=False)
    computed_by: Annotated[list[int], Settled("of the plans")] = field(init=False)
    """For each step the one whose kernels write its result: an earlier one for a further result of theirs."""
    level: Annotated[list[int], Settled("compared by steps")] = field(init=False)
    """The CMX demand of every step with all that stays across it, bytes."""
    resident: Annotated[dict[_Operand, tuple[int, ...]], Table(OPERAND, Each(PLAN))] = field(
        default_factory=dict
    )
    """(reader plan, operand) -> the plans whose output it reads in CMX: one, or the makers of all pieces of a Concat
    that is ``joined`` there."""
    chained: Annotated[dict[int, int], Table(PLAN, PLAN)] = field(default_factory=dict)
    """Plan -> the reader that takes its output slice by slice."""
    joined: Annotated[dict[int, None], Table(PLAN, PLAIN)] = field(default_factory=dict)
    hosts: Annotated[dict[int, int], Table(PLAN, PLAN)] = field(default_factory=dict)
    """Plan whose result is in place and stays in CMX -> the plan in whose room it is."""
    keep_until: Annotated[dict[int, int], Table(PLAN, STEP)] = field(default_factory=dict)
    """Plan -> the last step that reads its output in CMX."""
    stored: Annotated[dict[int, None], Table(PLAN, PLAIN)] = field(default_factory=dict)
    """The plans whose output must also reach DDR."""
    shared: Annotated[dict[_Operand, _Operand], Table(OPERAND, OPERAND)] = field(default_factory=dict)
    """(reader plan, operand) -> the (plan, operand) whose loads from DDR it finds in CMX."""
    shared_until: Annotated[dict[_Operand, int], Table(OPERAND, STEP)] = field(default_factory=dict)
    """The last step that reads what a (plan, operand) has loaded, where other plans do."""
    weights: Annotated[dict[int, int], Table(PLAN, PLAN)] = field(default_factory=dict)
    """Plan -> the one whose weights, the same constant, it finds in CMX."""
    weights_until: Annotated[dict[int, int], Table(PLAN, STEP)] = field(default_factory=dict)
    """The last step that uses the weights that a plan has loaded, where other plans do."""
    copies: Annotated[dict[int, list[Copy]], Table(PLAN, Each(COPY))] = field(default_factory=dict)
    """Plan -> the copies of its output, for the first slice of its reader first."""
    widened: Annotated[dict[int, int], Table(PLAN, PLAIN)] = field(default_factory=dict)
    """Bytes of outputs that could have been in place but stay in CMX for a later reader."""

    def __post_init__(self) -> None:
        """Nothing stays yet."""
        self.steps, self.steps_of = make_steps(self.plans, self.tiles)
        self.computed_by = _computed_by(self.plans, self.steps)
        self.level = [step.demand for step in self.steps]

    def results(self, index: int) -> range:
        """The steps whose results the computes of a step write: its own, and the further ones right behind it."""
        end = index + 1
        while end < len(self.steps) and self.computed_by[end] == index:
            end += 1
        return range(index, end)

    def fits(self, more: Mapping[int, int]) -> bool:
        """Whether every step has room for so many bytes more."""
        return all(self.level[step] + extra <= self.capacity for step, extra in more.items())

    def take(self, more: Mapping[int, int]) -> bool:
        """Account for so many bytes more at every step, if all have room for them."""
        if not self.fits(more):
            return False
        for step, extra in more.items():
            self.level[step] += extra
        return True

    def load_bytes(self, step: int, operand: int) -> int:
        """What the loads of an operand of a step take on the fullest tile."""
        return load_bytes([x for x in self.steps[step].slice.loads if x.operand == operand], self.tiles)

    def output_bytes(self, plan: Plan, number: int, part: Slice) -> int:
        """CMX bytes that a step's output takes on the fullest tile; a gathered output is taken whole by the first."""
        if number in self.widened and plan.gathered and part is not plan.slices[0]:
            return 0
        return self.widened.get(number, max(part.out_bytes, default=0))

    def maker_step(self, source: int, reader: int) -> int:
        """The step whose computes make (the last of) what the step ``reader`` finds in CMX of a plan."""
        chained = self.chained.get(source) == self.steps[reader].plan
        return self.steps_of[source][self.steps[reader].index if chained else -1]

    def keep_step(self, index: int) -> int:
        """The last step that reads in CMX what a step makes; -1 for none."""
        step = self.steps[index]
        reader = self.chained.get(step.plan)
        return self.keep_until.get(step.plan, -1) if reader is None else self.steps_of[reader][step.index]


def is_further(plan: Plan) -> bool:
    """Whether a plan is no more than a further result of the one before it."""
    return isinstance(plan.node, Further)


def _computed_by(plans: Sequence[Plan], steps: Sequence[Step]) -> list[int]:
    """For each step the one whose computes make its result."""
    made: list[int] = []
    for index, step in enumerate(steps):
        made.append(made[-1] if is_further(plans[step.plan]) else index)
    return made


def _once(slices: Sequence[Slice]) -> list[tuple[tuple[int, ...], Load]]:
    """Loads with a key, each key once."""
    return list({x.key: x for part in slices for x in part.loads if x.key}.items())


def slices_behind(plan: Plan, place: int) -> int:
    """How many slices behind the first plan of its chain a plan at a ``place`` of it runs: an image passes through all
    plans before the next one does."""
    return 0 if plan.images > 1 else place // 2


def make_steps(plans: Sequence[Plan], tiles: int) -> tuple[list[Step], list[list[int]]]:
    """The steps of all plans in order, with their demand, and the numbers of each plan's steps.

    The plans of a chain alternate, the third a slice behind, so that the first, which runs on the same engine, need not
    wait for the second (conv 0, Gelu 0, conv 1, Gelu 1, scale 0 ...: bert-base INT8 on 3720); but images of a batch
    pass through all of them, one after the other. What a plan loads once and keeps (equal keys) counts from its first
    use to its last. Further results follow that of their kernel, slice by slice, and have their room from then on.
    """
    needs: dict[int, list[tuple[int, int]]] = {}  # by the slices, which plans that are copies share
    for plan in plans:
        if id(plan.slices) not in needs:
            needs[id(plan.slices)] = _needs(plan.slices, tiles)
    made = [_plan_steps(number, plan, needs[id(plan.slices)]) for number, plan in enumerate(plans)]
    steps: list[Step] = []
    steps_of: list[list[int]] = [[] for _ in plans]
    done = 0
    while done < len(plans):
        end = done + 1
        further = end < len(plans) and is_further(plans[end])
        while end < len(plans) and (
            is_further(plans[end]) if further else _in_chain(plans[done], plans[end])
        ):
            end += 1
        chain = made[done:end]
        lags = [0 if further else slices_behind(plan, at) for at, plan in enumerate(plans[done:end])]
        for slot in range(len(chain[0]) + max(lags)):
            places = [(own, slot - lag) for own, lag in zip(chain, lags, strict=True)]
            together = [own[i] for own, i in places if 0 <= i < len(own)]
            kept = sum(kept for _, kept in together)
            beside = sum(step.demand for (step, _) in together[1:]) if further else 0
            for step, own in together:
                step.demand += kept - own
                steps_of[step.plan].append(len(steps))
                steps.append(step)
            together[0][0].demand += beside
        done = end
    return steps, steps_of


def _in_chain(first: Plan, plan: Plan) -> bool:
    """Whether two plans run slice by slice together."""
    return first.chain == plan.chain >= 0


def _plan_steps(number: int, plan: Plan, needs: Sequence[tuple[int, int]]) -> list[tuple[Step, int]]:
    """The steps of one plan, each with the bytes that the plan keeps meanwhile for others of them."""
    last = len(plan.slices) - 1
    numbered = enumerate(zip(plan.slices, needs, strict=True))
    return [(Step(number, part, i, i == last, demand), kept) for i, (part, (demand, kept)) in numbered]


def _needs(slices: Sequence[Slice], tiles: int) -> list[tuple[int, int]]:
    """The demand of every slice of a plan, and how much of it is kept for others of them, bytes."""
    uses: dict[tuple[int, ...], list[int]] = defaultdict(list)
    for i, part in enumerate(slices):
        for load in part.loads:
            if load.key:
                uses[load.key].append(i)
    begins: dict[int, list[Load]] = defaultdict(list)
    for key, load in _once(slices):
        if len(uses[key]) > 1:
            begins[uses[key][0]].append(load)
    needs = []
    held: list[Load] = []
    for i, part in enumerate(slices):
        held = [*(load for load in held if uses[load.key][-1] >= i), *begins[i]]
        kept = booked_bytes(held, tiles)
        own = [x for x in part.loads if len(uses[x.key]) < 2]
        needs.append((kept + booked_bytes(own, tiles) + max(part.out_bytes, default=0), kept))
    return needs
