"""What the evidence allows each threshold of lowering: python -m benchmarks.thresholds [--only NAME ...]

For every number that npusim/lowering names, looks for the smallest and the largest value with which no reference row is
predicted otherwise, up to four times away, and the row that first is. Writes docs/evidence/thresholds.csv, a line each:
the constant, its value, the interval, and on each side the row that refutes what lies beyond it, with the error of its
latency at the value and beyond. A side that no row refutes is empty. tests/references/test_thresholds.py proves every
line again, and that no threshold is missing. Half an hour on a quiet machine; --only renews single lines.
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
import sys
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from types import CodeType, FunctionType

from benchmarks.references import ROOT, key
from benchmarks.rows import Case, cases, executed, forget

TABLE = ROOT / "docs/evidence/thresholds.csv"
LOWERING = ROOT / "npusim/lowering"
#: How far from its value a threshold is tried, as factors.
TRIED = (1.1, 1.5, 2.0, 4.0)
#: An interval is found to this share of its end.
EXACT = 0.02
COLUMNS = (
    "constant", "value", "lowest", "refuted_below_by", "error_percent", "error_below_percent",
    "highest", "refuted_above_by", "error_percent_there", "error_above_percent",
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
    """One end of the interval: ``end`` is the furthest value tried that moves no row, ``beyond`` the nearest that moves
    ``row``, whose error of the latency is ``before`` and ``after``, percent."""

    end: float
    beyond: float
    row: str
    before: float
    after: float


def thresholds() -> list[Threshold]:
    """Every number that a module of lowering gives an upper-case name."""
    found = []
    for path in sorted(LOWERING.rglob("*.py")):
        module = ".".join(path.relative_to(ROOT).with_suffix("").parts)
        for node in ast.parse(path.read_text()).body:
            if isinstance(node, ast.Assign) and not _is_enumeration(node):
                names = [n.id for target in node.targets for n in ast.walk(target) if isinstance(n, ast.Name)]
                for name in filter(str.isupper, names):
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


def first_moved(one: Threshold, value: float, some: Iterable[Case]) -> Case | None:
    """The first of some cases that is predicted otherwise with another value of a threshold (or fails)."""
    with changed(one, value):
        for case in some:
            try:
                if case.moved():
                    return case
            except Exception:
                return case
    return None


def error_percent(case: Case) -> float:
    """Error of the latency of a case as npusim is now, percent; infinite where it fails."""
    truth = case.row.truth["total_us"]
    try:
        return abs(case.latency_us() / truth - 1) * 100
    except Exception:
        return float("inf")


def side(one: Threshold, some: Sequence[Case], up: bool) -> Side | None:
    """How far the value may go up or down before a case comes out otherwise, or None where it may go all the way."""
    end = one.value
    for factor in TRIED:
        beyond = _at(one, factor if up else 1 / factor)
        moved = first_moved(one, beyond, some) if beyond != end else None
        if moved is not None:
            break
        end = beyond
    else:
        return None
    while abs(beyond - end) > max(EXACT * one.value, 1 if isinstance(one.value, int) else 0):
        middle = _rounded(one, (beyond + end) / 2)
        if middle in (beyond, end):
            break
        nearer = first_moved(one, middle, [moved, *some])
        if nearer is None:
            end = middle
        else:
            beyond, moved = middle, nearer
    before = error_percent(moved)
    with changed(one, beyond):
        after = error_percent(moved)
    return Side(end, beyond, " ".join(key(moved.row)), before, after)


def _at(one: Threshold, factor: float) -> float:
    value = _rounded(one, one.value * factor)
    return value if value != one.value else one.value + (1 if factor > 1 else -1)


def _rounded(one: Threshold, value: float) -> float:
    return round(value) if isinstance(one.value, int) else float(f"{value:.4g}")


def readers(
    one: Threshold, functions: Sequence[FunctionType], callers: dict[CodeType, list[int]]
) -> list[int]:
    """The cases that call a function that reads a threshold."""
    codes = {f.__code__ for f in functions if one.name in _names(f.__code__)}
    return sorted({number for code in codes for number in callers.get(code, ())})


def _names(code: CodeType) -> set[str]:
    inner = (constant for constant in code.co_consts if isinstance(constant, CodeType))
    return {*code.co_names}.union(*(_names(one) for one in inner))


def line(one: Threshold, below: Side | None, above: Side | None) -> dict[str, str]:
    """A line of the table."""

    def told(found: Side | None) -> tuple[str, ...]:
        if found is None:
            return "", "", "", ""
        return (
            f"{found.end:g}",
            f"{found.row} at {found.beyond:g}",
            f"{found.before:.1f}",
            f"{found.after:.1f}",
        )

    return dict(zip(COLUMNS, (one.label, f"{one.value:g}", *told(below), *told(above)), strict=True))


def read_table() -> dict[str, dict[str, str]]:
    """The lines of the committed table, by constant."""
    if not TABLE.exists():
        return {}
    return {row["constant"]: row for row in csv.DictReader(TABLE.read_text().splitlines())}


def main() -> None:
    """Write the table anew, or some lines of it."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--only", nargs="*", default=[], help="constants, as split.dpu.TIE; default: all")
    parser.add_argument(
        "--seconds", type=float, default=0.3, help="leave out rows that take longer (default 0.3)"
    )
    asked = parser.parse_args()
    known, callers = executed(cases(), LOWERING)
    functions = [
        f for f in gc.get_objects()
        if isinstance(f, FunctionType) and f.__code__.co_filename.startswith(str(LOWERING))
    ]  # fmt: skip
    rows = read_table()
    everything = thresholds()
    for one in everything:
        if asked.only and one.label not in asked.only:
            continue
        some = [known[number] for number in readers(one, functions, callers)]
        some = sorted((case for case in some if case.seconds < asked.seconds), key=lambda case: case.seconds)
        rows[one.label] = line(one, side(one, some, False), side(one, some, True))
        print(" ".join(rows[one.label].values()), flush=True)
        _write([rows[each.label] for each in everything if each.label in rows])


def _write(rows: Iterable[dict[str, str]]) -> None:
    text = io.StringIO()
    writer = csv.DictWriter(text, COLUMNS, lineterminator="\n")
    writer.writeheader()
    writer.writerows(rows)
    draft = TABLE.with_suffix(f".{os.getpid()}")
    draft.write_text(text.getvalue())
    draft.replace(TABLE)


if __name__ == "__main__":
    main()
