"""Batches of images on the DPU: each image is computed, weights that fit are read once, none of it depends on N."""

from __future__ import annotations

import numpy as np
import openvino as ov
import pytest
from openvino import opset15 as op

from npusim.graph.load import graph_of
from npusim.hardware import load_hardware
from npusim.lowering import lower
from npusim.program import Program
from npusim.program.work import DmaWork, DpuWork


def conv(x: ov.Node, channels: int, kernel: int = 3) -> ov.Node:
    weights = np.ones((channels, x.get_output_shape(0)[1], kernel, kernel), np.float16)
    return op.convolution(x, weights, [1, 1], [kernel // 2] * 2, [kernel // 2] * 2, [1, 1])


def depthwise(x: ov.Node) -> ov.Node:
    weights = np.ones((x.get_output_shape(0)[1], 1, 1, 3, 3), np.float16)
    return op.group_convolution(x, weights, [1, 1], [1, 1], [1, 1], [1, 1])


def pool(x: ov.Node) -> ov.Node:
    return op.avg_pool(x, [2, 2], [0, 0], [0, 0], [2, 2], True)


BODIES = {
    "conv": lambda x: conv(x, 64),
    "two": lambda x: conv(op.relu(conv(x, 64)), 32),
    "conv, pool": lambda x: pool(conv(x, 64)),
    "depthwise": depthwise,
    "pool": pool,
}


def program(body: str, images: int, platform: str, channels: int = 32) -> Program:
    x = op.parameter([images, channels, 28, 28], np.float16)
    return lower(graph_of(ov.Model([BODIES[body](x)], [x], "m"), "m", "m"), load_hardware(platform))


def macs(program: Program) -> int:
    return sum(t.work.macs for t in program.tasks if isinstance(t.work, DpuWork))


def moved(program: Program, src: str, dst: str) -> int:
    works = [t.work for t in program.tasks if isinstance(t.work, DmaWork)]
    return sum(work.bytes for work in works if (work.src, work.dst) == (src, dst))


@pytest.mark.parametrize("platform", ["meteorlake-vpunn", "lunarlake-vpunn", "pantherlake-vpunn"])
@pytest.mark.parametrize("body", BODIES)
def test_every_image_is_computed_and_written(body: str, platform: str) -> None:
    one, more = (program(body, n, platform) for n in (1, 12))
    assert macs(more) == 12 * macs(one)
    assert moved(more, "cmx", "ddr") >= 12 * 28 * 28 // 4 * 32 * 2


def test_weights_are_read_once_and_tables_for_each() -> None:
    """As in the compiler's schedule of 8 images, 128 channels: 4 x 73,728 bytes once, 4 x 1,024 for each."""
    x = op.parameter([8, 128, 28, 28], np.float16)
    result = lower(graph_of(ov.Model([conv(x, 128)], [x], "m"), "m", "m"), load_hardware("lunarlake-vpunn"))
    sizes = [t.work.bytes for t in result.tasks if isinstance(t.work, DmaWork) and t.work.src == "ddr"]
    assert sizes.count(128 // 4 * 128 * 9 * 2) == 4
    assert sizes.count(128 // 4 * 16) == 4 * 8
