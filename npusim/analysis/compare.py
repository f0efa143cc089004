"""Several simulations of one model side by side, the first of them the baseline: what became faster, and by what.

Every microsecond of a latency belongs to one op, the one on the critical path then (``OpRow.exposed_us``). So the
times by op type add up to the latency, and their differences to the difference of two latencies, exactly: no part of
a speed-up is left over or counted twice.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Literal

from npusim.analysis.metrics import Metrics, OpRow
from npusim.program import ENGINES, ProgramOp

Kind = Literal["moved", "replaced", "removed", "added", "same"]
#: Sums of times that differ by less are equal, µs: a clock of 1 GHz ticks a thousand times as slowly.
_EQUAL_US = 1e-6
_NUMBER = re.compile(r"\d+")


@dataclass(frozen=True, slots=True)
class Case:
    """One simulation as `compare` takes it: ``ops`` are those of its Program, row for row with ``metrics.ops``."""

    label: str
    ops: Sequence[ProgramOp]
    metrics: Metrics


@dataclass(frozen=True, slots=True)
class TypeTime:
    """All ops of one type in one simulation. ``exposed_us`` sums to the latency over all types; ``busy_us``, by
    engine, sums the ops' busy times, which overlap."""

    type: str
    ops: int
    exposed_us: float
    busy_us: Mapping[str, float]


@dataclass(frozen=True, slots=True)
class Step:
    """One op type's part of the way from the baseline's latency to another: ``delta_us`` sums to the difference.

    ``before_us`` and ``after_us`` are its exposed times there and here (0 where the type does not occur).
    """

    type: str
    before_us: float
    after_us: float

    @property
    def delta_us(self) -> float:
        """What this type adds to the latency; negative where it saves."""
        return self.after_us - self.before_us


@dataclass(frozen=True, slots=True)
class Place:
    """How the ops of an OpChange run in one simulation: sums over them and over what a rewrite made of each
    (``OP/part``), with the type and engine of the costliest. ``busy_us`` sums the engines' busy times. Where they are
    done within another op, ``within`` names it, and their time is that op's: 0 here.
    """

    type: str
    engine: str
    exposed_us: float
    busy_us: float
    within: str = ""


@dataclass(frozen=True, slots=True)
class OpChange:
    """Ops that differ only in the number of their layer (``*`` in ``name``), ``count`` of them.

    ``before`` is how they run in the baseline, ``after`` how here; None where there is no such op.
    """

    name: str
    count: int
    before: Place | None
    after: Place | None

    @property
    def delta_us(self) -> float:
        """What these ops add to the latency. Over all changes: the difference of the latencies."""
        return (self.after.exposed_us if self.after else 0.0) - (
            self.before.exposed_us if self.before else 0.0
        )

    @property
    def differs(self) -> bool:
        """Whether they cost more or less than in the baseline, to what floating point can tell: also where they run
        the same way."""
        return abs(self.delta_us) > _EQUAL_US

    @property
    def kind(self) -> Kind:
        """``moved`` to another engine, ``replaced`` by another type on the same, ``removed``, ``added`` or ``same``."""
        if self.after is None:
            return "removed"
        if self.before is None:
            return "added"
        if self.before.engine != self.after.engine:
            return "moved"
        return "same" if self.before.type == self.after.type else "replaced"


@dataclass(frozen=True, slots=True)
class Run:
    """One simulation beside the baseline.

    ``speedup`` is the baseline's latency over this one's. ``types``: the costliest type first. ``steps`` and
    ``changes`` lead from the baseline here, the largest difference first; the baseline's own are without difference.
    """

    label: str
    metrics: Metrics
    speedup: float
    types: tuple[TypeTime, ...]
    steps: tuple[Step, ...]
    changes: tuple[OpChange, ...]

    @property
    def latency_us(self) -> float:
        """End of the last task."""
        return self.metrics.latency_us


@dataclass(frozen=True, slots=True)
class Comparison:
    """``runs`` in the order they were asked for; the first is the baseline."""

    runs: tuple[Run, ...]

    @property
    def baseline(self) -> Run:
        """What the others are compared with."""
        return self.runs[0]

    @property
    def best(self) -> Run:
        """The fastest (the first of equals)."""
        return min(self.runs, key=lambda run: run.latency_us)


def compare(cases: Sequence[Case]) -> Comparison:
    """The Comparison of at least one simulation with the first of them."""
    base = cases[0]
    cases = [base, *(with_names_of(base, case) for case in cases[1:])]
    types = [_types(case.metrics.ops) for case in cases]
    return Comparison(
        tuple(
            Run(
                label=case.label,
                metrics=case.metrics,
                speedup=base.metrics.latency_us / case.metrics.latency_us if case.metrics.latency_us else 1.0,
                types=mine,
                steps=_steps(types[0], mine),
                changes=_changes(base, case),
            )
            for case, mine in zip(cases, types, strict=True)
        )
    )


def with_names_of(base: Case, case: Case) -> Case:
    """``case`` with the baseline's names for ops whose own are counters (``MatMul_812``): of those that only one side
    has, the first of a type, shape and name but for numbers is the baseline's first, the second its second. So are
    those that are fused into ops of one name."""
    meant = _pairs(
        [(op.name, _likeness(op)) for op in base.ops], [(op.name, _likeness(op)) for op in case.ops]
    )
    fused = {op.name: op.fused for op in base.ops}
    ops = []
    for op in case.ops:
        name = meant.get(op.name, op.name)
        inner = _pairs(
            *([(one, _unnumbered(one)) for one in side] for side in (fused.get(name, ()), op.fused))
        )
        ops.append(replace(op, name=name, fused=tuple(inner.get(one, one) for one in op.fused)))
    return replace(case, ops=ops)


def _pairs(theirs: Sequence[tuple[str, object]], mine: Sequence[tuple[str, object]]) -> dict[str, str]:
    """Of names with what they are like: by each of mine that they have not, theirs that is like it and not in mine."""
    waiting: dict[object, list[str]] = {}
    known = {name for name, _ in mine}
    for name, like in theirs:
        if name not in known:
            waiting.setdefault(like, []).append(name)
    taken = {name for name, _ in theirs}
    return {name: waiting[like].pop(0) for name, like in mine if name not in taken and waiting.get(like)}


def _likeness(op: ProgramOp) -> tuple[object, ...]:
    return _unnumbered(op.name), op.type, op.shape


def _unnumbered(name: str) -> str:
    return _NUMBER.sub("*", name)


def _types(rows: Iterable[OpRow]) -> tuple[TypeTime, ...]:
    alike: dict[str, list[OpRow]] = {}
    for row in rows:
        alike.setdefault(row.type, []).append(row)
    found = (
        TypeTime(
            kind,
            len(mine),
            sum(row.exposed_us for row in mine),
            {engine: sum(getattr(row, f"{engine}_us") for row in mine) for engine in ENGINES},
        )
        for kind, mine in alike.items()
    )
    return tuple(sorted(found, key=lambda one: (-one.exposed_us, one.type)))


def _steps(before: Iterable[TypeTime], after: Iterable[TypeTime]) -> tuple[Step, ...]:
    old, new = ({one.type: one.exposed_us for one in side} for side in (before, after))
    steps = (Step(kind, old.get(kind, 0.0), new.get(kind, 0.0)) for kind in {**old, **new})
    return tuple(sorted(steps, key=lambda step: (-abs(step.delta_us), step.type)))


def _changes(base: Case, case: Case) -> tuple[OpChange, ...]:
    names = {name for op in base.ops for name in (op.name, *op.fused)}
    before, after = _places(base, names), _places(case, names)
    alike: dict[tuple[object, ...], list[str]] = {}
    for name, group in {**_groups(base, names), **_groups(case, names)}.items():
        alike.setdefault((group, _kind(before.get(name)), _kind(after.get(name))), []).append(name)
    changes = (
        OpChange(str(key[0]), len(ops), _all(before, ops), _all(after, ops)) for key, ops in alike.items()
    )
    return tuple(sorted(changes, key=lambda change: (-abs(change.delta_us), change.name)))


def _places(case: Case, names: Collection[str]) -> dict[str, Place]:
    """Where every op of the model runs, with what a rewrite made of it (``_meant``); else what it is fused into."""
    own: dict[str, list[Place]] = {}
    fused: dict[str, Place] = {}
    for op, row in zip(case.ops, case.metrics.ops, strict=True):
        busy_us = row.dma_us + row.dpu_us + row.shave_us
        place = Place(row.type, row.engine, row.exposed_us, busy_us)
        own.setdefault(_meant(op.name, names), []).append(place)
        within = Place(row.type, row.engine, 0.0, 0.0, _group(op.name, op.layer))
        fused.update((_meant(name, names), within) for name in op.fused)
    return fused | {name: _sum(places) for name, places in own.items()}


def _groups(case: Case, names: Collection[str]) -> dict[str, str]:
    """Every op of the model, and its name without the number of its layer."""
    every = ((_meant(name, names), op.layer) for op in case.ops for name in (*op.fused, op.name))
    return {name: _group(name, layer) for name, layer in every}


def _meant(name: str, names: Collection[str]) -> str:
    """The op that a rewrite made ``OP/part`` of: the longest such name that the baseline has, or the name itself."""
    head = name
    while head not in names:
        head, slash, _ = head.rpartition("/")
        if not slash:
            return name
    return head


def _group(name: str, layer: str) -> str:
    return name.replace(layer, _NUMBER.sub("*", layer), 1) if layer else name


def _kind(place: Place | None) -> tuple[str, ...]:
    return (place.type, place.engine, place.within) if place else ()


def _all(places: Mapping[str, Place], ops: Sequence[str]) -> Place | None:
    """The place of ops that run alike; None where they do not occur."""
    return _sum([places[op] for op in ops]) if ops[0] in places else None


def _sum(places: Collection[Place]) -> Place:
    """Places as one, of the type and engine of the costliest."""
    main = max(places, key=lambda place: (place.exposed_us, place.busy_us))
    exposed_us, busy_us = sum(place.exposed_us for place in places), sum(place.busy_us for place in places)
    return replace(main, exposed_us=exposed_us, busy_us=busy_us)
