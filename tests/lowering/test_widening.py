"""Few channels made 16: planes are widened as they are turned, or behind that where their lines are too long for it."""

from __future__ import annotations

import numpy as np
import openvino as ov
import pytest
from openvino import opset15 as op

import npusim
from npusim.graph import from_openvino
from npusim.lowering import lower
from npusim.program.work import ShaveWork
from npusim.validation.schedules.predict import hardware_of

#: Latency of the sum over the rows of so many planes on 4000 with 4 tiles, µs (OpenVINO 2026.4.1), and whether a
#: convolution widens the channels.
SEEN = {
    (2, 64, 1024): (27.1, False), (5, 64, 1024): (33.6, False), (2, 64, 6144): (490.8, False),
    (2, 64, 16384): (1588.8, True), (3, 64, 16384): (1434.2, True), (4, 64, 16384): (1453.8, True),
}  # fmt: skip


@pytest.mark.parametrize("shape", SEEN, ids=str)
def test_long_lines_are_widened_by_a_convolution(shape: tuple[int, int, int]) -> None:
    seen_us, convolved = SEEN[shape]
    x = op.parameter([1, *shape], np.float16, name="x")
    total = op.reduce_sum(x, op.constant(np.array([2])), False)
    hw = hardware_of("4000", 4, 2)
    result = npusim.simulate(lower(from_openvino(ov.Model([op.result(total)], [x], "sum")), hw), hw, "fast")
    kinds = {getattr(work, "kind", "") for work in result.program.tasks.works}
    assert ("conv" in kinds) is convolved
    assert result.latency_us == pytest.approx(seen_us, rel=0.11)


#: Latency of (x + y) z for x, y of rows by terms and z of terms by columns, likewise compiled, µs.
PRODUCTS = {(256, 12, 16): 14.6, (256, 24, 32): 15.1, (64, 8, 64): 14.5}


@pytest.mark.parametrize("shape", PRODUCTS, ids=str)
def test_terms_of_a_product_are_widened(shape: tuple[int, int, int]) -> None:
    rows, terms, columns = shape
    x, y = (op.parameter([1, rows, terms], np.float16, name=name) for name in "xy")
    z = op.parameter([1, terms, columns], np.float16, name="z")
    product = op.result(op.matmul(op.add(x, y), z, False, False))
    hw = hardware_of("4000", 4, 2)
    result = npusim.simulate(lower(from_openvino(ov.Model([product], [x, y, z], "p")), hw), hw, "fast")
    assert result.latency_us == pytest.approx(PRODUCTS[shape], rel=0.02)


#: Latency of the largest element of every row of planes of so many rows and columns, by platform, tiles, likewise
#: compiled, µs: a single short row is widened as it is loaded, small planes by a convolution whose outputs tiles share.
SMALL = {
    ("4000", 4, 1, 64): 5.6, ("4000", 4, 1, 160): 5.8, ("4000", 4, 4, 32): 15.7, ("4000", 4, 16, 16): 15.8,
    ("4000", 4, 2, 96): 12.1, ("4000", 4, 8, 128): 17.3, ("3720", 2, 2, 96): 9.2, ("3720", 2, 8, 128): 4.5,
}  # fmt: skip


@pytest.mark.parametrize("case", SMALL, ids=str)
def test_a_small_plane_is_widened_on_every_tile(case: tuple[str, int, int, int]) -> None:
    platform, tiles, rows, columns = case
    x = op.parameter([1, 1, rows, columns], np.float16, name="x")
    model = ov.Model([op.result(op.reduce_max(x, op.constant(np.array([3])), True))], [x], "largest")
    hw = hardware_of(platform, tiles, 2)
    assert npusim.simulate(lower(from_openvino(model), hw), hw, "fast").latency_us == pytest.approx(
        SMALL[case], rel=0.13
    )


def test_a_row_less_a_number_is_shared_in_channels() -> None:
    # 32 elements less their mean on 4000, as the layers of small speech models: every SHAVE takes four.
    x, mean = (op.parameter([1, n], np.float16) for n in (32, 1))
    model = ov.Model([op.result(op.subtract(x, mean))], [x, mean], "centred")
    works = [task.work for task in lower(from_openvino(model), hardware_of("4000", 4, 2)).tasks]
    assert [work.out_elements for work in works if isinstance(work, ShaveWork)] == [4] * 8
