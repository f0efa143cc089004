"""A Convert between floating types inside a model is nothing: the compiler computes both sides of it in FP16, and finds
patterns across it (a norm in FP32 whose gain is behind the Convert is one kernel: evidence/lowering.md#1.2.32)."""

from __future__ import annotations

import numpy as np
import openvino as ov
import pytest
from openvino import opset15 as op

import npusim
from npusim.graph import from_openvino
from npusim.lowering import lower

WIDTH = 512


def norm(kind: str, *, wide: bool) -> ov.Model:
    """A norm of a sum, scaled by a gain; where it is ``wide``, in FP32 with Converts before and behind."""
    x = op.parameter([1, 4, WIDTH], np.float16)
    first = op.add(x, x)
    inner = op.convert(first, "f32") if wide else first
    numbers = np.float32 if wide else np.float16
    eps, two, last = numbers(1e-3), op.constant(numbers(2)), np.array([-1])
    if kind == "layer":
        inner = op.subtract(inner, op.reduce_mean(inner, last, True))
    root = op.sqrt(op.add(op.reduce_mean(op.power(inner, two), last, True), op.constant(eps)))
    out = (
        op.divide(inner, root)
        if kind == "layer"
        else op.multiply(inner, op.divide(op.constant(numbers(1)), root))
    )
    out = op.convert(out, "f16") if wide else out
    gain = op.constant(np.linspace(0.5, 1.5, WIDTH, dtype=np.float16).reshape(1, 1, WIDTH))
    return ov.Model([op.relu(op.multiply(out, gain))], [x], "norm")


@pytest.mark.parametrize(
    "platform", ["meteorlake-vpunn.yaml", "lunarlake-vpunn.yaml", "pantherlake-vpunn.yaml"]
)
@pytest.mark.parametrize("kind", ["root mean square", "layer"])
def test_a_norm_in_fp32_costs_what_one_in_fp16_does(platform: str, kind: str) -> None:
    hw = npusim.load_hardware(platform)
    wide, narrow = (
        npusim.simulate(lower(from_openvino(norm(kind, wide=wide)), hw), hw) for wide in (True, False)
    )
    assert wide.metrics.statistics == narrow.metrics.statistics
