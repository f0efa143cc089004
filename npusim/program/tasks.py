"""The tasks of a Program as columns: a sequence of Task for whoever reads a few, arrays for whoever needs all."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import chain, pairwise
from typing import NamedTuple, TypeVar, overload

import numpy as np
import numpy.typing as npt

from npusim.program.work import Work

Indices = npt.NDArray[np.int32]
_Thing = TypeVar("_Thing")


@dataclass(frozen=True, slots=True)
class Task:
    """One unit of work on one queue. It starts when its queue reaches it and every barrier in ``waits`` is released.

    ``op`` indexes Program.ops; ``updates`` are the barriers that this task's end counts towards. ``detail`` says what
    it moves or computes, for people (shapes, slice and tile).
    """

    queue: int
    op: int
    work: Work
    waits: tuple[int, ...] = ()
    updates: tuple[int, ...] = ()
    detail: str = ""


class Lists(NamedTuple):
    """A list of lists of numbers: list ``i`` is ``values[at[i]:at[i + 1]]``."""

    values: Indices
    at: Indices

    @classmethod
    def of(cls, lists: Sequence[Sequence[int]]) -> Lists:
        """The columns of some lists."""
        at = starts([len(one) for one in lists])
        return cls(np.fromiter(chain.from_iterable(lists), np.int32, int(at[-1])), at)

    @classmethod
    def joined(cls, parts: Sequence[Lists]) -> Lists:
        """The lists of several such, behind each other."""
        lengths = np.concatenate([np.diff(part.at) for part in parts])
        return cls(np.concatenate([part.values for part in parts]), starts(lengths))

    @property
    def owner(self) -> Indices:
        """The number of the list that each value is in."""
        return np.repeat(np.arange(len(self.at) - 1, dtype=np.int32), np.diff(self.at))

    def one(self, number: int) -> tuple[int, ...]:
        """One of the lists."""
        return tuple(self.values[self.at[number] : self.at[number + 1]].tolist())

    def take(self, which: npt.NDArray[np.integer]) -> Lists:
        """Some of the lists."""
        lengths = np.diff(self.at)[which]
        at = starts(lengths)
        inside = np.arange(at[-1], dtype=np.int32) - np.repeat(at[:-1], lengths)
        return Lists(self.values[np.repeat(self.at[:-1][which], lengths) + inside], at)

    def tuples(self) -> list[tuple[int, ...]]:
        """The lists as Python's."""
        values, at = self.values.tolist(), self.at.tolist()
        return [tuple(values[begin:end]) for begin, end in pairwise(at)]


def grouped(owner: npt.NDArray[np.integer], values: Indices, count: int) -> Lists:
    """``count`` lists, from the number of the list that every value is in; values of one list keep their order."""
    order = np.argsort(owner, kind="stable")
    return Lists(values[order], starts(np.bincount(owner, minlength=count)))


def starts(lengths: npt.ArrayLike) -> Indices:
    """Where each of several lists of these lengths begins, and where the last one ends."""
    return np.concatenate(([0], np.cumsum(lengths, dtype=np.int32))).astype(np.int32)


@dataclass(frozen=True, slots=True, eq=False)
class Tasks(Sequence[Task]):
    """Tasks in issue order; column ``c`` of task ``i`` is ``c[i]``.

    ``work`` and ``detail`` index the distinct ``works`` and ``details``, which are in the order of their first use.
    """

    queue: Indices
    op: Indices
    work: Indices
    detail: Indices
    waits: Lists
    updates: Lists
    works: tuple[Work, ...]
    details: tuple[str, ...]

    @classmethod
    def of(cls, tasks: Iterable[Task]) -> Tasks:
        """The columns of some tasks."""
        rows = list(tasks)
        work, works = numbered([task.work for task in rows])
        detail, details = numbered([task.detail for task in rows])
        return cls(
            queue=np.fromiter((task.queue for task in rows), np.int32, len(rows)),
            op=np.fromiter((task.op for task in rows), np.int32, len(rows)),
            work=work,
            detail=detail,
            waits=Lists.of([task.waits for task in rows]),
            updates=Lists.of([task.updates for task in rows]),
            works=works,
            details=details,
        )

    def __len__(self) -> int:
        """How many tasks there are."""
        return len(self.queue)

    @overload
    def __getitem__(self, index: int) -> Task: ...

    @overload
    def __getitem__(self, index: slice) -> Tasks: ...

    def __getitem__(self, index: int | slice) -> Task | Tasks:
        """One task, or some of them."""
        if isinstance(index, slice):
            return self.take(np.arange(len(self), dtype=np.int32)[index])
        i = range(len(self))[index]
        work, detail = self.works[self.work[i]], self.details[self.detail[i]]
        return Task(int(self.queue[i]), int(self.op[i]), work, self.waits.one(i), self.updates.one(i), detail)

    def __iter__(self) -> Iterator[Task]:
        """Task after task."""
        columns = (self.queue.tolist(), self.op.tolist(), self.work.tolist())
        rows = zip(*columns, self.waits.tuples(), self.updates.tuples(), self.detail.tolist(), strict=True)
        for queue, op, work, waits, updates, detail in rows:
            yield Task(queue, op, self.works[work], waits, updates, self.details[detail])

    def __eq__(self, other: object) -> bool:
        """Whether the same tasks are in the same order."""
        if not isinstance(other, Tasks):
            return NotImplemented
        return (
            (self.works, self.details) == (other.works, other.details)
            and all(
                np.array_equal(getattr(self, c), getattr(other, c)) for c in ("queue", "op", "work", "detail")
            )
            and all(map(np.array_equal, (*self.waits, *self.updates), (*other.waits, *other.updates)))
        )

    __hash__ = None  # type: ignore[assignment]

    def take(self, which: npt.NDArray[np.integer]) -> Tasks:
        """The tasks of these numbers, in their order."""
        work, works = first_used(self.work[which], self.works)
        detail, details = first_used(self.detail[which], self.details)
        waits, updates = self.waits.take(which), self.updates.take(which)
        return Tasks(self.queue[which], self.op[which], work, detail, waits, updates, works, details)

    def count_of_work(self) -> npt.NDArray[np.int64]:
        """How many tasks do each of ``works``."""
        return np.bincount(self.work, minlength=len(self.works)).astype(np.int64)


def numbered(things: Iterable[_Thing]) -> tuple[Indices, tuple[_Thing, ...]]:
    """The number of every thing among the distinct ones, and those, as they come."""
    known: dict[_Thing, int] = {}
    index = [known.setdefault(thing, len(known)) for thing in things]
    return np.array(index, np.int32), tuple(known)


def first_used(index: Indices, things: Sequence[_Thing]) -> tuple[Indices, tuple[_Thing, ...]]:
    """``index`` into ``things``, and those that it uses, renumbered in the order of their first use."""
    used, first, inverse = np.unique(index, return_index=True, return_inverse=True)
    order = np.argsort(first)
    place = np.empty(len(used), np.int32)
    place[order] = np.arange(len(used), dtype=np.int32)
    return place[inverse], tuple(things[i] for i in used[order].tolist())
