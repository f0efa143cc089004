"""What npusim predicts: reference rows and drawn graphs, which of them call which function, and whether one comes out
otherwise."""

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

from benchmarks import drawn
from benchmarks.limits import Hangs, limited
from benchmarks.references import (
    KEPT,
    MOVED,
    PREDICTIONS,
    ROOT,
    ROUNDING_US,
    Key,
    key,
    read_table,
    references,
)
from npusim import api
from npusim.api import Result
from npusim.errors import UserError
from npusim.graph import Graph
from npusim.hardware import Hardware
from npusim.program import Program
from npusim.validation.schedules.predict import hardware_of

LOWERING = ROOT / "npusim/lowering"
#: Seconds after which a row counts as predicted otherwise.
HANGS = 20


@dataclass(frozen=True)
class Case:
    """A graph on a machine, with what is predicted of it so far (``wanted``), the processor time that took, s, and a
    digest of its Program, where equal Programs are known to be predicted equally. ``key`` names it; ``truth_us`` is
    what the reference says of its latency, 0 for none."""

    key: Key
    graph: Graph
    hw: Hardware
    wanted: Mapping[str, float]
    truth_us: float = 0.0
    seconds: float = 0.0
    program: int | None = None

    def result(self) -> Result:
        """npusim's prediction as it is now."""
        return api.simulate(api.lower(self.graph, self.hw), self.hw, engine="fast", allow_guess=True)

    def moved(self) -> bool:
        """Whether it is predicted otherwise now than before, beyond rounding. Failing, or taking HANGS s, is so too."""
        try:
            with limited(HANGS):
                return self._moved()
        except (Exception, Hangs):
            return True

    def _moved(self) -> bool:
        program = api.lower(self.graph, self.hw)
        if self.program is not None and digest(program) == self.program:
            return False
        found = api.simulate(program, self.hw, engine="fast", allow_guess=True).metrics.statistics
        return any(
            not isclose(found[name], self.wanted[name], rel_tol=MOVED, abs_tol=ROUNDING_US) for name in KEPT
        )


def digest(program: Program) -> int:
    """A hash of all that the times of a Program's tasks hang on."""
    tasks = program.tasks
    columns = (tasks.queue, tasks.op, tasks.work, *tasks.waits, *tasks.updates)
    return hash((tasks.works, *(column.tobytes() for column in columns)))


def cases(only: Iterable[Key] | None = None) -> list[Case]:
    """Every row of every kept set that npusim predicts, or those of them with the keys ``only``."""
    wanted = {row.key: row.statistics for row in read_table(PREDICTIONS.read_text()) if row.statistics}
    if only is not None:
        wanted = {one: wanted[one] for one in only if one in wanted}
    graphs: dict[tuple[str, str], Graph] = {}
    found = []
    for reference in references():
        for row in reference.rows:
            if key(row) not in wanted:
                continue
            model = row.set, row.model
            if model not in graphs:
                graphs[model] = reference.graph(row)
            hw = hardware_of(row.platform, row.tiles, row.dma_engines)
            found.append(Case(key(row), graphs[model], hw, wanted[key(row)], row.truth["total_us"]))
    return found


def drawn_cases() -> list[Case]:
    """Every drawn graph that npusim predicts."""
    known = drawn.graphs()
    return [
        Case(("drawn", row.model), known[row.model], row.hardware, row.statistics)
        for row in drawn.kept()
        if row.statistics
    ]


def predicted(case: Case) -> Case | None:
    """The case with what is predicted now, the time that takes and its Program; None where it fails or hangs."""
    began = time.process_time()
    try:
        with limited(HANGS):
            found = case.result()
    except (UserError, Hangs):
        return None
    seconds = time.process_time() - began
    return replace(case, wanted=found.metrics.statistics, seconds=seconds, program=digest(found.program))


def executed(some: Sequence[Case], paths: Sequence[Path]) -> tuple[list[Case], dict[CodeType, list[int]]]:
    """The cases as they are ``predicted``, without those that fail, and which of them call each function of the files
    at and below ``paths``. Only where all are lowering's are equal Programs predicted equally, whatever is changed."""
    callers: dict[CodeType, list[int]] = defaultdict(list)
    names, lowering = tuple(map(str, paths)), all(path.is_relative_to(LOWERING) for path in paths)
    timed = []
    for case in some:
        seen: set[CodeType] = set()

        def watch(frame: FrameType, event: str, argument: Any, seen: set[CodeType] = seen) -> None:
            if event == "call":
                seen.add(frame.f_code)

        sys.setprofile(watch)
        try:
            now = predicted(case)
        finally:
            sys.setprofile(None)
        if now is None:
            continue
        timed.append(now if lowering else replace(now, program=None))
        for code in seen:
            if code.co_filename.startswith(names):
                callers[code].append(len(timed) - 1)
    return timed, callers


def forget() -> None:
    """Empty every cache of a function, which may hold what a changed one would not return."""
    for one in _caches():
        one.cache_clear()


@functools.cache
def _caches() -> list[functools._lru_cache_wrapper[Any]]:
    found = [thing for thing in gc.get_objects() if isinstance(thing, functools._lru_cache_wrapper)]
    return [one for one in found if str(getattr(one, "__module__", "")).startswith("npusim.lowering")]
