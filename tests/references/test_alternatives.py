"""The score of rankings counts clear pairs, and what choosing by npusim costs."""

from __future__ import annotations

import pytest

from benchmarks.alternatives import Choice, Group, groups, page
from npusim.validation.schedules.predict import Prediction
from npusim.validation.schedules.references import Row


def group(*choices: tuple[float, float]) -> Group:
    return Group("forms", "block", "4000", tuple(Choice(str(n), *one) for n, one in enumerate(choices)))


def prediction(case: str, truth_us: float, predicted_us: float | None, tiles: int = 4) -> Prediction:
    key = (case, "4000", str(tiles), "2")
    row = Row(key, case, "f", "m", "4000", tiles, 2, "", {"total_us": truth_us}, 1, "some")
    return Prediction(row, {} if predicted_us is None else {"total_us": predicted_us}, {})


def test_pairs_that_hardly_differ_are_no_choice() -> None:
    assert group((100.0, 5.0), (102.9, 1.0)).pairs == []
    assert len(group((100.0, 5.0), (103.1, 1.0), (200.0, 9.0)).pairs) == 3


def test_a_pair_is_wrong_where_the_slower_one_seems_as_fast() -> None:
    assert group((100.0, 1.0), (200.0, 1.0)).wrong
    assert not group((100.0, 1.0), (200.0, 1.1)).wrong


@pytest.mark.parametrize(("first", "regret"), [(1.0, 0.0), (3.0, 0.5)])
def test_regret_is_of_the_choice_that_seems_best(first: float, regret: float) -> None:
    assert group((100.0, first), (150.0, 2.0), (400.0, 9.0)).regret == pytest.approx(regret)


def test_forms_of_a_block_and_tiles_of_a_model_are_groups() -> None:
    found = groups(
        [
            prediction("a__x", 1.0, 1.0),
            prediction("a__y", 2.0, 2.0),
            prediction("a__z", 2.0, None),
            prediction("b__x", 3.0, 1.0),
            prediction("a__x", 4.0, 1.0, tiles=2),
        ]
    )
    assert [(one.kind, one.name, [each.name for each in one.choices]) for one in found] == [
        ("forms", "a", ["x", "y"]),
        ("tiles", "a__x", ["4", "2"]),
    ]


def test_the_page_lists_what_is_ranked_otherwise() -> None:
    text = page([prediction("a__x", 1.0, 2.0), prediction("a__y", 2.0, 1.0)])
    assert "| forms | 4000 | 1 | 1 | 0 | 0.0% | 100.0% |" in text
    assert "| `a` | 4000 | x | y | 1.0 | 2.0 | 2.0 | 1.0 |" in text
