"""A search that is stopped goes on to the same end, and finds the front of a small space."""

from __future__ import annotations

import os
import signal
from pathlib import Path

import pytest

from npusim.errors import UserError
from npusim.explore.optimize import Sampler, optimize
from npusim.explore.space import Space, grid
from npusim.explore.sweep import sweep

pytest.importorskip("optuna", reason="the extra [optimize] is not installed")


@pytest.mark.parametrize("sampler", ["nsga2", "tpe"])
def test_stopped_and_not_stopped_end_the_same(space: Space, tmp_path: Path, sampler: Sampler) -> None:
    optimize(space, 36, tmp_path / "whole", sampler, seed=1)
    for trials in (10, 36):
        optimize(space, trials, tmp_path / "parts", sampler, seed=1)
    for name in ("results.csv", "results.parquet"):
        assert (tmp_path / "whole" / name).read_bytes() == (tmp_path / "parts" / name).read_bytes()


def kill(*_: object) -> None:
    os.kill(os.getpid(), signal.SIGKILL)


@pytest.mark.parametrize(
    "at", ["npusim.explore.store.Journal._append", "npusim.explore.optimize._Search.tell"]
)
def test_killed_and_not_killed_end_the_same(
    space: Space, tmp_path: Path, at: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Before a batch is noted, and between that and what the search is told of it."""
    optimize(space, 20, tmp_path / "whole", seed=1)
    optimize(space, 10, tmp_path / "killed", seed=1)
    monkeypatch.setattr(at, kill)
    pid = os.fork()
    if not pid:
        optimize(space, 20, tmp_path / "killed", seed=1)
        os._exit(0)
    assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == -signal.SIGKILL
    monkeypatch.undo()
    optimize(space, 20, tmp_path / "killed", seed=1)
    for name in ("results.csv", "results.parquet"):
        assert (tmp_path / "whole" / name).read_bytes() == (tmp_path / "killed" / name).read_bytes()


@pytest.mark.parametrize("garbage", [b"nonsense", b"SQLite format 3\0" + bytes(200), b"\0" * 4096])
def test_a_damaged_study_is_told_in_a_line(space: Space, tmp_path: Path, garbage: bytes) -> None:
    (tmp_path / "study.db").write_bytes(garbage)
    with pytest.raises(UserError, match=r"study\.db: not a study that can be gone on with .*; remove it"):
        optimize(space, 2, tmp_path, seed=1)


def test_it_finds_the_front_of_a_small_space(space: Space, tmp_path: Path) -> None:
    whole = sweep(space, grid(space.axes))
    found = optimize(space, 64, tmp_path)
    names = list(found.objectives)
    best = whole.table.loc[whole.front, names].drop_duplicates().sort_values(names)
    assert found.table.loc[found.front, names].drop_duplicates().sort_values(names).to_numpy().tolist() == (
        best.to_numpy().tolist()
    )


def test_another_search_in_the_folder_is_refused(space: Space, tmp_path: Path) -> None:
    optimize(space, 2, tmp_path, seed=1)
    with pytest.raises(UserError, match=r"holds another search \(its seed differs\)"):
        optimize(space, 2, tmp_path, seed=2)
    with pytest.raises(UserError, match="--objective speed: must be one of"):
        optimize(space, 2, tmp_path, seed=1, objectives=["speed"])
