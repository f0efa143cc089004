"""The examples run as they stand, on models cut short."""

from __future__ import annotations

import runpy
import sys
from pathlib import Path

import pytest

EXAMPLES = Path(__file__).parents[2] / "examples"


@pytest.mark.parametrize(
    ("name", "arguments", "words"),
    [
        ("shave_count_by_cumba", ["1"], "CumBA gains least with"),
        ("what_binds_mamba2", ["1"], "2 x DDR bandwidth"),
        ("cmx_by_chunk", ["1"], "the best chunk is"),
        ("smallest_npu_for_decode", ["50", "1"], "The smallest: 2 tiles"),
    ],
)
def test_example(
    name: str,
    arguments: list[str],
    words: str,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.setattr(sys, "argv", [name, *arguments])
    runpy.run_path(str(EXAMPLES / f"{name}.py"), run_name="__main__")
    assert words in capsys.readouterr().out


def test_every_example_is_run() -> None:
    named = {parameters[0] for mark in test_example.pytestmark for parameters in mark.args[1]}  # type: ignore[attr-defined]
    assert named == {file.stem for file in EXAMPLES.glob("*.py")}
