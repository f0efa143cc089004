"""Images at the start of a network, and 8-bit results of SHAVE kernels."""

from __future__ import annotations

import numpy as np
import openvino as ov
import pytest
from openvino import opset15 as op

from npusim.graph import from_openvino
from npusim.hardware import load_hardware
from npusim.lowering import lower
from npusim.program import Program
from npusim.program.work import DmaWork, DpuWork, ShaveWork

SIDE = 640


def quantised(x: ov.Output | ov.Node) -> ov.Node:
    low, high = op.constant(np.float16(-1.0)), op.constant(np.float16(1.0))
    return op.fake_quantize(x, low, high, low, high, 256)


def stem(x: ov.Output | ov.Node, bits: int) -> ov.Node:
    """3x3 stride 2 over 3 channels, as in MobileNet and YOLO, and a convolution behind it."""
    if bits == 8:
        x = quantised(x)
    weights = op.constant(np.ones((16, 3, 3, 3), np.float16))
    first = op.convolution(x, quantised(weights) if bits == 8 else weights, [2, 2], [1, 1], [1, 1], [1, 1])
    second = np.ones((16, 16, 3, 3), np.float16)
    return op.convolution(first, second, [1, 1], [1, 1], [1, 1], [1, 1])


def made(result: ov.Node, start: ov.Node, platform: str = "lunarlake") -> Program:
    return lower(from_openvino(ov.Model([op.result(result)], [start], "image")), load_hardware(platform))


@pytest.mark.parametrize("bits", [16, 8])
def test_an_image_of_three_channels_is_not_widened_in_ddr(bits: int) -> None:
    """Brought to channels last it is as large as it was (mobilenet-v2: [224, 3, 56] of each tile), or 4 of 8 bits for 3
    of 16 (resnet50_int8): no 16 channels are written."""
    x = op.parameter([1, 3, SIDE, SIDE], np.float16)
    program = made(stem(x, bits), x)
    turned = [t.work for t in program.tasks if isinstance(t.work, DpuWork) and t.work.kind == "permute"]
    assert turned
    assert {(work.in_bits, work.out_bits) for work in turned} == {(16, bits)}
    image = SIDE * SIDE * 3 * 2
    first = program.ops[0].name
    written = sum(
        getattr(t.work, "ddr_write_bytes", 0) for t in program.tasks if program.ops[t.op].name == first
    )
    assert written <= image


def test_a_kernel_writes_floats_and_the_dpu_quantises_them() -> None:
    x = op.parameter([1, 32, 80, 80], np.float16)
    conv = op.convolution(quantised(x), np.ones((32, 32, 3, 3), np.float16), [1, 1], [1, 1], [1, 1], [1, 1])
    swish = quantised(op.swish(conv, op.constant(np.float16(1.0))))
    weights = quantised(op.constant(np.ones((32, 32, 1, 1), np.float16)))
    program = made(op.convolution(swish, weights, [1, 1], [0, 0], [0, 0], [1, 1]), x)
    works = [task.work for task in program.tasks]
    passes = [w for w in works if isinstance(w, DpuWork) and w.kind == "eltwise"]
    assert any(isinstance(w, ShaveWork) and w.kernel == "swish" for w in works)
    assert {(w.in_bits, w.out_bits) for w in passes} >= {(16, 8)}


@pytest.mark.parametrize("axis", [1, 2])
def test_a_softmax_over_short_planes_uses_all_tiles(axis: int) -> None:
    """The box bins of YOLOv8: 16 of them, for 4 sides of 8,400 boxes; no axis but the last is as long as the tiles are
    many."""
    shape = [1, 16, 4, 8400] if axis == 1 else [1, 4, 16, 8400]
    x = op.parameter(shape, np.float16)
    program = made(op.softmax(x, axis), x)
    kernels = [t.work for t in program.tasks if isinstance(t.work, ShaveWork) and t.work.kernel == "softmax"]
    assert sum(work.out_elements for work in kernels) == 16 * 4 * 8400


def test_a_pointwise_convolution_over_few_rows_is_shared_by_all_tiles() -> None:
    x = op.parameter([1, 16, 4, 8400], np.float16)
    program = made(op.convolution(x, np.ones((1, 16, 1, 1), np.float16), [1, 1], [0, 0], [0, 0], [1, 1]), x)
    works = [t.work for t in program.tasks if isinstance(t.work, DpuWork) and t.work.kind == "conv"]
    assert 4 * 8400 <= sum(work.height * work.width for work in works) < 1.1 * 4 * 8400
    assert max(work.width for work in works) <= 8192


@pytest.mark.parametrize("platform", ["meteorlake", "lunarlake"])
def test_a_concat_of_channels_lies_in_cmx(platform: str) -> None:
    """A fire module of squeezenet: what its two branches make is read where it lies, and nothing of it is moved."""

    def convolve(x: ov.Node, channels: int, kernel: int) -> ov.Node:
        weights, pads = np.ones((channels, x.shape[1], kernel, kernel), np.float16), [kernel // 2] * 2
        return op.relu(op.convolution(x, weights, [1, 1], pads, pads, [1, 1]))

    image = op.parameter([1, 64, 27, 27], np.float16)
    squeezed = convolve(image, 32, 1)
    both = op.concat([convolve(squeezed, 128, 1), convolve(squeezed, 128, 3)], 1)
    end = op.convolution(both, np.ones((32, 256, 1, 1), np.float16), [1, 1], [0, 0], [0, 0], [1, 1])
    names = both.get_friendly_name(), end.get_friendly_name()
    program = made(end, image, platform)
    moved = [(program.ops[t.op].name, t.work) for t in program.tasks if isinstance(t.work, DmaWork)]
    assert names[0] not in {name for name, _ in moved}
    read = sum(work.ddr_read_bytes for name, work in moved if name == names[1])
    assert 0 < read < 27 * 27 * 256 * 2 / 4, "weights alone"


def test_a_batch_norm_alone_is_one_pass() -> None:
    """A scale and a shift of channels behind a Concat, as in densenet121: one DPU op, and a second shift another."""
    image = op.parameter([1, 64, 28, 28], np.float16)
    factor, shift = (np.full((1, 64, 1, 1), value, np.float16) for value in (2, 1))
    norm = op.add(op.multiply(op.relu(image), factor), shift)

    def passes(end: ov.Node) -> int:
        return sum(isinstance(task.work, DpuWork) for task in made(end, image).tasks)

    assert passes(norm) == passes(op.multiply(op.relu(image), factor)) < passes(op.add(norm, shift))


def test_a_sum_in_place_stays_where_its_operand_was() -> None:
    """Two blocks of resnet50's first stage on Meteor Lake: a tile has 784 KiB of each sum, and both operands and the
    result do not fit beside each other. The result is where its first operand was, and is not moved."""

    def convolve(x: ov.Node, channels: int) -> ov.Node:
        weights = np.ones((channels, x.shape[1], 1, 1), np.float16)
        return op.convolution(x, weights, [1, 1], [0, 0], [0, 0], [1, 1])

    image = op.parameter([1, 64, 56, 56], np.float16)
    first = op.relu(op.add(convolve(op.relu(convolve(image, 64)), 256), convolve(image, 256)))
    second = op.add(convolve(op.relu(convolve(first, 64)), 256), first)
    end = convolve(op.relu(second), 64)
    program = made(end, image, "meteorlake")
    sums = {first.input_value(0).get_node().get_friendly_name(), second.get_friendly_name()}
    moves = [t for t in program.tasks if isinstance(t.work, DmaWork) and program.ops[t.op].name in sums]
    assert not moves


@pytest.mark.parametrize(("columns", "copied"), [(64, False), (40, True)])
def test_one_channel_is_widened_by_a_convolution_where_rows_are_whole_granules(
    columns: int, copied: bool
) -> None:
    """Else 15 channels of zeros are copied beside it in DDR."""
    x = op.parameter([1, 1, 98, columns], np.float16)
    weights = op.constant(np.ones((32, 1, 3, 3), np.float16))
    program = made(op.convolution(x, weights, [1, 1], [1, 1], [1, 1], [1, 1]), x)
    works = [t.work for t in program.tasks]
    beside = sum(w.bytes for w in works if isinstance(w, DmaWork) and w.src == w.dst == "ddr")
    assert beside == (2 * 16 * 98 * columns if copied else 0)
    windows = {w.kernel_h for w in works if isinstance(w, DpuWork)}
    assert windows == ({3} if copied else {1, 3})
