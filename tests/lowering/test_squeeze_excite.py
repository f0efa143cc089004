"""A gate over the channels of an image, as MobileNet-v3 and EfficientNet have it: mean, two convolutions, product."""

from __future__ import annotations

import numpy as np
import openvino as ov
import pytest
from openvino import opset15 as op

from npusim.graph import from_openvino
from npusim.hardware import load_hardware
from npusim.lowering import lower
from npusim.program import Program
from npusim.program.work import DmaWork, DpuWork

CHANNELS, SIDE = 96, 24


def convolution(value: ov.Node, count: int) -> ov.Node:
    weights = np.ones((count, value.get_output_shape(0)[1], 1, 1), np.float16)
    return op.convolution(value, weights, [1, 1], [0, 0], [0, 0], [1, 1])


@pytest.fixture(scope="module")
def gated() -> ov.Model:
    x = op.parameter([1, 32, SIDE, SIDE], np.float16)
    image = op.relu(convolution(op.relu(convolution(x, 32)), CHANNELS))
    mean = op.reduce_mean(image, np.array([2, 3]), True)
    gate = op.hsigmoid(convolution(op.relu(convolution(mean, CHANNELS // 4)), CHANNELS))
    return ov.Model([op.result(convolution(op.multiply(image, gate), 32))], [x], "gated")


def lowered(model: ov.Model, machine: str) -> Program:
    return lower(from_openvino(model), load_hardware(machine))


@pytest.mark.parametrize("machine", ["lunarlake-vpunn", "meteorlake-vpunn"])
def test_the_image_stays_in_cmx(gated: ov.Model, machine: str) -> None:
    # As compiled for both: of the image, its mean and what the gate is made of nothing goes through DDR.
    works = [task.work for task in lowered(gated, machine).tasks]
    out = [w for w in works if isinstance(w, DmaWork) and (w.src, w.dst) == ("cmx", "ddr")]
    result, gate = 32 * SIDE * SIDE * 2, CHANNELS * 2
    assert sum(work.bytes for work in out) <= result + 2 * gate


def test_its_mean_is_shared_unevenly(gated: ov.Model) -> None:
    # Six granules of 16 channels on four tiles, in both steps: 24 rows and columns by 8 and by 3.
    works = [task.work for task in lowered(gated, "lunarlake-vpunn").tasks]
    pools = [(w.kernel_h, w.out_channels) for w in works if isinstance(w, DpuWork) and w.kind == "avgpool"]
    assert sorted(pools) == sorted([(8, c) for c in (32, 32, 16, 16)] + [(3, c) for c in (32, 32, 16, 16)])


def test_workloads_of_a_mean_are_as_large_as_can_be() -> None:
    # 960 channels of 7 x 7 on four tiles, each in three workloads of 64 and what is left, as compiled: 6.0 us, where
    # eight of 32 and fewer would take 4.2.
    x = op.parameter([1, 32, 7, 7], np.float16)
    mean = op.reduce_mean(op.relu(convolution(op.relu(convolution(x, 32)), 960)), np.array([2, 3]), True)
    program = lowered(ov.Model([op.result(convolution(mean, 32))], [x], "mean"), "lunarlake-vpunn")
    works = [task.work for task in program.tasks]
    pools = [w for w in works if isinstance(w, DpuWork) and w.kind == "avgpool"]
    assert [(w.out_channels, w.variant_channels) for w in pools] == [(240, 64)] * 4
