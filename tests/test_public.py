"""The Python API of whole jobs: however a model and a machine are given, the same result; and results that show."""

from __future__ import annotations

import json
import re
from enum import StrEnum
from pathlib import Path
from typing import Any, get_args

import numpy as np
import openvino as ov
import pytest
from openvino import opset15 as ops

import npusim
from npusim import api
from npusim.cli.optimize import Sampler
from npusim.cli.run import Client, Engine
from npusim.explore import optimize
from npusim.hardware.schema import ClientName
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
    for broken in ({"ops": 5}, {"ops": [1]}, {"latency_us": "x"}):
        (tmp_path / "other.json").write_text(json.dumps({**run.document(), **broken}))
        with pytest.raises(npusim.UserError, match=r"no whole document of npusim"):
            npusim.load(tmp_path / "other.json")
    assert not hasattr(loaded, "figure")
    with pytest.raises(npusim.UserError, match=r"has no metrics: it has document, latency_us and to_frame"):
        _ = loaded.metrics


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
        ({"model": 5}, "(got 5)"),
        ({"model": "mamba2-130"}, "mamba2-130m"),
        ({"model": "net.onnx"}, "no such model file"),
        ({"shapes": {"x": [1]}}, "is a built-in workload"),
        ({"model": Path("net.xml"), "tokens": 3}, "is a model file: it has no tokens, but shapes, dims"),
        ({"example": [1]}, "is a built-in workload: it has no example"),
        ({"client": "pythno"}, "'benchmark_app', 'cpp' or 'python' (got 'pythno'); did you mean 'python'"),
        ({"engine": "evnt"}, "'event' or 'fast'"),
        ({"hint": "fast"}, "'latency' or 'throughput'"),
        ({"segments": -3}, "whole number from 1 to 100,000 (got -3)"),
        ({"tokens": True}, "whole number from 1"),
        ({"dims": {"batch": "4"}}, "dims: batch: must be a whole number from 1"),
        ({"xamba": ["cumba"]}, "text such as 'cumba,reduba', or 'auto' (got ['cumba'])"),
        ({"hw": ["lunarlake"]}, "hw: must be text, a path or a Hardware"),
        ({"token": 4}, "run() has no 'token'; did you mean 'tokens'?"),
        ({"dim": {"batch": 4}}, "did you mean 'dims'?"),
        ({"zzz": 4}, "run() has no 'zzz': it has model, hw, set"),
        ({"hw": "lunarlak"}, "did you mean"),
        ({"set": {"tiles": 0}}, "tiles"),
    ],
)
def test_mistakes_are_user_errors(given: dict[str, Any], said: str) -> None:
    with pytest.raises(npusim.UserError, match=re.escape(said)):
        npusim.run(**given)


@pytest.mark.parametrize(
    ("job", "given", "said"),
    [
        ("sweep", {}, "missing a required argument: 'axes'"),
        ("sweep", {"axes": {}}, "axes: say what varies"),
        ("sweep", {"axes": {"tiles": [[1]]}}, "axes: tiles: must be"),
        ("sweep", {"axes": {"tiles": [1]}, "set": "tiles=2"}, "set tiles=2 contradict each other"),
        ("sweep", {"axes": {"tokens": [1]}, "tokens": 2}, "tokens=2 contradict each other"),
        ("sweep", {"axes": {"tiles": [1]}, "objectives": []}, "no objective"),
        ("sweep", {"axes": {"tiles": [1]}, "objectives": ["speed"]}, "(got 'speed')"),
        ("sweep", {"axes": {"tiles": [1]}, "constraint": "macs<3"}, "did you mean 'constraints'?"),
        (
            "sweep",
            {"axes": {"tiles": [1]}, "constraints": "latency"},
            "constraints: latency: must have the form",
        ),
        ("optimize", {"axes": {"tiles": [1]}, "sampler": "foo"}, "'nsga2' or 'tpe'"),
        ("optimize", {"axes": {"tiles": [1]}, "trials": 0}, "trials: must be a whole number from 1"),
        ("compare", {}, "nothing to compare with"),
        ("advise", {"xamba": "cumba"}, "advise() has no 'xamba'"),
        ("transform", {"model": "mamba2-130m", "passes": 1}, "passes: must be text"),
        ("verify", {"a": "resnet-50", "b": "resnet-50", "tolerance": "1"}, "tolerance: must be a number"),
        ("validate", {"fmaily": "x"}, "did you mean 'family'?"),
        ("validate", {"sets": 5}, "sets: must be text or a list"),
        ("load", {"path": 5}, "path: must be text or a path"),
        ("scenario", {"asked": 5}, "asked: must be"),
        ("scenario", {"asked": {"name": object()}}, "only texts, numbers, lists and mappings"),
        ("make_static", {"model": 5}, "model: must be an openvino.Model (got 5)"),
        ("build_workload", {"name": "mamba2-130m", "phase": "decod"}, "did you mean 'decode'?"),
        ("simulate", {"program": 1, "hw": 2}, "program: must be a Program"),
        ("load_hardware", {"path_or_name": "lunarlake", "overrides": "tiles=1"}, "overrides: must be a list"),
    ],
)
def test_every_job_checks_what_it_is_given(job: str, given: dict[str, Any], said: str) -> None:
    with pytest.raises(npusim.UserError, match=re.escape(said)):
        getattr(npusim, job)(**given)


@pytest.mark.parametrize(
    ("of_commands", "of_jobs"), [(Client, ClientName), (Engine, api.Engine), (Sampler, optimize.Sampler)]
)
def test_commands_and_jobs_have_the_same_choices(of_commands: type[StrEnum], of_jobs: Any) -> None:
    assert {one.value for one in of_commands} == {*get_args(of_jobs)}


def test_public_functions_are_checked() -> None:
    functions = [getattr(npusim, name) for name in npusim.__all__ if name not in ("Result", "UserError")]
    assert [one.__name__ for one in functions if not hasattr(one, "__wrapped__")] == []


def test_numbers_of_other_libraries_are_numbers(tmp_path: Path) -> None:
    run = npusim.run("mamba2-130m", layers=np.int64(1), tokens=np.int32(4), set={"tiles": np.int64(2)})  # type: ignore[arg-type]
    assert npusim.load(run.save(tmp_path / "run.json")).document["run"]["tokens"] == 4
    axes = {"tiles": np.arange(1, 3), "xamba": ["none", "cumba,reduba"]}
    assert sorted(npusim.sweep(axes, **SMALL).to_frame()["xamba"].unique()) == ["cumba,reduba", "none"]


def test_a_comparison_says_who_is_faster_than_whom() -> None:
    said = [
        repr(npusim.compare(hw=machines, **SMALL))
        for machines in (["lunarlake", "meteorlake"], ["meteorlake", "lunarlake"])
    ]
    assert said[0] == said[1]
    assert "lunarlake is" in said[0]
    assert "as fast as meteorlake" in said[0]
    same = npusim.load_hardware("lunarlake")
    assert len({*npusim.compare(hw=[same, same], **SMALL).to_frame()["run"]}) == 2


@pytest.mark.parametrize("job", [npusim.sweep, npusim.optimize])
def test_nothing_on_a_front_breaks_a_constraint(job: Any) -> None:
    found = job({"tiles": [1, 2, 4]}, small_model(), dims={"batch": 4}, constraints="macs<5000").to_frame()
    assert found[found["front"]]["macs_per_cycle"].max() <= 5000 < found["macs_per_cycle"].max()


def test_figures_that_are_none(run: Run) -> None:
    with pytest.raises(npusim.UserError, match="'types', 'lanes', 'over time' or 'roofline'"):
        run.figure("timeline")  # type: ignore[arg-type]


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
    with pytest.raises(npusim.UserError, match=r"must end in \.xml"):
        made.save("made")
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
