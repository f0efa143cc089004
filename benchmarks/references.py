"""What npusim predicts of every reference schedule, kept: python -m benchmarks.references [--renew]

The table tests/references/predictions.csv has npusim's own predictions of the packaged sets and of the unseen one. The
command predicts all of them again and prints the rows that moved and the errors before and after; with --renew it
writes the table anew, and the pages of docs/ that are made of it. tests/references fails while any of them is stale.
On a conflict in these files take either side and renew.
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

from npusim.cli.options import command_line
from npusim.validation.markdown import validation_page
from npusim.validation.predict import Prediction, predict
from npusim.validation.references import KEY, PACKAGED, Reference, Row, open_reference
from npusim.validation.scores import pairs, score, table

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


def references() -> dict[str, Reference]:
    """Every set that is kept, by name."""
    unseen = replace(open_reference(ROOT / UNSEEN), label=UNSEEN)
    return {PACKAGED.name: open_reference(), "unseen": unseen}


def pages(found: Mapping[str, Sequence[Prediction]]) -> dict[Path, str]:
    """The pages of docs/ that these predictions make."""
    sets = references()
    asked = {"docs/validation.md": (PACKAGED.name, None), "docs/unseen.md": ("unseen", UNSEEN)}
    return {
        ROOT / page: validation_page(
            sets[name].label,
            found[name],
            command_line("validate", [("--index", index), ("--markdown", page)]),
        )
        for page, (name, index) in asked.items()
    }


def predict_all(workers: int | None = None) -> dict[str, list[Prediction]]:
    """npusim's predictions of every set as it is today."""
    return {name: predict(one, one.rows, workers) for name, one in references().items()}


def kept(found: Mapping[str, Iterable[Prediction]]) -> list[Kept]:
    """Predictions as rows of the table, to the digits that it keeps."""
    return [
        Kept(
            (name, *one.row.key),
            {column: round(one.statistics[column], 6) for column in KEPT} if one.statistics else {},
            one.error,
        )
        for name, some in found.items()
        for one in some
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


def as_predictions(rows: Iterable[Kept]) -> dict[str, list[Prediction]]:
    """Rows of the table beside their references, by set; rows that the sets do not have are left out."""
    sets = references()
    known = {(name, *row.key): row for name, reference in sets.items() for row in reference.rows}
    found: dict[str, list[Prediction]] = {name: [] for name in sets}
    for one in rows:
        if one.key in known:
            found[one.key[0]].append(Prediction(known[one.key], one.statistics, {}, error=one.error))
    return found


def moves(before: Iterable[Kept], found: Mapping[str, Sequence[Prediction]]) -> list[Move]:
    """Rows that differ between the table and some predictions, those whose error grew most first."""
    old = {row.key: row.statistics for row in before}
    new = {row.key: row.statistics for row in kept(found)}
    rows = {(name, *one.row.key): one.row for name, some in found.items() for one in some}
    differing = [
        Move(key, rows.get(key), old.get(key), new.get(key), what)
        for key in {**old, **new}
        if (what := _differing(old.get(key), new.get(key)))
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


def scores_text(before: Mapping[str, Sequence[Prediction]], after: Mapping[str, Sequence[Prediction]]) -> str:
    """Errors of the latency before and after by set, family and platform: all of a set, and the groups that differ."""
    rows = [("set", "family", "platform", "rows", "median", "", "p90", "", "missing", "")]
    for name, now in after.items():
        was = before.get(name, [])
        old = (
            {(group.family, group.platform): group.scores["total_us"] for group in table(was)} if was else {}
        )
        groups = {(group.family, group.platform): group.scores["total_us"] for group in table(now)}
        groups["all", ""], old["all", ""] = (score(pairs(some, "total_us")) for some in (now, was))
        for (family, platform), new in groups.items():
            one = old.get((family, platform))
            if new is None or (new == one and family != "all"):
                continue
            both = [
                tuple(f"{getattr(some, figure):.2%}" if some else "" for some in (one, new))
                for figure in ("median", "p90")
            ]
            missing = tuple(str(some.missing) if some else "" for some in (one, new))
            rows.append((name, family, platform, str(new.rows), *both[0], *both[1], *missing))
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
    parser.add_argument("--workers", type=int, help="processes (default: one a processor)")
    given = parser.parse_args(arguments)
    before = read_table(PREDICTIONS.read_text()) if PREDICTIONS.exists() else []
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
    written = {PREDICTIONS: write_table(after), **pages(as_predictions(after))}
    for path, text in written.items():
        path.write_text(text)
        print(f"Wrote {path.relative_to(ROOT)}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
