"""The reference rows that npusim predicts, which of them call which function, and whether one comes out otherwise."""

from __future__ import annotations

import functools
import gc
import sys
import time
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from math import isclose
from pathlib import Path
from types import CodeType, FrameType
from typing import Any

from benchmarks.references import KEPT, MOVED, PREDICTIONS, ROUNDING_US, key, read_table, references
from npusim.errors import UserError
from npusim.graph import Graph
from npusim.validation.schedules.predict import simulate_row
from npusim.validation.schedules.references import Row


@dataclass(frozen=True)
class Case:
    """A row that is predicted, with what the committed table says of it (``wanted``) and how long predicting it took,
    s."""

    row: Row
    graph: Graph
    wanted: Mapping[str, float]
    seconds: float = 0.0

    def latency_us(self) -> float:
        """npusim's prediction as it is now."""
        return simulate_row(self.graph, self.row).latency_us

    def moved(self) -> bool:
        """Whether it is predicted otherwise now than the table says, beyond rounding."""
        found = simulate_row(self.graph, self.row).metrics.statistics
        return any(
            not isclose(found[name], self.wanted[name], rel_tol=MOVED, abs_tol=ROUNDING_US) for name in KEPT
        )


def cases(only: Iterable[tuple[str, ...]] | None = None) -> list[Case]:
    """Every row of every kept set that npusim predicts, or those with the keys ``only``."""
    wanted = {row.key: row.statistics for row in read_table(PREDICTIONS.read_text()) if row.statistics}
    if only is not None:
        wanted = {one: wanted[one] for one in only}
    graphs: dict[tuple[str, str], Graph] = {}
    found = []
    for reference in references():
        for row in reference.rows:
            if key(row) not in wanted:
                continue
            model = row.set, row.model
            if model not in graphs:
                graphs[model] = reference.graph(row)
            found.append(Case(row, graphs[model], wanted[key(row)]))
    return found


def executed(some: Sequence[Case], folder: Path) -> tuple[list[Case], dict[CodeType, list[int]]]:
    """The cases with their times and what is predicted now, and which of them call each function of the files below
    ``folder``. Cases that fail are left out."""
    callers: dict[CodeType, list[int]] = defaultdict(list)
    timed = []
    for case in some:
        seen: set[CodeType] = set()

        def watch(frame: FrameType, event: str, argument: Any, seen: set[CodeType] = seen) -> None:
            if event == "call":
                seen.add(frame.f_code)

        began = time.perf_counter()
        sys.setprofile(watch)
        try:
            found = simulate_row(case.graph, case.row).metrics.statistics
        except UserError:
            continue
        finally:
            sys.setprofile(None)
        timed.append(replace(case, wanted=found, seconds=time.perf_counter() - began))
        for code in seen:
            if code.co_filename.startswith(str(folder)):
                callers[code].append(len(timed) - 1)
    return timed, callers


def forget() -> None:
    """Empty every cache of a function, which may hold what a changed one would not return."""
    for thing in gc.get_objects():
        if isinstance(thing, functools._lru_cache_wrapper):
            thing.cache_clear()
