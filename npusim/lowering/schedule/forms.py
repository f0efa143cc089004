"""Forms: what the numbers in a value count, so that it can be compared between blocks of plans and moved on by some.

Equal blocks leave equal states behind, but for where they are: plans, steps, groups and bookings have larger numbers,
and all is later. A field's annotation states its form, by which it is compared and moved; nothing else knows how.
"""

from __future__ import annotations

from collections.abc import Callable, Hashable, Mapping, Sequence, Set
from dataclasses import dataclass
from functools import cache
from typing import Any, NamedTuple, Protocol, get_type_hints

import numpy as np

from npusim.program import Indices


class Mark(NamedTuple):
    """How far everything has come: numbers of plans, steps, groups, fills (plans whose copies wait for nothing), tasks,
    bookings, releases and writes, and the time, µs; or by how much two such differ."""

    plan: int = 0
    step: int = 0
    group: int = 0
    fill: int = 0
    task: int = 0
    booking: int = 0
    release: int = 0
    write: int = 0
    us: float = 0.0

    def minus(self, other: Mark) -> Mark:
        """By how much this one is further."""
        return Mark._make([a - b for a, b in zip(self, other, strict=True)])

    def times(self, blocks: int) -> Mark:
        """So many times this difference."""
        return Mark._make([a * blocks for a in self])


@dataclass(frozen=True, slots=True)
class Groups:
    """Which groups of tasks are which. ``ends`` is the end of every one so far, µs, ``seen`` which queues have waited
    for it. The first are those of the loads and then of the computes of each step; then, below ``first_free``, those
    of ``fills``, by plan. ``fixed`` are groups that successive blocks wait for alike."""

    steps: int
    first_free: int
    fills: Mapping[int, int]
    ends: Sequence[float]
    seen: Sequence[int]
    fixed: frozenset[int] = frozenset()

    def kind(self, group: int) -> int:
        """0: fixed, 1: loads, 2: computes, 3: a fill, 4: other tasks."""
        if group in self.fixed:
            return 0
        return 1 + group // self.steps if group < 2 * self.steps else 3 + (group >= self.first_free)

    def place(self, group: int, mark: Mark) -> int:
        """Where a group is, from a mark."""
        kind = self.kind(group)
        if kind in {1, 2}:
            return group % self.steps - mark.step
        return (group, 0, 0, self.fills.get(group, 0) - mark.plan, group - mark.group)[kind]

    def apart(self, group: int, by: Mark) -> int:
        """By how much the number of the group that corresponds to one is higher."""
        return (0, by.step, by.step, by.fill, by.group)[self.kind(group)]

    def all_apart(self, groups: Indices, by: Mark) -> Indices:
        """The same of many groups."""
        return np.array([self.apart(group, by) for group in groups.tolist()], np.int32)


@dataclass(frozen=True, slots=True)
class Frame:
    """What is compared is relative to ``mark``; what ended before ``idle_us`` has just ended. Only what is told of
    steps up to ``reach`` behind the mark can have changed yet. ``bookings`` are all of the pool's. Of the queues only
    the ``busy`` ones decide what comes."""

    mark: Mark
    groups: Groups
    idle_us: float
    reach: int
    bookings: Sequence[Any]
    busy: Set[int] = frozenset()

    @property
    def window(self) -> range:
        """The steps of which something can have changed."""
        return range(self.mark.step, self.mark.step + self.reach + 1)


@dataclass(frozen=True, slots=True)
class Move:
    """From a frame ``by`` so much further."""

    frame: Frame
    by: Mark


class Form(Protocol):
    """How a value is compared and moved."""

    @property
    def relative(self) -> Callable[[Any, Frame], object]:
        """The value as it looks in a frame: equal where blocks would go on equally."""
        ...

    @property
    def moved(self) -> Callable[[Any, Move], Any]:
        """The value as it will be, that much further."""
        ...


@dataclass(frozen=True, slots=True)
class Number:
    """A form of single values."""

    relative: Callable[[Any, Frame], object]
    moved: Callable[[Any, Move], Any]


def _group(group: int, frame: Frame) -> object:
    known = frame.groups
    end_us = max(known.ends[group], frame.idle_us) - frame.mark.us
    return known.kind(group), known.place(group, frame.mark), end_us, known.seen[group]


#: A value that means the same everywhere.
PLAIN = Number(lambda value, frame: value, lambda value, move: value)
#: The number of a plan, of a step.
PLAN = Number(lambda number, frame: number - frame.mark.plan, lambda number, move: number + move.by.plan)
STEP = Number(lambda number, frame: number - frame.mark.step, lambda number, move: number + move.by.step)
#: A time, µs; one that matters only while it is to come.
US = Number(lambda us, frame: us - frame.mark.us, lambda us, move: us + move.by.us)
DUE_US = Number(lambda us, frame: max(us, frame.idle_us) - frame.mark.us, lambda us, move: us + move.by.us)
#: The number of a group of tasks, which is compared with its end and with who has waited for it.
GROUP = Number(_group, lambda group, move: group + move.frame.groups.apart(group, move.by))
#: A place in the row of releases, which is compared in its order and so says nothing more.
ORDER = Number(lambda order, frame: None, lambda order, move: order + move.by.release)
#: A Booking of the pool.
BOOKING = Number(
    lambda booking, frame: (booking.number - frame.mark.booking, booking.bytes),
    lambda booking, move: move.frame.bookings[booking.number + move.by.booking],
)
#: What is left of things that have names: equal things lie ahead, so that the names say which.
LEFT = Number(lambda value, frame: sorted(value), lambda value, move: dict(value))


@dataclass(frozen=True, slots=True)
class Each:
    """A list of values of one form; ``sort``: their order means nothing."""

    form: Form
    sort: bool = False

    def relative(self, value: Sequence[Any], frame: Frame) -> object:
        """The values as they look in a frame."""
        return [self.form.relative(one, frame) for one in (sorted(value) if self.sort else value)]

    def moved(self, value: Sequence[Any], move: Move) -> Any:
        """The values that much further; a tuple stays one."""
        made = [self.form.moved(one, move) for one in value]
        return tuple(made) if isinstance(value, tuple) else made


@dataclass(frozen=True, slots=True)
class Queues:
    """A list with one value a queue. Those of queues that are not busy mean nothing to a block and stay as they are."""

    form: Form

    def relative(self, value: Sequence[Any], frame: Frame) -> object:
        """The values of the busy queues as they look in a frame."""
        return [(n, self.form.relative(one, frame)) for n, one in enumerate(value) if n in frame.busy]

    def moved(self, value: Sequence[Any], move: Move) -> list[Any]:
        """The values, those of the busy queues that much further."""
        busy = move.frame.busy
        return [self.form.moved(one, move) if n in busy else one for n, one in enumerate(value)]


@dataclass(frozen=True, slots=True)
class Row:
    """A tuple, or a record that is one, with a form for each of its parts."""

    forms: tuple[Form, ...]

    def relative(self, value: tuple[Any, ...], frame: Frame) -> object:
        """The parts as they look in a frame."""
        return tuple([form.relative(one, frame) for form, one in zip(self.forms, value, strict=True)])

    def moved(self, value: tuple[Any, ...], move: Move) -> Any:
        """The parts that much further."""
        made = [form.moved(one, move) for form, one in zip(self.forms, value, strict=True)]
        return type(value)._make(made) if hasattr(value, "_make") else tuple(made)


@dataclass(frozen=True, slots=True)
class Table:
    """A dictionary. Entries whose keys are of plans or steps before the frame are never looked at again."""

    key: Form
    value: Form

    def relative(self, value: Mapping[Any, Any], frame: Frame) -> object:
        """The entries from the frame on, as they look there, in order."""
        live = sorted((self.key.relative(key, frame), key) for key in value if self._ahead(key, frame))
        return [(place, self.value.relative(value[key], frame)) for place, key in live]

    def moved(self, value: Mapping[Any, Any], move: Move) -> Any:
        """Those entries, that much further."""
        live = [key for key in value if self._ahead(key, move.frame)]
        return {self.key.moved(key, move): self.value.moved(value[key], move) for key in live}

    def _ahead(self, key: Any, frame: Frame) -> bool:
        place: Any = self.key.relative(key, frame)
        return bool((place[0] if isinstance(place, tuple) else place) >= 0)


@dataclass(frozen=True, slots=True)
class Ahead:
    """A list with one value a step, which differs from what was decided beforehand only within the frame's window."""

    form: Form

    def relative(self, value: Sequence[Any], frame: Frame) -> object:
        """The values in the window, as they look in a frame."""
        return [self.form.relative(value[step], frame) for step in frame.window]

    def moved(self, value: Sequence[Any], move: Move) -> list[Any]:
        """All values, with those of the window that much further on as they are in it."""
        made = list(value)
        for step in move.frame.window:
            made[step + move.by.step] = self.form.moved(value[step], move)
        return made


@dataclass(frozen=True, slots=True)
class Settled:
    """The form of a field in which equal blocks need not agree, and ``why``: it is constant while tasks are emitted, or
    a record of them, to which the copy of a block adds what the block has added."""

    why: str


@cache
def forms_of(kind: Hashable) -> tuple[tuple[str, Form], ...]:
    """The fields of a record that decide what comes, with the forms that their annotations state. A field that states
    none is an error."""
    found = []
    for name, hint in get_type_hints(kind, include_extras=True).items():
        form, *_ = getattr(hint, "__metadata__", (None,))
        if form is None:
            raise TypeError(f"{kind}: state how {name} is compared and moved, or that it is Settled")
        if not isinstance(form, Settled):
            found.append((name, form))
    return tuple(found)


def relative(record: Any, frame: Frame) -> list[object]:
    """All of a record that decides what comes, as it looks in a frame."""
    return [form.relative(getattr(record, name), frame) for name, form in forms_of(record.__class__)]


def move(record: Any, by: Move) -> Any:
    """The record, with all that decides what comes that much further."""
    for name, form in forms_of(record.__class__):
        setattr(record, name, form.moved(getattr(record, name), by))
    return record


#: A record whose fields have forms.
PART = Number(relative, move)
