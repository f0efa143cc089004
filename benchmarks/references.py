"""What npusim predicts of every reference schedule, kept: python -m benchmarks.references [--renew | --pages]

The table tests/references/predictions.csv has npusim's own predictions of the packaged sets and of the unseen one. The
command predicts all of them again and prints the rows that moved and the errors before and after; with --renew it
writes the table anew, and the pages of docs/ that are made of it. tests/references fails while any of them is stale.
--pages writes them from the table as it is, at once: after a conflict in a page.
"""

from __future__ import annotations

import argparse
import csv
import io
import sys
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from math import isclose
from pathlib import Path

from benchmarks import alternatives
from npusim.jobs.commands import command_line
from npusim.validation.schedules.page import validation_page
from npusim.validation.schedules.predict import Prediction, predict
from npusim.validation.schedules.references import KEY, Reference, Row, open_reference
from npusim.validation.schedules.scores import table, table_of_sets

ROOT = Path(__file__).resolve().parents[1]
PREDICTIONS = ROOT / "tests/references/predictions.csv"
UNSEEN = "benchmarks/vendor/unseen/index.csv"
#: Statistics of the table, µs: the latency and, by engine, the time in which it is busy and the sum of its tasks.
KEPT = ("total_us", "dma_us", "dpu_us", "shave_us", "sum_dma_us", "sum_dpu_us", "sum_shave_us")
#: A row moved when a statistic differs by more than this share and by more than so many µs, which covers rounding.
MOVED, ROUNDING_US = 0.0005, 0.001

Key = tuple[str, ...]
"""(set, *KEY): a row among all sets."""


@dataclass(frozen=True, slots=True)
class Kept:
    """One row of the table: ``statistics`` has KEPT, or nothing where npusim predicts nothing, and ``error`` why."""

    key: Key
    statistics: Mapping[str, float]
    error: str = ""


@dataclass(frozen=True, slots=True)
class Move:
    """A row that is not what it was: ``statistics`` names what differs; None is a row that the table or the set
    does not have."""

    key: Key
    row: Row | None
    before: Mapping[str, float] | None
    after: Mapping[str, float] | None
    statistics: tuple[str, ...]


def references() -> tuple[Reference, Reference]:
    """The packaged sets, and the unseen one."""
    unseen = open_reference(ROOT / UNSEEN)
    rows = tuple(replace(row, set=unseen.root.name) for row in unseen.rows)
    return open_reference(), Reference(UNSEEN, unseen.root.parent, False, rows)


def pages(found: Iterable[Prediction]) -> dict[Path, str]:
    """The pages of docs/ that these predictions make."""
    found = list(found)
    asked = zip(references(), (None, UNSEEN), ("docs/validation.md", "docs/unseen.md"), strict=True)
    made = {}
    for reference, index, page in asked:
        sets = {row.set for row in reference.rows}
        command = command_line("validate", [("--index", index), ("--markdown", page)])
        mine = [one for one in found if one.row.set in sets]
        made[ROOT / page] = validation_page(reference.label, mine, command)
    return {**made, ROOT / "docs/alternatives.md": alternatives.page(found)}


def predict_all(workers: int | None = None) -> list[Prediction]:
    """npusim's predictions of every set as it is today."""
    return [one for reference in references() for one in predict(reference, reference.rows, workers)]


def key(row: Row) -> Key:
    """What tells a row from all others."""
    return row.set, *row.key


def kept(found: Iterable[Prediction]) -> list[Kept]:
    """Predictions as rows of the table, to the digits that it keeps."""
    return [
        Kept(
            key(one.row),
            {column: round(one.statistics[column], 6) for column in KEPT} if one.statistics else {},
            one.error,
        )
        for one in found
    ]


def write_table(rows: Iterable[Kept]) -> str:
    """The table as CSV text; the statistics of a row without a prediction are empty."""
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(("set", *KEY, *KEPT, "error"))
    for row in rows:
        given = row.statistics
        writer.writerow((*row.key, *(f"{given[name]:.6f}" if given else "" for name in KEPT), row.error))
    return text.getvalue()


def read_table(text: str) -> list[Kept]:
    """The rows of the table."""
    return [
        Kept(
            tuple(fields[column] for column in ("set", *KEY)),
            {name: float(fields[name]) for name in KEPT} if fields["total_us"] else {},
            fields["error"],
        )
        for fields in csv.DictReader(io.StringIO(text))
    ]


def as_predictions(rows: Iterable[Kept]) -> list[Prediction]:
    """Rows of the table beside their references; rows that the sets do not have are left out."""
    known = {key(row): row for reference in references() for row in reference.rows}
    return [
        Prediction(known[one.key], one.statistics, {}, error=one.error) for one in rows if one.key in known
    ]


def moves(before: Iterable[Kept], found: Sequence[Prediction]) -> list[Move]:
    """Rows that differ between the table and some predictions, those whose error grew most first."""
    old = {row.key: row.statistics for row in before}
    new = {row.key: row.statistics for row in kept(found)}
    rows = {key(one.row): one.row for one in found}
    differing = [
        Move(one, rows.get(one), old.get(one), new.get(one), what)
        for one in {**old, **new}
        if (what := _differing(old.get(one), new.get(one)))
    ]
    return sorted(differing, key=lambda move: _error(move.row, move.before) - _error(move.row, move.after))


def _differing(before: Mapping[str, float] | None, after: Mapping[str, float] | None) -> tuple[str, ...]:
    if not before or not after:
        return () if before == after else ("row",)
    return tuple(
        name for name in KEPT if not isclose(before[name], after[name], rel_tol=MOVED, abs_tol=ROUNDING_US)
    )


def _error(row: Row | None, statistics: Mapping[str, float] | None) -> float:
    """Relative error of the latency; 1 where there is none."""
    truth = row.truth.get("total_us", 0.0) if row else 0.0
    return abs(statistics["total_us"] - truth) / truth if statistics and truth > 0 else 1.0


def moved_text(moved: Sequence[Move], count: int | None = None) -> str:
    """The moves as a table, µs of the latency; at most ``count`` of them."""
    shown = moved[:count]
    rows = [("set", "case", "platform", "tiles", "before", "after", "reference", "error", "", "moved")]
    for one in shown:
        set_, case, platform, tiles, _ = one.key
        truth = one.row.truth.get("total_us") if one.row else None
        errors = (f"{_error(one.row, some):.2%}" for some in (one.before, one.after))
        rows.append(
            (set_, case, platform, tiles, _us(one.before), _us(one.after), f"{truth:.3f}" if truth else "",
             *errors, " ".join(name.removesuffix("_us") for name in one.statistics))
        )  # fmt: skip
    more = f"\n... and {len(moved) - len(shown)} more" if len(moved) > len(shown) else ""
    return f"{len(moved)} rows moved by more than {MOVED:.2%}\n{_columns(rows, left=2)}{more}"


def _us(statistics: Mapping[str, float] | None) -> str:
    if statistics is None:
        return "no row"
    return f"{statistics['total_us']:.3f}" if statistics else "missing"


def scores_text(before: Sequence[Prediction], after: Sequence[Prediction]) -> str:
    """Errors of the latency before and after: of every set and platform, and of the families that differ."""
    rows = [("set", "family", "platform", "rows", "median", "", "p90", "", "missing", "")]
    for groups in (table, table_of_sets):
        old = {(one.set, one.family, one.platform): one.scores["total_us"] for one in groups(before)}
        for one in groups(after):
            was, now = old.get((one.set, one.family, one.platform)), one.scores["total_us"]
            if now is None or (groups is table and (was == now or one.set == "all")):
                continue
            figures = [
                f"{getattr(some, figure):.2%}" if some else ""
                for figure in ("median", "p90")
                for some in (was, now)
            ]
            missing = [str(some.missing) if some else "" for some in (was, now)]
            rows.append((one.set, one.family, one.platform, str(now.rows), *figures, *missing))
    return f"errors of the latency, before and after\n{_columns(rows, left=2)}"


def _columns(rows: Sequence[Sequence[str]], left: int) -> str:
    """Cells in columns, the first ``left`` aligned left."""
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    return "\n".join(
        "  ".join(
            cell.ljust(width) if place < left else cell.rjust(width)
            for place, (cell, width) in enumerate(zip(row, widths, strict=True))
        ).rstrip()
        for row in rows
    )


def main(arguments: Sequence[str] | None = None) -> int:
    """Print what moved; the exit code is 1 if anything did and it was not renewed."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--renew", action="store_true", help="write the table and the pages anew")
    parser.add_argument(
        "--pages", action="store_true", help="write the pages from the table, predicting nothing"
    )
    parser.add_argument("--workers", type=int, help="processes (default: one a processor)")
    given = parser.parse_args(arguments)
    before = read_table(PREDICTIONS.read_text()) if PREDICTIONS.exists() else []
    if given.pages:
        _write(pages(as_predictions(before)))
        return 0
    found = predict_all(given.workers)
    after = kept(found)
    moved = moves(before, found)
    print(moved_text(moved))
    print(scores_text(as_predictions(before), found))
    digits = set(write_table(after).splitlines()) - set(write_table(before).splitlines())
    print(f"{len(digits)} of {len(after)} rows differ in some digit")
    if not given.renew:
        return int(bool(moved))
    PREDICTIONS.parent.mkdir(exist_ok=True)
    _write({PREDICTIONS: write_table(after), **pages(as_predictions(after))})
    return 0


def _write(texts: Mapping[Path, str]) -> None:
    for path, text in texts.items():
        path.write_text(text)
        print(f"Wrote {path.relative_to(ROOT)}")


if __name__ == "__main__":
    sys.exit(main())
