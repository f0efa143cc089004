"""MatMuls of sizes that are no multiple of 16, and rows that have no factors: what Intel's compiler says they take."""

from __future__ import annotations

import numpy as np
import openvino as ov
import pytest
from hypothesis import given
from hypothesis import strategies as st
from openvino import opset15 as op

import npusim
from npusim.graph import from_openvino
from npusim.lowering import lower
from npusim.lowering.ir.convolution import WORTH_PADDING, fold_rows
from npusim.program.work import DmaWork
from npusim.validation.schedules.predict import hardware_of

#: Tiles and copy engines of each platform.
MACHINES = {"3720": (2, 2), "4000": (4, 2), "5010": (3, 2)}
TOLERANCE = 0.07

#: Rows, terms, sums and µs by the compiler's schedules on 3720, 4000 and 5010: rows padded to fours, too few elements
#: to pad them, terms padded beside the rest, both, and weights that padding makes sparse, or nearly.
PRODUCTS = [
    (53, 336, 208, 11.5, 13.8, 6.0), (17, 512, 512, 18.8, 19.1, 8.3), (13, 512, 256, 11.9, 14.0, 6.2),
    (59, 768, 3072, 141.6, 104.3, 46.8), (31, 96, 96, 5.2, 9.8, 4.1), (23, 128, 128, 5.7, 10.0, 4.3),
    (53, 331, 208, 13.5, 15.7, 6.6), (127, 300, 600, 33.8, 25.4, 12.3), (99, 300, 1200, 48.5, 32.6, 14.7),
    (49, 100, 1000, 21.3, 21.1, 9.3), (33, 129, 129, 8.6, 13.6, 5.3), (64, 256, 33, 4.9, 9.4, 4.1),
]  # fmt: skip
CASES = [
    (platform, *product[:3], us)
    for product in PRODUCTS
    for platform, us in zip(MACHINES, product[3:], strict=True)
]


#: Platform, groups, rows, terms, columns, and µs by the compiler's schedule of a product of two inputs of the model:
#: groups of one op, or products one after the other, the columns stored one by one or term by term.
BATCHES = [
    ("4000", 6, 50, 30, 70, True, 16.3), ("4000", 4, 101, 40, 51, True, 16.6),
    ("5010", 6, 50, 30, 70, True, 6.2), ("5010", 3, 77, 45, 130, True, 8.9), ("3720", 6, 50, 30, 70, True, 31.7),
    ("4000", 7, 67, 41, 83, False, 20.5), ("3720", 8, 64, 72, 100, False, 68.8),
]  # fmt: skip


def product(rows: int, terms: int, sums: int) -> ov.Model:
    rng = np.random.default_rng(0)
    x = op.parameter([rows, terms], np.float16)
    y = op.matmul(x, rng.normal(size=(sums, terms)).astype(np.float16), False, True)
    return ov.Model([op.add(y, rng.normal(size=(1, sums)).astype(np.float16))], [x], "product")


@pytest.mark.parametrize(("platform", "rows", "terms", "sums", "us"), CASES)
def test_an_odd_product_takes_what_the_compiler_says(
    platform: str, rows: int, terms: int, sums: int, us: float
) -> None:
    hw = hardware_of(platform, *MACHINES[platform])
    program = lower(from_openvino(product(rows, terms, sums)), hw)
    assert abs(npusim.simulate(program, hw).latency_us / us - 1) < TOLERANCE


@given(st.integers(1, 20_000), st.sampled_from((4, 8)))
def test_too_few_elements_are_never_padded(rows: int, width: int) -> None:
    height, columns = fold_rows(rows, width, WORTH_PADDING - 1)
    assert height * columns == rows


@pytest.mark.parametrize(("platform", "groups", "rows", "terms", "columns", "stored", "us"), BATCHES)
def test_an_odd_batch_takes_what_the_compiler_says(
    platform: str, groups: int, rows: int, terms: int, columns: int, stored: bool, us: float
) -> None:
    """Within what the order of transfers makes of it: all that is copied and loaded is the compiler's."""
    x = op.parameter([1, groups, rows, terms], np.float16)
    y = op.parameter([1, groups, columns, terms] if stored else [1, groups, terms, columns], np.float16)
    model = ov.Model([op.matmul(x, y, False, stored)], [x, y], "batch")
    hw = hardware_of(platform, *MACHINES[platform])
    program = lower(from_openvino(model), hw)
    assert abs(npusim.simulate(program, hw).latency_us / us - 1) < 2 * TOLERANCE


def test_a_single_column_is_filled_up_beside_it() -> None:
    """One step of a scan: the compiler loads 15 columns of zeros by a transfer of their own."""
    state = op.parameter([1, 384, 16], np.float16)
    columns = op.parameter([1, 8, 16], np.float16)
    column = op.slice(columns, np.array([3]), np.array([4]), np.array([1]), np.array([1]))
    y = op.matmul(state, op.reshape(column, np.array([1, 16, 1]), False), False, False)
    program = lower(from_openvino(ov.Model([y], [state, columns], "step")), hardware_of("4000", 4, 2))
    sizes = [t.work.bytes for t in program.tasks if isinstance(t.work, DmaWork) and t.work.dst == "cmx"]
    assert sizes.count(15 * 32) == 1
