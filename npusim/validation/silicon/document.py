"""What ``npusim validate --against silicon --json`` prints: measured and predicted times, µs, and errors as shares."""

from __future__ import annotations

from collections.abc import Sequence
from math import isnan
from typing import Any

from npusim.validation.silicon.groups import grouped, kind_of, machine_of, p90_error
from npusim.validation.silicon.left_out import carried_calibrations, left_out
from npusim.validation.silicon.llm import Heard, section
from npusim.validation.silicon.scores import (
    Bottleneck,
    Ratio,
    Scored,
    median_error,
    platform_speedups,
    precision_speedups,
    rank,
    size_steps,
    vendor_median_error,
)

#: Name and version of the document; the number grows when a key changes its meaning or goes.
SCHEMA = "npusim.validate.silicon/1"


def silicon_document(
    against: str, found: Sequence[Scored], engines: Sequence[Bottleneck], spoken: Sequence[Heard] = ()
) -> dict[str, Any]:
    """All rows, and what they add up to. The same inputs give the same document."""
    scored = [one for one in found if one.row.use == "score"]
    alone = left_out(scored, carried_calibrations())
    with_vendor = [one for one in scored if one.vendor_us is not None]
    trend = [one for one in found if one.row.use == "trend"]
    return {
        "schema": SCHEMA,
        "against": against,
        "rows": [_row(one) for one in found],
        "scored": {
            "rows": len(scored),
            "median_error": _number(median_error(scored)),
            "rows_with_vendor": len(with_vendor),
            "median_error_there": _number(median_error(with_vendor)),
            "vendor_median_error": _number(vendor_median_error(with_vendor)),
            "p90_error": _number(p90_error(scored)),
            "by_machine": _groups(grouped(scored, machine_of)),
            "by_kind": _groups(grouped(scored, kind_of)),
            "model_left_out": {
                "median_error": _number(median_error(alone)),
                "p90_error": _number(p90_error(alone)),
                "by_machine": _groups(grouped(alone, machine_of)),
                "by_kind": _groups(grouped(alone, kind_of)),
            },
        },
        "speedups": [_ratio(one) for one in (*precision_speedups(scored), *platform_speedups(scored))],
        "steps_ms": [_ratio(one) for one in size_steps(found)],
        "trend": {"rows": len(trend), "rank_correlation": _number(rank(trend))},
        "engines": [
            {
                "workload": one.shares.workload,
                "tokens": one.shares.tokens,
                "measured": one.shares.bottleneck,
                "predicted": one.predicted,
                "measured_percent": {name: getattr(one.shares, name) for name in one.predicted_shares},
                "predicted_percent": {name: round(share, 1) for name, share in one.predicted_shares.items()},
                "source": one.shares.source,
            }
            for one in engines
        ],
        "language_models": section(spoken),
    }


def _row(one: Scored) -> dict[str, Any]:
    row = one.row
    return {
        "model": row.model,
        "workload": row.workload,
        "tokens": row.tokens,
        "platform": row.platform,
        "device": row.device,
        "precision": row.precision,
        "metric": row.metric,
        "batch": row.batch,
        "kind": row.kind,
        "client": row.client,
        "driver": row.driver,
        "grade": row.grade,
        "use": row.use,
        "openvino": row.openvino,
        "measured_us": row.measured_us,
        "predicted_us": round(one.predicted_us, 3),
        "device_us": round(one.device_us, 3),
        "vendor_us": one.vendor_us,
        "error": round(one.error, 6),
        "shows": row.shows,
        "source": row.source,
    }


def _groups(found: Sequence[tuple[str, int, float, float]]) -> dict[str, dict[str, float | None]]:
    return {
        name: {"rows": rows, "median_error": _number(median), "p90_error": _number(p90)}
        for name, rows, median, p90 in found
    }


def _ratio(one: Ratio) -> dict[str, Any]:
    return {
        "what": one.what,
        "measured": round(one.measured, 4),
        "predicted": round(one.predicted, 4),
        "error": round(one.error, 4),
    }


def _number(value: float) -> float | None:
    return None if isnan(value) else round(value, 6)
