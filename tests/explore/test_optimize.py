"""A search that is stopped goes on to the same end, and finds the front of a small space."""

from __future__ import annotations

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
