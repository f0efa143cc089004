"""Profiles of any kind, told apart by their content: what npusim writes, what Intel's tools write.

npusim's trace.json and run.json, traces in the vendor's dialect (schedules and profiles of real runs), files of
``npusim measure``, counter reports of benchmark_app, lists of ov::ProfilingInfo, the NPU's text report; each may be
gzipped.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from npusim.api import Result
from npusim.errors import UserError
from npusim.files import MOST_TRACE_BYTES, parse_json, read_bytes, unpacked
from npusim.files.reading import text_of
from npusim.validation.schedules.compare_case import Groups, sides
from npusim.validation.traces.file import TraceFile, read_trace
from npusim.validation.traces.layers import (
    from_counters_csv,
    from_counters_json,
    from_npu_text,
    from_profiling_info,
)
from npusim.validation.traces.schedule import import_trace, machine_of
from npusim.validation.traces.types import OpProfile, OpTime

_KINDS = (
    "npusim's trace.json or run.json, a trace of Intel's tools, a file of npusim measure, a counter report of "
    "benchmark_app, a list of ProfilingInfo, or an NPU profile as text"
)


def read_profile(path: Path) -> OpProfile:
    """The profile in a file, whatever kind it is of. Raises UserError, in one line, where it is of none."""
    return profile_of(read_bytes(path, MOST_TRACE_BYTES), str(path))


def profile_of(data: bytes, label: str) -> OpProfile:
    """The profile in the bytes of a file; ``label`` is what messages call it. Raises UserError as read_profile does."""
    text = text_of(unpacked(data, label), label)
    start = text.lstrip()[:1]
    if start in ("{", "["):
        return _from_json(text, data, label)
    if "layerName" in text[:4096]:
        return from_counters_csv(text, label)
    if "Layer:" in text and "Task(" in text:
        return from_npu_text(text, label)
    if "schema: npusim.measurement/" in text[:4096]:
        return _measured(text, label)
    if text.startswith("Command line parameters"):
        raise UserError(f"{label}: {_NO_LAYERS}")
    raise UserError(f"{label}: is not a profile: known are {_KINDS}")


_NO_LAYERS = "has latencies, but no layers: run benchmark_app with -report_type detailed_counters"


def _from_json(text: str, data: bytes, label: str) -> OpProfile:
    document = parse_json(text, label, "a profile")
    if isinstance(document, list):
        if any(isinstance(entry, dict) and "ph" in entry for entry in document[:1]):
            return _from_trace(data, label)
        return from_profiling_info(document, label)
    schema = document.get("schema", "")
    if "traceEvents" in document:
        return _from_trace(data, label)
    if str(schema).startswith("npusim.run/"):
        return _from_run(document, label)
    if str(schema).startswith("npusim.measurement/"):
        return _measured(text, label)
    if "avg_performance" in document or "detailed_performance" in document:
        return from_counters_json(document, label)
    if "execution_results" in document:
        raise UserError(f"{label}: {_NO_LAYERS}")
    raise UserError(f"{label}: is not a profile: known are {_KINDS}")


def _from_trace(data: bytes, label: str) -> OpProfile:
    """The ops of a trace; the ``Layers`` lane of npusim's own tells their shapes and what they stand for."""
    trace = read_trace(data, label)
    result = import_trace(trace, machine_of(trace).hardware)
    layers = {layer.name: layer.args for layer in trace.layers}
    return OpProfile(
        label,
        _kind(trace),
        tuple(_of_side(result, layers)),
        result.latency_us,
        tuple(result.program.notes),
    )


def _kind(trace: TraceFile) -> str:
    return "schedule, estimated" if trace.simulated else "profile of a real run"


def _of_side(result: Result, layers: Mapping[str, Mapping[str, Any]]) -> list[OpTime]:
    program = result.program
    engines = {op.name: op.engine for op in result.metrics.ops}
    types = {op.name: op.type for op in program.ops}
    shard = {op.name: "x".join(map(str, op.shape)) for op in program.ops}
    ops = []
    for name, side in sides(result, Groups(op.name for op in program.ops)).items():
        told = layers.get(name, {})
        fused = told.get("Fused ops", ())
        ops.append(
            OpTime(
                name=name,
                type=types.get(name, ""),
                span_us=side.end_us - side.start_us,
                start_us=side.start_us,
                engine=engines.get(name, "dma"),
                busy_us=dict(side.busy_us),
                exposed_us=side.exposed_us,
                fused=tuple(map(str, fused)) if isinstance(fused, list) else (),
                shape=str(told.get("Shape") or (f"{shard[name]} a task" if shard.get(name) else "")),
            )
        )
    return ops


def _from_run(document: Mapping[str, Any], label: str) -> OpProfile:
    """The ops of npusim's run.json."""
    try:
        ops = tuple(
            OpTime(
                name=str(row["name"]),
                type=str(row["type"]),
                span_us=float(row["end_us"]) - float(row["start_us"]),
                start_us=float(row["start_us"]),
                engine=str(row["engine"]),
                busy_us={engine: float(row[f"{engine}_us"]) for engine in ("dma", "dpu", "shave")},
                exposed_us=float(row["exposed_us"]),
                fused=tuple(map(str, row.get("fused", ()))),
                shape="x".join(map(str, row.get("shape", ()))),
            )
            for row in document["ops"]
        )
        return OpProfile(label, "npusim", ops, float(document["latency_us"]))
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise UserError(f"{label}: is not a run.json of npusim: {error!r:.80}") from None


def _measured(text: str, label: str) -> OpProfile:
    """The layers of a file of ``npusim measure``."""
    from npusim.validation.measure.file import parse_measurement

    found = parse_measurement(text, label)
    if not found.layers:
        raise UserError(
            f"{label}: has no layers: the device told none; measure without --no-layers, if that was set"
        )
    latency = next((run.median_us for run in found.runs if run.hint == "latency"), None)
    return OpProfile(
        label,
        f"measured on {found.device.name}",
        tuple(
            OpTime(layer.name, layer.type, layer.real_us, engine=layer.exec_type, fused=tuple(layer.fused))
            for layer in found.layers
        ),
        latency,
    )
