"""Which measured rows to score: the published ones, or a user's own."""

from __future__ import annotations

from pathlib import Path

from npusim.errors import UserError
from npusim.validation.measure.rows import SILICON
from npusim.validation.measure.rows import measured_rows as own_rows
from npusim.validation.silicon.measurements import Measurement, measurements


def rows_of(against: str, platform: str | None = None) -> list[Measurement]:
    """The rows of ``silicon`` that the project has the models of, or those of a file; of one platform if given.

    Raises UserError where nothing is left, and as ``rows.measured_rows`` does.
    """
    if against == SILICON:
        rows = [row for row in measurements() if row.use in ("score", "trend", "steps", "contradicts")]
    else:
        rows = own_rows(Path(against), platform)
    known = sorted({row.platform for row in rows})
    rows = [row for row in rows if platform in (None, row.platform)]
    if not rows:
        raise UserError(f"--platform {platform}: no such row in {against}; there is {', '.join(known)}")
    return rows
