"""A sweep on a real Dask cluster, one of whose workers, or whose scheduler, is killed in its midst."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import warnings
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest

from npusim.errors import UserError
from npusim.explore.axes import bind, parse_axis
from npusim.explore.space import Space, grid
from npusim.explore.sweep import sweep
from npusim.workers import Machines

distributed = pytest.importorskip("distributed", reason="the extra [cluster] is not installed")


@pytest.fixture
def cluster() -> Iterator[object]:
    with (
        warnings.catch_warnings(),
        distributed.LocalCluster(
            n_workers=2, threads_per_worker=1, processes=True, dashboard_address=None, silence_logs=50
        ) as found,
    ):
        yield found


def test_no_point_is_lost_or_doubled_where_a_worker_is_killed(space: Space, cluster, tmp_path) -> None:  # type: ignore[no-untyped-def]
    texts = ["tiles=1,2,4,6", "ddr.bandwidth_gbps=34:136:10", "clocks.vpu_mhz=800:1200:10"]
    large = Space(
        space.hardware, space.model, bind([parse_axis(text) for text in texts], space.hardware, space.model)
    )
    points = grid(large.axes)
    victims = [worker.pid for worker in cluster.workers.values()]
    told: list[int] = []

    def kill_one(done: int) -> None:
        if victims and 0 < done < len(points):
            os.kill(victims.pop(), signal.SIGKILL)
            victims.clear()
        told.append(done)

    found = sweep(
        large, points, tmp_path, Machines(cluster=cluster.scheduler_address), progress=kill_one
    ).table
    assert not victims
    assert told[-1] == len(points)
    assert len((tmp_path / "journal.jsonl").read_text().splitlines()) == len(points) + 1
    assert found.equals(sweep(large, points).table)


@pytest.fixture
def scheduler() -> Iterator[tuple[str, subprocess.Popen[bytes]]]:
    """A scheduler in a process of its own, with its address, and a worker."""
    with closing(socket.socket()) as one:
        one.bind(("127.0.0.1", 0))
        address = f"tcp://127.0.0.1:{one.getsockname()[1]}"
    port = address.rpartition(":")[2]
    commands = (
        ["distributed.cli.dask_scheduler", "--host", "127.0.0.1", "--port", port, "--no-dashboard"],
        ["distributed.cli.dask_worker", address, "--nthreads", "1", "--no-nanny", "--no-dashboard"],
    )
    started = [
        subprocess.Popen(
            [sys.executable, "-m", *command], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
        )
        for command in commands
    ]
    try:
        with distributed.Client(address, timeout=60, set_as_default=False) as client:
            client.wait_for_workers(1, timeout=60)
        yield address, started[0]
    finally:
        for process in started:
            process.kill()
            process.wait()


def test_what_a_lost_scheduler_leaves_is_gone_on_with(
    space: Space, scheduler: tuple[str, subprocess.Popen[bytes]], tmp_path: Path
) -> None:
    """Told in one line, whatever Dask logs; the folder then ends as one that was never interrupted."""
    texts = ["tiles=1,2,4", "ddr.bandwidth_gbps=34:136:10", "clocks.vpu_mhz=800:1200:10"]
    axes = bind([parse_axis(text) for text in texts], space.hardware, space.model)
    whole = Space(space.hardware, space.model, axes)
    points = grid(axes)
    address, process = scheduler
    with pytest.raises(UserError, match="the scheduler of the cluster went away; what was done is kept"):
        sweep(
            whole, points, tmp_path / "lost", Machines(cluster=address), progress=lambda done: process.kill()
        )
    assert not (tmp_path / "lost" / "results.csv").exists()
    sweep(whole, points, tmp_path / "lost")
    sweep(whole, points, tmp_path / "whole")
    for name in ("results.csv", "results.parquet"):
        assert (tmp_path / "lost" / name).read_bytes() == (tmp_path / "whole" / name).read_bytes()


def test_no_cluster_is_told_in_one_line(space: Space, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("npusim.workers.cluster._ANSWER_S", 1)
    with pytest.raises(UserError, match=r"--cluster tcp://127.0.0.1:1: no Dask scheduler answers there"):
        sweep(space, grid(space.axes), machines=Machines(cluster="tcp://127.0.0.1:1"))
