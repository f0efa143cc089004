"""LayerNorms and what reads them: what Intel's compiler says they take, and how it splits their scale and shift."""

from __future__ import annotations

import numpy as np
import openvino as ov
import pytest
from openvino import opset15 as op

import npusim
from npusim.graph import from_openvino
from npusim.hardware import load_hardware
from npusim.lowering import lower
from npusim.program.work import DpuWork
from npusim.validation.schedules.predict import hardware_of

#: Tiles and copy engines of each platform.
MACHINES = {"3720": (2, 2), "4000": (4, 2), "5010": (3, 2)}
TOLERANCE = 0.05

#: Platform, rows, width, columns of the MatMul behind (0: none), µs by the compiler's schedule.
NORMS = [
    ("3720", 64, 256, 0, 14.0), ("3720", 128, 1024, 0, 81.4), ("3720", 50, 640, 0, 30.7),
    ("4000", 64, 256, 0, 19.7), ("4000", 128, 1024, 0, 44.3), ("4000", 50, 640, 0, 26.0),
    ("4000", 64, 4096, 0, 92.2), ("4000", 80, 512, 0, 35.8), ("4000", 96, 512, 0, 36.4),
    ("4000", 112, 512, 0, 26.3), ("4000", 197, 768, 0, 65.9),
    ("5010", 64, 256, 0, 17.1), ("5010", 128, 1024, 0, 44.6), ("5010", 50, 640, 0, 18.0),
    ("5010", 64, 4096, 0, 139.5), ("5010", 144, 512, 0, 24.7), ("5010", 512, 512, 0, 75.5),
    ("3720", 128, 768, 768, 101.5), ("3720", 196, 384, 384, 72.9), ("3720", 99, 320, 640, 43.6),
    ("4000", 128, 768, 768, 52.2), ("4000", 196, 384, 384, 43.3), ("4000", 99, 320, 640, 33.5),
    ("4000", 256, 512, 1024, 68.1), ("4000", 49, 512, 512, 32.4),
    ("5010", 128, 768, 768, 43.1), ("5010", 196, 384, 384, 32.4), ("5010", 64, 256, 1024, 19.8),
]  # fmt: skip

#: The same where what npusim says is further off.
OFF = [
    pytest.param("3720", 64, 4096, 0, 201.9, id="rows although the compiler takes channels"),
    pytest.param("3720", 64, 256, 1024, 22.5, id="a MatMul that keeps to the rows before it"),
    pytest.param("5010", 256, 512, 1024, 67.2, id="channels because the MatMul behind is split over them"),
]


def norm(rows: int, width: int, columns: int) -> ov.Model:
    rng = np.random.default_rng(0)

    def numbers(*shape: int) -> np.ndarray:
        return rng.normal(size=shape).astype(np.float16)

    x = op.parameter([1, rows, width], np.float16)
    y = op.mvn(x, np.array([-1]), True, 1e-5, "INSIDE_SQRT")
    y = op.add(op.multiply(y, numbers(1, 1, width)), numbers(1, 1, width))
    if columns:
        y = op.matmul(y, numbers(columns, width), False, True)
    return ov.Model([y], [x], "norm")


def off(platform: str, rows: int, width: int, columns: int, us: float) -> float:
    hw = hardware_of(platform, *MACHINES[platform])
    graph = from_openvino(norm(rows, width, columns))
    return abs(npusim.simulate(lower(graph, hw), hw).latency_us / us - 1)


@pytest.mark.parametrize(("platform", "rows", "width", "columns", "us"), NORMS)
def test_a_norm_takes_what_the_compiler_says(
    platform: str, rows: int, width: int, columns: int, us: float
) -> None:
    assert off(platform, rows, width, columns, us) < TOLERANCE


@pytest.mark.xfail(strict=True)
@pytest.mark.parametrize(("platform", "rows", "width", "columns", "us"), OFF)
def test_a_norm_that_is_split_otherwise(
    platform: str, rows: int, width: int, columns: int, us: float
) -> None:
    assert off(platform, rows, width, columns, us) < TOLERANCE


@pytest.mark.parametrize(("rows", "height", "columns"), [(64, 16, 4), (99, 11, 9), (50, 10, 5)])
def test_few_rows_are_seen_as_those_of_a_matmul(rows: int, height: int, columns: int) -> None:
    works = [
        task.work for task in lower(from_openvino(norm(rows, 512, 0)), load_hardware("lunarlake-vpunn")).tasks
    ]
    scaled = {(w.height, w.width, w.out_channels) for w in works if isinstance(w, DpuWork)}
    assert scaled == {(height, columns, 128)}


@pytest.mark.parametrize("platform", ["lunarlake-vpunn", "pantherlake-vpunn", "meteorlake-vpunn"])
def test_a_square_of_what_one_matmul_makes_is_a_kernel(platform: str) -> None:
    x = op.parameter([1, 64, 256], np.float16)
    made = op.relu(op.matmul(x, np.ones((512, 256), np.float16), False, True))
    program = lower(
        from_openvino(ov.Model([op.multiply(made, made)], [x], "square")), load_hardware(platform)
    )
    kinds = {w.kind for task in program.tasks if isinstance(w := task.work, DpuWork)}
    assert kinds == {"conv"}
