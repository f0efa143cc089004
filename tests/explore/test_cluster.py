"""A sweep on a real Dask cluster, one of whose workers is killed in its midst."""

from __future__ import annotations

import os
import signal
import warnings
from collections.abc import Iterator

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


def test_no_cluster_is_told_in_one_line(space: Space, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("npusim.workers.cluster._ANSWER_S", 1)
    with pytest.raises(UserError, match=r"--cluster tcp://127.0.0.1:1: no Dask scheduler answers there"):
        sweep(space, grid(space.axes), machines=Machines(cluster="tcp://127.0.0.1:1"))
