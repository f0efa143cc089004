"""run.json: one simulation as one JSON document, the contract that programs rely on."""

from __future__ import annotations

import json
from dataclasses import asdict
from typing import Any

from npusim import __version__
from npusim.api import Result
from npusim.report.model_facts import model_document
from npusim.report.subject import Subject

#: Name and version of the document; the number grows when a key changes its meaning or goes.
SCHEMA = "npusim.run/1"


def run_document(result: Result, subject: Subject, wall_s: float) -> dict[str, Any]:
    """The document. Times are µs, rounded to the picosecond; ``wall_s`` alone differs from run to run."""
    metrics, hw = result.metrics, result.hardware
    tokens_per_s = subject.tokens_per_s(metrics.latency_us)
    return {
        "schema": SCHEMA,
        "npusim": __version__,
        "hardware": hw.name,
        "workload": subject.workload,
        "engine": result.timeline.engine,
        "latency_us": _us(metrics.latency_us),
        "statistics": {name: _us(value) for name, value in metrics.statistics.items()},
        "tasks": dict(metrics.tasks),
        "ops": [
            {
                "name": op.name,
                "type": op.type,
                "engine": op.engine,
                "start_us": _us(op.start_us),
                "end_us": _us(op.end_us),
                "dma_us": _us(op.dma_us),
                "dpu_us": _us(op.dpu_us),
                "shave_us": _us(op.shave_us),
                "exposed_us": _us(op.exposed_us),
                "guess_us": _us(op.guess_us),
                "bound": op.bound,
                "provenance": op.provenance,
                "shape": list(made.shape),
                "fused": list(made.fused),
            }
            for op, made in zip(metrics.ops, result.program.ops, strict=True)
        ],
        "ddr_bytes": dict(metrics.ddr_bytes),
        **({"tier_bytes": metrics.tier_bytes} if metrics.tier_bytes else {}),
        "energy_uj": round(metrics.energy_uj, 6),
        **_package(result, subject),
        "inferences_per_s": round(1e6 / metrics.latency_us, 6) if metrics.latency_us else None,
        "tokens_per_s": None if tokens_per_s is None else round(tokens_per_s, 6),
        "utilisation": {name: round(share, 9) for name, share in metrics.utilisation.items()},
        "exposed_us": {kind: _us(value) for kind, value in metrics.exposed_us.items()},
        "provenance": {name: round(share, 9) for name, share in metrics.provenance_share.items()},
        "contended_us": _us(metrics.contended_us),
        "run": {
            "command": subject.command,
            "hardware_file": subject.hardware_file,
            "overrides": list(subject.overrides),
            "platform": hw.platform,
            "tiles": hw.tiles,
            "software": hw.software.name,
            "phase": subject.phase,
            "tokens": subject.tokens,
        },
        **({"model": model_document(subject.model, result)} if subject.model else {}),
        **({"seen": asdict(subject.seen)} if subject.seen else {}),
        **({"interval": asdict(subject.interval)} if subject.interval else {}),
        "notes": list(result.program.notes),
        "wall_s": round(wall_s, 3),
    }


def _package(result: Result, subject: Subject) -> dict[str, Any]:
    """The package's energy beside the NPU's own, where the hardware file knows it."""
    found = subject.package_energy(result)
    if found is None:
        return {}
    parts = {"npu_uj": found.npu_uj, "system_uj": found.system_uj, "package_uj": found.package_uj}
    return {"energy": {name: round(value, 6) for name, value in parts.items()}}


def document_text(document: dict[str, Any]) -> str:
    """The document as text: two levels indented, one op a line."""
    encode = json.JSONEncoder(ensure_ascii=False).encode
    lines = []
    for key, value in document.items():
        if isinstance(value, list) and value:
            rows = ",\n".join(f"    {encode(row)}" for row in value)
            lines.append(f"  {encode(key)}: [\n{rows}\n  ]")
        else:
            lines.append(f"  {encode(key)}: {encode(value)}")
    return "{\n" + ",\n".join(lines) + "\n}\n"


def _us(value: float) -> float:
    return round(value, 6)
