"""Packed columns are small, and unpack to what was packed."""

from __future__ import annotations

import base64
import zlib

import numpy as np
import pytest

from npusim.report.page import column


def unpacked(packed: dict[str, str]) -> np.ndarray:
    """What core.js does."""
    size = int(packed["type"][1])
    planes = np.frombuffer(zlib.decompress(base64.b64decode(packed["data"])), np.uint8).reshape(size, -1)
    steps = np.ascontiguousarray(planes.T).view(f"<u{size}").reshape(-1)
    return np.cumsum(steps, dtype=steps.dtype).view("<" + packed["type"])


@pytest.mark.parametrize("kind", ["f8", "f4", "i4", "u4", "u2", "u1"])
@pytest.mark.parametrize("count", [0, 1, 1000])
def test_a_column_is_what_it_was(kind: str, count: int) -> None:
    values = np.random.default_rng(1).integers(0, 200, count).astype(kind)
    assert unpacked(column(values, kind)).tolist() == values.tolist()


def test_extremes() -> None:
    assert unpacked(column(np.array([-1, 5, -1]), "i4")).tolist() == [-1, 5, -1]
    assert unpacked(column(np.array([1e300, -0.0, 5e-324]), "f8")).tolist() == [1e300, -0.0, 5e-324]


def test_like_layers_are_small() -> None:
    """800,000 tasks of layers that are alike: less than a megabyte a column, as a page below 15 MB needs."""
    layer = np.random.default_rng(1).random(1000)
    starts = np.concatenate([layer + number * 1024.0 for number in range(800)])
    assert len(column(np.round(starts * 2**20) / 2**20, "f8")["data"]) < 6 << 20
    assert len(column(np.tile(layer, 800), "f4")["data"]) < 1 << 18
