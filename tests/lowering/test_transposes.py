"""Transposes, and products that are cut as their operands lie, against what the vendor's compiler makes of the same
models."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

import numpy as np
import openvino as ov
import pytest
from openvino import opset13 as op

from npusim import workloads
from npusim.graph import load_model
from npusim.hardware import load_hardware
from npusim.hardware.schema import Hardware
from npusim.lowering import lower
from npusim.lowering.ir.nodes import Transpose
from npusim.lowering.ir.values import Value
from npusim.lowering.plans.dpu.permute import plan_permute
from npusim.program import Program
from npusim.program.work import DmaWork, DpuWork, ShaveWork

LUNAR_LAKE = "lunarlake-vpunn.yaml"


def _lower(folder: Path, model: ov.Model, hw: Hardware) -> Program:
    path = folder / "model.xml"
    ov.save_model(model, path)
    return lower(load_model(path), hw)


def _transpose(folder: Path, shape: tuple[int, ...], order: tuple[int, ...]) -> Program:
    x = op.parameter(shape, np.float16)
    model = ov.Model([op.transpose(x, np.array(order, np.int64))], [x], "transpose")
    return _lower(folder, model, load_hardware(LUNAR_LAKE))


@pytest.mark.parametrize(
    ("shape", "order", "permuted"),
    [
        ((1, 1, 256, 24), (0, 1, 3, 2), [6144] * 2),  # rows of 24 are read
        ((1, 1, 24, 256), (0, 1, 3, 2), []),  # rows of 256 are
        ((2, 128, 24, 128), (0, 2, 1, 3), [264192] * 4 + [258048] * 2),  # rows swapped in each of two
        ((4, 64, 24, 128), (0, 2, 1, 3), [264192] * 4 + [258048] * 2),  # cut along the longest dimension
        ((1, 128, 24, 128), (0, 2, 1, 3), []),  # in one: a pool
    ],
)
def test_what_a_pool_cannot_permute_is_permuted_by_dma(
    tmp_path: Path, shape: tuple[int, ...], order: tuple[int, ...], permuted: list[int]
) -> None:
    """In slices of which operand and result fit one tile, halved over the engines (26 of 26 compiled transposes)."""
    works = [t.work for t in _transpose(tmp_path, shape, order).tasks]
    moved = [w.bytes for w in works if isinstance(w, DmaWork) and (w.src, w.dst) == ("cmx", "cmx")]
    assert moved == permuted
    assert any(isinstance(w, DpuWork) for w in works) is not bool(permuted)


@pytest.mark.parametrize(
    ("machine", "shape", "slices"),
    [
        ("meteorlake", (96, 128, 128), 3),
        ("meteorlake", (40, 512, 128), 5),
        ("meteorlake", (12, 512, 512), 8),
        ("lunarlake", (28, 320, 160), 1),
        ("lunarlake", (36, 400, 128), 3),
        ("lunarlake", (60, 256, 256), 5),
        ("lunarlake", (5, 1024, 512), 8),
        ("lunarlake", (80, 512, 128), 7),
        ("pantherlake", (80, 128, 128), 4),
        ("pantherlake", (36, 400, 128), 5),
        ("pantherlake", (40, 512, 128), 7),
        ("pantherlake", (80, 512, 128), 13),
    ],
)
def test_slices_of_a_permuting_pool_leave_room_for_what_the_next_one_reads(
    machine: str, shape: tuple[int, int, int], slices: int
) -> None:
    """The last two dimensions of each change places, as compiled with the usual tiles."""
    source, target = Value(0, shape), Value(1, shape, order=(0, 2, 1))
    plan = plan_permute(
        Transpose("turn", "Transpose", (source,), target), load_hardware(f"{machine}-vpunn.yaml")
    )
    assert len(plan.slices) == slices


def _shares(program: Program, name: str) -> list[int]:
    """Elements that each tile computes of a product, largest first."""
    shares: Counter[int] = Counter()
    for t in program.tasks:
        if program.ops[t.op].name == name and isinstance(t.work, ShaveWork) and t.work.kernel == "multiply":
            shares[t.queue] += t.work.out_elements
    return sorted(shares.values(), reverse=True)


@pytest.mark.parametrize(
    ("tokens", "tiles", "shares"),
    [
        (4, 3, [688 * 4, 680 * 4, 680 * 4]),  # channels, in eights
        (4, 6, [344 * 4] * 4 + [336 * 4] * 2),
        (8, 4, [2048 * 2] * 4),  # tokens
        (8, 3, [2048 * 3, 2048 * 3, 2048 * 2]),
    ],
)
def test_outer_products_of_few_tokens_are_cut_over_channels(
    tmp_path: Path, tokens: int, tiles: int, shares: list[int]
) -> None:
    """dt * A of Mamba-370m: from 8 tokens on, whose rows the MatMul before folds, it is cut over tokens."""
    model = workloads.build("mamba-370m", layers=1, tokens=tokens, lm_head=False)
    program = _lower(tmp_path, model, load_hardware(LUNAR_LAKE, [f"tiles={tiles}"]))
    found = [_shares(program, name) for name in {o.name for o in program.ops}]
    assert [16 * n for n in shares] in found


#: (file, matrices, rows, columns) as compiled for values of attention: whether the tiles share their columns.
TURNED = [
    ("pantherlake-vpunn.yaml", 2, 512, 64, True),
    ("pantherlake-vpunn.yaml", 3, 768, 64, True),
    ("pantherlake-vpunn.yaml", 4, 768, 64, True),
    ("pantherlake-vpunn.yaml", 6, 576, 64, False),
    ("pantherlake-vpunn.yaml", 8, 512, 64, False),
    ("lunarlake-vpunn.yaml", 2, 512, 64, True),
    ("lunarlake-vpunn.yaml", 4, 1024, 128, False),
    ("meteorlake-vpunn.yaml", 4, 1024, 128, False),
]


@pytest.mark.parametrize(("file", "matrices", "rows", "columns", "shared"), TURNED)
def test_tiles_share_the_columns_of_few_matrices(
    file: str, matrices: int, rows: int, columns: int, shared: bool
) -> None:
    node = Transpose(
        "turned",
        "Transpose",
        (Value(1, (matrices, rows, columns)),),
        Value(2, (matrices, rows, columns), order=(0, 2, 1)),
    )
    hw = load_hardware(file)
    works = [work for _, work in plan_permute(node, hw).slices[0].computes]
    assert all(isinstance(work, DpuWork) for work in works)
    assert (max(work.out_channels for work in works) < columns) is shared


@pytest.mark.parametrize(
    ("rows", "heads", "pooled"), [(256, 5, False), (256, 7, True), (384, 6, True), (128, 12, False)]
)
def test_few_rows_that_change_places_are_moved_by_dma(rows: int, heads: int, pooled: bool) -> None:
    """[rows, heads, 64] to [heads, rows, 64], as compiled for all platforms: from 114,688 elements on by a pool."""
    shape = (rows, heads, 64)
    node = Transpose("moved", "Transpose", (Value(1, shape),), Value(2, shape, order=(1, 0, 2)))
    works = [work for _, work in plan_permute(node, load_hardware("lunarlake-vpunn.yaml")).slices[0].computes]
    assert any(isinstance(work, DpuWork) for work in works) is pooled
