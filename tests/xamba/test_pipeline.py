"""Pipelines as text, and the commands that take them."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import openvino as ov
import pytest

from npusim import workloads, xamba
from npusim.workloads import Mamba2Config
from npusim.xamba.check import TOLERANCE as CHECK_TOLERANCE
from npusim.xamba.check import compare, difference, worst
from npusim.xamba.inputs import LENGTHS
from npusim.xamba.pipeline import parse
from tests.xamba.cpu import TOLERANCE

ROOT = Path(__file__).parents[2]
TINY = Mamba2Config(name="tiny", title="", layers=1, d_model=32, vocab=40, d_state=16, head_dim=8, chunk=8)


def npusim(*arguments: str, cwd: Path) -> subprocess.CompletedProcess[str]:
    code = f"import sys; sys.path.insert(0, {str(ROOT)!r}); from npusim.cli.main import main; main()"
    command = [sys.executable, "-c", code, *arguments]
    env = {
        name: value for name, value in os.environ.items() if name != "COLUMNS"
    }  # which readline sets for pytest
    return subprocess.run(command, capture_output=True, text=True, cwd=cwd, env=env, check=False, timeout=120)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    ov.save_model(
        workloads.build(TINY, tokens=9, weights="random"), tmp_path / "model.xml", compress_to_fp16=False
    )
    return tmp_path


def test_pipelines_are_read() -> None:
    rules = parse(" cumba{block = 64} ,reduba, actiba{segments=16,range=-4:4,functions=swish+exp}")
    assert [rule.name for rule in rules] == ["cumba", "reduba", "actiba"]
    assert vars(rules[0]) == {"block": 64}
    expected = {"segments": 16, "range": (-4.0, 4.0), "functions": ("swish", "exp"), "observed": {}}
    assert vars(rules[2]) == expected
    assert parse("") == []


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("cumb", "did you mean 'cumba'"),
        ("frobnicate", "there are cumba, reduba"),
        ("cumba{blok=4}", "did you mean 'block'"),
        ("segsum{x=1}", "it has none"),
        ("cumba{block}", "expected block=VALUE"),
        ("cumba{block=4,block=5}", "given twice"),
        ("cumba{block=x}", "whole number"),
        ("cumba{block=1}", "at least 2"),
        ("actiba{range=2:1}", "LOW:HIGH"),
        ("actiba{range=0:inf}", "LOW:HIGH"),
        ("actiba{segments=2}", "needs 3 segments"),
        ("actiba{functions=relu}", "none of exp"),
        ("reduba{norms=1}", "yes or no"),
        ("cumba,,reduba", "separated by commas"),
        ("cumba,", "after the last comma"),
        ("cumba{", "separated by commas"),
        ("cumba reduba", "no rule 'cumba reduba'"),
    ],
)
def test_mistakes_in_a_pipeline_are_told(text: str, said: str) -> None:
    with pytest.raises(xamba.PipelineError) as error:
        parse(text)
    assert said in str(error.value)
    assert "\n" not in str(error.value)


def test_every_rule_is_described() -> None:
    assert all("become" in xamba.describe(name) for name in xamba.names())


def test_transform_verify_and_run(folder: Path) -> None:
    done = npusim("transform", "model.xml", "--passes", "contract,segsum,cumba", "-o", "out.xml", cwd=folder)
    assert (done.returncode, done.stderr) == (0, "")
    for word in (
        "layers.0.mixer.cumsum_2",
        "skipped",
        "there is one term",
        "contract: 5 taken, 1 skipped",
        "out.bin",
    ):
        assert word in done.stdout
    done = npusim("verify", "model.xml", "out.xml", "--json", cwd=folder)
    document = json.loads(done.stdout)
    assert (done.returncode, document["agree"], document["weights"]) == (0, True, "random")
    [logits] = document["outputs"]
    assert logits["relative"] <= TOLERANCE
    assert (logits["top1"], logits["kl"] < 1e-6) == (1, True)
    done = npusim(
        "run",
        "--hw",
        "lunarlake.yaml",
        "--model",
        "model.xml",
        "--xamba",
        "cumba",
        "--no-report",
        "--json",
        cwd=folder,
    )
    kinds = {op["name"]: op["type"] for op in json.loads(done.stdout)["ops"]}
    assert kinds["layers.0.mixer.cumsum_2"] == "MatMul"
    assert {path.name for path in folder.iterdir()} == {"model.xml", "model.bin", "out.xml", "out.bin"}


def test_transform_in_json_can_be_verified_as_different(folder: Path) -> None:
    done = npusim(
        "transform", "model.xml", "--passes", "actiba{segments=4}", "-o", "out.xml", "--json", cwd=folder
    )
    document = json.loads(done.stdout)
    assert (document["schema"], document["taken"], document["written"]) == (
        "npusim.transform/1",
        7,
        "out.xml",
    )
    assert all(site["error_bound"] > 0 for site in document["sites"])
    done = npusim("verify", "model.xml", "out.xml", cwd=folder)
    assert (done.returncode, done.stderr) == (1, "")
    assert "DIFFER" in done.stdout
    assert "of random weights" in done.stdout
    done = npusim("verify", "model.xml", "out.xml", "--tolerance", "10", "--weights", "mine", cwd=folder)
    assert done.returncode == 0
    assert "weights: mine" in done.stdout


def test_ranges_are_observed_on_the_inputs_given(folder: Path) -> None:
    from openvino import opset15 as op

    x = op.parameter([-1, 4], np.float32, name="x")
    ov.save_model(
        ov.Model([op.result(op.swish(x))], [x], "gate"), folder / "gate.xml", compress_to_fp16=False
    )
    np.savez(folder / "a.npz", x=np.full((2, 4), -3.0))
    np.savez(folder / "b.npz", x=np.full((1, 4), 1.0))
    np.savez(folder / "other.npz", y=np.zeros((1, 4)))
    np.savez(folder / "wide.npz", x=np.zeros((1, 5)))
    (folder / "text.npz").write_text("no arrays")

    def transform(*files: str, passes: str = "actiba{range=observed}") -> subprocess.CompletedProcess[str]:
        given = [argument for file in files for argument in ("--observe", file)]
        return npusim("transform", "gate.xml", "--passes", passes, *given, cwd=folder)

    assert "32 lines over -3.5:1.5" in transform("a.npz", "b.npz").stdout
    for done, said in (
        (transform("other.npz"), "other.npz: the model has no input 'y': there are x"),
        (transform("wide.npz"), "wide.npz: 'x' has the shape [1, 5] and the model's input [?,4]"),
        (transform("text.npz"), "text.npz: not an .npz file"),
        (transform("none.npz"), "none.npz: no such file"),
        (transform("a.npz", passes="actiba"), "--observe is for --passes with actiba{range=observed}"),
    ):
        assert (done.returncode, done.stdout, done.stderr.count("\n")) == (2, "", 1)
        assert said in done.stderr


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("transform", "model.xml", "--passes", "cumb"), "did you mean 'cumba'"),
        (("transform", "model.xml"), "--passes is missing"),
        (
            ("transform", "model.xml", "--passes", "auto,actiba", "--hw", "lunarlake.yaml"),
            "auto{approximate=yes} alone",
        ),
        (("transform", "--passes", "cumba"), "--workload NAME"),
        (("transform", "model.xml", "--workload", "mamba2-130m", "--passes", "cumba"), "contradict"),
        (("transform", "--workload", "mamba2-13m", "--passes", "cumba"), "did you mean mamba2-130m"),
        (("transform", "none.xml", "--passes", "cumba"), "no such model file"),
        (
            ("transform", "model.xml", "--passes", "cumba", "-o", "model.bin/out.xml"),
            "cannot write to model.bin",
        ),
        (("run", "--hw", "lunarlake.yaml", "--layers", "1", "--xamba", "redubba"), "did you mean 'reduba'"),
    ],
)
def test_mistakes_are_told_in_one_line(folder: Path, arguments: tuple[str, ...], said: str) -> None:
    done = npusim(*arguments, cwd=folder)
    assert (done.returncode, done.stdout) == (2, "")
    assert said in done.stderr
    assert done.stderr.count("\n") == 1
    assert {path.name for path in folder.iterdir()} == {"model.xml", "model.bin"}


def test_models_of_other_shapes_cannot_be_compared() -> None:
    a, b = (workloads.build(TINY, tokens=tokens) for tokens in (8, 9))
    with pytest.raises(xamba.ModelsDiffer, match=r"'input_ids' is i64 .1,8. in A and i64 .1,9. in B"):
        compare(a, b)


def test_dynamic_lengths_are_all_tried() -> None:
    from openvino import opset15 as op

    x = op.parameter([-1, -1, 4], np.float32, name="x")
    model = ov.Model([op.result(op.cum_sum(x, op.constant(np.int64(-1))))], [x], "dynamic")
    found = compare(model, xamba.apply(model, "cumba")[0])
    assert {f"length {length}" for length in LENGTHS} <= {d.case for d in found}
    [overall] = worst(found)
    assert overall.relative <= CHECK_TOLERANCE
    assert (overall.kl, overall.top1) == (None, None)


def test_where_an_output_is_zero_the_error_is_relative_to_what_it_is_elsewhere() -> None:
    from openvino import opset15 as op

    x = op.parameter([2, 8], np.float32, name="x")
    model = ov.Model([op.result(op.swish(x))], [x], "gate")
    found = compare(model, xamba.apply(model, "actiba")[0])
    [overall] = worst(found)
    assert np.isfinite(overall.relative)
    assert overall.cosine is not None
    [zeros] = [d for d in found if d.case == "zeros"]
    assert zeros.cosine is None
    assert zeros.relative == pytest.approx(
        zeros.max_abs / 8.0, rel=0.01
    )  # the largest: swish(8) in case `large`


def test_models_that_do_not_run_are_told_of() -> None:
    from openvino import opset15 as op

    x = op.parameter(ov.PartialShape.dynamic(), np.float32, name="x")
    unknown = ov.Model([op.result(op.swish(x))], [x], "unknown")
    with pytest.raises(
        xamba.CannotRun, match=r"A: input 'x' has no known rank: give it a shape with --shape x="
    ):
        compare(unknown, unknown)
    with pytest.raises(xamba.CannotRun, match="no known rank"):
        xamba.apply(unknown, "actiba{range=observed}")
    x = op.parameter([-1, -1], np.float32, name="x")
    sixes = ov.Model([op.result(op.reshape(x, op.constant(np.array([-1, 6])), False))], [x], "sixes")
    with pytest.raises(xamba.CannotRun, match=r"inputs of shape \[1, 7\] \(case 'random 1'\).*--shape$"):
        compare(sixes, sixes)
    x = op.parameter([10**6, 100], np.float32, name="x")
    large = ov.Model([op.result(op.relu(x))], [x], "large")
    with pytest.raises(xamba.CannotRun, match=r"A: 'x' is of 100,000,000 elements, and no more than"):
        compare(large, large)


def test_differences_of_odd_numbers() -> None:
    odd = np.array([np.inf, -np.inf, np.nan, 1.0])
    assert difference("", "", odd, odd).relative == 0
    assert difference("", "", odd, np.array([np.inf, -np.inf, 0.0, 1.0])).relative == np.inf
    zeros = np.zeros(3)
    assert difference("", "", zeros, zeros).cosine == 1
    assert (difference("", "", zeros, zeros + 1).cosine, difference("", "", zeros, zeros + 1).relative) == (
        None,
        np.inf,
    )
    logits = difference("", "", np.array([[0.0, 1.0]]), np.array([[1.0, 0.0]]), logits=True)
    assert logits.top1 == 0
    assert logits.kl == pytest.approx((np.e - 1) / (np.e + 1))
