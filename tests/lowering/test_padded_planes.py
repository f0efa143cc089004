"""Planes that the DPU makes with others beside them, which pad the channels, are cut off before a kernel reads them."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import openvino as ov
import pytest
from openvino import opset14 as op

import npusim
from npusim.graph import from_openvino
from npusim.lowering import lower

MACHINES = ("meteorlake-vpunn", "lunarlake-vpunn", "pantherlake-vpunn")


def _conv(image: ov.Output, channels: int, kernel: int) -> ov.Node:
    taps = np.full((channels, image.shape[1], kernel, kernel), 0.1, np.float16)
    edges = [kernel // 2] * 2
    return op.convolution(image, op.constant(taps), [1, 1], edges, edges, [1, 1])


def _by_channel(image: ov.Output) -> ov.Node:
    taps = np.full((image.shape[1], 1, 1, 3, 3), 0.1, np.float16)
    return op.group_convolution(image, op.constant(taps), [1, 1], [1, 1], [1, 1], [1, 1])


#: What Intel's compiler of 2026.4.1 schedules on 2, 4 and 3 tiles of 3720, 4000 and 5010, µs.
COMPILED: dict[str, tuple[Callable[[ov.Output], ov.Node], tuple[int, ...], tuple[float, float, float]]] = {
    "Sqrt": (lambda x: op.sqrt(_conv(x, 21, 1)), (1, 32, 32, 32), (25.9, 25.1, 19.2)),
    "Exp": (lambda x: op.exp(_conv(x, 21, 1)), (1, 32, 32, 32), (24.7, 20.5, 5.83)),
    "CumSum along rows": (
        lambda x: op.cum_sum(_conv(x, 21, 1), op.constant(np.int64(3))), (1, 32, 32, 32), (10.2, 18.5, 18.2),
    ),
    "Softmax along rows": (lambda x: op.softmax(_conv(x, 21, 1), 3), (1, 32, 32, 32), (29.2, 27.9, 19.6)),
    "Gelu": (lambda x: op.gelu(_conv(x, 56, 3), "erf"), (1, 64, 28, 28), (49.6, 37.7, 12.1)),
    "by channels": (lambda x: op.sigmoid(_by_channel(x)), (1, 40, 32, 16), (16.0, 21.6, 5.6)),
}  # fmt: skip


@pytest.mark.parametrize("machine", MACHINES)
@pytest.mark.parametrize("name", COMPILED)
def test_takes_as_long_as_compiled(name: str, machine: str) -> None:
    build, shape, compiled = COMPILED[name]
    x, hw = op.parameter(list(shape), np.float16), npusim.load_hardware(machine)
    program = lower(from_openvino(ov.Model([build(x.output(0)).output(0)], [x], "m")), hw)
    found = npusim.simulate(program, hw, "fast").latency_us
    assert found == pytest.approx(compiled[MACHINES.index(machine)], rel=0.08)
