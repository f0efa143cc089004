"""Sums over rows of a matrix that one pooling reduces, against Intel's compiler."""

import numpy as np
import openvino as ov
import pytest
from openvino import opset15 as op

from npusim import api
from npusim.graph import from_openvino


@pytest.mark.parametrize(("rows", "columns", "compiled_us"), [(64, 16, 5.7), (256, 8, 11.7)])
def test_a_single_pooling_reads_the_image_whole(rows: int, columns: int, compiled_us: float) -> None:
    """On 4000, compiled by 2026.4.1: one transfer to all tiles."""
    x = op.parameter((1, rows, columns), np.float16, name="x")
    total = op.reduce_sum(x, op.constant(np.array([2])), keep_dims=False)
    hw = api.load_hardware("lunarlake-vpunn")
    program = api.lower(from_openvino(ov.Model([op.result(total)], [x])), hw)
    assert api.simulate(program, hw).metrics.latency_us == pytest.approx(compiled_us, rel=0.03)
