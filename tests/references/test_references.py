"""npusim's predictions of the references are those of the committed table, and the pages made of it are fresh."""

from __future__ import annotations

from dataclasses import replace

import pytest

from benchmarks import references as guard
from npusim.validation.schedules.predict import Prediction

RENEW = "if it is meant: python -m benchmarks.references --renew, and say the medians in the commit's message"


@pytest.fixture(scope="module")
def committed() -> list[guard.Kept]:
    return guard.read_table(guard.PREDICTIONS.read_text())


def test_no_prediction_moved(committed: list[guard.Kept]) -> None:
    found = guard.predict_all()
    moved = guard.moves(committed, found)
    if moved:
        scores = guard.scores_text(guard.as_predictions(committed), found)
        pytest.fail(f"{guard.moved_text(moved, 60)}\n\n{scores}\n\n{RENEW}", pytrace=False)


@pytest.mark.parametrize("page", ["docs/validation.md", "docs/unseen.md", "docs/alternatives.md"])
def test_a_page_says_what_the_table_says(committed: list[guard.Kept], page: str) -> None:
    fresh = guard.pages(guard.as_predictions(committed))[guard.ROOT / page]
    assert (guard.ROOT / page).read_text() == fresh, RENEW


def test_the_table_has_every_row_of_every_set_once(committed: list[guard.Kept]) -> None:
    rows = [guard.key(row) for reference in guard.references() for row in reference.rows]
    assert [row.key for row in committed] == rows
    assert len(set(rows)) == len(rows)
    assert guard.read_table(guard.write_table(committed)) == committed


@pytest.fixture
def found(committed: list[guard.Kept]) -> list[Prediction]:
    """What the table says, as if it were predicted now."""
    return guard.as_predictions(committed)


@pytest.mark.parametrize(("factor", "moved"), [(1.0, False), (1.0004, False), (1.0006, True), (0.9994, True)])
def test_a_row_moves_by_more_than_a_twentieth_of_a_percent(
    committed: list[guard.Kept], found: list[Prediction], factor: float, moved: bool
) -> None:
    slow = max(found, key=lambda one: one.statistics.get("shave_us", 0.0))
    changed = {**slow.statistics, "shave_us": slow.statistics["shave_us"] * factor}
    now = [replace(one, statistics=changed) if one is slow else one for one in found]
    assert [one.statistics for one in guard.moves(committed, now)] == [("shave_us",)] * moved


def test_rows_that_go_missing_or_come_are_moves(committed: list[guard.Kept], found: list[Prediction]) -> None:
    lost = replace(found[0], statistics={}, error="lost")
    gone = [lost, *found[1:]]
    assert [(one.row, one.after) for one in guard.moves(committed, gone)] == [(lost.row, {})]
    assert [one.before for one in guard.moves(guard.kept(gone), found)] == [{}]
    assert [one.after for one in guard.moves(committed, found[1:])] == [None]
    assert [one.before for one in guard.moves(committed[1:], found)] == [None]
    assert "missing" in guard.moved_text(guard.moves(committed, gone))
