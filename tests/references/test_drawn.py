"""What npusim makes of the graphs that were drawn by chance is what the committed table says."""

from __future__ import annotations

from dataclasses import replace

import pytest

from benchmarks import drawn

RENEW = "if it is meant: python -m benchmarks.drawn --renew"


@pytest.fixture(scope="module")
def committed() -> list[drawn.Drawn]:
    return drawn.kept()


def test_no_graph_is_predicted_otherwise(committed: list[drawn.Drawn]) -> None:
    text = drawn.moves_text(committed, drawn.predict_all(committed))
    if text:
        pytest.fail(f"{text}\n\n{RENEW}", pytrace=False)


def test_every_graph_has_its_row(committed: list[drawn.Drawn]) -> None:
    assert [row.model for row in committed] == sorted(drawn.graphs())
    assert drawn.write_table(committed) == drawn.TABLE.read_text()
    refused = sum(not row.statistics for row in committed)
    assert refused < len(committed) / 10
    assert {row.machine for row in committed} == {*drawn.MACHINES}


def test_what_moves_is_told(committed: list[drawn.Drawn]) -> None:
    row = next(row for row in committed if row.statistics["total_us"] > 10)
    slower = replace(row, statistics={**row.statistics, "total_us": row.statistics["total_us"] * 1.001})
    assert "(total_us)" in drawn.moves_text([row], [slower])
    assert "(error)" in drawn.moves_text([row], [replace(row, statistics={}, error="UserError")])
    close = replace(row, statistics={**row.statistics, "total_us": row.statistics["total_us"] * 1.0001})
    assert not drawn.moves_text([row], [row]) + drawn.moves_text([row], [close])
