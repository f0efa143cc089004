"""How much is done, and how long the rest takes, where a command counts."""

from __future__ import annotations

import pytest

from npusim.cli.progress import with_time_left


@pytest.mark.parametrize(
    ("text", "elapsed_s", "shown"),
    [
        ("lowering", 5.0, "lowering"),
        ("30 of 120 rows", 10.0, "30 of 120 rows · 25% · 0:30 left"),
        ("2 of 4: lunarlake.yaml", 60.0, "2 of 4: lunarlake.yaml · 25% · 3:00 left"),
        ("1 of 4: the first", 1.0, "1 of 4: the first"),
        ("0 of 9 rows", 1.0, "0 of 9 rows"),
        ("9 of 9 rows", 1.0, "9 of 9 rows · 100% · 0:00 left"),
    ],
)
def test_what_counts_says_how_long(text: str, elapsed_s: float, shown: str) -> None:
    assert with_time_left(text, elapsed_s) == shown
