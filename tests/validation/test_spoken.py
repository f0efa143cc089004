"""Language models against real NPUs: the rows, the fit, and how well it carries to a model that it has not seen."""

from __future__ import annotations

import pytest

from npusim.hardware import load_hardware
from npusim.validation.silicon.llm import (
    Heard,
    fitted_us,
    hear,
    lengths,
    median_of,
    of_metric,
    section,
    spoken,
    worst_of,
)

FILES = ("lunarlake.yaml", "meteorlake.yaml", "arrowlake.yaml")


@pytest.fixture(scope="module")
def found() -> list[Heard]:
    return hear(spoken())


def test_every_row_says_where_it_comes_from_and_what_it_shows() -> None:
    for row in spoken():
        assert row.source
        assert row.shows
        assert row.grade in ("A", "B", "C")
        assert row.use in ("score", "ratio", "aside")


def test_the_figure_of_the_files_is_the_fit(found: list[Heard]) -> None:
    carried = {load_hardware(file).software.runtime.token_us for file in FILES}
    assert len(carried) == 1
    us = carried.pop()
    without = [one.predicted_ms - us / 1e3 for one in found]
    rows = [one.row for one in found]
    fit = fitted_us(rows, without)
    assert us == pytest.approx(fit, abs=2000), "fit again: npusim.validation.silicon.llm.fitted_us"


def test_times_per_token_carry_to_models_that_the_fit_has_not_seen(found: list[Heard]) -> None:
    scored = of_metric(found, "tpot")
    assert median_of([one.left_out_error for one in scored]) <= 0.15
    assert worst_of([one.left_out_error for one in scored]) <= 0.40
    assert median_of([one.left_out_error for one in of_metric(found, "ttft")]) <= 0.25
    for _, measured, predicted in lengths(found):
        assert predicted == pytest.approx(measured, rel=0.15)


def test_the_section_of_the_document_has_every_row(found: list[Heard]) -> None:
    told = section(found)
    assert len(told["rows"]) == len(spoken())
    assert told["tpot"]["median_error_left_out"] is not None
