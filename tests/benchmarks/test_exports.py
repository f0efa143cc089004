"""The catalogue of exports, and the page that is made of what became of them."""

from __future__ import annotations

from pathlib import Path

import pytest

from benchmarks.exports.__main__ import Outcome, run, table
from benchmarks.exports.catalogue import ARCHITECTURES, FORMS


def test_a_hundred_architectures_in_known_forms() -> None:
    names = [one.name for one in ARCHITECTURES]
    assert len(names) == len(set(names)) >= 100
    assert {form for one in ARCHITECTURES for form in one.forms} == FORMS.keys()


@pytest.mark.parametrize(
    ("given", "row"),
    [
        (Outcome("a", "own", "ir", found=1234.5), "| a | ir | 1,234 |"),
        (Outcome("a", "own", "ir", found=12.0, guessed=True), "| a | ir | ~12 |"),
        (Outcome("a", "own", "ir", found="error: a|b"), "| a | ir | error: a\\|b |"),
        (Outcome("a", "own", "ir", error="TypeError: no"), "- a, ir: TypeError: no"),
    ],
)
def test_a_line_of_the_page(given: Outcome, row: str) -> None:
    assert row in table([given]).splitlines()


def test_what_npusim_says_of_a_file_is_the_outcome(tmp_path: Path) -> None:
    outcome = Outcome("a", "own", "onnx", file=str(tmp_path / "none.onnx"))
    run(outcome)
    assert str(outcome.found) == "error: none.onnx: no such model file"
