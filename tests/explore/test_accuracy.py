"""auto with an accuracy budget: what it weighs, and what it takes."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import openvino as ov
import pytest
from openvino import opset15 as op
from openvino.op import Constant

from npusim.explore.accuracy import EXACT, Bargain, within_budget
from npusim.hardware import load_hardware
from npusim.xamba.check import compare
from tests.cli.test_cli import npusim

LOSSY = (
    "quantize",
    "quantize{weights=int4}",
    "prune{share=0.5}",
    "prune{pattern=4of9}",
    "prune{channels=0.5}",
)


def mlp() -> ov.Model:
    """Two products of 16 rows."""
    rng = np.random.default_rng(0)
    x = op.parameter([16, 512], np.float32, name="x")
    first, second = (Constant((rng.standard_normal((512, 512)) / 22).astype(np.float16)) for _ in range(2))
    y = op.relu(op.matmul(x, op.convert(first, "f32"), False, True))
    return ov.Model([op.result(op.matmul(y, op.convert(second, "f32"), False, True))], [x], "mlp")


@pytest.fixture(scope="module")
def bargains() -> list[Bargain]:
    hw = load_hardware("lunarlake.yaml")
    return [within_budget(mlp(), hw, budget, lossy=LOSSY) for budget in (0, 0.05, 0.5, 10)]


def test_a_larger_budget_is_never_slower_and_always_kept(bargains: list[Bargain]) -> None:
    for bargain, budget in zip(bargains, (0, 0.05, 0.5, 10), strict=True):
        assert bargain.chosen.damage <= budget
    times = [bargain.chosen.latency_us for bargain in bargains]
    assert times == sorted(times, reverse=True)
    assert bargains[0].chosen.passes == EXACT
    assert bargains[-1].chosen.latency_us < bargains[0].chosen.latency_us


def test_the_front_has_what_nothing_beats(bargains: list[Bargain]) -> None:
    weighed = bargains[0].weighed
    assert "prune{pattern=4of9}" not in {one.passes for one in weighed}  # it fits nothing here
    for one in weighed:
        beaten = any(
            other.latency_us <= one.latency_us and other.damage <= one.damage and other != one
            and (other.latency_us, other.damage) != (one.latency_us, one.damage)
            for other in weighed
        )  # fmt: skip
        assert one.front != beaten


def test_damage_is_what_verify_tells_on_random_inputs(bargains: list[Bargain]) -> None:
    chosen = bargains[1]
    found = [d.relative for d in compare(mlp(), chosen.model) if d.case.startswith("random")]
    assert chosen.chosen.damage == pytest.approx(max(found), rel=1e-3)


def test_the_command_shows_the_front(tmp_path: Path) -> None:
    ov.save_model(mlp(), tmp_path / "mlp.xml")
    asked = (
        "transform",
        "mlp.xml",
        "--passes",
        "auto",
        "--hw",
        "lunarlake.yaml",
        "--accuracy-budget",
        "0.05",
    )
    done = npusim(*asked, "-o", "out.xml", cwd=tmp_path)
    assert (done.returncode, done.stderr) == (0, "")
    assert "on the front" in done.stdout
    assert (tmp_path / "out.xml").exists()
    document = json.loads(npusim(*asked, "--json", cwd=tmp_path).stdout)
    assert any(one["front"] for one in document["weighed"])
    done = npusim("transform", "mlp.xml", "--passes", "cumba", "--accuracy-budget", "0.05", cwd=tmp_path)
    assert done.returncode == 2
    assert "is for --passes auto" in done.stderr
