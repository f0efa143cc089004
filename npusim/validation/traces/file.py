"""Reading a schedule in the vendor's dialect of Chrome's trace format, plain or gzipped.

Processes are ``DMA`` (a lane a FIFO), ``Cluster (i)`` (DPU, ``DPU Variants`` and Shave lanes) and ``Layers`` (an event
a model op). The category of an event says which engine it is of. Times are µs.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, TypeGuard

from pydantic import ValidationError

from npusim.errors import UserError
from npusim.files import parse_json, unpacked
from npusim.files.reading import text_of
from npusim.hardware.schema import Hardware

#: Engine of a task, by the category of its event (profiles of 2023 and 2024 say SW for Shave).
ENGINE_OF = {"DMA": "dma", "DPU": "dpu", "Shave": "shave", "SW": "shave"}
#: Statistics of a Timeline by the keys of a trace's ``taskStatistics``.
STATISTIC_KEYS = {
    "total_us": "total duration",
    "dma_us": "DMA duration",
    "dpu_us": "DPU duration",
    "shave_us": "SW duration",
    "dma_dpu_overlap_us": "DMA-DPU overlap",
    "dma_shave_overlap_us": "DMA-SW overlap",
    "shave_dpu_overlap_us": "SW-DPU overlap",
    "idle_us": "total idle",
    "sum_dma_us": "Sum of DMA task durations",
    "sum_dpu_us": "Sum of DPU task durations",
    "sum_shave_us": "Sum of SW task durations",
}
_VARIANT_BOX, _VARIANT_LANE = "outStart", "Variants"
_LONGEST_US = 1e15
#: A quote within a string, which Intel's tools write as it is: neither what is before it nor what follows ends a value.
_BARE_QUOTE = re.compile(r'(?<![{\[,:\s\\])"(?!\s*[,:}\]])')
#: Processes and threads are numbered by 32 bits.
_MOST_NUMBER = (1 << 31) - 1


@dataclass(frozen=True, slots=True)
class Event:
    """One task or layer: its lane is (``pid``, ``tid``); times are µs from the first task on."""

    name: str
    category: str
    start_us: float
    duration_us: float
    pid: int
    tid: int
    args: Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class TraceFile:
    """A trace that has been read: tasks in the order of the file (without the variants of DPU tasks).

    ``name`` is the workload's where npusim wrote the trace, else that of the file. ``processes`` and ``threads`` are
    the names of process numbers and of (process, thread) numbers. ``statistics`` has what the trace says of itself,
    under our names; ``dpu_mhz`` is None where it names no clock; ``simulated`` where it says that a compiler estimated
    it; ``hardware`` is what npusim writes into its own traces. ``left_out`` counts tasks of engines that npusim does
    not know.
    """

    name: str
    tasks: tuple[Event, ...]
    layers: tuple[Event, ...]
    processes: Mapping[int, str]
    threads: Mapping[tuple[int, int], str]
    statistics: Mapping[str, float]
    dpu_mhz: float | None
    simulated: bool
    left_out: Mapping[str, int]
    hardware: Hardware | None = None


def read_trace(data: bytes, label: str) -> TraceFile:
    """The trace in the bytes of a .json or .json.gz file; ``label`` is what messages call it.

    Raises UserError, in one line, for anything that is not such a trace.
    """
    document = _json(data, label)
    events = document.get("traceEvents") if isinstance(document, dict) else document
    if not isinstance(events, list):
        raise UserError(f"{label}: is not a trace: no list 'traceEvents'")
    processes: dict[int, str] = {}
    threads: dict[tuple[int, int], str] = {}
    tasks: list[Event] = []
    layers: list[Event] = []
    left_out: dict[str, int] = {}
    for number, event in enumerate(events):
        if not isinstance(event, dict):
            raise UserError(f"{label}: event {number}: is not an object")
        phase, category = event.get("ph"), str(event.get("cat"))
        if phase == "M":
            _name(event, processes, threads, f"{label}: event {number}")
        elif phase == "X" and category == "Layer":
            layers.append(_event(event, f"{label}: event {number}"))
        elif phase == "X" and category in ENGINE_OF:
            found = _event(event, f"{label}: event {number}")
            if _VARIANT_BOX not in found.args:
                tasks.append(found)
        elif phase == "X":
            left_out[category] = left_out.get(category, 0) + 1
    tasks = [task for task in tasks if _VARIANT_LANE not in threads.get((task.pid, task.tid), "")]
    if not tasks:
        raise UserError(f"{label}: has no DMA, DPU or Shave tasks: not a schedule of an NPU")
    about = document if isinstance(document, dict) else {}
    workload = _section(about, "otherData").get("workload")
    clock = _section(about, "workpoint")
    mhz = clock.get("freq")
    first_us = min(task.start_us for task in tasks)
    return TraceFile(
        name=workload if isinstance(workload, str) and workload else label,
        tasks=_from(first_us, tasks),
        layers=_from(first_us, layers),
        processes=processes,
        threads=threads,
        statistics=_statistics(_section(about, "taskStatistics")),
        dpu_mhz=float(mhz) if _is_time(mhz) and mhz > 0 else None,
        simulated=clock.get("status") == "SIM",
        left_out=left_out,
        hardware=_hardware(about, label),
    )


def _hardware(document: Mapping[str, Any], label: str) -> Hardware | None:
    given = document.get("hardware")
    try:
        return None if given is None else Hardware.model_validate(given)
    except ValidationError as error:
        first = error.errors(include_url=False)[0]
        where = ".".join(map(str, first["loc"]))
        raise UserError(f"{label}: hardware.{where}: {first['msg']}; --hw chooses another") from None


def _json(data: bytes, label: str) -> Any:
    text = text_of(unpacked(data, label), label)
    try:
        return parse_json(text, label, "a trace")
    except UserError:
        mended = _BARE_QUOTE.sub(r"\"", text)
        if mended == text:
            raise
        return parse_json(mended, label, "a trace")


def _name(
    event: Mapping[str, Any], processes: dict[int, str], threads: dict[tuple[int, int], str], place: str
) -> None:
    """Note what a metadata event names."""
    name = _section(event, "args").get("name")
    if event.get("name") == "process_name":
        processes[_number(event, "pid", place)] = str(name)
    elif event.get("name") == "thread_name":
        threads[_number(event, "pid", place), _number(event, "tid", place)] = str(name)


def _event(event: Mapping[str, Any], place: str) -> Event:
    start, duration = event.get("ts"), event.get("dur")
    if not _is_time(start):
        raise UserError(f"{place}: 'ts' must be a time in µs (got {start!r:.40})")
    if not _is_time(duration) or duration < 0:
        raise UserError(f"{place}: 'dur' must be a time of at least 0 µs (got {duration!r:.40})")
    return Event(
        name=str(event.get("name", "")),
        category=str(event["cat"]),
        start_us=float(start),
        duration_us=float(duration),
        pid=_number(event, "pid", place),
        tid=_number(event, "tid", place),
        args=_section(event, "args"),
    )


def _number(event: Mapping[str, Any], key: str, place: str) -> int:
    value = event.get(key)
    if type(value) is not int or not 0 <= value <= _MOST_NUMBER:
        raise UserError(f"{place}: '{key}' must be a whole number of 31 bits (got {value!r:.40})")
    return value


def _is_time(value: Any) -> TypeGuard[float]:
    return (
        isinstance(value, int | float) and not isinstance(value, bool) and -_LONGEST_US < value < _LONGEST_US
    )


def _section(document: Mapping[str, Any], key: str) -> Mapping[str, Any]:
    section = document.get(key)
    return section if isinstance(section, dict) else {}


def _statistics(given: Mapping[str, Any]) -> dict[str, float]:
    return {ours: float(given[key]) for ours, key in STATISTIC_KEYS.items() if _is_time(given.get(key))}


def _from(first_us: float, events: Sequence[Event]) -> tuple[Event, ...]:
    """The events with ``first_us`` as time 0."""
    if not first_us:
        return tuple(events)
    return tuple(replace(event, start_us=event.start_us - first_us) for event in events)
