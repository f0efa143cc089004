"""Two profiles of one model side by side, op by op: which op makes one of them longer, and by how much.

Ops are paired by the model's names (without the ports that compilers add; a part named after an op belongs to it);
where one side stands for several ops of the other, all of them are one row. What is left is paired in order, by type
and shape (by type and name without numbers, where a profile tells no shapes), if both sides have equally many alike:
two exports of one model may number their ops differently.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np

from npusim.analysis.intervals import length, union
from npusim.validation.schedules.compare_case import Groups, canonical
from npusim.validation.traces.types import OpProfile, OpTime

Measure = Literal["exposed", "span"]
_ENGINES = ("dma", "dpu", "shave")
_NUMBER = re.compile(r"_\d+\b")


@dataclass(frozen=True, slots=True)
class Half:
    """What one profile has for a row: its own names, the time that is compared (``us``), and the rest as it is told."""

    ops: tuple[str, ...]
    us: float
    span_us: float
    busy_us: Mapping[str, float]
    engine: str
    shape: str


@dataclass(frozen=True, slots=True)
class Pair:
    """One row; a side that has no such op is None. ``by`` says what they were paired by: ``name`` or ``order``."""

    name: str
    type: str
    left: Half | None
    right: Half | None
    by: str = "name"

    @property
    def delta_us(self) -> float:
        """By how much longer it takes on the left."""
        return (self.left.us if self.left else 0.0) - (self.right.us if self.right else 0.0)


def _halves(pair: Pair) -> tuple[Half | None, Half | None]:
    return pair.left, pair.right


@dataclass(frozen=True, slots=True)
class Comparison:
    """Rows, largest residual first. ``measure`` says what is compared: ``exposed``, each op's share of the latency,
    where both profiles tell it, else ``span``, from the start of its first task to the end of its last."""

    left: OpProfile
    right: OpProfile
    measure: Measure
    pairs: tuple[Pair, ...]

    @property
    def matched(self) -> tuple[Pair, ...]:
        """The rows that both sides have."""
        return tuple(pair for pair in self.pairs if pair.left and pair.right)

    @property
    def matched_us(self) -> tuple[float, float]:
        """What those rows add up to on the left and on the right."""
        sums = [
            sum(half.us for half in side if half) for side in zip(*map(_halves, self.matched), strict=True)
        ]
        return (sums[0], sums[1]) if sums else (0.0, 0.0)


def compare_profiles(left: OpProfile, right: OpProfile, measure: Measure | None = None) -> Comparison:
    """Both profiles, op by op. ``measure`` None takes the most telling one that both have."""
    chosen: Measure = measure or ("exposed" if left.has_exposed and right.has_exposed else "span")
    groups = Groups(_wholes(left.ops, right.ops))
    for op in (*right.ops, *left.ops):
        groups.join(op.names)
    sides = [_by_group(profile.ops, groups) for profile in (left, right)]
    twins = _twins(*sides)
    rows = []
    for name in dict.fromkeys((*sides[1], *(name for name in sides[0] if name not in twins.values()))):
        found = [sides[0].get(twins.get(name, name), []), sides[1].get(name, [])]
        ours, theirs = (_half(ops, chosen) for ops in found)
        kind = next((op.type for ops in reversed(found) for op in ops if op.type), "")
        rows.append(Pair(name, kind, ours, theirs, "order" if name in twins else "name"))
    return Comparison(left, right, chosen, tuple(sorted(rows, key=lambda pair: -abs(pair.delta_us))))


def _wholes(left: Iterable[OpTime], right: Iterable[OpTime]) -> list[str]:
    """Names that have a row of their own: both sides know them, or they are no part of an op of the other side."""
    ours, theirs = ({canonical(op.name): op.name for op in side} for side in (left, right))
    return [
        side[name]
        for side, other in ((theirs, ours), (ours, theirs))
        for name in side
        if name in other or other.keys().isdisjoint(_above(name))
    ]


def _above(name: str) -> Iterator[str]:
    """The names that an op of this name may be a part of, longest first."""
    while "/" in name:
        name = name.rpartition("/")[0]
        yield name


def _by_group(ops: Iterable[OpTime], groups: Groups) -> dict[str, list[OpTime]]:
    found: dict[str, list[OpTime]] = {}
    for op in ops:
        found.setdefault(groups.of(op.name), []).append(op)
    return found


def _twins(left: Mapping[str, list[OpTime]], right: Mapping[str, list[OpTime]]) -> dict[str, str]:
    """Left name by right name of groups that one side alone has, but that look the same and are equally many."""
    alike: dict[tuple[str, str], tuple[list[str], list[str]]] = {}
    with_shape = all(op.shape for side in (left, right) for ops in side.values() for op in ops)
    for number, (side, other) in enumerate(((left, right), (right, left))):
        for name, ops in side.items():
            if name not in other:
                alike.setdefault(_look(ops[0], with_shape), ([], []))[number].append(name)
    return {
        theirs: ours
        for names in alike.values()
        if len(names[0]) == len(names[1])
        for ours, theirs in zip(*names, strict=True)
    }


def _look(op: OpTime, with_shape: bool) -> tuple[str, str]:
    """What two exports of one op have in common: its type, and its shape, or its name without numbers."""
    return (op.type, op.shape) if with_shape else (op.type, _NUMBER.sub("", op.name))


def _half(ops: Sequence[OpTime], measure: Measure) -> Half | None:
    """Several ops in one: spans that overlap count once where their starts are told; all else adds up."""
    if not ops:
        return None
    starts = [op.start_us for op in ops if op.start_us is not None]
    span = sum(op.span_us for op in ops)
    if len(starts) == len(ops):
        begin = np.array(starts)
        span = length(union(begin, begin + np.array([op.span_us for op in ops])))
    exposed = sum(op.exposed_us or 0.0 for op in ops)
    longest = max(ops, key=lambda op: op.span_us)
    return Half(
        ops=tuple(op.name for op in ops),
        us=exposed if measure == "exposed" else span,
        span_us=span,
        busy_us={
            engine: sum(op.busy_us.get(engine, 0.0) for op in ops)
            for engine in _ENGINES
            if any(op.busy_us for op in ops)
        },
        engine=longest.engine,
        shape=longest.shape,
    )
