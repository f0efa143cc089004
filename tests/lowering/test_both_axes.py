"""Products sliced along rows and channels, as Intel's compiler slices them for 5010."""

from __future__ import annotations

import pytest

from npusim.lowering.ir.nodes import Conv
from npusim.lowering.ir.values import Value
from npusim.lowering.tile.matmul import Tiler
from npusim.validation.schedules.predict import hardware_of


@pytest.mark.parametrize(
    ("rows", "terms", "channels", "bits", "slices"),
    [
        (1024, 3072, 8192, 8, (3, 128)),
        (1024, 4096, 4096, 8, (5, 64)),
        (1024, 2304, 768, 16, (3, 12)),
    ],
)
def test_rows_that_come_once_for_all_channels_count_once(
    rows: int, terms: int, channels: int, bits: int, slices: tuple[int, int]
) -> None:
    act, weights = Value(0, (rows, terms)), Value(1, (channels, terms), stored_bits=bits, constant=True)
    node = Conv("", "MatMul", (act, weights), Value(2, (rows, channels)), m=rows, n=channels, k=terms)
    tiler = Tiler.of(node, hardware_of("5010", 3, 2))
    cut = tiler.cut(tiler.choose())
    assert (tiler.choose(), (cut.rows, cut.channels)) == ("rows", slices)
