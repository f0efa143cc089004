"""Scored rows as they are predicted by values that were fitted without their model.

``npusim calibrate`` predicts every row of its fit once more, from a fit that has not seen the row's model. By how much
that moves the row is kept with the calibration; here it moves today's prediction. A row whose model no fit has seen is
what it is.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from typing import Any

from npusim.validation.silicon.measurements import PACKAGED
from npusim.validation.silicon.scores import Scored


def carried_calibrations() -> list[dict[str, Any]]:
    """The documents of ``npusim calibrate --json`` that the package carries (data/measured/calibration-*.json)."""
    return [
        json.loads(path.read_text(encoding="utf-8")) for path in sorted(PACKAGED.glob("calibration-*.json"))
    ]


def taken(document: Mapping[str, Any]) -> bool:
    """Whether a hardware file has the fitted values: rows that tell them are asked for."""
    return all(value["verdict"] != "not identified" for value in document["parameters"])


def left_out(found: Sequence[Scored], calibrations: Iterable[Mapping[str, Any]]) -> list[Scored]:
    """The rows of use ``score``, each predicted without its model."""
    moved = {
        (row["row"], round(row["measured_us"], 1)): row["left_out_us"] / row["base_us"]
        for one in calibrations
        if taken(one)
        for row in one["rows"]
        if row["left_out_us"] is not None
    }
    return [
        replace(one, predicted_us=one.predicted_us * moved.get(_key(one), 1.0))
        for one in found
        if one.row.use == "score"
    ]


def _key(one: Scored) -> tuple[str, float]:
    return one.row.label, round(one.row.measured_us, 1)
