"""compare.json: several simulations, of one model or more, as one JSON document; and the files of a comparison."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

from npusim import __version__
from npusim.analysis.compare import Comparison, Place, Run
from npusim.api import Result
from npusim.files import all_or_nothing
from npusim.report.document import document_text
from npusim.report.subject import Subject

#: Name and version of the document; the number grows when a key changes its meaning or goes.
SCHEMA = "npusim.compare/1"


def compare_document(
    comparison: Comparison,
    results: Sequence[Result],
    subjects: Sequence[Subject],
    passes: Sequence[str],
    wall_s: float,
) -> dict[str, Any]:
    """The document. Times are µs, rounded to the picosecond; ``wall_s`` alone differs from run to run.

    ``results``, ``subjects`` and ``passes`` (the rewrites, as asked for) belong to ``comparison.runs``.
    """
    rows = zip(comparison.runs, results, subjects, passes, strict=True)
    return {
        "schema": SCHEMA,
        "npusim": __version__,
        "workload": subjects[0].workload,
        "baseline": comparison.baseline.label,
        "best": comparison.best.label,
        "runs": [_run(run, result, subject, rewrites) for run, result, subject, rewrites in rows],
        "command": subjects[0].command,
        "wall_s": round(wall_s, 3),
    }


def write_comparison(folder: Path, document: Mapping[str, Any], page: str | None) -> Path:
    """Write compare.json and, if there is a page, report.html to ``folder``, both or neither, and return it.

    Raises UserError where the folder cannot be written.
    """
    with all_or_nothing(folder) as workshop:
        (workshop / "compare.json").write_text(document_text(dict(document)), encoding="utf-8", newline="\n")
        if page is not None:
            (workshop / "report.html").write_text(page, encoding="utf-8", newline="\n")
    return folder


def _run(run: Run, result: Result, subject: Subject, passes: str) -> dict[str, Any]:
    metrics, hw = run.metrics, result.hardware
    tokens_per_s = subject.tokens_per_s(metrics.latency_us)
    return {
        "label": run.label,
        "workload": subject.workload,
        "hardware": hw.name,
        "hardware_file": subject.hardware_file,
        "overrides": list(subject.overrides),
        "xamba": passes,
        "engine": result.timeline.engine,
        "latency_us": _us(run.latency_us),
        "speedup": round(run.speedup, 9),
        "statistics": {name: _us(value) for name, value in metrics.statistics.items()},
        "tasks": dict(metrics.tasks),
        "exposed_us": {kind: _us(value) for kind, value in metrics.exposed_us.items()},
        "ddr_bytes": dict(metrics.ddr_bytes),
        "energy_uj": round(metrics.energy_uj, 6),
        "tokens_per_s": None if tokens_per_s is None else round(tokens_per_s, 6),
        "types": [
            {
                "type": one.type,
                "ops": one.ops,
                "exposed_us": _us(one.exposed_us),
                "busy_us": {engine: _us(value) for engine, value in one.busy_us.items()},
            }
            for one in run.types
        ],
        "steps": [
            {
                "type": s.type,
                "before_us": _us(s.before_us),
                "after_us": _us(s.after_us),
                "delta_us": _us(s.delta_us),
            }
            for s in run.steps
        ],
        "changes": [
            {
                "name": change.name,
                "count": change.count,
                "kind": change.kind,
                "delta_us": _us(change.delta_us),
                "before": _place(change.before),
                "after": _place(change.after),
            }
            for change in run.changes
        ],
        "notes": list(result.program.notes),
    }


def _place(place: Place | None) -> dict[str, Any] | None:
    if place is None:
        return None
    return {**asdict(place), "exposed_us": _us(place.exposed_us), "busy_us": _us(place.busy_us)}


def _us(value: float) -> float:
    return round(value, 6)
