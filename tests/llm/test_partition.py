"""How many calls OpenVINO itself cuts a model of a file into, beside the rule that stands in for it."""

from __future__ import annotations

from pathlib import Path

import openvino as ov
import pytest

from npusim import load_hardware
from npusim.hardware.software import Runtime
from npusim.llm import runtime as rt
from npusim.llm.partition import groups
from npusim.llm.predict import Predictor
from npusim.llm.read import read
from npusim.llm.static import make_static
from tests.llm import stateful


@pytest.mark.parametrize("layers", [3, 12, 20])
def test_the_rule_is_what_openvino_plans(layers: int) -> None:
    made = make_static(stateful.build("a" * layers), prompt=64, response=64)
    ruled = rt.prefill_calls(Runtime(), rt.Window(64, 64), layers)
    for graph in (made.prefill, made.generate):
        found = groups(graph)
        assert found is not None, "the wheels for Linux and Windows have the plugin"
        assert found - ruled in (0, 1), "a last norm may be a group of its own"


def test_a_plan_is_taken_over_the_rule(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    ov.save_model(stateful.build("sa" * 7), tmp_path / "openvino_model.xml")
    calls = {}
    for planned in (True, False):
        if not planned:
            monkeypatch.setattr("npusim.llm.read.groups", lambda _: None)
        model = read(tmp_path)
        hw = load_hardware("lunarlake.yaml")
        calls[planned] = Predictor(model, hw, allow_guess=True).step(128).calls_us
    assert calls[True] < calls[False], "pairs of layers that are alike are one call"


def test_a_machine_without_the_plugin_has_no_plan(monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*_: object) -> None:
        raise RuntimeError

    monkeypatch.setattr(ov.Core, "compile_model", fail)
    assert groups(make_static(stateful.build("a"), prompt=8, response=8).generate) is None
