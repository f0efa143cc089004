"""Scenario files: the examples run, mistakes are told in one line, pages and documents are written."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import openvino as ov
import pytest
from openvino import opset15 as op

import npusim
from npusim.scenarios.read import read_scenario

ROOT = Path(__file__).parents[2]
EXAMPLES = sorted((ROOT / "examples" / "scenarios").glob("*.yaml"))
HEAD = "name: x\nprograms:\n  net: {model: mlp-4x512}\n  loop: {model: loop.xml}\n"


def command(*arguments: str, cwd: Path) -> subprocess.CompletedProcess[str]:
    code = f"import sys; sys.path.insert(0, {str(ROOT)!r}); from npusim.cli.main import main; main()"
    return subprocess.run(
        [sys.executable, "-c", code, "scenario", *arguments], capture_output=True, text=True, cwd=cwd, check=False,
        timeout=120,
    )  # fmt: skip


@pytest.mark.parametrize("path", EXAMPLES, ids=lambda path: path.stem)
def test_every_example_answers_and_shows_itself(path: Path, tmp_path: Path) -> None:
    found = npusim.scenario(path)
    assert found.headline().startswith(found.answer.spec.name)
    assert len(found.to_frame()) > 1
    assert "var:" not in found.figure().to_json()
    page = found.report(tmp_path).read_text()
    assert "Every number" in page
    assert json.loads((tmp_path / "scenario.json").read_text()) == found.document()
    assert len(npusim.load(tmp_path).to_frame()) == len(found.to_frame())


def test_there_is_an_example_of_each_operator() -> None:
    specs = [read_scenario(path) for path in EXAMPLES]
    for name in ("mix", "split", "together", "rows", "budget"):
        assert any(getattr(spec, name) is not None for spec in specs), name


def test_skipping_blocks_one_by_one_does_not_pay() -> None:
    """A call of the NPU costs 0.2 ms and more (measured on Lunar Lake), a block of ResNet-50 less."""
    found = npusim.scenario(ROOT / "examples" / "scenarios" / "skip_blocks.yaml")
    assert found.figures_of()["gain"] < 1
    blocks = found.to_frame().query("name.str.startswith('block')", engine="python")
    assert (blocks["break_even"] < 0.5).all()


def test_the_command_writes_a_page_and_a_document(tmp_path: Path) -> None:
    text = f"{HEAD}together: {{programs: [net, net], by: turns}}\n"
    (tmp_path / "pair.yaml").write_text(text)
    done = command("pair.yaml", cwd=tmp_path)
    assert (done.returncode, done.stderr) == (0, "")
    assert "by turns" in done.stdout
    assert (tmp_path / "npusim-out" / "scenario-pair" / "report.html").exists()
    done = command("pair.yaml", "--json", "--no-report", cwd=tmp_path)
    document = json.loads(done.stdout)
    assert (document["schema"], document["operator"], len(document["rows"])) == (
        "npusim.scenario/1",
        "together",
        2,
    )


def looped() -> ov.Model:
    """A loop of three steps, each a Swish."""
    x = op.parameter([1, 8], np.float32, name="x")
    inner = op.parameter([1, 8], np.float32, name="inner")
    step = op.swish(inner, name="step")
    body = ov.Model([op.constant(True), step], [inner], "body")
    loop = op.loop(op.constant(3), op.constant(True))
    loop.set_function(body)
    loop.set_special_body_ports([-1, 0])
    loop.set_merged_input(inner, x.output(0), step.output(0))
    out = loop.get_iter_value(step.output(0), -1)
    loop.set_friendly_name("recurrence")
    return ov.Model([op.relu(out, name="last")], [x], "looped")


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("mix: {whole: net, outcomes: [{runs: [net], probability: 0.6}]}", "must sum to 1 (they sum to 0.6)"),
        ("mix: {whole: net}", "either segments"),
        ("mix: {whole: nett, segments: [{program: net}]}", "did you mean 'net'"),
        ("mix: {whole: net, segmints: [{program: net}]}", "did you mean 'segments'"),
        ("mix: {whole: net, segments: [{program: net, probability: 2}]}", "at most 1"),
        ("budget: {program: net, kib_per_tile: [4]}", "does not fit"),
        ("split: {program: net, link: {gbps: 1}, far: {tops: 4}}", "give hardware, or tops and gbps"),
        (
            "split: {program: net, link: {gbps: 1}, far: {tops: 4, gbps: 9}, at: [nothing]}",
            "there is no op 'nothing'",
        ),
        (
            "split: {program: loop, link: {gbps: 1}, far: {tops: 4, gbps: 9}, at: [step]}",
            "inside the loop 'recurrence'",
        ),
        ("together: {programs: [net, net], tiles: [4, 4]}", "the machine has"),
        ("together: {programs: [net, net], by: turns, tiles: [1, 1]}", "tiles are for by: tiles"),
        ("rows: {model: llama-3.2-1b, requests_per_s: [1], most_rows: 99}", "pad_to ends at 64"),
        ("mix: {whole: net, segments: [{program: net, probability: 0}]}", "nothing of it ever runs"),
        ("mix: {whole: net, outcomes: [{runs: [], probability: 1}]}", "nothing of it ever runs"),
        (
            "split: {program: net, link: {gbps: 1}, far: {tops: 4, gbps: 9}, bits: []}",
            "at least 1 entry (it has none)",
        ),
        (
            "rows: {model: llama-3.2-1b, requests_per_s: [1], pad_to: []}",
            "rows.pad_to: must have at least 1 entry",
        ),
        ("rows: {model: llama-3.2-1b, requests_per_s: [1], seed: -1}", "seed: must be at least 0"),
        (
            "rows: {model: llama-3.2-1b, requests_per_s: [1], requests: 10000}",
            "1,280,000 tokens are generated",
        ),
        ("rows: {model: mamba2-1.3b, requests_per_s: [1]}", "layers with states have none"),
        ("", "exactly one of mix"),
        (
            "budget: {program: net, kib_per_tile: [400]}\nmix: {whole: net, segments: [{program: net}]}",
            "mix and budget",
        ),
    ],
)
def test_mistakes_are_told_in_one_line(text: str, said: str, tmp_path: Path) -> None:
    ov.save_model(looped(), tmp_path / "loop.xml")
    (tmp_path / "s.yaml").write_text(HEAD + text + "\n")
    with pytest.raises(npusim.UserError) as error:
        npusim.scenario(tmp_path / "s.yaml")
    assert said in str(error.value)
    assert "\n" not in str(error.value)
