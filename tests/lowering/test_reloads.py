"""Products that are cut over their terms rather than loaded again and again, against what Intel's compiler cuts."""

from __future__ import annotations

import pytest

from npusim.lowering.tile.reloads import pieces
from npusim.validation.schedules.predict import hardware_of

TILES = {"3720": 2, "4000": 4, "5010": 3}


#: Three slices of channels are estimated to cost less than two.
OTHER_SLICES = pytest.mark.xfail(
    strict=True,
    reason="three pieces since the tasks have their exact price, why is not known",
)


@pytest.mark.parametrize(
    ("platform", "rows", "terms", "channels", "count"),
    [
        pytest.param("3720", 1024, 3072, 768, 2, marks=OTHER_SLICES),
        ("3720", 1024, 6144, 768, 3),
        ("3720", 256, 8192, 896, 5),
        ("3720", 512, 6144, 1584, 7),
        ("3720", 384, 4864, 736, 3),
        ("3720", 320, 5120, 2304, 1),  # loaded again for less than results would be
        ("3720", 512, 1792, 2048, 1),  # sliced along channels alone
        ("4000", 1024, 4608, 768, 2),
        ("4000", 768, 8192, 640, 3),
        ("4000", 512, 6144, 1584, 5),
        ("4000", 376, 4864, 768, 1),
        ("5010", 1024, 4608, 768, 1),
    ],
)
def test_pieces_are_the_compilers(platform: str, rows: int, terms: int, channels: int, count: int) -> None:
    assert pieces(hardware_of(platform, TILES[platform], 2), rows, terms, channels) == count
