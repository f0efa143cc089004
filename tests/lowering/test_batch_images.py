"""Batches of images on the DPU: each image is computed, weights that fit are read once, none of it depends on N."""

from __future__ import annotations

import numpy as np
import openvino as ov
import pytest
from openvino import opset15 as op

from npusim.costs.price import price
from npusim.engine.event import simulate
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


#: Pools and depth-wise convolutions of kernel and stride, and what the compiler (2026.4.1) estimates of them, µs.
#: Images whose rows are no multiples of 16 pixels are turned before the first is computed (56, 40), others one by one
#: (112, 48); those whose pixels are no whole granules by transfers (14, 7); channels are padded in DDR (24). A batch of
#: 3720 lies in rows, where one image is cut over its channels (unless transfers turn it); what a tile turns is not what
#: it reads (54).
COMPILED = [
    ("meteorlake", "pool", (2, 64, 56, 56), 2, 2, 32.5),
    ("meteorlake", "pool", (1, 64, 56, 56), 2, 2, 46.1),
    ("meteorlake", "pool", (3, 96, 40, 40), 2, 2, 36.0),
    ("meteorlake", "pool", (2, 64, 48, 48), 2, 2, 22.1),
    ("meteorlake", "pool", (2, 32, 112, 112), 3, 2, 60.7),
    ("meteorlake", "depthwise", (2, 64, 56, 56), 3, 2, 38.5),
    ("lunarlake", "pool", (3, 64, 56, 56), 2, 2, 39.7),
    ("lunarlake", "pool", (3, 32, 112, 112), 3, 2, 57.2),
    ("lunarlake", "pool", (1, 64, 56, 56), 2, 2, 17.9),
    ("lunarlake", "pool", (1, 128, 54, 54), 2, 2, 68.1),
    ("lunarlake", "pool", (1, 64, 40, 40), 2, 2, 21.3),
    ("lunarlake", "pool", (1, 64, 48, 48), 3, 3, 14.3),
    ("lunarlake", "pool", (2, 256, 14, 14), 2, 2, 17.6),
    ("lunarlake", "pool", (3, 128, 14, 14), 3, 2, 17.1),
    ("lunarlake", "depthwise", (3, 512, 7, 7), 3, 1, 21.3),
    ("lunarlake", "pool", (2, 24, 28, 28), 2, 2, 25.6),
    ("pantherlake", "pool", (2, 256, 14, 14), 2, 2, 8.5),
    ("meteorlake", "pool", (2, 24, 28, 28), 2, 2, 18.8),
    ("pantherlake", "depthwise", (1, 96, 28, 28), 3, 1, 13.6),
    ("pantherlake", "depthwise", (2, 64, 28, 28), 3, 1, 15.1),
    ("pantherlake", "depthwise", (1, 96, 28, 28), 5, 1, 15.3),
    ("pantherlake", "depthwise", (1, 48, 56, 56), 3, 1, 18.2),
    ("meteorlake", "conv", (3, 256, 10, 10), 3, 1, 129.5),
    ("lunarlake", "conv", (3, 256, 10, 10), 3, 1, 65.0),
    ("pantherlake", "conv", (3, 256, 10, 10), 3, 1, 41.2),
    ("meteorlake", "conv", (5, 192, 14, 14), 3, 1, 210.2),
    ("pantherlake", "mean", (4, 128, 14, 14), 14, 14, 17.1),
    ("pantherlake", "mean", (1, 96, 12, 12), 12, 12, 6.2),
    ("lunarlake", "pool", (6, 64, 14, 14), 2, 2, 22.8),
]  # fmt: skip


@pytest.mark.parametrize(("platform", "kind", "shape", "kernel", "stride", "us"), COMPILED)
def test_images_take_as_long_as_the_compiler_says(
    platform: str, kind: str, shape: tuple[int, ...], kernel: int, stride: int, us: float
) -> None:
    x, pads = op.parameter(list(shape), np.float16), [(kernel - 1) // 2 * (kernel > stride)] * 2
    if kind == "pool":
        y = op.max_pool(x, [stride] * 2, [1, 1], pads, pads, [kernel] * 2, "floor").output(0)
    elif kind == "conv":
        y = conv(x, shape[1], kernel)
    elif kind == "mean":
        y = op.reduce_mean(x, np.array([2, 3]), True)
    else:
        weights = np.ones((shape[1], 1, 1, kernel, kernel), np.float16)
        y = op.group_convolution(x, weights, [stride] * 2, pads, pads, [1, 1])
    hw = load_hardware(f"{platform}-vpunn")
    made = lower(graph_of(ov.Model([y], [x], "m"), "m", "m"), hw)
    assert simulate(made, price(made, hw)).latency_us == pytest.approx(us, rel=0.09)


#: Images of a 1x1 convolution to which they are added, and what the compiler estimates, µs.
SUMS = [
    ("meteorlake-vpunn", (4, 32, 28), 51.6), ("meteorlake-vpunn", (2, 64, 56), 94.9),
    ("meteorlake-vpunn", (3, 24, 32), 34.5), ("lunarlake-vpunn", (4, 32, 28), 46.8),
    ("lunarlake-vpunn", (2, 64, 56), 71.7), ("lunarlake-vpunn", (3, 24, 32), 33.3),
]  # fmt: skip


@pytest.mark.parametrize(("platform", "shape", "us"), SUMS)
def test_what_is_added_to_a_batch_is_written_as_planes(
    platform: str, shape: tuple[int, int, int], us: float
) -> None:
    images, channels, side = shape
    x = op.parameter([images, channels, side, side], np.float16)
    total = op.add(conv(x, channels, 1), x)
    hw = load_hardware(platform)
    result = lower(graph_of(ov.Model([total], [x], "m"), "m", "m"), hw)
    assert not any("permut" in one.strategy for one in result.ops)
    assert simulate(result, price(result, hw)).latency_us == pytest.approx(us, rel=0.07)


@pytest.mark.parametrize(("shape", "us"), [((4, 96, 32, 32), 566.5), ((3, 64, 24, 24), 140.4)])
def test_sums_of_a_batch_are_of_planes(shape: tuple[int, ...], us: float) -> None:
    """As the compiler estimates it on 3720: a result that another convolution reads too is turned to planes for
    the sum, all images at once, and what reads the sum turns it back."""
    x = op.parameter(list(shape), np.float16)
    first = conv(x, shape[1])
    total = op.add(first, conv(first, shape[1]))
    hw = load_hardware("meteorlake-vpunn")
    result = lower(graph_of(ov.Model([conv(total, shape[1])], [x], "m"), "m", "m"), hw)
    assert simulate(result, price(result, hw)).latency_us == pytest.approx(us, rel=0.07)


def test_the_last_of_residual_sums_is_computed_in_rows() -> None:
    """Both operands lie whole on every tile, where two convolutions over channels have written them; as the compiler
    estimates it for six images, run one by one."""
    x = op.parameter([6, 128, 14, 14], np.float16)
    y: ov.Node = x
    for _ in range(2):
        bias = np.ones((1, 128, 1, 1), np.float16)
        y = op.add(y, op.relu(op.add(conv(y, 128), bias)))
    hw = load_hardware("pantherlake-vpunn")
    result = lower(graph_of(ov.Model([y], [x], "m"), "m", "m"), hw)
    assert simulate(result, price(result, hw)).latency_us == pytest.approx(108.7, rel=0.07)


def test_a_convolution_stays_in_rows_for_a_sum_that_loads_rows() -> None:
    """What is added to the result of a convolution lies in DDR and comes in rows; as the compiler estimates
    two of them."""
    x = op.parameter([1, 128, 28, 28], np.float16)
    y: ov.Node = x
    for _ in range(2):
        y = op.add(y, op.relu(conv(y, 128)))
    hw = load_hardware("lunarlake-vpunn")
    result = lower(graph_of(ov.Model([y], [x], "m"), "m", "m"), hw)
    assert simulate(result, price(result, hw)).latency_us == pytest.approx(68.3, rel=0.07)


@pytest.mark.parametrize("platform", ["meteorlake-vpunn", "lunarlake-vpunn", "pantherlake-vpunn"])
@pytest.mark.parametrize("side", [7, 8, 14])
def test_the_mean_of_each_image_is_pooled_image_by_image(platform: str, side: int) -> None:
    def pooled(images: int) -> int:
        x = op.parameter([images, 256, side, side], np.float16)
        mean = op.reduce_mean(x, np.array([2, 3]), False)
        made = lower(graph_of(ov.Model([mean], [x], "m"), "m", "m"), load_hardware(platform))
        return sum(isinstance(t.work, DpuWork) and t.work.kind == "avgpool" for t in made.tasks)

    assert pooled(6) == 2 * pooled(3) > 0


def test_a_shave_loads_and_stores_its_own_columns_of_each_product_of_a_batch() -> None:
    """Four products of 5 x 5 x 128, whose columns eight SHAVEs share, as the compiler schedules such sums."""
    a, b = op.parameter([4, 5, 5, 1], np.float16), op.parameter([4, 1, 5, 128], np.float16)
    made = lower(
        graph_of(ov.Model([op.multiply(a, b)], [a, b], "m"), "m", "m"), load_hardware("lunarlake-vpunn")
    )
    works = [t.work for t in made.tasks if isinstance(t.work, DmaWork)]
    assert [w.bytes for w in works if w.src == "cmx"] == [5 * 5 * 16 * 2] * 4 * 8
    assert sum(w.bytes == 5 * 16 * 2 for w in works if w.dst == "cmx") == 4 * 8
