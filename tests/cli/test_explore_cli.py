"""``sweep``, ``optimize`` and ``sensitivity`` as a user meets them."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pandas as pd
import pytest

ROOT = Path(__file__).parents[2]
SMALL = ("--hw", "lunarlake.yaml", "--workload", "mamba-130m", "--layers", "1", "--tokens", "4")
HERE = ("--workers", "1", "--out", "found")


def npusim(*arguments: str, cwd: Path) -> subprocess.CompletedProcess[str]:
    code = f"import sys; sys.path.insert(0, {str(ROOT)!r}); from npusim.cli.main import main; main()"
    command = [sys.executable, "-c", code, *arguments]
    return subprocess.run(command, capture_output=True, text=True, cwd=cwd, check=False, timeout=120)


def test_sweep_and_then_again(tmp_path: Path) -> None:
    (tmp_path / "space.yaml").write_text("ddr.bandwidth_gbps: 34:136:3\n")
    command = (
        "sweep",
        *SMALL,
        "--axis",
        "tiles=1,6",
        "--space",
        "space.yaml",
        "--xamba",
        "none,cumba",
        *HERE,
    )
    done = npusim(*command, "--json", cwd=tmp_path)
    assert (done.returncode, done.stderr) == (0, "")
    document = json.loads(done.stdout)
    assert document["points"] == 12
    assert document["knee"] in document["front"]
    first = {name: (tmp_path / "found" / name).read_bytes() for name in ("results.csv", "results.parquet")}
    assert len(pd.read_parquet(tmp_path / "found" / "results.parquet")) == 12
    assert "Pareto front" in npusim(*command, cwd=tmp_path).stdout
    assert first == {name: (tmp_path / "found" / name).read_bytes() for name in first}


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ((), "no axis: say what varies"),
        (("--axis", "tiles=0"), "error: --axis tiles=0: tiles must be at least 1 (got 0)"),
        (("--axis", "layers=1,2"), "--axis layers=1,2 and --layers contradict each other"),
        (("--axis", "tiles=1", "--set", "tiles=2"), "--axis tiles=1 and --set tiles=2 contradict each other"),
        (("--axis", "tiles=1", "--seed", "1"), "--seed needs --lhs"),
        (("--space", "none.yaml"), "--space none.yaml: cannot be read"),
        (("--axis", "tiles=1", "--workers", "2", "--cluster", "tcp://a:1"), "contradict each other"),
    ],
)
def test_mistakes_end_in_one_line_before_anything_runs(
    tmp_path: Path, options: tuple[str, ...], words: str
) -> None:
    done = npusim("sweep", *SMALL, *options, cwd=tmp_path)
    assert done.returncode == 2
    assert words in done.stderr
    assert len(done.stderr.splitlines()) == 1
    assert list(tmp_path.iterdir()) == []


def test_optimize(tmp_path: Path) -> None:
    pytest.importorskip("optuna", reason="the extra [optimize] is not installed")
    command = ("optimize", *SMALL, "--axis", "tiles=1,6", "--trials", "4", "--objective", "latency", *HERE)
    done = npusim(*command, "--json", cwd=tmp_path)
    assert (done.returncode, done.stderr) == (0, "")
    document = json.loads(done.stdout)
    assert document["objectives"] == ["latency_us"]
    found = pd.read_csv(tmp_path / "found" / "results.csv")
    assert document["knee"]["latency_us"] == found["latency_us"].min()
    assert (tmp_path / "found" / "study.db").exists()


def test_sensitivity(tmp_path: Path) -> None:
    done = npusim("sensitivity", *SMALL, "--json", cwd=tmp_path)
    assert (done.returncode, done.stderr) == (0, "")
    rows = json.loads(done.stdout)["sensitivities"]
    sizes = [abs(row["us_per_percent"]) for row in rows]
    assert sizes == sorted(sizes, reverse=True)
    assert next(row for row in rows if row["path"] == "clocks.vpu_mhz")["us_per_percent"] < 0
    assert "clocks.vpu_mhz" in npusim("sensitivity", *SMALL, cwd=tmp_path).stdout
