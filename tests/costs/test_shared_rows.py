"""Depth-wise and pooling windows of images whose rows the tiles share, as Intel's compiler prices them for 3720."""

from __future__ import annotations

from dataclasses import replace

import pytest

from npusim.costs.dpu import cycles
from npusim.hardware import load_hardware
from npusim.program.work import DpuKind, DpuWork


@pytest.mark.parametrize(
    ("kind", "rows", "columns", "channels", "kernel", "stride", "compiled"),
    [
        ("dwconv", 14, 28, 64, 3, 1, 7448),
        ("dwconv", 28, 56, 64, 3, 1, 25162),
        ("dwconv", 28, 56, 32, 3, 1, 12410),
        ("dwconv", 20, 40, 64, 3, 1, 13374),
        ("dwconv", 14, 28, 64, 5, 1, 19322),
        ("dwconv", 14, 28, 32, 3, 2, 3871),
        ("avgpool", 14, 28, 64, 3, 1, 7448),
        ("maxpool", 14, 28, 64, 2, 2, 4402),
    ],
)
def test_shared_rows_cost_what_the_compiler_says(
    kind: DpuKind, rows: int, columns: int, channels: int, kernel: int, stride: int, compiled: int
) -> None:
    """Cycles of tasks of models compiled for 3720."""
    work = DpuWork(kind, rows, columns, channels, 1, kernel, kernel, stride, shared_rows=True)
    assert cycles(work, load_hardware("meteorlake-vpunn")) == pytest.approx(compiled, rel=0.07)


@pytest.mark.parametrize("platform", ["lunarlake-vpunn", "pantherlake-vpunn", "meteorlake"])
def test_elsewhere_it_makes_no_difference_who_shares_rows(platform: str) -> None:
    work, hw = DpuWork("dwconv", 14, 28, 64, 1, 3, 3), load_hardware(platform)
    assert cycles(replace(work, shared_rows=True), hw) == cycles(work, hw)
