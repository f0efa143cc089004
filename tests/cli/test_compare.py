"""`npusim compare` and `npusim transform --passes auto` as a user meets them."""

from __future__ import annotations

import json
from pathlib import Path

import openvino as ov
import pytest

from npusim import workloads
from npusim.workloads import Mamba2Config
from tests.cli.test_cli import SMALL, npusim

TINY = Mamba2Config(name="tiny", title="", layers=2, d_model=64, vocab=80, d_state=32, head_dim=16, chunk=16)


def test_rewrites_side_by_side(tmp_path: Path) -> None:
    rows = ("--xamba", "none", "--xamba", "cumba,contract", "--xamba", "contract,segsum,cumba")
    done = npusim("compare", "--hw", "lunarlake.yaml", *SMALL, *rows, "--json", "--out", "out", cwd=tmp_path)
    assert (done.returncode, done.stderr) == (0, "")
    document = json.loads(done.stdout)
    assert (document["schema"], document["baseline"]) == ("npusim.compare/1", "none")
    assert [run["label"] for run in document["runs"]] == ["none", "cumba,contract", "contract,segsum,cumba"]
    base, fixed, best = (run["latency_us"] for run in document["runs"])
    assert best < fixed < base
    assert document["best"] == "contract,segsum,cumba"
    for run in document["runs"]:
        assert sum(step["delta_us"] for step in run["steps"]) == pytest.approx(
            run["latency_us"] - base, abs=1e-3
        )
        assert sum(one["exposed_us"] for one in run["types"]) == pytest.approx(run["latency_us"])
    assert json.loads((tmp_path / "out/compare.json").read_text()) == document
    assert "cumba,contract" in (tmp_path / "out/report.html").read_text()
    assert {path.name for path in (tmp_path / "out").iterdir()} == {"compare.json", "report.html"}


def test_machines_side_by_side_in_the_terminal(tmp_path: Path) -> None:
    rows = ("--hw", "lunarlake.yaml", "--hw", "pantherlake.yaml")
    done = npusim("compare", *rows, "--layers", "1", "--phase", "decode", "--no-report", cwd=tmp_path)
    assert (done.returncode, done.stderr) == (0, "")
    for word in ("lunarlake.yaml", "pantherlake.yaml", "speed-up", "1.00 ×", "by op type"):
        assert word in done.stdout
    assert not list(tmp_path.iterdir())


def test_models_side_by_side(tmp_path: Path) -> None:
    stock = workloads.build(TINY, tokens=24, lm_head=False)
    ov.save_model(stock, tmp_path / "tiny.xml", compress_to_fp16=False)
    rows = ("--beside", "mamba-130m", "--beside", "tiny.xml")
    done = npusim("compare", "--hw", "lunarlake.yaml", *SMALL, *rows, "--json", "--no-report", cwd=tmp_path)
    assert (done.returncode, done.stderr) == (0, "")
    document = json.loads(done.stdout)
    assert [run["label"] for run in document["runs"]] == ["mamba2-130m", "mamba-130m", "tiny"]
    assert [run["workload"] for run in document["runs"]] == ["mamba2-130m", "mamba-130m", "tiny.xml"]
    for run in document["runs"]:
        alone = (
            ("--model", run["workload"])
            if run["label"] == "tiny"
            else ("--workload", run["workload"], *SMALL)
        )
        told = npusim("run", "--hw", "lunarlake.yaml", *alone, "--json", "--no-report", cwd=tmp_path)
        assert json.loads(told.stdout)["latency_us"] == pytest.approx(run["latency_us"])


def test_a_rewrite_that_does_not_pay_says_why_and_fits_80_columns(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", "80")
    rows = ("--xamba", "none", "--xamba", "cumba,reduba")
    done = npusim("compare", "--hw", "lunarlake.yaml", "--layers", "1", "--tokens", "64", *rows, cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    for word in (
        "mamba2-130m on Lunar Lake NPU",
        "slower: ops that none does not run as such",
        "ops that changed",
    ):
        assert word in done.stdout
    assert max(len(line) for line in done.stdout.splitlines() if "Report in" not in line) <= 80


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("compare", "--hw", "lunarlake.yaml", *SMALL), "nothing to compare with"),
        (
            ("compare", "--hw", "lunarlake.yaml", *SMALL, "--beside", "mamba2-130m"),
            "--beside mamba2-130m is given twice",
        ),
        (
            ("compare", "--hw", "lunarlake.yaml", "--xamba", "cumba", "--xamba", "cumba", *SMALL),
            "given twice",
        ),
        (("compare", "--hw", "lunarlake.yaml", "--xamba", "none", "--xamba", "cumb", *SMALL), "'cumba'"),
        (("transform", "--workload", "mamba2-130m", "--passes", "auto"), "--hw FILE"),
        (("transform", "--workload", "mamba2-130m", "--passes", "cumba", "--hw", "lunarlake.yaml"), "auto"),
    ],
)
def test_mistakes_are_told_in_one_line(tmp_path: Path, arguments: tuple[str, ...], said: str) -> None:
    done = npusim(*arguments, cwd=tmp_path)
    assert (done.returncode, done.stdout) == (2, "")
    assert said in done.stderr
    assert done.stderr.count("\n") == 1
    assert not list(tmp_path.iterdir())


def test_transform_writes_what_auto_chose_and_each_gain(tmp_path: Path) -> None:
    stock = workloads.build(TINY, tokens=24, lm_head=False)
    ov.save_model(stock, tmp_path / "model.xml", compress_to_fp16=False)
    asked = ("model.xml", "--passes", "auto", "--hw", "lunarlake.yaml")
    done = npusim("transform", *asked, "-o", "out.xml", "--json", cwd=tmp_path)
    assert (done.returncode, done.stderr) == (0, "")
    document = json.loads(done.stdout)
    assert document["latency_us"] < document["stock_us"]
    assert all((site["gain_us"] > 0) == site["taken"] for site in document["sites"])
    for model in (("--model", "out.xml"), ("--model", "model.xml", "--xamba", "auto")):
        done = npusim("run", "--hw", "lunarlake.yaml", "--no-report", "--json", *model, cwd=tmp_path)
        assert json.loads(done.stdout)["latency_us"] == pytest.approx(document["latency_us"], rel=1e-4)
