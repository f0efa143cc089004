"""What the evidence allows each threshold of lowering, docs/evidence/thresholds.csv, is proved again line by line."""

from __future__ import annotations

import pytest

from benchmarks import thresholds

RENEW = "renew their lines: python -m benchmarks.thresholds --stale"


def test_every_threshold_has_its_line_and_its_rows_move() -> None:
    found = thresholds.stale(thresholds.read_table())
    assert not found, f"{'; '.join(f'{name}: {why}' for name, why in found.items())}. {RENEW}"


@pytest.mark.parametrize("table", [{}, {"split.dpu.NOTHING": {"value": "3"}}])
def test_what_is_missing_or_gone_is_stale(table) -> None:
    found = thresholds.stale(table)
    assert found.keys() == {one.label for one in thresholds.thresholds()} | table.keys()


def test_a_value_and_a_row_that_are_not_so_any_more_are_stale() -> None:
    table = thresholds.read_table()
    one = next(row for row in table.values() if row["above_by_row"])
    name = one["constant"]
    kept = {name: one}
    assert name not in thresholds.stale(kept)
    assert thresholds.stale({name: {**one, "value": "77"}})[name].startswith("its value is")
    unmoved = {**one, "above_refuted_at": one["value"], "below_by_row": ""}
    assert thresholds.stale({name: unmoved})[name].endswith(f"does not move at {one['value']}")
