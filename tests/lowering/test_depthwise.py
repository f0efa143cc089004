"""Depth-wise convolutions and pools alone: how they are split, cut, and find their activation."""

from __future__ import annotations

from collections import Counter

import numpy as np
import openvino as ov
import pytest
from openvino import opset15 as op

from npusim.graph import from_openvino
from npusim.hardware import load_hardware
from npusim.lowering import lower
from npusim.lowering.plans.dpu.images import workload_channels, workload_slices
from npusim.program import Program
from npusim.program.work import DmaWork, DpuWork, ShaveWork


def made(result: ov.Node, start: ov.Node, platform: str) -> Program:
    return lower(from_openvino(ov.Model([op.result(result)], [start], "depthwise")), load_hardware(platform))


def depthwise(shape: tuple[int, ...], kernel: tuple[int, ...], platform: str) -> Program:
    x = op.parameter(list(shape), np.float16)
    weights = np.ones((shape[1], 1, 1, *kernel), np.float16)
    ends = ([k // 2 for k in kernel], [k // 2 for k in kernel]) if len(kernel) > 1 else ([kernel[0] - 1], [0])
    ones = [1] * len(kernel)
    return made(op.group_convolution(x, weights, ones, *ends, ones), x, platform)


def tasks(program: Program) -> Counter[tuple[int, int, int]]:
    """Height, width and channels of the depth-wise tasks."""
    works = [task.work for task in program.tasks]
    return Counter(
        (w.height, w.width, w.out_channels) for w in works if isinstance(w, DpuWork) and w.kind == "dwconv"
    )


@pytest.mark.parametrize(
    ("channels", "unit"), [(24, 32), (48, 32), (80, 64), (112, 32), (608, 64), (1456, 32), (1712, 32)]
)
def test_the_last_workload_may_be_smaller(channels: int, unit: int) -> None:
    assert workload_channels(channels) == unit


@pytest.mark.parametrize(("channels", "slices"), [(1792, 1), (2304, 3), (3072, 4), (4352, 8), (5376, 6)])
def test_channels_are_cut_for_what_a_barrier_counts(channels: int, slices: int) -> None:
    assert workload_slices(channels, load_hardware("lunarlake-vpunn")) == slices
    assert workload_slices(channels, load_hardware("meteorlake-vpunn")) == 1


@pytest.mark.parametrize(
    ("channels", "steps", "expected"),
    [
        pytest.param(1792, 64, {(64, 1, 448): 4}, id="dwconv1d_c1792_t64: channels"),
        pytest.param(3072, 256, {(64, 1, 768): 16}, id="dwconv1d_c3072_t256: rows in 4 slices of channels"),
    ],
)
def test_one_dimension(channels: int, steps: int, expected: dict[tuple[int, ...], int]) -> None:
    assert tasks(depthwise((1, channels, steps), (4,), "lunarlake-vpunn")) == expected


def test_a_single_pixel_is_a_product_of_channels() -> None:
    """dwconv1d_c3072_t1_k4: eight SHAVE tasks of 384 channels."""
    works = [task.work for task in depthwise((1, 3072, 1), (4,), "lunarlake-vpunn").tasks]
    assert [w.out_elements for w in works if isinstance(w, ShaveWork)] == [384] * 8
    assert not any(isinstance(w, DpuWork) for w in works)


@pytest.mark.parametrize(
    ("shape", "expected", "stays"),
    [
        pytest.param((1, 32, 112, 112), {(56, 112, 32): 2}, True, id="rows of 7 x 16 pixels stay in CMX"),
        pytest.param((1, 192, 28, 28), {(28, 28, 96): 2}, False, id="folded pixels: the shorter split"),
    ],
)
def test_images(shape: tuple[int, ...], expected: dict[tuple[int, ...], int], stays: bool) -> None:
    """dwconv2d_c32_h112_k3s1 and dwconv2d_c192_h28_k3s1 on 3720: what goes to DDR but the result."""
    program = depthwise(shape, (3, 3), "meteorlake-vpunn")
    assert tasks(program) == expected
    written = sum(t.work.ddr_write_bytes for t in program.tasks if isinstance(t.work, DmaWork))
    assert written == 2 * np.prod(shape) * (1 if stays else 2)


def test_a_pool_is_split_over_channels_where_that_is_shorter() -> None:
    """maxpool_c640_h7_k3s1: 160 channels a tile."""
    x = op.parameter([1, 640, 7, 7], np.float16)
    pool = op.max_pool(x, [1, 1], [1, 1], [1, 1], [1, 1], [3, 3]).output(0)
    works = [task.work for task in made(pool, x, "lunarlake-vpunn").tasks]
    assert [w.out_channels for w in works if isinstance(w, DpuWork) and w.kind == "maxpool"] == [160] * 4


@pytest.mark.parametrize(("channels", "side"), [(128, 56), (192, 56), (256, 28)])
def test_what_a_depthwise_convolution_takes_as_it_is_made_stays_in_cmx(channels: int, side: int) -> None:
    """Whether a tile can hold all of the image or only its rows, the convolution in front leaves it so."""
    x = op.parameter([1, 32, side, side], np.float16)
    made = op.convolution(
        x, op.constant(np.ones((channels, 32, 1, 1), np.float16)), [1, 1], [0, 0], [0, 0], [1, 1]
    )
    taps = op.constant(np.ones((channels, 1, 1, 3, 3), np.float16))
    result = op.group_convolution(made, taps, [1, 1], [1, 1], [1, 1], [1, 1])
    program = lower(from_openvino(ov.Model([op.result(result)], [x], "m")), load_hardware("lunarlake.yaml"))
    written = sum(t.work.bytes for t in program.tasks if isinstance(t.work, DmaWork) and t.work.dst == "ddr")
    assert written <= 2 * side * side * (channels + 32)  # the result, and the image turned at most


@pytest.mark.parametrize(
    ("machine", "channels", "shape", "kernel", "stride", "expected"),
    [
        pytest.param("lunarlake-vpunn", 128, (40, 40), 3, 1, (10, 40, 128), id="4000: 32 a tile, rows"),
        pytest.param("lunarlake-vpunn", 144, (14, 14), 3, 2, (7, 7, 48), id="4000: 36 a tile, channels"),
        pytest.param("lunarlake-vpunn", 240, (10, 10), 3, 1, (10, 10, 64), id="4000: channels, unevenly"),
        pytest.param("lunarlake-vpunn", 48, (28, 28), 5, 1, (7, 28, 48), id="4000: too few channels"),
        pytest.param("pantherlake-vpunn", 160, (20, 20), 5, 1, (20, 20, 64), id="5010: channels, unevenly"),
        pytest.param("pantherlake-vpunn", 64, (20, 20), 3, 1, (7, 20, 64), id="5010: rows take less long"),
        pytest.param("meteorlake-vpunn", 240, (10, 10), 3, 1, (5, 10, 240), id="3720: rows of a neighbour"),
    ],
)
def test_the_shorter_split_between_convolutions(
    machine: str, channels: int, shape: tuple[int, int], kernel: int, stride: int, expected: tuple[int, ...]
) -> None:
    # Each as Intel's compiler splits it; the channels are padded to granules of 16 and shared unevenly.
    x = op.parameter([1, 40, *shape], np.float16)
    pads = [kernel // 2] * 2

    def convolution(value: ov.Node, count: int) -> ov.Node:
        weights = np.ones((count, value.get_output_shape(0)[1], 1, 1), np.float16)
        return op.convolution(value, weights, [1, 1], [0, 0], [0, 0], [1, 1])

    wide = op.relu(convolution(op.relu(convolution(x, 40)), channels))
    weights = np.ones((channels, 1, 1, kernel, kernel), np.float16)
    deep = op.relu(op.group_convolution(wide, weights, [stride] * 2, pads, pads, [1, 1]))
    program = made(convolution(op.relu(convolution(deep, 64)), 32), x, machine)
    assert max(tasks(program)) == expected
