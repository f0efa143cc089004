"""What ``npusim compare-trace`` writes: the comparison as one JSON document, and as CSV."""

from __future__ import annotations

import csv
import io
from typing import Any

from npusim.validation.traces.compare import Comparison, Half

#: Name and version of the document; the number grows when a key changes its meaning or goes.
SCHEMA = "npusim.compare-trace/1"


def comparison_document(found: Comparison) -> dict[str, Any]:
    """What ``npusim compare-trace --json`` prints; times are µs, the left less the right."""
    return {
        "schema": SCHEMA,
        "measure": found.measure,
        **{
            side: {"file": one.label, "format": one.format, "latency_us": _round(one.latency_us), "ops": len(one.ops)}
            for side, one in (("left", found.left), ("right", found.right))
        },
        "matched": len(found.matched),
        "matched_us": {side: _round(us) for side, us in zip(("left", "right"), found.matched_us, strict=True)},
        "ops": [
            {
                "name": pair.name,
                "type": pair.type,
                "paired_by": pair.by if pair.left and pair.right else None,
                "left": _half_document(pair.left),
                "right": _half_document(pair.right),
                "delta_us": _round(pair.delta_us),
            }
            for pair in found.pairs
        ],
        "notes": [f"{one.label}: {note}" for one in (found.left, found.right) for note in one.notes],
    }  # fmt: skip


def _half_document(half: Half | None) -> dict[str, Any] | None:
    if half is None:
        return None
    return {
        "ops": list(half.ops),
        "us": _round(half.us),
        "span_us": _round(half.span_us),
        "busy_us": {engine: _round(us) for engine, us in half.busy_us.items()},
        "engine": half.engine,
        "shape": half.shape,
    }


def _round(us: float | None) -> float | None:
    return None if us is None else round(us, 6)


def comparison_csv(found: Comparison) -> str:
    """The rows as CSV text; the cells of a side that has no such op are empty."""
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(
        (
            "name",
            "type",
            "left_us",
            "right_us",
            "delta_us",
            "left_shape",
            "right_shape",
            "left_ops",
            "right_ops",
        )
    )
    for pair in found.pairs:
        halves = (pair.left, pair.right)
        writer.writerow(
            (
                pair.name, pair.type, *(f"{half.us:.6f}" if half else "" for half in halves), f"{pair.delta_us:.6f}",
                *(half.shape if half else "" for half in halves),
                *(" ".join(half.ops) if half else "" for half in halves),
            )
        )  # fmt: skip
    return text.getvalue()
