"""The Python API of whole jobs: however a model and a machine are given, the same result; and results that show."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import numpy as np
import openvino as ov
import pytest
from openvino import opset15 as ops

import npusim
from npusim.jobs.run import Run

SMALL: dict[str, Any] = {"layers": 1, "tokens": 4}


def small_model() -> ov.Model:
    data = ops.parameter([-1, 64], np.float32, name="data")
    data.output(0).get_tensor().set_names({"data"})
    made = ops.relu(ops.matmul(data, np.ones((64, 32), np.float32), False, False))
    return ov.Model([made], [data], "small")


@pytest.fixture(scope="module")
def run() -> Run:
    return npusim.run("mamba2-130m", "lunarlake", **SMALL)


def test_results_are_short_and_show_themselves(run: Run) -> None:
    assert "mamba2-130m on Lunar Lake NPU" in repr(run)
    for value in (run, run.result, run.result.program, npusim.build_workload("mamba2-130m", **SMALL)):
        assert len(repr(value)) < 200
    shown = run._repr_html_()
    assert len(shown) < 20_000
    assert "<table" in shown
    assert "tokens/s" in shown


def test_a_frame_sums_to_the_latency(run: Run) -> None:
    frame = run.to_frame()
    assert frame["exposed_us"].sum() == pytest.approx(run.latency_us, abs=1e-3)
    assert frame["exposed_us"].is_monotonic_decreasing


@pytest.mark.parametrize("kind", ["types", "lanes", "over time", "roofline"])
def test_figures_are_plotlys_and_coloured(run: Run, kind: Any) -> None:
    figure = run.figure(kind)
    assert len(figure.data) > 0
    assert "var:" not in figure.to_json()


def test_what_is_saved_is_loaded(run: Run, tmp_path: Path) -> None:
    loaded = npusim.load(run.save(tmp_path / "run.json"))
    assert loaded.latency_us == pytest.approx(run.latency_us, abs=1e-6)
    assert len(loaded.to_frame()) == len(run.to_frame())
    page = run.report(tmp_path / "folder")
    assert "<title>mamba2-130m" in page.read_text()
    assert npusim.load(tmp_path / "folder").latency_us == loaded.latency_us
    (tmp_path / "other.json").write_text("{}")
    with pytest.raises(npusim.UserError, match=r"no document of npusim"):
        npusim.load(tmp_path / "other.json")


def test_however_a_model_is_given_it_is_the_same(tmp_path: Path) -> None:
    sized: dict[str, Any] = {"dims": {"batch": 8}}
    model = small_model()
    ov.save_model(model, tmp_path / "small.xml", compress_to_fp16=False)
    in_memory = npusim.run(model, "meteorlake", **sized)
    assert npusim.run(tmp_path / "small.xml", "meteorlake", **sized).latency_us == in_memory.latency_us
    assert npusim.run(model, "meteorlake", shapes={"data": [8, 64]}).latency_us == in_memory.latency_us
    assert model.input(0).partial_shape.is_dynamic  # the user's model is left alone
    with pytest.raises(npusim.UserError, match=r"--dim batch=1"):
        npusim.run(model, "meteorlake")


def test_however_a_machine_is_given_it_is_the_same() -> None:
    by_name = npusim.run(hw="lunarlake", set={"clocks.dpu_mhz": 1700, "clocks.vpu_mhz": 971}, **SMALL)
    texts = ["clocks.dpu_mhz=1700", "clocks.vpu_mhz=971"]
    by_object = npusim.run(hw=npusim.load_hardware("lunarlake"), set=texts, **SMALL)
    loaded = npusim.run(hw=npusim.load_hardware("lunarlake", texts), **SMALL)
    assert by_name.latency_us == by_object.latency_us == loaded.latency_us


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ({"model": 5}, "int is no model"),
        ({"model": "mamba2-130"}, "mamba2-130m"),
        ({"model": "net.onnx"}, "no such model file"),
        ({"shapes": {"x": [1]}}, "is a built-in workload"),
        ({"model": Path("net.xml"), "tokens": 3}, "built-in workload only"),
        ({"hw": "lunarlak"}, "did you mean"),
        ({"set": {"tiles": 0}}, "tiles"),
    ],
)
def test_mistakes_are_user_errors(given: dict[str, Any], said: str) -> None:
    with pytest.raises(npusim.UserError, match=said):
        npusim.run(**given)


def test_comparisons_sweeps_and_sensitivities(tmp_path: Path) -> None:
    found = npusim.compare(xamba=["none", "cumba"], **SMALL)
    assert list(found.to_frame()["run"]) == ["none", "cumba"]
    assert set(found.changes()["run"]) == {"cumba"}
    assert found.report(tmp_path / "compare").is_file()
    axes: dict[str, Any] = {"tiles": [1, 2], "clocks.dpu_mhz": "1000:1900:2"}
    swept = npusim.sweep(axes, small_model(), dims={"batch": 4}, workers=1)
    assert len(swept.to_frame()) == 4
    assert swept.to_frame()["front"].any()
    assert len(swept.figure().data) == 2
    searched = npusim.optimize({"tiles": [1, 2]}, small_model(), dims={"batch": 4}, trials=4)
    assert set(searched.to_frame()["tiles"]) <= {1, 2}
    what_if = npusim.sensitivity(small_model(), dims={"batch": 4})
    assert len(what_if.to_frame()) == len(what_if.rows) > 0
    assert len(what_if.figure().data) > 0
    for result in (found, swept, what_if):
        assert len(repr(result)) < 300
        assert "<table" in result._repr_html_()


def test_rewrites_and_their_check() -> None:
    data = ops.parameter([1, 16, 64], np.float32, name="data")
    stock = ov.Model([ops.cum_sum(data, np.array(1, np.int64))], [data], "sums")
    made = npusim.transform(stock, "cumba")
    assert made.to_frame()["taken"].tolist() == [True]
    assert npusim.verify(stock, made.model).agree
    advised = npusim.advise(stock)
    assert list(advised.to_frame().columns[:2]) == ["what", "gain"]


def test_the_blocks_of_the_documentation_run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    text = (Path(__file__).parents[1] / "docs" / "api.md").read_text()
    monkeypatch.chdir(tmp_path)
    names: dict[str, Any] = {}
    blocks = re.findall(r"```python\n(.*?)```", text, re.DOTALL)
    assert len(blocks) >= 4
    for block in blocks:
        exec(compile(block, "docs/api.md", "exec"), names)
    assert (tmp_path / "my-report" / "report.html").is_file()


def test_a_pytorch_module_is_a_model() -> None:
    torch = pytest.importorskip("torch")
    module = torch.nn.Sequential(torch.nn.Linear(64, 32), torch.nn.ReLU())
    assert npusim.run(module, example=torch.zeros(8, 64)).latency_us > 0


def test_validation_of_one_family() -> None:
    found = npusim.validate(sets=["vendor_probes"], platform="4000", workers=1)
    assert len(found.to_frame()) == len(found.predictions) > 0
    assert "median error" in repr(found)
