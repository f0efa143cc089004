"""Profiles layer by layer: benchmark_app's counter reports, lists of ov::ProfilingInfo, and the NPU's text report.

Formats, as their writers print them (OpenVINO 2026.4):

* benchmark_app ``-report_type average_counters|detailed_counters`` as CSV (tools/benchmark/utils/statistics_report.py
  and samples/cpp/benchmark_app/statistics_report.cpp): ``layerName;execStatus;layerType;execType;realTime (ms);
  cpuTime (ms)``, a block an infer request, closed by a row ``Total``; with ``-pcsort`` comma-separated and one block.
* the same with ``-json_stats``: ``avg_performance`` or ``detailed_performance`` with ``nodes``; times are ms, as text
  (Python) or numbers (C++).
* ``InferRequest.get_profiling_info()``, dumped as a JSON list of objects with the attributes' names; times are µs
  (ov::ProfilingInfo counts them), or Python's timedelta as text (``0:00:00.000153``).
* ``NPU_PRINT_PROFILING=TEXT`` (vpux printProfilingAsText): ``Task(DPU): ...`` and ``Layer: ...`` lines, µs.

The NPU plugin fills ``real_time`` with the span of a layer, from its first transfer to the end of its last task
(plugins/intel_npu profiling.hpp); the plugins of other devices with the time that it ran. Layers that were not
executed are left out. Of several inferences the mean is taken, layer by layer.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from npusim.errors import UserError
from npusim.files import read_table
from npusim.validation.traces.types import OpProfile, OpTime

_CSV_COLUMNS = ("layerName", "execStatus", "layerType", "execType", "realTime (ms)")
_TIMEDELTA = re.compile(r"(?:(\d+) days?, )?(\d+):(\d\d):(\d\d(?:\.\d+)?)")
#: A line of a longer name is none: what follows each "Layer:" is looked through to its end.
_LONGEST_LINE = 4096
_TEXT_LAYER = re.compile(
    r"Layer:\s+(?P<name>.+?)\s+Type:\s+(?P<type>\S*)\s+DPU:\s+(?P<dpu>\d{1,15}(?:\.\d{1,15})?)\s+SW:\s+(?P<shave>\d{1,15}(?:\.\d{1,15})?)"
    r"\s+DMA:\s+(?P<dma>\d{1,15}(?:\.\d{1,15})?)\s+Start:\s+(?P<start>\d{1,15}(?:\.\d{1,15})?)"
)
_TEXT_TASK = re.compile(
    r"Task\((?P<engine>\w+)\):\s+(?P<name>.+?)\s+Time\(us\):\s+(?P<us>\d{1,15}(?:\.\d{1,15})?)\s+(?:Cycles:\S+\s+)?"
    r"Start\(us\):\s+(?P<start>\d{1,15}(?:\.\d{1,15})?)"
)
_TEXT_REAL = re.compile(r"Real:\s*(\d{1,15}(?:\.\d{1,15})?)us")

Row = Mapping[str, Any]


def from_counters_csv(text: str, label: str) -> OpProfile:
    """A counter report of benchmark_app as CSV. Raises UserError for anything else."""
    comma = "layerName," in text
    rows: list[Row] = []
    blocks = 0
    columns: Sequence[str] = ()
    for number, cells in read_table(text, label, delimiter="," if comma else ";"):
        if cells[:1] == ["layerName"]:
            columns, blocks = [cell.strip() for cell in cells], blocks + 1
            missing = [name for name in _CSV_COLUMNS if name not in columns]
            if missing:
                raise UserError(f"{label}: line {number}: no column '{missing[0]}'")
        elif columns and any(cells[1:]) and cells[0] != "Total":
            if len(cells) < len(columns):
                raise UserError(
                    f"{label}: line {number}: {len(cells)} columns where {len(columns)} are needed"
                )
            rows.append(_csv_row(dict(zip(columns, cells, strict=False)), f"{label}: line {number}"))
    return _profile(rows, blocks, label, "benchmark_app counters")


def _csv_row(cells: Mapping[str, str], place: str) -> Row:
    return {
        "name": cells["layerName"],
        "status": cells["execStatus"],
        "type": cells["layerType"],
        "exec": cells["execType"],
        "us": _ms(cells["realTime (ms)"], place),
    }


def from_counters_json(document: Mapping[str, Any], label: str) -> OpProfile:
    """A counter report of benchmark_app as JSON (average, detailed or sorted). Raises UserError for anything else."""
    given = document.get("avg_performance", document.get("detailed_performance"))
    requests = given if isinstance(given, list) else [given]
    rows = []
    for request in requests:
        nodes = request.get("nodes") if isinstance(request, dict) else None
        if not isinstance(nodes, list) or not all(isinstance(node, dict) for node in nodes):
            raise UserError(f"{label}: is not a counter report: no list 'nodes'")
        rows += [_json_node(node, f"{label}: node {number}") for number, node in enumerate(nodes)]
    hint = "; benchmark_app in Python writes one layer only with average_counters: use detailed_counters"
    lone = document.get("report_type") == "average" and len(rows) == 1
    return _profile(rows, len(requests), label, "benchmark_app counters", hint if lone else "")


def _json_node(node: Mapping[str, Any], place: str) -> Row:
    return {
        "name": str(node.get("name", "")),
        "status": str(node.get("status", "")),
        "type": str(node.get("node_type", "")),
        "exec": str(node.get("exec_type", "")),
        "us": _ms(node.get("real_time"), place),
    }


def from_profiling_info(entries: Sequence[Any], label: str) -> OpProfile:
    """A dump of ``get_profiling_info()``: a list of objects, or a list of such lists, one an inference.

    Raises UserError for anything else.
    """
    requests = entries if entries and isinstance(entries[0], list) else [entries]
    rows = []
    for request in requests:
        for number, entry in enumerate(request if isinstance(request, list) else [request]):
            if not isinstance(entry, dict) or "node_name" not in entry:
                raise UserError(f"{label}: entry {number}: is not a ProfilingInfo: no 'node_name'")
            place = f"{label}: entry {number}"
            rows.append(
                {
                    "name": str(entry["node_name"]),
                    "status": str(entry.get("status", "EXECUTED")),
                    "type": str(entry.get("node_type", "")),
                    "exec": str(entry.get("exec_type", "")),
                    "us": _us(entry.get("real_time"), place),
                }
            )
    return _profile(rows, len(requests), label, "OpenVINO profiling info")


def from_npu_text(text: str, label: str) -> OpProfile:
    """What ``NPU_PRINT_PROFILING=TEXT`` prints. The busy time of an engine is the sum of its tasks, as printed.

    Raises UserError where it has no ``Layer:`` lines.
    """
    ends: dict[str, float] = {}
    lines = [line for line in text.splitlines() if len(line) <= _LONGEST_LINE]
    for task in filter(None, map(_TEXT_TASK.search, lines)):
        name = task["name"].partition("?")[0]
        ends[name] = max(ends.get(name, 0.0), float(task["start"]) + float(task["us"]))
    ops = []
    for layer in filter(None, map(_TEXT_LAYER.search, lines)):
        busy = {engine: float(layer[engine]) for engine in ("dma", "dpu", "shave")}
        start = float(layer["start"])
        span = ends.get(layer["name"], start + sum(busy.values())) - start
        ops.append(OpTime(layer["name"], layer["type"], span, start, busy_us=busy))
    if not ops:
        raise UserError(f"{label}: is not an NPU profile: no 'Layer:' lines")
    real = _TEXT_REAL.search(text)
    return OpProfile(label, "NPU profile, text", tuple(ops), float(real[1]) if real else None)


def _profile(rows: Iterable[Row], inferences: int, label: str, kind: str, hint: str = "") -> OpProfile:
    """The mean over inferences of the layers that were executed, in their order."""
    total: dict[str, float] = {}
    first: dict[str, Row] = {}
    for row in rows:
        if row["status"].rpartition(".")[2] == "EXECUTED":
            first.setdefault(row["name"], row)
            total[row["name"]] = total.get(row["name"], 0.0) + row["us"]
    if not total:
        raise UserError(f"{label}: has no layer that was executed{hint}")
    ops = (
        OpTime(name, row["type"], total[name] / inferences, engine=row["exec"]) for name, row in first.items()
    )
    return OpProfile(label, kind, tuple(ops))


def _ms(value: Any, place: str) -> float:
    return 1000.0 * _number(value, place)


def _us(value: Any, place: str) -> float:
    match = _TIMEDELTA.fullmatch(value) if isinstance(value, str) else None
    if match:
        days, hours, minutes, seconds = (float(part or 0) for part in match.groups())
        return 1e6 * (((days * 24 + hours) * 60 + minutes) * 60 + seconds)
    return _number(value, place)


def _number(value: Any, place: str) -> float:
    try:
        if isinstance(value, bool):
            raise TypeError
        number = float(value)
    except (TypeError, ValueError, OverflowError):
        raise UserError(f"{place}: a time must be a number (got {value!r:.40})") from None
    if not 0 <= number < 1e15:
        raise UserError(f"{place}: a time must be at least 0 (got {value!r:.40})")
    return number
