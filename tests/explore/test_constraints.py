"""Searches under constraints, and dimensions of a model file as axes."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from npusim.errors import UserError
from npusim.explore.constraints import nearest, parse_constraints
from tests.cli.test_cli import npusim
from tests.graph.test_dynamic import save_onnx

SPACE = ("--hw", "lunarlake", "--gemm", "512x768x3072", "--axis", "tiles=1,2,4", "--workers", "1", "--json")


@pytest.mark.parametrize("command", [("sweep",), ("optimize", "--trials", "6")])
def test_the_front_keeps_the_constraints(tmp_path: Path, command: tuple[str, ...]) -> None:
    name, *more = command
    free = json.loads(npusim(name, *SPACE, *more, cwd=tmp_path).stdout)
    limited = npusim(name, *SPACE, *more, "--constraint", "macs<5000", cwd=tmp_path)
    assert limited.returncode == 0, limited.stderr
    front = json.loads(limited.stdout)["front"]
    assert front
    assert all(point["macs_per_cycle"] <= 5000 for point in front)
    assert any(point["macs_per_cycle"] > 5000 for point in free["front"])


@pytest.mark.parametrize(
    "text", ["latency", "latency_us<", "speed<3", "area<3", "latency<1e", "latency<five"]
)
def test_what_is_no_constraint(text: str) -> None:
    with pytest.raises(UserError, match=r"--constraint"):
        parse_constraints([text])


def test_what_no_point_keeps_is_told_with_the_nearest(tmp_path: Path) -> None:
    space = (*SPACE[:-1], "--constraint", "latency<1", "--constraint", "macs<5000")
    done = npusim("sweep", *space, cwd=tmp_path)
    assert done.returncode == 1
    (line,) = (line for line in done.stdout.splitlines() if line.startswith("none of"))
    assert line.startswith("none of 3 points keeps latency<1 µs and macs<5000 MACs a cycle; the nearest has ")
    assert line.endswith("µs, 8,192 MACs a cycle (tiles=4)")


def test_the_nearest_of_several_constraints() -> None:
    table = pd.DataFrame({
        "latency_us": [10.0, 4.0, 1.0, np.nan], "macs_per_cycle": [100.0, 200.0, 900.0, 1.0],
        "error": ["", "", "", "no"],
    })  # fmt: skip
    assert nearest(table, parse_constraints(["latency<1", "macs<100"])) == 1
    assert nearest(table, parse_constraints(["latency>100"])) == 0
    assert nearest(table[3:], parse_constraints(["latency<1"])) is None


def test_dimensions_of_a_file_are_axes(tmp_path: Path) -> None:
    save_onnx(tmp_path / "m.onnx", {"x": ["batch", 512]})
    model = ("--hw", "lunarlake", "--model", "m.onnx", "--workers", "1", "--json")
    done = npusim("sweep", *model, "--axis", "dim.batch=8,512", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout)["points"] == 2
    (folder,) = (path for path in (tmp_path / "npusim-out").iterdir() if path.name != "latest")
    table = pd.read_csv(folder / "results.csv")
    assert table["dim.batch"].tolist() == [8, 512]
    assert table["latency_us"].is_monotonic_increasing
    document = json.loads(done.stdout)
    assert len(document["front"]) == 2  # a smaller batch is less work, not a better design
    assert document["knee"] is None
    wrong = npusim("sweep", "--hw", "lunarlake", "--axis", "dim.batch=8", cwd=tmp_path)
    assert (wrong.returncode, "dim. is for model files" in wrong.stderr) == (2, True)
