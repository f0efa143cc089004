"""What ``npusim validate --json`` prints: scores and comparisons as JSON values, times in µs, errors as shares."""

from __future__ import annotations

from collections.abc import Sequence
from math import isnan
from typing import Any

from npusim.validation.schedules.compare_case import OpPair, Side
from npusim.validation.schedules.predict import Prediction
from npusim.validation.schedules.references import KEY, Row
from npusim.validation.schedules.scores import Pair, Score, over_tiles, pairs, table, worst

#: Names and versions of the documents; the number grows when a key changes its meaning or goes.
SCHEMA = "npusim.validate/1"
CASE_SCHEMA = "npusim.validate.case/1"
_WORST = 10


def validation_document(reference: str, predictions: Sequence[Prediction], wall_s: float) -> dict[str, Any]:
    """All scores of some predictions, and the predictions beside the truth. Only ``wall_s`` differs between runs."""
    totals = pairs(predictions, "total_us")
    return {
        "schema": SCHEMA,
        "reference": reference,
        "rows": len(predictions),
        "groups": [
            {
                "set": group.set,
                "family": group.family,
                "platform": group.platform,
                **{name: _score(found) for name, found in group.scores.items()},
            }
            for group in table(predictions)
            if totals
        ],
        "worst": [_pair(pair) for pair in worst(totals, _WORST)],
        "tiles": [
            {
                **_key(one.row),
                "usual_tiles": one.usual_tiles,
                "reference_speedup": round(one.truth, 6),
                "predicted_speedup": round(one.predicted, 6),
                "error": round(one.error, 6),
            }
            for one in over_tiles(totals)
        ],
        "failed": [{**_key(one.row), "error": one.error} for one in predictions if one.error],
        "guessed": [{**_key(one.row), "kernels": list(one.guessed)} for one in predictions if one.guessed],
        "predictions": [
            {
                "set": one.row.set,
                **_key(one.row),
                "reference": dict(one.row.truth),
                "predicted": {name: round(value, 6) for name, value in one.statistics.items()},
                "tasks": dict(one.tasks),
            }
            for one in predictions
        ],
        "wall_s": round(wall_s, 3),
    }


def case_document(row: Row, found: Sequence[OpPair], ours_us: float, vendor_us: float) -> dict[str, Any]:
    """One case op by op."""
    return {
        "schema": CASE_SCHEMA,
        **_key(row),
        "reference_us": round(vendor_us, 6),
        "predicted_us": round(ours_us, 6),
        "ops": [
            {
                "name": pair.name,
                "type": pair.type,
                "reference": _side(pair.vendor),
                "predicted": _side(pair.ours),
                "gap_us": round(pair.gap_us, 6),
            }
            for pair in found
        ],
    }


def _key(row: Row) -> dict[str, str]:
    return dict(zip(KEY, row.key, strict=True))


def _score(found: Score | None) -> dict[str, Any] | None:
    if found is None:
        return None
    return {
        "rows": found.rows,
        "missing": found.missing,
        "median": _figure(found.median),
        "p90": _figure(found.p90),
        "worst": _figure(found.worst),
        "rank": _figure(found.rank),
    }


def _figure(value: float) -> float | None:
    return None if isnan(value) else round(value, 6)


def _pair(pair: Pair) -> dict[str, Any]:
    return {
        **_key(pair.row),
        "reference_us": round(pair.truth, 6),
        "predicted_us": round(pair.predicted, 6),
        "error": round(pair.error, 6),
    }


def _side(side: Side | None) -> dict[str, Any] | None:
    if side is None:
        return None
    return {
        "ops": list(side.ops),
        "tasks": dict(side.tasks),
        "busy_us": {engine: round(us, 6) for engine, us in side.busy_us.items()},
        "start_us": round(side.start_us, 6),
        "end_us": round(side.end_us, 6),
        "exposed_us": round(side.exposed_us, 6),
    }
