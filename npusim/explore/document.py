"""What an exploration found, as one JSON document."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from npusim.explore.results import Explored
from npusim.explore.space import Space

#: Name and version of the document; the number grows when a key changes its meaning or goes.
SCHEMA = "npusim.explore/1"


def explored_document(space: Space, found: Explored, folder: Path | None) -> dict[str, Any]:
    """The space, how many points there are, the rows of the Pareto front and its knee; ready for JSON."""
    import pandas as pd

    values = found.table.astype(object).where(pd.notna(found.table), None)
    rows = values.to_dict("records")
    return {
        "schema": SCHEMA,
        "hardware": space.hardware.name,
        "workload": space.model.name,
        "axes": {axis.name: list(axis.values) for axis in space.axes},
        "objectives": list(found.objectives),
        "points": len(rows),
        "failed": found.failed,
        "front": [row for row, best in zip(rows, found.front, strict=True) if best],
        "knee": None if found.knee is None else rows[found.knee],
        "folder": None if folder is None else str(folder),
    }
