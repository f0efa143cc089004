"""Explorations on a disk that fills up, and with workers that the system kills for their memory: what was done is kept,
and the end is that of an exploration to which nothing happened."""

from __future__ import annotations

import os
import signal
import subprocess
from collections.abc import Iterator
from multiprocessing import active_children
from pathlib import Path

import pytest

from npusim.errors import UserError
from npusim.explore.axes import bind, parse_axis
from npusim.explore.optimize import optimize
from npusim.explore.space import Space, grid
from npusim.explore.store import JOURNAL
from npusim.explore.sweep import sweep
from npusim.workers import Machines

AXES = ("tiles=1,2,4", "ddr.bandwidth_gbps=34:136:10", "clocks.vpu_mhz=800:1200:5")
RESULTS = ("results.csv", "results.parquet")


@pytest.fixture
def large(space: Space) -> Space:
    return Space(
        space.hardware, space.model, bind([parse_axis(text) for text in AXES], space.hardware, space.model)
    )


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A disk of 32 KiB."""
    disk = tmp_path / "disk"
    disk.mkdir()
    mounted = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", "size=32k", "none", disk], capture_output=True, check=False
    )
    if mounted.returncode:
        pytest.skip("no disk may be mounted here")
    yield disk
    subprocess.run(["umount", "--lazy", disk], check=True)


def enlarge(disk: Path) -> None:
    subprocess.run(["mount", "-o", "remount,size=64m", disk], check=True)


def test_a_sweep_goes_on_once_there_is_room(large: Space, small_disk: Path, tmp_path: Path) -> None:
    points = grid(large.axes)
    with pytest.raises(UserError, match="No space left on device"):
        sweep(large, points, small_disk / "out")
    assert {path.name for path in (small_disk / "out").iterdir()} == {JOURNAL}
    enlarge(small_disk)
    sweep(large, points, small_disk / "out")
    sweep(large, points, tmp_path / "whole")
    for name in RESULTS:
        assert (small_disk / "out" / name).read_bytes() == (tmp_path / "whole" / name).read_bytes()


def test_a_search_goes_on_once_there_is_room(large: Space, small_disk: Path, tmp_path: Path) -> None:
    pytest.importorskip("optuna", reason="the extra [optimize] is not installed")
    with pytest.raises(UserError, match="No space left on device"):
        optimize(large, 8, small_disk / "out", seed=1)
    enlarge(small_disk)
    optimize(large, 8, small_disk / "out", seed=1)
    optimize(large, 8, tmp_path / "whole", seed=1)
    for name in RESULTS:
        assert (small_disk / "out" / name).read_bytes() == (tmp_path / "whole" / name).read_bytes()


def test_a_worker_killed_for_its_memory_costs_no_point(large: Space, tmp_path: Path) -> None:
    """As the kernel does it: SIGKILL, without a word."""
    points = grid(large.axes)
    killed: list[int] = []

    def kill_one(done: int) -> None:
        if not killed and (pids := [child.pid for child in active_children() if child.pid]):
            killed.append(pids[0])
            os.kill(pids[0], signal.SIGKILL)

    found = sweep(large, points, tmp_path / "killed", Machines(2), progress=kill_one)
    assert killed
    assert len(found.table) == len(points)
    sweep(large, points, tmp_path / "whole")
    for name in RESULTS:
        assert (tmp_path / "killed" / name).read_bytes() == (tmp_path / "whole" / name).read_bytes()
