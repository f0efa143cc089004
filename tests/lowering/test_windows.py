"""Convolutions in parts: windows of the DPU, and nothing lost."""

from __future__ import annotations

from math import prod

import numpy as np
import openvino as ov
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from openvino import opset15 as op

from npusim import api
from npusim.graph import Graph, from_openvino
from npusim.graph.ir import Op
from npusim.hardware import load_hardware
from npusim.lowering import lower
from npusim.lowering.rewrite.windows import MAX_KERNEL, MAX_STRIDE, split_windows
from npusim.program.work import DpuWork


def convolution(
    shape: tuple[int, ...],
    kernel: tuple[int, ...],
    out: int,
    stride: int = 1,
    dilation: int = 1,
    pad: int = -1,
) -> Graph:
    """One convolution of an input, padded by ``pad`` (-1: so that it keeps its size at stride 1)."""
    x = op.parameter(list(shape), np.float16, name="x")
    weights = op.constant(np.ones((out, shape[1], *kernel), np.float16))
    pads = [dilation * (k // 2) if pad < 0 else pad for k in kernel]
    node = op.convolution(x, weights, [stride] * len(kernel), pads, pads, [dilation] * len(kernel))
    return from_openvino(ov.Model([op.result(node)], [x], "m"))


def line(samples: int, kernel: int, out: int, stride: int, axis: int) -> Graph:
    """A long window over a signal that lies along one axis of an image."""

    def along(extent: int) -> list[int]:
        return [extent if i == axis else 1 for i in range(2)]

    x = op.parameter([1, 1, *along(samples)], np.float16, name="x")
    weights = op.constant(np.ones((out, 1, *along(kernel)), np.float16))
    node = op.convolution(x, weights, along(stride), [0, 0], [0, 0], [1, 1])
    biased = op.add(node, op.constant(np.ones((1, out, 1, 1), np.float16)))
    return from_openvino(ov.Model([op.result(biased)], [x], "m"))


def macs(graph: Graph, op: Op) -> int:
    out, weights = (graph.tensors[i] for i in (op.outputs[0], op.inputs[1]))
    return out.elements * prod(weights.shape[1:])


def convolutions(graph: Graph) -> list[Op]:
    return [o for o in graph.ops if o.type == "Convolution"]


KERNELS, STRIDES = st.integers(1, 40), st.sampled_from([1, 2, 3, 5, 8, 9, 12, 16, 32])


@settings(max_examples=60)
@given(KERNELS, KERNELS, STRIDES, st.sampled_from([1, 1, 2, 3, 6, 12]), st.sampled_from([0, -1]))
def test_parts_are_windows_of_the_dpu_and_lose_nothing(
    h: int, w: int, stride: int, dilation: int, pad: int
) -> None:
    spans = [(k - 1) * dilation + 1 for k in (h, w)]
    whole = convolution((1, 4, 40 + spans[0], 40 + spans[1]), (h, w), 16, stride, dilation, pad)
    parts = split_windows(whole)
    for o in convolutions(parts):
        data, weights, out = (parts.tensors[i].shape for i in (*o.inputs, o.outputs[0]))
        for axis in range(2):
            span = (weights[2 + axis] - 1) * o.attrs["dilations"][axis] + 1
            padded = data[2 + axis] + o.attrs["pads_begin"][axis] + o.attrs["pads_end"][axis]
            assert span <= MAX_KERNEL
            assert o.attrs["strides"][axis] <= MAX_STRIDE
            assert out[2 + axis] == (padded - span) // o.attrs["strides"][axis] + 1
    (original,) = convolutions(whole)
    assert sum(macs(parts, o) for o in convolutions(parts)) >= macs(whole, original)
    assert [parts.tensors[i].shape for i in parts.outputs] == [whole.tensors[i].shape for i in whole.outputs]
    assert {i for o in parts.ops for i in o.outputs} >= set(parts.outputs)


def test_a_stride_without_a_short_divisor_is_computed_place_by_place() -> None:
    parts = split_windows(convolution((1, 3, 68, 68), (17, 17), 16, stride=17, pad=0))
    ones = convolutions(parts)
    assert len(ones) == 4 * 16
    assert all(parts.tensors[o.outputs[0]].shape == (1, 16, 1, 1) for o in ones)


def test_a_long_window_over_one_signal_is_folded() -> None:
    """400 samples every 160 become three rows of 160 channels."""
    parts = split_windows(convolution((1, 1, 16000), (400,), 512, stride=160, pad=0))
    (only,) = convolutions(parts)
    assert [parts.tensors[i].shape for i in only.inputs] == [(1, 160, 100), (512, 160, 3)]
    assert parts.tensors[only.outputs[0]].shape == (1, 512, 98)


def test_a_signal_is_folded_into_windows_of_the_dpu_alone() -> None:
    """22 samples every 2 become 11 of 2 channels, the longest window; 24 would become 12."""
    folded, whole = (
        convolutions(split_windows(convolution((1, 1, 400), (kernel,), 16, stride=2, pad=0)))
        for kernel in (22, 24)
    )
    assert len(folded) == 1
    assert len(whole) > 1


@pytest.mark.parametrize("axis", [0, 1])
def test_an_image_of_one_line_is_folded_as_a_signal_is(axis: int) -> None:
    """64 samples every 17 become four of 17 channels, whatever axis they lie along; the bias stays behind it."""
    parts = split_windows(line(2048, 64, 32, 17, axis))
    (only,) = convolutions(parts)
    assert [parts.tensors[i].shape for i in only.inputs] == [(1, 17, 120), (32, 17, 4)]
    assert parts.ops[parts.ops.index(only) + 1].type == "Add"
    assert parts.tensors[parts.outputs[0]].elements == 32 * 117


def pooled(size: int, window: int, stride: int, pad: int = 0) -> Graph:
    """The largest of windows over 64 channels."""
    x = op.parameter([1, 64, size, size], np.float16, name="x")
    node = op.max_pool(x, [stride] * 2, [1] * 2, [pad] * 2, [pad] * 2, [window] * 2)
    return from_openvino(ov.Model([op.result(node.output(0))], [x], "m"))


def test_the_part_of_a_large_pool_that_a_slice_reads_is_its_own() -> None:
    """1,048,576 numbers that don't fit one tile: in halves, not all of them for each of many slices."""
    x = op.parameter([1, 64, 16, 32, 32], np.float16, name="x")
    node = op.max_pool(x, [2] * 3, [1] * 3, [0] * 3, [0] * 3, [2] * 3)
    hw = api.load_hardware("lunarlake-vpunn.yaml")
    program = api.lower(from_openvino(ov.Model([op.result(node.output(0))], [x], "m")), hw)
    assert len(program.tasks) < 20


#: What Intel's compiler of 2026.4.1 schedules for platform 4000, µs, with random weights.
COMPILED = {
    "dilated by 2": (convolution, ((1, 128, 56, 56), (3, 3), 128, 1, 2), 184.0),
    "dilated by 4": (convolution, ((1, 128, 28, 28), (3, 3), 96, 1, 4), 90.4),
    "dilated by 12": (convolution, ((1, 64, 33, 33), (3, 3), 64, 1, 12), 107.0),
    "13 x 13": (convolution, ((1, 16, 40, 40), (13, 13), 64), 98.2),
    "32 x 32 patches": (convolution, ((1, 3, 448, 448), (32, 32), 192, 32, 1, 0), 2572.7),
    "1-D, dilated by 2": (convolution, ((1, 64, 4096), (3,), 64, 1, 2), 79.0),
    "1-D, dilated by 6": (convolution, ((1, 64, 4096), (3,), 64, 1, 6), 69.7),
    "1-D, dilated by 9": (convolution, ((1, 64, 4096), (3,), 64, 1, 9), 69.7),
    "1-D, 15 taps": (convolution, ((1, 64, 4096), (15,), 64), 188.7),
    "the largest of 15 x 15": (pooled, (32, 15, 1, 7), 6.5),
    "the largest of 14 x 14 every 2": (pooled, (56, 14, 2), 10.4),
    "the largest of all": (pooled, (24, 24, 1), 14.5),
    "40 of one row every 11": (line, (3001, 40, 48, 11, 1), 10.5),
}


@pytest.mark.parametrize("case", COMPILED)
def test_what_the_compiler_schedules(case: str) -> None:
    make, arguments, expected = COMPILED[case]
    hw = api.load_hardware("lunarlake-vpunn.yaml")
    found = api.simulate(api.lower(make(*arguments), hw), hw, "fast").latency_us
    assert found == pytest.approx(expected, rel=0.12)


def test_parts_of_a_convolution_read_what_another_made_as_it_lies() -> None:
    """Between two long dilated convolutions along a signal nothing changes the layout: padding and parts are channels
    last, as what makes them and what reads them."""

    def turned(count: int) -> int:
        x = y = op.parameter([1, 128, 800], np.float16, name="x")
        for _ in range(count):
            y = op.convolution(y, np.ones((128, 128, 7), np.float16), [1], [6], [6], [2])
        graph = from_openvino(ov.Model([op.result(y)], [x], "m"))
        program = lower(graph, load_hardware("lunarlake-vpunn"))
        return sum(isinstance(t.work, DpuWork) and t.work.kind == "permute" for t in program.tasks)

    assert 0 < turned(1) == turned(2)


@pytest.mark.parametrize(
    ("channels", "samples", "kernel", "dilation", "us"), [(192, 800, 3, 8, 182.0), (96, 2048, 5, 4, 294.0)]
)
def test_the_bias_of_a_kernel_with_gaps_is_the_shift_of_its_sum(
    channels: int, samples: int, kernel: int, dilation: int, us: float
) -> None:
    """Two convolutions with bias and ReLU, as compiled for 3720: the shift is done where the sum of the parts lies, the
    ReLU with it, and at the end it writes planes."""
    x = y = op.parameter([1, channels, samples], np.float16, name="x")
    pad = (kernel - 1) * dilation // 2
    for _ in range(2):
        weights = np.ones((channels, channels, kernel), np.float16)
        y = op.convolution(y, weights, [1], [pad], [pad], [dilation])
        y = op.relu(op.add(y, np.ones((1, channels, 1), np.float16)))
    hw = api.load_hardware("meteorlake-vpunn.yaml")
    program = api.lower(from_openvino(ov.Model([op.result(y)], [x], "m")), hw)
    assert api.simulate(program, hw, "fast").latency_us == pytest.approx(us, rel=0.04)
    assert {t.work.kind for t in program.tasks if isinstance(t.work, DpuWork)} == {
        "permute",
        "conv",
        "eltwise",
        "dwconv",
    }
