"""Kernels whose operands are read whole end in a few slices, however many elements they have."""

from __future__ import annotations

import numpy as np
import openvino as ov
import pytest
from openvino import opset15 as op

from npusim.graph import from_openvino
from npusim.hardware import load_hardware
from npusim.lowering import lower
from tests.lowering.laws import check_barriers


@pytest.mark.parametrize("hardware", ["lunarlake.yaml", "pantherlake.yaml"])
@pytest.mark.parametrize("heads", [24, 80])
def test_a_flat_product_with_a_large_operand_that_is_read_whole(hardware: str, heads: int) -> None:
    """[1, h, 2, 2, 1, 1] * [1, h, 1, 2, 64, 128]: no dimensions merge, so that the kernel runs over a flat vector."""
    a = op.parameter([1, heads, 2, 2, 1, 1], np.float16, name="a")
    b = op.parameter([1, heads, 1, 2, 64, 128], np.float16, name="b")
    program = lower(
        from_openvino(ov.Model([op.result(op.multiply(a, b))], [a, b], "flat")), load_hardware(hardware)
    )
    check_barriers(program)
    assert (
        0 < len(program.tasks) < 40 * heads
    )  # so many loads, calls and stores a head, whatever its elements


def test_rows_that_no_count_shares_evenly() -> None:
    """A Select wants slices that give each SHAVE the same; 7,967 lines that do not fit CMX are cut all the same."""
    x = op.parameter([257, 31, 17, 3, 2], np.float16, name="x")
    half = op.constant(np.full([1] * 5, 0.5, np.float16))
    chosen = op.select(op.greater(x, half), x, half)
    hw = load_hardware("pantherlake.yaml", ["tiles=1"])
    program = lower(from_openvino(ov.Model([op.result(chosen)], [x], "odd")), hw)
    assert len(program.tasks) < 100
