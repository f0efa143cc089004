"""`npusim diff` and Markdown as another project's CI uses them."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from tests.cli.test_cli import npusim

GEMM = ("--hw", "lunarlake", "--gemm", "64x64x64")


def test_a_slower_model_fails_and_an_equal_one_passes(tmp_path: Path) -> None:
    for folder, more in (("budget", ()), ("slow", ("--set", "clocks.vpu_mhz=600"))):
        assert npusim("run", *GEMM, *more, "--no-report", "--out", folder, cwd=tmp_path).returncode == 0
    same = npusim("diff", "budget", "budget/run.json", cwd=tmp_path)
    assert (same.returncode, same.stderr) == (0, "")
    assert "within" in same.stdout
    slower = npusim("diff", "budget", "slow", "--json", cwd=tmp_path)
    assert slower.returncode == 1
    told = json.loads(slower.stdout)
    assert told["within"] is False
    latency = told["rows"][0]
    assert latency["percent"] > told["tolerance_percent"]
    assert npusim("diff", "budget", "slow", "--tolerance", "1000", cwd=tmp_path).returncode == 0
    assert "| latency |" in npusim("diff", "budget", "slow", "--markdown", cwd=tmp_path).stdout


@pytest.mark.parametrize(("limit", "code"), [(1, 1), (1e9, 0)])
def test_a_budget_of_one_number(tmp_path: Path, limit: float, code: int) -> None:
    (tmp_path / "budget.json").write_text(json.dumps({"latency_us": limit}))
    assert npusim("run", *GEMM, "--no-report", "--out", "now", cwd=tmp_path).returncode == 0
    assert npusim("diff", "budget.json", "now", cwd=tmp_path).returncode == code


def _run(folder: Path, **more: Any) -> str:
    """A run as its document says it: 100 µs of `net` on a machine, 400 seen from outside."""
    document = {
        "latency_us": 100.0,
        "workload": "net",
        "hardware": "one",
        "seen": {"hint": "latency", "us": 400.0},
    }
    folder.mkdir()
    (folder / "run.json").write_text(json.dumps(document | more))
    return folder.name


def test_what_is_seen_from_outside_counts(tmp_path: Path) -> None:
    budget = _run(tmp_path / "budget")
    later = _run(tmp_path / "later", seen={"hint": "latency", "us": 2000.0})
    done = npusim("diff", budget, later, cwd=tmp_path)
    assert (done.returncode, done.stderr) == (1, "")
    assert "from outside" in done.stdout
    assert "+400.0 % OVER" in done.stdout


@pytest.mark.parametrize(
    ("more", "said"),
    [
        ({"workload": "other"}, "its workload is other, that of budget net"),
        ({"hardware": "two"}, "its hardware is two"),
        ({"seen": {"hint": "throughput", "us": 1.0}}, "its hint is throughput"),
        ({"run": {"phase": "decode"}}, "its phase is decode"),
    ],
)
def test_a_run_of_something_else_is_no_budget(tmp_path: Path, more: dict[str, Any], said: str) -> None:
    done = npusim("diff", _run(tmp_path / "budget"), _run(tmp_path / "now", **more), cwd=tmp_path)
    assert (done.returncode, done.stderr.count("\n")) == (2, 1)
    assert said in done.stderr


def test_the_folder_of_another_command_is_told_apart(tmp_path: Path) -> None:
    (tmp_path / "compared").mkdir()
    done = npusim("diff", _run(tmp_path / "budget"), "compared", cwd=tmp_path)
    assert (done.returncode, done.stderr) == (
        2, "error: compared: holds no run.json: give a folder that npusim run wrote, or a file\n"
    )  # fmt: skip


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("{}", "limits nothing"), ("[1]", "must be a mapping"), ("x", "not JSON"),
        ('{"latency_us": 500, "energy_ju": 1}', "energy_ju: no such limit; did you mean 'energy_uj'?"),
        ('{"latency_us": 500, "energy_uj": "1"}', "energy_uj: must be a number"),
    ],
)  # fmt: skip
def test_mistakes_are_told_in_one_line(tmp_path: Path, text: str, said: str) -> None:
    (tmp_path / "budget.json").write_text(text)
    done = npusim("diff", "budget.json", "budget.json", cwd=tmp_path)
    assert (done.returncode, done.stderr.count("\n")) == (2, 1)
    assert said in done.stderr


def test_markdown_of_a_run_and_of_a_comparison(tmp_path: Path) -> None:
    run = npusim("run", *GEMM, "--no-report", "--markdown", cwd=tmp_path).stdout
    assert run.startswith("### gemm-64x64x64 on Lunar Lake NPU\n\n| latency | 80% within | inferences/s |")
    rows = ("--hw", "pantherlake", "--markdown", "--no-report")
    both = npusim("compare", *GEMM, *rows, cwd=tmp_path).stdout
    assert both.count("\n| ") == 4
