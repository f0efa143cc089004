"""How MatMuls are split and sliced: cases that the compiler was asked for, one or two a rule."""

from __future__ import annotations

import pytest

from npusim.hardware import load_hardware
from npusim.lowering.ir.nodes import Conv
from npusim.lowering.ir.values import Value
from npusim.lowering.tile.matmul import Tiler
from npusim.lowering.tile.slices import Cut

MACHINES = {"3720": "meteorlake-vpunn", "4000": "lunarlake-vpunn", "5010": "pantherlake-vpunn"}


def tiler(platform: str, m: int, k: int, n: int) -> Tiler:
    values = (Value(0, (m, k)), Value(1, (n, k), constant=True))
    node = Conv("x", "MatMul", values, Value(2, (m, n)), m=m, k=k, n=n)
    return Tiler(node, load_hardware(f"{MACHINES[platform]}.yaml"))


@pytest.mark.parametrize(
    ("platform", "shape", "split", "slices"),
    [
        pytest.param("4000", (256, 256, 256), "rows", (1, 1), id="about equal: rows"),
        pytest.param("3720", (256, 256, 256), "channels", (1, 1), id="about equal, on 3720"),
        pytest.param("4000", (512, 512, 512), "rows", (1, 2), id="fits, but its weights are large"),
        pytest.param("4000", (1024, 256, 1024), "rows", (1, 4), id="so many that results overlap too"),
        pytest.param("4000", (784, 1280, 256), "channels", (6, 1), id="rows sliced, channels over the tiles"),
        pytest.param("4000", (512, 640, 832), "rows", (1, 4), id="buffers in steps of 32 KiB do not fit"),
        pytest.param("5010", (1024, 768, 768), "rows", (1, 24), id="small weights and results on 5010"),
        pytest.param("4000", (1, 2560, 5120), "channels", (1, 16), id="one row"),
    ],
)
def test_split_and_slices(platform: str, shape: tuple[int, ...], split: str, slices: tuple[int, int]) -> None:
    one = tiler(platform, *shape)
    chosen = one.choose()
    cut = one.cut(chosen)
    assert (chosen, (cut.rows, cut.channels)) == (split, slices)


def test_what_fits_is_counted_in_whole_buffers() -> None:
    """2,304 rows x 192 x 768 fit four tiles of 4000; with 8 more, 44 KiB a tile are left and they do not."""
    assert tiler("4000", 2304, 192, 768).fit.fits("rows", Cut())
    assert not tiler("4000", 2312, 192, 768).fit.fits("rows", Cut())


def test_the_same_hidden_transfers_cost_less() -> None:
    """Slices that overlap cost less than as many transfers in a row."""
    one = tiler("4000", 1024, 1024, 1024)
    assert one.fit.overlaps("rows", Cut(channels=8))
    assert not one.fit.overlaps("rows", Cut(channels=4))
    assert one.estimate.cost("rows", Cut(channels=8)) < one.estimate.cost("rows", Cut(channels=4))
