"""Twice the images, from two on, are never faster; a larger batch of rows may be, as in the compiler's schedules."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
import openvino as ov
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from openvino import opset15 as op

from npusim import api
from npusim.graph import from_openvino

MACHINES = ("meteorlake-vpunn", "lunarlake-vpunn", "pantherlake-vpunn")
Step = Callable[[ov.Output, int], ov.Node]


def _weights(*shape: int) -> ov.Node:
    return op.constant(np.full(shape, 0.5, np.float16))


def _convolved(x: ov.Output, channels: int, taps: int) -> ov.Node:
    pads = [taps // 2] * 2
    return op.convolution(x, _weights(channels, channels, taps, taps), [1, 1], pads, pads, [1, 1])


STEPS: dict[str, Step] = {
    "3x3": lambda x, c: _convolved(x, c, 3),
    "1x1": lambda x, c: _convolved(x, c, 1),
    "sum": lambda x, c: op.add(x, op.relu(_convolved(x, c, 1))),
    "relu": lambda x, c: op.relu(x),
    "sigmoid": lambda x, c: op.sigmoid(x),
    "swish": lambda x, c: op.swish(x, np.float16(1)),
    "gate": lambda x, c: op.multiply(x, op.sigmoid(_convolved(op.reduce_mean(x, np.array([2, 3]), True), c, 1))),
    "softmax": lambda x, c: op.softmax(x, len(x.get_partial_shape()) - 1),
    "add": lambda x, c: op.add(x, op.gelu(op.matmul(x, _weights(c, c), False, True), "erf")),
    "wide": lambda x, c: op.matmul(op.matmul(x, _weights(c, 2 * c), False, False), _weights(2 * c, c), False, False),
    "scores": lambda x, c: op.matmul(op.softmax(op.matmul(x, x, False, True), 2), x, False, False),
    "scale": lambda x, c: op.multiply(x, _weights(1, 1, c)),
}  # fmt: skip


def latency_us(machine: str, steps: Sequence[str], batch: int, *rest: int) -> float:
    """Of some steps one behind the other; ``rest`` are the other dimensions."""
    x = op.parameter([batch, *rest], np.float16)
    value = x.output(0)
    for step in steps:
        value = STEPS[step](value, rest[0] if len(rest) == 3 else rest[-1]).output(0)
    hw = api.load_hardware(f"{machine}.yaml")
    return api.simulate(api.lower(from_openvino(ov.Model([value], [x], "m")), hw), hw).latency_us


@settings(max_examples=6, deadline=None)
@given(
    st.sampled_from(MACHINES),
    st.lists(st.sampled_from(("3x3", "1x1", "sum", "relu", "sigmoid", "gate")), min_size=1, max_size=4),
    st.sampled_from((16, 32, 64, 128)),
    st.sampled_from((7, 8, 14, 28)),
    st.integers(1, 2),
)
def test_twice_the_images_are_never_faster(
    machine: str, steps: list[str], channels: int, side: int, images: int
) -> None:
    few, more = (latency_us(machine, ["1x1", *steps], 2 * images * n, channels, side, side) for n in (1, 2))
    assert few <= more


#: Machine, steps, rows of columns, the batches, and the compiler's latencies, µs (OpenVINO 2026.4.1).
FASTER = (
    ("lunarlake-vpunn", ("wide", "swish"), (32, 32), (1, 2), (14.7, 12.3)),
    ("lunarlake-vpunn", ("scores", "scores"), (16, 64), (3, 4), (51.2, 27.0)),
    ("meteorlake-vpunn", ("softmax", "swish", "scale"), (1, 128), (1, 2), (13.9, 12.1)),
    ("meteorlake-vpunn", ("add",), (32, 32), (3, 4), (7.2, 5.5)),
)


@pytest.mark.parametrize(("machine", "steps", "rows", "batches", "compiled_us"), FASTER)
def test_where_a_larger_batch_is_faster_the_compiler_says_so(
    machine: str,
    steps: Sequence[str],
    rows: tuple[int, int],
    batches: tuple[int, int],
    compiled_us: tuple[float, float],
) -> None:
    few, more = (latency_us(machine, steps, batch, *rows) for batch in batches)
    assert more < few and compiled_us[1] < compiled_us[0]
    assert more / few == pytest.approx(compiled_us[1] / compiled_us[0], abs=0.05)
