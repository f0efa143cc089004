"""Scores: the arithmetic that predictions are judged by, on figures done by hand."""

from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from npusim.validation.schedules.predict import Prediction
from npusim.validation.schedules.references import Row
from npusim.validation.schedules.scores import over_tiles, pairs, same_order, score, spearman, table, worst
from tests.strategies import law


def prediction(
    case: str, truth: float | None, predicted: float | None, *, tiles: int = 4, line: int = 2
) -> Prediction:
    key = (case, "4000", str(tiles), "2")
    given = {} if truth is None else {"total_us": truth}
    row = Row(key, case, "micro", f"{case}.xml", "4000", tiles, 2, "", given, line)
    made = {} if predicted is None else {"total_us": predicted}
    return Prediction(row, made, {}, error="" if made else "failed")


def test_errors_by_hand() -> None:
    found = [
        prediction("a", 10.0, 11.0, line=2),
        prediction("b", 20.0, 15.0, line=3),
        prediction("c", 40.0, None, line=4),
        prediction("d", 80.0, 80.0, line=5),
        prediction("e", 0.0, 7.0, line=6),
        prediction("f", None, 7.0, line=7),
    ]
    totals = pairs(found, "total_us")
    assert [pair.error for pair in totals] == pytest.approx([0.1, 0.25, 1.0, 0.0])
    result = score(totals)
    assert result is not None
    assert (result.rows, result.missing, result.worst, result.p90) == (4, 1, 0.25, 0.25)
    assert result.median == pytest.approx(0.1)
    assert result.rank == pytest.approx(1.0)
    assert [pair.row.case for pair in worst(totals, 2)] == ["b", "a"]
    assert score([]) is None


def test_the_p90_is_the_value_at_nine_tenths() -> None:
    result = score(pairs([prediction(str(n), 100.0, 100.0 + n, line=n) for n in range(20)], "total_us"))
    assert result is not None
    assert result.p90 == pytest.approx(0.18)


def test_groups_and_all_of_them() -> None:
    one = prediction("a", 10.0, 11.0)
    other = replace(one, row=replace(one.row, family="nets", line=3))
    assert [(group.family, group.platform) for group in table([one, other])] == [
        ("micro", "4000"), ("nets", "4000"), ("all", ""),
    ]  # fmt: skip
    assert [group.family for group in table([one])] == ["micro"]


def test_speed_up_over_tiles() -> None:
    found = [
        prediction("m", 100.0, 90.0, tiles=4, line=2),
        prediction("m", 160.0, 180.0, tiles=2, line=3),
        prediction("m", 80.0, 95.0, tiles=6, line=4),
        prediction("other", 5.0, 5.0, tiles=4, line=5),
    ]
    rows = over_tiles(pairs(found, "total_us"))
    assert [(one.row.tiles, one.usual_tiles) for one in rows] == [(2, 4), (6, 4)]
    assert [one.predicted for one in rows] == pytest.approx([0.5, 90 / 95])
    assert [one.truth for one in rows] == pytest.approx([0.625, 1.25])
    assert rows[0].error == pytest.approx(0.2)
    assert same_order(rows) == {("m", "4000"): False}


@law
@given(st.lists(st.floats(0.1, 1e6), min_size=3, max_size=20, unique=True))
def test_rank_correlation_sees_order_alone(values: list[float]) -> None:
    assert spearman(values, [value**0.5 for value in values]) == pytest.approx(1.0)
    assert spearman(values, [-value for value in values]) == pytest.approx(-1.0)
