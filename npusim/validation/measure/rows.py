"""Measured figures to fit to: published ones, and users' own from `npusim measure` or from benchmark_app."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast, get_args

from npusim import workloads
from npusim.errors import UserError
from npusim.files import parse_json, read_records, read_table, read_text
from npusim.graph.ir import Graph
from npusim.hardware import files_of
from npusim.hardware.schema import ClientName
from npusim.hints import DEFAULT_CLIENT, HintName
from npusim.source import ModelSource
from npusim.validation.measure.file import model_source, parse_measurement
from npusim.validation.silicon.measurements import Measurement, Precision

_METRICS: Mapping[str, HintName] = {"latency": "latency", "throughput": "throughput"}
#: What ``--against`` calls the published rows.
SILICON = "silicon"
#: Sections of benchmark_report.csv, and what benchmark_report.json calls them.
_SECTIONS = {
    "Command line parameters": "cmd_options",
    "Configuration setup": "configuration_setup",
    "Execution results": "execution_results",
}
#: Digits of the largest number of tokens, or dimension, that there may be.
_MOST_DIGITS = 10
_SHAPE = re.compile(r"([^\[\],]*)\[([\d,\s]+)\]")


@dataclass(frozen=True, slots=True)
class Measured:
    """What one file says: a model, the device it ran on, and µs by hint (wall time of an inference, or time between
    results). ``platform`` is the NPU's, ``machine`` the processor's name, empty where the file does not tell;
    ``client`` asked."""

    label: str
    source: ModelSource
    device: str
    platform: str
    us: Mapping[HintName, float]
    openvino: str = ""
    machine: str = ""
    client: ClientName = DEFAULT_CLIENT

    @property
    def model(self) -> str:
        """The model's name without its folder."""
        return self.source.workload if self.source.file is None else self.source.file.stem


def read_measured(path: Path) -> list[Measured]:
    """The figures in a file of ``npusim measure``, in a benchmark_report.json or .csv of benchmark_app, or in a table.

    A table is CSV with the columns ``model`` (a file, relative to the table, or a workload), ``metric`` (latency or
    throughput) and ``measured_us``; ``tokens`` and ``batch`` (of a workload), ``platform``, ``device`` (the processor,
    as ``256V``), ``openvino`` and ``client`` may be there, too. Raises UserError, in one line, where it is none of
    these, or names no model.
    """
    text = read_text(path)
    if text.startswith(tuple(_SECTIONS)):
        return [_benchmark(_csv_sections(text, str(path)), path)]
    if path.suffix == ".csv":
        return list(_table(text, path))
    if text.lstrip().startswith("{"):
        document = parse_json(text, str(path), "a measurement")
        if "execution_results" in document:
            return [_benchmark(document, path)]
    found = parse_measurement(text, str(path))
    architecture = found.device.architecture
    measured = Measured(
        str(path),
        model_source(found, path.parent),
        found.device.name,
        architecture if found.device.name.startswith("NPU") else "",
        {run.hint: run.measured_us for run in found.runs},
        found.device.openvino,
        found.machine.processor,
    )
    return [measured]


def _table(text: str, path: Path) -> Iterator[Measured]:
    rows, columns = read_records(text, str(path))
    for column in ("model", "metric", "measured_us"):
        if column not in columns:
            raise UserError(f"{path}: no column '{column}': not a table of measurements")
    for line, row in rows:
        place = f"{path}: line {line}"
        if row["metric"] not in _METRICS:
            raise UserError(f"{place}: metric must be latency or throughput (got {row['metric']!r:.40})")
        us = _number(row, "measured_us", place)
        tokens, batch = (_whole(row, name, place) for name in ("tokens", "batch"))
        client = row.get("client") or DEFAULT_CLIENT
        if client not in get_args(ClientName):
            raise UserError(
                f"{place}: client must be one of {', '.join(get_args(ClientName))} (got {client!r:.40})"
            )
        built_in = row["model"] in workloads.names()
        source = (
            ModelSource(row["model"], tokens=tokens, batch=batch or 1)
            if built_in
            else ModelSource(file=path.parent / row["model"])
        )
        told = (row.get("openvino") or "", row.get("device") or "", cast("ClientName", client))
        yield Measured(place, source, "NPU", row.get("platform") or "", {_METRICS[row["metric"]]: us}, *told)


def _whole(row: Mapping[str, str], name: str, place: str) -> int | None:
    """A whole number above 0; None where the cell is empty."""
    text = row.get(name) or ""
    if text and not (text.isdecimal() and len(text) <= _MOST_DIGITS):
        raise UserError(f"{place}: {name} must be a whole number (got {text!r:.40})")
    return int(text or 0) or None


def measured_rows(path: Path, platform: str | None = None) -> list[Measurement]:
    """The figures in a file as rows to be scored, each by its error; ``platform`` is that of files that tell none.

    Raises UserError as `read_measured` does, and where nobody says the platform.
    """
    rows = []
    for found in read_measured(path):
        where = found.platform or platform
        if not where:
            raise UserError(
                f"{found.label}: does not say which NPU it was measured on; give --platform, one of "
                f"{', '.join(sorted(files_of('silicon')))}"
            )
        precision = _precision(found.source.graph())
        for hint, us in found.us.items():
            row = Measurement(
                model=found.model,
                workload="",
                tokens=found.source.tokens,
                shape="",
                platform=where,
                device=found.machine or found.device,
                precision=precision,
                metric=hint,
                measured_us=us,
                grade="",
                use="score",
                openvino=found.openvino,
                shows="",
                source=found.label,
                given=found.source,
                client=found.client,
            )
            rows.append(row)
    return rows


def _precision(graph: Graph) -> Precision:
    """The narrowest type that the model is quantised to (FakeQuantize, FakeConvert) or has constants of."""
    types = {op.type for op in graph.ops}
    stored = {one.stored_dtype for one in graph.tensors if one.constant}
    if stored & {"i4", "u4", "nf4"}:
        return "INT4"
    if "FakeConvert" in types or stored & {"f8e4m3", "f8e5m2"}:
        return "FP8"
    return "INT8" if "FakeQuantize" in types or stored & {"i8", "u8"} else "FP16"


def _csv_sections(text: str, label: str) -> dict[str, dict[str, str]]:
    sections: dict[str, dict[str, str]] = {}
    for _, cells in read_table(text, label, delimiter=";"):
        if len(cells) == 1 and cells[0] in _SECTIONS:
            sections[_SECTIONS[cells[0]]] = {}
        elif len(cells) > 1 and sections:
            sections[list(sections)[-1]][cells[0]] = cells[1]
    return sections


def _benchmark(document: Mapping[str, Any], path: Path) -> Measured:
    """A report of benchmark_app: its latency is that of an inference where one ran at a time; with several in flight it
    says how long results are apart (openvino tools/benchmark/main.py)."""
    options, setup, results = (_section(document, name, path) for name in _SECTIONS.values())
    model = options.get("-m", options.get("--path_to_model", options.get("-path_to_model")))
    if not model:
        raise UserError(f"{path}: names no model (-m)")
    file = Path(str(model))
    if not file.is_absolute() and (path.parent / file).exists():
        file = path.parent / file
    device = str(setup.get("target device", options.get("-d", "")))
    in_flight = _number(setup, "number of parallel infer requests", path)
    if in_flight == 1:
        us: dict[HintName, float] = {"latency": 1e3 * _number(results, "latency (ms)", path)}
    else:
        us = {"throughput": 1e6 / _number(results, "throughput", path)}
    shapes = _shapes(str(options.get("-shape", options.get("--shape", ""))), path)
    return Measured(str(path), ModelSource(file=file, shapes=shapes), device, "", us)


def _section(document: Mapping[str, Any], name: str, path: Path) -> Mapping[str, Any]:
    section = document.get(name)
    if not isinstance(section, dict):
        raise UserError(f"{path}: is not a report of benchmark_app: no '{name}'")
    return section


def _number(section: Mapping[str, Any], key: str, place: Path | str) -> float:
    try:
        number = float(section[key] or 0)
    except (KeyError, TypeError, ValueError, OverflowError):
        number = 0.0
    if not 0 < number < 1e15:
        raise UserError(f"{place}: '{key}' must be a number above 0 (got {section.get(key)!r:.40})")
    return number


def _shapes(text: str, path: Path) -> dict[str, list[int]]:
    """``input1[1,3,224,224],input2[1,4]``."""
    given = {name.strip(): [dim.strip() for dim in dims.split(",")] for name, dims in _SHAPE.findall(text)}
    if not all(dim.isdecimal() and len(dim) <= _MOST_DIGITS for dims in given.values() for dim in dims):
        raise UserError(f"{path}: -shape {text}: must have the form input[1,3,224,224]")
    shapes = {name: [int(dim) for dim in dims] for name, dims in given.items()}
    if "" in shapes:
        raise UserError(f"{path}: -shape {text} does not name its input")
    return shapes
