"""Interpolate as Intel's compiler lowers it: read through addresses, copied, averaged, or by a SHAVE kernel."""

from __future__ import annotations

import numpy as np
import openvino as ov
import pytest
from openvino import opset13 as op

from npusim import api
from npusim.graph import from_openvino
from npusim.program.work import DpuWork, ShaveWork

MACHINES = {"3720": "meteorlake-vpunn.yaml", "4000": "lunarlake-vpunn.yaml", "5010": "pantherlake-vpunn.yaml"}

#: Platform, mode, where pixels lie, channels, rows and columns, factor, and the compiler's estimate, µs.
COMPILED = [
    ("3720", "nearest", "half_pixel", 96, 40, 40, 2, 35.991),
    ("3720", "nearest", "half_pixel", 16, 64, 40, 2, 11.003),
    ("3720", "linear_onnx", "half_pixel", 64, 20, 20, 2, 194.8),
    ("3720", "linear_onnx", "half_pixel", 24, 15, 15, 3, 41.7),
    ("3720", "linear_onnx", "half_pixel", 32, 28, 28, 4, 20.8),
    ("4000", "nearest", "half_pixel", 96, 40, 40, 2, 60.166),
    ("4000", "nearest", "half_pixel", 16, 64, 40, 2, 24.5),
    ("4000", "linear_onnx", "half_pixel", 32, 28, 28, 4, 55.5),
    ("4000", "linear_onnx", "half_pixel", 64, 20, 20, 2, 29.8),
    ("5010", "nearest", "half_pixel", 32, 28, 28, 4, 25.4),
    ("5010", "linear_onnx", "half_pixel", 64, 20, 20, 2, 11.9),
    ("5010", "linear_onnx", "align_corners", 96, 40, 40, 2, 85.0),
    ("3720", "linear_onnx", "pytorch_half_pixel", 128, 40, 40, 2, 1280.3),
    ("4000", "linear_onnx", "pytorch_half_pixel", 128, 40, 40, 2, 105.3),
    ("3720", "nearest", "asymmetric", 64, 20, 20, 4, 22.8),
    ("3720", "linear_onnx", "align_corners", 16, 13, 13, 2, 5.3),
    ("4000", "linear_onnx", "align_corners", 16, 13, 13, 2, 11.9),
    ("5010", "linear_onnx", "align_corners", 16, 13, 13, 2, 8.2),
    ("3720", "linear_onnx", "align_corners", 64, 32, 32, 2, 17.4),
    ("4000", "linear_onnx", "align_corners", 64, 32, 32, 2, 21.9),
    ("5010", "linear_onnx", "align_corners", 64, 32, 32, 2, 39.6),
]


def resized(mode: str, centres: str, shape: tuple[int, ...], factor: float, rounding: str = "") -> ov.Model:
    x = op.parameter(shape, np.float16)
    rounding = rounding or ("floor" if centres == "asymmetric" else "round_prefer_floor")
    node = op.interpolate(
        x, np.full(2, factor, np.float32), mode, "scales", axes=np.array([2, 3]),
        coordinate_transformation_mode=centres, nearest_mode=rounding,
    )  # fmt: skip
    return ov.Model([op.result(node)], [x], "resized")


@pytest.mark.parametrize("row", COMPILED, ids=lambda row: "-".join(map(str, row[:-1])))
def test_latency_is_the_compilers(row: tuple[str, str, str, int, int, int, int, float]) -> None:
    platform, mode, centres, channels, height, width, factor, truth_us = row
    hw = api.load_hardware(MACHINES[platform])
    model = resized(mode, centres, (1, channels, height, width), factor)
    found = api.simulate(api.lower(from_openvino(model), hw), hw, "fast").latency_us
    assert found == pytest.approx(truth_us, rel=0.17)


@pytest.mark.parametrize("platform", MACHINES)
def test_what_lies_at_the_corners_is_a_kernel_of_shave(platform: str) -> None:
    hw = api.load_hardware(MACHINES[platform])
    model = resized("linear_onnx", "align_corners", (1, 32, 20, 20), 2)
    works = [task.work for task in api.lower(from_openvino(model), hw).tasks]
    assert any(isinstance(work, ShaveWork) and work.kernel == "interpolate" for work in works)
    assert not any(isinstance(work, DpuWork) for work in works)


@pytest.mark.parametrize("factor", [2, 3, 0.5, 1.5])
@pytest.mark.parametrize("mode", ["nearest", "linear_onnx"])
@pytest.mark.parametrize("platform", MACHINES)
def test_batches_and_odd_factors_lose_nothing(platform: str, mode: str, factor: float) -> None:
    """The laws of work are checked in every lowering."""
    model = resized(mode, "half_pixel", (3, 20, 16, 24), factor)
    assert len(api.lower(from_openvino(model), api.load_hardware(MACHINES[platform])).tasks)


#: Platform, where pixels lie, how they are rounded, channels, factor, and what the compiler lets do it.
NEAREST = [
    *(
        ("3720", "asymmetric", "floor", channels, factor, "copies")
        for channels in (4, 64)
        for factor in (2, 3, 4)
    ),
    *(("3720", "half_pixel", "round_prefer_floor", channels, 2, "copies") for channels in (4, 8, 64)),
    *(("3720", "half_pixel", "round_prefer_floor", channels, 3, "SHAVE") for channels in (4, 8, 64)),
    *(("3720", "half_pixel", "floor", 64, factor, "SHAVE") for factor in (2, 3, 4)),
    *(("4000", "half_pixel", "floor", 8, factor, "DPU") for factor in (2, 3, 4)),
    *(("4000", "asymmetric", "floor", 4, factor, "copies") for factor in (2, 3, 4)),
    ("4000", "half_pixel", "round_prefer_floor", 4, 2, "copies"),
    *(("4000", "half_pixel", "floor", 4, factor, "SHAVE") for factor in (2, 3, 4)),
]


@pytest.mark.parametrize("row", NEAREST, ids=lambda row: "-".join(map(str, row)))
def test_nearest_neighbours_are_made_as_the_compiler_does(row: tuple[str, str, str, int, int, str]) -> None:
    platform, centres, rounding, channels, factor, wanted = row
    model = resized("nearest", centres, (1, channels, 24, 24), factor, rounding)
    works = [
        task.work for task in api.lower(from_openvino(model), api.load_hardware(MACHINES[platform])).tasks
    ]
    kernels = any(isinstance(work, ShaveWork) for work in works)
    windows = any(isinstance(work, DpuWork) and work.kind == "avgpool" for work in works)
    assert ("SHAVE" if kernels else "DPU" if windows else "copies") == wanted
