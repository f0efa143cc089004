"""Scores and a constant mask: folded anew by Intel's compiler, unless another sum reads the mask too (4000)."""

from __future__ import annotations

import numpy as np
import openvino as ov
import pytest
from openvino import opset15 as op

import npusim
from npusim.graph import from_openvino
from npusim.lowering import lower
from npusim.validation.schedules.predict import hardware_of

LUNAR = hardware_of("4000", 4, 2)


def scores(heads: int, rows: int) -> ov.Model:
    """Scores of ``heads`` with ``rows`` keys, their mask and softmax."""
    x = op.parameter([1, heads, rows, rows], np.float16)
    mask = op.constant(np.full((1, heads, rows, rows), -1, np.float16))
    return ov.Model([op.softmax(op.add(x, mask), -1)], [x], "scores")


def attentions(layers: int, shared: bool) -> ov.Model:
    """Layers of attention of 8 heads of 64 over 128 tokens, with projections and with one mask or a mask each."""
    heads, rows, depth = 8, 128, 64
    weights = np.full((heads * depth, heads * depth), 0.5, np.float16)
    x = y = op.parameter([1, rows, heads * depth], np.float16)

    def split(rows_of_all: ov.Node) -> ov.Node:
        apart = op.reshape(op.matmul(rows_of_all, weights, False, True), [1, rows, heads, depth], False)
        return op.transpose(apart, [0, 2, 1, 3])

    masks = [op.constant(np.full((1, 1, rows, rows), -1 - i, np.float16)) for i in range(layers)]
    for layer in range(layers):
        mask = masks[0 if shared else layer]
        z = op.scaled_dot_product_attention(split(y), split(y), split(y), mask)
        together = op.reshape(op.transpose(z, [0, 2, 1, 3]), [1, rows, heads * depth], False)
        y = op.matmul(together, weights, False, True)
    return ov.Model([y], [x], "attentions")


@pytest.mark.parametrize(("heads", "rows", "us"), [(8, 128, 63.3), (4, 64, 26.6)])
def test_a_mask_of_its_own_is_added_through_ddr(heads: int, rows: int, us: float) -> None:
    program = lower(from_openvino(scores(heads, rows)), LUNAR)
    assert npusim.simulate(program, LUNAR).latency_us == pytest.approx(us, rel=0.02)


@pytest.mark.parametrize(("shared", "us"), [(False, 240.0), (True, 194.6)])
def test_a_mask_of_two_layers_keeps_its_shape(shared: bool, us: float) -> None:
    program = lower(from_openvino(attentions(2, shared)), LUNAR)
    assert npusim.simulate(program, LUNAR).latency_us == pytest.approx(us, rel=0.06)
