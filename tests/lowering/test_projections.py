"""Attention with its projections, head by head: what the compiler's schedules of it take (OpenVINO 2026.4.1, 4000)."""

from __future__ import annotations

from typing import Any

import numpy as np
import openvino as ov
import pytest
from openvino import opset15 as op

from npusim import api
from npusim.graph import from_openvino


def attention(tokens: int, width: int, heads: int, narrow: bool, quantised: bool = False) -> ov.Model:
    """Self-attention of FP16 activations with its three projections and the one behind; ``narrow``: INT8 weights,
    ``quantised``: what they are multiplied with has 8 bits too."""
    rng = np.random.default_rng(3)
    limits = [op.constant(np.array(limit, np.float32)) for limit in (-4.0, 3.96875)]

    def linear(x: Any) -> Any:
        if quantised:
            x = op.fake_quantize(x, *limits, *limits, 256)
        if narrow:
            stored = op.convert(op.constant(rng.integers(-127, 128, (width, width)).astype(np.int8)), "f32")
            weight = op.multiply(stored, op.constant(np.full((width, 1), 1e-3, np.float32)))
        else:
            numbers = rng.standard_normal((width, width)) * 0.02
            weight = op.convert(op.constant(numbers.astype(np.float16)), "f32")
        bias = op.convert(op.constant((rng.standard_normal((1, 1, width)) * 0.02).astype(np.float16)), "f32")
        return op.add(op.matmul(x, weight, False, True), bias)

    def shaped(x: Any, *dims: int) -> Any:
        return op.reshape(x, op.constant(np.array(dims)), True)

    def turned(x: Any) -> Any:
        return op.transpose(x, op.constant(np.array([0, 2, 1, 3])))

    given = op.parameter([1, tokens, width], np.float16)
    x = op.convert(given, "f32")
    q, k, v = (turned(shaped(linear(x), 0, 0, heads, width // heads)) for _ in range(3))
    found = shaped(turned(op.scaled_dot_product_attention(q, k, v)), 0, 0, width)
    return ov.Model([op.convert(op.add(linear(found), x), "f16")], [given], "attention")


#: (tokens, width, heads), whether the weights have 8 bits, and the compiler's latency, µs.
COMPILED = (
    ((64, 384, 6), False, 98.5), ((64, 512, 8), False, 125.5), ((64, 1024, 16), False, 296.2),
    ((96, 768, 12), False, 230.3),
    ((64, 384, 6), True, 88.5), ((64, 1024, 16), True, 250.4), ((128, 512, 8), True, 132.9),
    ((128, 768, 12), True, 222.1),
)  # fmt: skip


@pytest.mark.parametrize(("size", "narrow", "compiled_us"), COMPILED)
def test_projections_of_a_head_are_split_as_its_transfers_say(
    size: tuple[int, int, int], narrow: bool, compiled_us: float
) -> None:
    """Computing alone would say channels, which is 14 to 50 % slower: the weights come in more and smaller parts."""
    hw = api.load_hardware("lunarlake-vpunn.yaml")
    program = api.lower(from_openvino(attention(*size, narrow)), hw)
    assert api.simulate(program, hw).latency_us == pytest.approx(compiled_us, rel=0.11)


@pytest.mark.parametrize(("size", "compiled_us"), [((128, 512, 8), 178.2), ((96, 768, 12), 202.0)])
def test_projections_of_8_bits_are_split_over_rows_in_a_function_alone(
    size: tuple[int, int, int], compiled_us: float
) -> None:
    """Over channels, which all of nine heads and more would take 22 % longer for, where attention is no function."""
    hw = api.load_hardware("lunarlake-vpunn.yaml")
    program = api.lower(from_openvino(attention(*size, narrow=True, quantised=True)), hw)
    assert api.simulate(program, hw).latency_us == pytest.approx(compiled_us, rel=0.06)
