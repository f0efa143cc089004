"""A long prompt is told before it is begun, and the number of tasks that is told is about right."""

from __future__ import annotations

import pytest

from npusim import load_hardware
from npusim.api import lower
from npusim.cli import estimate
from npusim.cli.estimate import warning_of_size
from npusim.source import ModelSource

HARDWARE = load_hardware("lunarlake")


@pytest.mark.parametrize(
    "source",
    [
        ModelSource(tokens=1024), ModelSource(phase="decode", tokens=None), ModelSource("resnet-50"),
        ModelSource(tokens=2048, layers=2),
    ],
)  # fmt: skip
def test_what_is_short_is_not_mentioned(source: ModelSource) -> None:
    assert warning_of_size(source, HARDWARE) == ""


def test_a_long_prompt_is_told_with_a_number_of_layers_that_would_do() -> None:
    said = warning_of_size(ModelSource("mamba2-370m", tokens=8192), HARDWARE)
    assert said.startswith("note: about 3.")
    assert "--layers 1" in said


def test_the_number_of_tasks_is_about_right(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(estimate, "MANY", 0)
    monkeypatch.setattr(estimate, "_PROBED", 256)
    source = ModelSource(tokens=768, layers=4)
    told = float(warning_of_size(source, HARDWARE).split()[2]) * 1e6
    program = lower(source.graph(), HARDWARE)
    inside = sum(bool(program.ops[op].layer) for op in program.tasks.op.tolist())
    assert told == pytest.approx(inside, rel=0.3, abs=60_000)
