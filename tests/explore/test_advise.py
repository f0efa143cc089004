"""Advice: every figure is that of a simulation which can be run again."""

from __future__ import annotations

import json
import shlex
from pathlib import Path

import numpy as np
import openvino as ov
import pytest
from openvino import opset15 as ops

from npusim import api
from npusim.explore.advise import LEAST_GAIN, advise
from npusim.explore.narrow import with_int8
from npusim.hardware import load_hardware
from npusim.source import ModelSource
from tests.cli.test_cli import npusim

HW = load_hardware("lunarlake.yaml")


def test_every_command_gives_what_was_promised(tmp_path: Path) -> None:
    asked = ("--hw", "lunarlake.yaml", "--layers", "1", "--tokens", "64")
    told = json.loads(npusim("advise", *asked, "--json", cwd=tmp_path).stdout)
    assert "CumSum" in told["bottleneck"] or told["bottleneck"]
    kinds = {one["what"].split()[0] for one in told["advice"]}
    assert "rewrites" in kinds
    gains = [one["gain"] for one in told["advice"]]
    assert gains == sorted(gains, reverse=True)
    assert min(gains) >= LEAST_GAIN
    for one in told["advice"]:
        assert one["gain"] == pytest.approx(one["before_us"] / one["after_us"], rel=1e-5)
        if not one["command"]:  # the model has to be made anew
            assert "nncf" in one["how"] or "PrePostProcessor" in one["how"]
            continue
        words = shlex.split(one["command"])[1:]
        run = json.loads(npusim(*words, "--no-report", "--json", "--engine", "fast", cwd=tmp_path).stdout)
        got = run["seen"]["us"] if one["measure"] != "latency" else run["latency_us"]
        if one["rests_on"].startswith("the whole model"):
            assert got == pytest.approx(one["after_us"], rel=1e-6)


def test_what_a_probe_says_is_near_what_the_model_does() -> None:
    """BERT-base has twelve equal layers; its probe is one."""
    source = ModelSource("bert-base")
    found = advise(source, load_hardware("meteorlake.yaml"))
    model, _ = source.read()
    for what, activations in (("INT8 weights", False), ("INT8 weights and activations", True)):
        promised = [one.after_us for one in found.advice if one.what == what]
        changed = source.graph_of(with_int8(model, activations=activations))
        hw = load_hardware("meteorlake.yaml")
        us = api.simulate(api.lower(changed, hw), hw, "fast").latency_us
        assert not promised or promised[0] == pytest.approx(us, rel=0.1)


@pytest.mark.parametrize("name", ["resnet-50", "bert-base"])
def test_a_model_made_narrow_runs_as_the_quantised_one(name: str) -> None:
    """With a sixth at most: NNCF quantises the sums of residual branches, too."""

    def latency_us(source: ModelSource, model: ov.Model) -> float:
        return api.simulate(api.lower(source.graph_of(model), HW), HW, "fast", allow_guess=True).latency_us

    plain = ModelSource(name)
    model, _ = plain.read()
    for ending, activations, tolerance in (("int8-weights", False, 0.01), ("int8", True, 1 / 6)):
        real = ModelSource(f"{name}-{ending}")
        narrow = latency_us(plain, with_int8(model, activations=activations))
        assert narrow == pytest.approx(latency_us(real, real.read()[0]), rel=tolerance)


def test_a_model_without_products_has_nothing_to_narrow() -> None:
    data = ops.parameter([1, 64], np.float32)
    assert with_int8(ov.Model([ops.relu(data)], [data]), activations=True) is None


def test_a_model_of_the_users_own_gets_advice_in_the_terminal_and_on_its_page(tmp_path: Path) -> None:
    data = ops.parameter([1, 4096], np.float32, name="data")
    model = ov.Model([ops.matmul(data, np.ones((4096, 4096), np.float32), False, False)], [data])
    ov.save_model(model, tmp_path / "net.xml")
    done = npusim(
        "run", "--hw", "lunarlake.yaml", "--model", "net.xml", "--advise", "--out", "out", cwd=tmp_path
    )
    assert done.returncode == 0, done.stderr
    assert "INT8 weights" in done.stdout
    assert "rests on: the whole model, simulated" in done.stdout
    page = (tmp_path / "out" / "report.html").read_text()
    assert "nncf.compress_weights" in page
    plain = npusim("run", "--hw", "lunarlake.yaml", "--model", "net.xml", "--out", "plain", cwd=tmp_path)
    assert plain.returncode == 0
    assert (
        "npusim advise --hw lunarlake.yaml --model net.xml"
        in (tmp_path / "plain" / "report.html").read_text()
    )
