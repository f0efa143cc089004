"""What the compiler makes of broadcasts, quotients, reductions and FP32 results, as tasks of one-op models."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from pathlib import Path

import numpy as np
import openvino as ov
import pytest
from openvino import opset13 as op

from npusim.graph import load_model
from npusim.hardware import load_hardware
from npusim.lowering import lower
from npusim.program import Program
from npusim.program.work import DmaWork, DpuWork, ShaveWork

Build = Callable[..., ov.Node]
Shapes = tuple[tuple[int, ...], ...]


def _lowered(folder: Path, build: Build, shapes: Shapes, hardware: str, dtype: type = np.float16) -> Program:
    inputs = [op.parameter(shape, dtype) for shape in shapes]
    path = folder / "model.xml"
    ov.save_model(ov.Model([build(*inputs)], inputs, "model"), path, compress_to_fp16=False)
    return lower(load_model(path), load_hardware(f"{hardware}-vpunn.yaml"))


def _kernels(program: Program) -> set[str]:
    return {task.work.kernel for task in program.tasks if isinstance(task.work, ShaveWork)}


@pytest.mark.parametrize("hardware", ["meteorlake", "lunarlake", "pantherlake"])
def test_a_broadcast_sum_that_fits_never_returns_to_ddr(tmp_path: Path, hardware: str) -> None:
    """add_d, add_f: expanded on one tile, copied to all."""
    program = _lowered(tmp_path, op.add, ((1, 1, 256, 1536), (1, 1, 1, 1536)), hardware)
    out = [t.work for t in program.tasks if isinstance(t.work, DmaWork) and t.work.dst == "ddr"]
    assert sum(work.bytes for work in out) == 256 * 1536 * 2
    assert not _kernels(program)


def test_a_sum_with_a_channel_vector_is_a_kernel(tmp_path: Path) -> None:
    """add_i on three platforms."""
    program = _lowered(tmp_path, op.add, ((1, 80, 64, 128), (1, 80, 1, 1)), "lunarlake")
    assert _kernels(program) == {"add"}


@pytest.mark.parametrize(
    ("hardware", "divisor", "products"),
    [
        ("meteorlake", (1, 24, 256, 1), False),
        ("meteorlake", (1, 24, 1, 1), True),
        ("lunarlake", (1, 24, 256, 1), True),
    ],
)
def test_a_reciprocal_pays_by_the_ratio_of_sizes(
    tmp_path: Path, hardware: str, divisor: tuple[int, ...], products: bool
) -> None:
    """div_b and div_i: from 1,024 times the divisor on 3720, always on 4000."""
    program = _lowered(tmp_path, op.divide, ((1, 24, 256, 64), divisor), hardware)
    divided = {
        t.work.out_elements
        for t in program.tasks
        if isinstance(t.work, ShaveWork) and t.work.kernel == "divide"
    }
    assert (max(divided) < 24 * 256) is products


def test_fp32_results_of_sums_need_no_kernel(tmp_path: Path) -> None:
    """addf32: the DPU writes them, at no cost to the estimator."""
    shape = (1, 16, 32, 32)
    program = _lowered(tmp_path, op.add, (shape, shape), "lunarlake", np.float32)
    assert not _kernels(program)
    assert {t.work.out_bits for t in program.tasks if isinstance(t.work, DpuWork)} == {32}


def test_a_mean_of_rows_folds_pixels(tmp_path: Path) -> None:
    """rmean_1x1x256x768_ax3: two convolutions, then poolings of 96, 12 and 2 pixels; no row leaves CMX between them."""
    program = _lowered(tmp_path, lambda x: op.reduce_mean(x, np.array([3])), ((1, 1, 256, 768),), "lunarlake")
    kinds = [task.work.kind for task in program.tasks if isinstance(task.work, DpuWork)]
    assert (kinds.count("conv"), kinds.count("avgpool")) == (8, 12)


@pytest.mark.parametrize("hardware", ["meteorlake", "lunarlake", "pantherlake"])
@pytest.mark.parametrize("build", [op.add, op.multiply, op.maximum], ids=lambda build: build.__name__)
@pytest.mark.parametrize(
    ("shape", "constant"), [((16, 64), (64,)), ((1, 24, 9, 7), (1, 24, 1, 1)), ((8, 48), (1,))]
)
def test_a_constant_may_come_first(
    tmp_path: Path, hardware: str, build: Build, shape: tuple[int, ...], constant: tuple[int, ...]
) -> None:
    number = op.constant(np.full(constant, 0.5, np.float16))
    after, before = (
        _lowered(tmp_path, made, (shape,), hardware)
        for made in (lambda x: build(x, number), lambda x: build(number, x))
    )
    assert Counter(task.work for task in after.tasks) == Counter(task.work for task in before.tasks)
