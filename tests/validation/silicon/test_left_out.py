"""Rows predicted without their own model: what leaving it out of the fit does, on today's prediction."""

from __future__ import annotations

from dataclasses import replace

import pytest

from npusim.validation.silicon.left_out import carried_calibrations, left_out, taken
from npusim.validation.silicon.measurements import measurements
from npusim.validation.silicon.scores import Scored
from tests.validation.silicon.test_page import ROW


def fit(verdict: str = "identified", left_out_us: float | None = 900.0) -> dict[str, object]:
    """A calibration of one row, which it moves from 1,200 µs."""
    row = {"row": ROW.label, "measured_us": 1000.0, "base_us": 1200.0, "left_out_us": left_out_us}
    return {"rows": [row], "parameters": [{"verdict": verdict}]}


@pytest.mark.parametrize(
    ("document", "expected_us"),
    [(fit(), 825.0), (fit(left_out_us=None), 1100.0), (fit("not identified"), 1100.0)],
)
def test_a_row_moves_as_the_fit_without_its_model_moves_it(
    document: dict[str, object], expected_us: float
) -> None:
    """From 1,200 to 900: three quarters of whatever is predicted today; a fit that was not taken moves nothing."""
    (one,) = left_out([Scored(ROW, 1100.0, None)], [document])
    assert one.predicted_us == pytest.approx(expected_us)


def test_other_rows_stay_as_they_are() -> None:
    other = Scored(replace(ROW, openvino="2026.2"), 1100.0, None)
    shown = Scored(replace(ROW, use="trend"), 1100.0, None)
    assert left_out([other, shown], [fit()]) == [other]


def test_every_row_of_a_carried_fit_is_found_in_the_table() -> None:
    """By its label and time, once or as often as it was measured."""
    known = {(row.label, round(row.measured_us, 1)) for row in measurements() if row.use == "score"}
    for document in filter(taken, carried_calibrations()):
        assert {(row["row"], round(row["measured_us"], 1)) for row in document["rows"]} <= known
