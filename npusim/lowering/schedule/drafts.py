"""Drafts: tasks in the making, before groups become barriers."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from npusim.program import Indices, Lists


@dataclass(frozen=True, slots=True)
class Drafts:
    """Tasks in the making, as columns: ``table`` has a row for each of queue, op, work, group and detail.

    ``waits`` and ``group`` are groups of tasks, which become barriers; ``work`` and ``detail`` are numbers in the
    Emitter's tables.
    """

    table: Indices
    waits: Lists

    @classmethod
    def of(cls, rows: Sequence[Sequence[int]], waits: Sequence[Sequence[int]]) -> Drafts:
        """The five rows of a table, and the groups that each task waits for."""
        return cls(np.array(rows, np.int32).reshape(5, -1), Lists.of(waits))

    @classmethod
    def joined(cls, parts: Sequence[Drafts]) -> Drafts:
        """Some drafts behind each other."""
        table = np.concatenate([part.table for part in parts], axis=1)
        return cls(table, Lists.joined([part.waits for part in parts]))

    @property
    def queue(self) -> Indices:
        """The queue of every task."""
        return self.table[0]

    @property
    def op(self) -> Indices:
        """What every task is accounted to."""
        return self.table[1]

    @property
    def work(self) -> Indices:
        """The number of the work of every task."""
        return self.table[2]

    @property
    def group(self) -> Indices:
        """The group of every task."""
        return self.table[3]

    @property
    def detail(self) -> Indices:
        """The number of the detail of every task."""
        return self.table[4]

    def __len__(self) -> int:
        """How many tasks there are."""
        return self.table.shape[1]

    def take(self, which: Indices) -> Drafts:
        """The tasks of these numbers, in their order."""
        return Drafts(self.table[:, which], self.waits.take(which))
