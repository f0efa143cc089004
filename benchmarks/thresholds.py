"""What the evidence allows each threshold of lowering: python -m benchmarks.thresholds [--only NAME ... | --stale]

For every number that npusim/lowering names (but for private ones, which bound work and change no schedule), looks for
the smallest and the largest value, up to four times away, with which no reference row is predicted otherwise, and the
row that is just beyond. Writes docs/evidence/thresholds.csv, a line each: the constant, its value, and for each side
the end of the interval, the value tried beyond it, the row that moves there and the error of its latency before and
then. A side that no row refutes is empty. --rows of all rows are drawn, and --most of those that read a threshold: more
can only make an interval narrower. tests/references/test_thresholds.py proves every line again, and that no threshold
is missing. Five minutes of a processor; --only renews single lines, --stale those that the test refuses.
"""

from __future__ import annotations

import argparse
import ast
import contextlib
import csv
import gc
import importlib
import io
import os
import random
import sys
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from types import CodeType, FunctionType

from benchmarks.references import ROOT, Key
from benchmarks.rows import LOWERING, Case, cases, executed, forget, predicted

TABLE = ROOT / "docs/evidence/thresholds.csv"
#: How far from its value a threshold is tried, as a factor.
FURTHEST = 4
#: An interval is found to this share of the value.
EXACT = 0.02
SIDES = ("below", "above")
COLUMNS = (
    "constant", "value",
    *(f"{side}_{what}" for side in SIDES for what in ("until", "refuted_at", "by_row", "error_percent", "error_then")),
)  # fmt: skip


@dataclass(frozen=True)
class Threshold:
    """A named number of a module of lowering."""

    module: str
    name: str
    value: float

    @property
    def label(self) -> str:
        """The module below npusim.lowering, and the name."""
        return f"{self.module.removeprefix('npusim.lowering.')}.{self.name}"


@dataclass(frozen=True)
class Side:
    """One end of the interval: ``until`` is the furthest value known to move no row, ``beyond`` the nearest known to
    move ``row``, whose error of the latency is ``before`` at the value and ``then`` beyond, percent."""

    until: float
    beyond: float
    row: Key
    before: float
    then: float


def thresholds() -> list[Threshold]:
    """Every number that a module of lowering gives an upper-case name."""
    found = []
    for path in sorted(LOWERING.rglob("*.py")):
        module = ".".join(path.relative_to(ROOT).with_suffix("").parts)
        for node in ast.parse(path.read_text()).body:
            if isinstance(node, ast.Assign) and not _is_enumeration(node):
                names = [n.id for target in node.targets for n in ast.walk(target) if isinstance(n, ast.Name)]
                for name in (name for name in names if name.isupper() and not name.startswith("_")):
                    value = vars(importlib.import_module(module))[name]
                    if type(value) in (int, float) and value > 0:
                        found.append(Threshold(module, name, value))
    return found


def _is_enumeration(node: ast.Assign) -> bool:
    """Whether an assignment numbers things (``range``), or gives another constant a second name."""
    return isinstance(node.value, ast.Call | ast.Name)


@contextlib.contextmanager
def changed(one: Threshold, value: float) -> Iterator[None]:
    """Run the block with another value of a threshold, wherever it was imported."""
    own = vars(importlib.import_module(one.module))[one.name]
    places = [
        module
        for name, module in list(sys.modules.items())
        if name.startswith("npusim.") and vars(module).get(one.name) is own
    ]
    for module in places:
        setattr(module, one.name, type(one.value)(value))
    forget()
    try:
        yield
    finally:
        for module in places:
            setattr(module, one.name, own)
        forget()


def moved(one: Threshold, value: float, case: Case) -> bool:
    """Whether a case is predicted otherwise with another value of a threshold."""
    with changed(one, value):
        return case.moved()


def error_percent(case: Case) -> float:
    """Error of the latency of a case as npusim is now, percent; infinite where it fails."""
    try:
        return abs(case.result().latency_us / case.truth_us - 1) * 100
    except Exception:
        return float("inf")


def side(one: Threshold, some: Sequence[Case], up: bool) -> Side | None:
    """How far the value may go up or down before a case comes out otherwise; None where no case does up to FURTHEST.

    A case that is as it was at the furthest value is taken to be so on the way there. Of the others, each is looked at
    just nearer than what is known to move a case; only one that moves there too is followed to where it begins to.
    """
    with changed(one, _rounded(one, one.value * (FURTHEST if up else 1 / FURTHEST))):
        movers = [case for case in some if case.moved()]
    random.Random(0).shuffle(movers)
    until, beyond, first = one.value, _rounded(one, one.value * (FURTHEST if up else 1 / FURTHEST)), None
    for case in movers:
        nearer = beyond if first is None else until
        if first is None or (nearer != one.value and moved(one, nearer, case)):
            until, beyond = _begins(one, case, nearer)
            first = case
    if first is None:
        return None
    before = error_percent(first)
    with changed(one, beyond):
        return Side(until, beyond, first.key, before, error_percent(first))


def _begins(one: Threshold, case: Case, beyond: float) -> tuple[float, float]:
    """Between which values a case begins to move, which it does at ``beyond``."""
    until = one.value
    while abs(beyond - until) > max(EXACT * one.value, 1 if isinstance(one.value, int) else 0):
        middle = _rounded(one, (beyond + until) / 2)
        if middle in (beyond, until):
            break
        if moved(one, middle, case):
            beyond = middle
        else:
            until = middle
    return until, beyond


def _rounded(one: Threshold, value: float) -> float:
    return round(value) if isinstance(one.value, int) else float(f"{value:.6g}")


def readers(
    one: Threshold, functions: Sequence[FunctionType], callers: Mapping[CodeType, Sequence[int]]
) -> list[int]:
    """The cases that call a function that reads a threshold."""
    codes = {f.__code__ for f in functions if one.name in _names(f.__code__)}
    return sorted({number for code in codes for number in callers.get(code, ())})


def _names(code: CodeType) -> set[str]:
    inner = (constant for constant in code.co_consts if isinstance(constant, CodeType))
    return {*code.co_names}.union(*(_names(one) for one in inner))


# -- the table ----------------------------------------------------------------------------------------------------


def line(one: Threshold, below: Side | None, above: Side | None) -> dict[str, str]:
    """A line of the table."""

    def told(found: Side | None) -> tuple[str, ...]:
        if found is None:
            return ("",) * 5
        errors = f"{found.before:.1f}", f"{found.then:.1f}"
        return f"{found.until:.10g}", f"{found.beyond:.10g}", " ".join(found.row), *errors

    values = one.label, f"{one.value:.10g}", *told(below), *told(above)
    return dict(zip(COLUMNS, values, strict=True))


def read_table() -> dict[str, dict[str, str]]:
    """The lines of the committed table, by constant."""
    if not TABLE.exists():
        return {}
    return {row["constant"]: row for row in csv.DictReader(TABLE.read_text().splitlines())}


def stale(table: Mapping[str, Mapping[str, str]]) -> dict[str, str]:
    """The constants whose lines are missing or not what npusim is now, and why."""
    found = dict.fromkeys(table, "there is no such constant")
    by_key = {" ".join(case.key): case for case in map(predicted, cases(_rows(table))) if case}
    for one in thresholds():
        found.pop(one.label, None)
        row = table.get(one.label)
        if row is None:
            found[one.label] = "it has no line"
        elif row["value"] != f"{one.value:.10g}":
            found[one.label] = f"its value is {one.value:.10g}, not {row['value']}"
        else:
            for name in SIDES:
                case = by_key.get(row[f"{name}_by_row"])
                refuted_at = row[f"{name}_refuted_at"]
                if row[f"{name}_by_row"] and (case is None or not moved(one, float(refuted_at), case)):
                    found[one.label] = f"{row[f'{name}_by_row']} does not move at {refuted_at}"
    return found


def _rows(table: Mapping[str, Mapping[str, str]]) -> list[Key]:
    named = (row.get(f"{name}_by_row", "") for row in table.values() for name in SIDES)
    return [tuple(name.split(" ")) for name in dict.fromkeys(filter(None, named))]


def main() -> None:
    """Write the table anew, or some lines of it."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--only", nargs="*", default=[], help="constants, as split.dpu.TIE; default: all")
    parser.add_argument("--stale", action="store_true", help="only those whose lines the test refuses")
    parser.add_argument("--rows", type=int, default=750, help="rows to draw of all (default 750)")
    parser.add_argument(
        "--most", type=int, default=110, help="and of those that read a threshold (default 110)"
    )
    parser.add_argument(
        "--seconds", type=float, default=0.12, help="leave out rows that take longer (default 0.12)"
    )
    asked = parser.parse_args()
    table = read_table()
    everything = thresholds()
    table = {one.label: table[one.label] for one in everything if one.label in table}
    wanted = stale(table) if asked.stale else asked.only or [one.label for one in everything]
    every = cases()
    known, callers = executed(random.Random(3).sample(every, min(asked.rows, len(every))), [LOWERING])
    functions = [
        f for f in gc.get_objects()
        if isinstance(f, FunctionType) and f.__code__.co_filename.startswith(str(LOWERING))
    ]  # fmt: skip
    gc.freeze()
    for one in everything:
        if one.label in wanted:
            some = [known[number] for number in readers(one, functions, callers)]
            some = [case for case in some if case.seconds < asked.seconds]
            drawn = random.Random(0).sample(some, min(asked.most, len(some)))
            sides = [side(one, drawn, up) for up in (False, True)]
            table[one.label] = line(one, *sides)
            print(*table[one.label].values(), flush=True)
            _write([table[each.label] for each in everything if each.label in table])


def _write(rows: Iterable[Mapping[str, str]]) -> None:
    text = io.StringIO()
    writer = csv.DictWriter(text, COLUMNS, lineterminator="\n")
    writer.writeheader()
    writer.writerows(rows)
    draft = TABLE.with_suffix(f".{os.getpid()}")
    draft.write_text(text.getvalue())
    draft.replace(TABLE)


if __name__ == "__main__":
    main()
