"""report.html of one run."""

from __future__ import annotations

import platform
from collections.abc import Sequence
from importlib.metadata import version
from typing import Any

import numpy as np

from npusim import __version__
from npusim.api import Result
from npusim.costs.work import DpuWork
from npusim.report.figures import PALETTE, ddr_peak_gbps, lanes_figure, over_time_figure, roofline_figure
from npusim.report.opwork import OpWork, op_work
from npusim.report.page import printable, render
from npusim.report.queues import engine_partition
from npusim.report.subject import Subject
from npusim.report.timeline_data import timeline_data
from npusim.report.units import bytes_text, energy_text, time_text

_KINDS = {
    "shave": ("SHAVE", "var:shave"), "dpu": ("DPU", "var:dpu"), "dma": ("DMA moving bytes", "var:dma"),
    "start-up": ("DMA starting up", "var:startup"), "ddr": ("DMA slowed by shared DDR", "#d55e00"),
    "barrier/dependency": ("waiting", "var:idle"),
}  # fmt: skip
_PROVENANCE = {"measured": "#009e73", "fitted": "#0072b2", "roofline": "#e69f00", "guess": "#d55e00"}
_PLURAL = {"measured": "measured", "fitted": "fitted", "roofline": "rooflines", "guess": "guesses"}
_ENGINE_NAMES = {"dma": "DMA", "dpu": "DPU", "shave": "SHAVE"}


def run_page(result: Result, subject: Subject) -> str:
    """The page as HTML text."""
    hw, metrics = result.hardware, result.metrics
    work = op_work(result.program)
    cycles_text = f"{hw.tiles} tiles at {hw.clocks.dpu_mhz:g} MHz"
    subtitle = f"{time_text(metrics.latency_us)} on {hw.name} · {cycles_text} · software {hw.software.name}"
    phase = f" · {subject.phase}" if subject.phase else ""
    tabs = [
        {"id": "summary", "title": "Summary", "blocks": _summary(result, subject, work)},
        {"id": "timeline", "title": "Timeline", "blocks": [_timeline(result)]},
        {"id": "time", "title": "Where the time goes", "blocks": _where(result)},
        {"id": "roofline", "title": "Roofline", "blocks": [_roofline(result, work)]},
        {"id": "overtime", "title": "Over time", "blocks": [_over_time(result)]},
        {"id": "ops", "title": "Ops", "blocks": [_ops_block()]},
    ]
    page = {"tabs": tabs, "tables": {"ops": _ops_table(result, work)}}
    return render(f"{subject.workload}{phase}", subtitle, page)


def _summary(result: Result, subject: Subject, work: OpWork) -> list[dict[str, Any]]:
    return [
        {"kind": "cards", "items": _cards(result, subject, work)},
        {
            "kind": "split", "width": "half", "title": "What the latency goes to", "label": "Critical path by kind",
            "lead": "The critical path: the chain of tasks in which each starts the moment the one before it ends.",
            "parts": [
                {"label": label, "value": us, "text": time_text(us), "colours": [colour]}
                for us, label, colour in sorted(
                    ((result.metrics.exposed_us.get(kind, 0.0), *look) for kind, look in _KINDS.items()), reverse=True
                )
            ],
        },
        {
            "kind": "split", "width": "half", "title": "Which engines are busy at once",
            "label": "Latency by busy engines",
            "lead": "Every moment of the latency, by the set of engine kinds that run anything at it.",
            "parts": [
                {
                    "label": " + ".join(_ENGINE_NAMES[engine] for engine in engines) or "idle",
                    "value": us, "text": time_text(us),
                    "colours": [f"var:{engine}" for engine in engines] or ["var:idle"],
                }
                for engines, us in engine_partition(result).items()
            ],
        },
        {
            "kind": "split", "width": "half", "title": "How far the costs can be trusted",
            "label": "Latency by provenance",
            "lead": "The critical path by where the cost of its tasks comes from.",
            "parts": [
                {
                    "label": name, "value": share, "text": time_text(share * result.latency_us),
                    "colours": [_PROVENANCE[name]],
                }
                for name, share in result.metrics.provenance_share.items()
            ],
        },
        *_command(subject),
        {"kind": "facts", "width": "half", "title": "Hardware", "items": _hardware_facts(result, subject)},
        {"kind": "facts", "width": "half", "title": "Run", "items": _run_facts(result, subject, work)},
        *_notes(result),
    ]  # fmt: skip


def _cards(result: Result, subject: Subject, work: OpWork) -> list[dict[str, Any]]:
    hw, metrics = result.hardware, result.metrics
    latency = metrics.latency_us or 1.0
    cards = [
        _card("Latency", time_text(metrics.latency_us), f"{sum(metrics.tasks.values()):,} tasks", tone="main")
    ]
    rate = subject.tokens_per_s(metrics.latency_us)
    if rate is not None:
        value = f"{rate:,.0f}" if rate >= 100 else f"{rate:.1f}"
        cards.append(
            _card(
                "Throughput",
                f"{value} tokens/s",
                f"{subject.tokens:,} tokens an inference"
                if subject.tokens != 1
                else "one token an inference",
            )
        )
    exposed = metrics.exposed_us
    groups = {"SHAVE": ("shave",), "DPU": ("dpu",), "DMA": ("start-up", "dma", "ddr")}
    shares = {name: sum(exposed.get(kind, 0.0) for kind in kinds) / latency for name, kinds in groups.items()}
    binding = max(shares, key=lambda name: shares[name])
    cards.append(_card("Bound by", binding, f"{shares[binding]:.0%} of the critical path"))
    mac_us = _mac_roof_us(result)
    cards.append(
        _card(
            "MAC use",
            f"{mac_us / latency * 100:.1f} %",
            f"{work.macs.sum() / 1e9:,.2f} GMAC, padding included",
        )
    )
    traffic = metrics.ddr_bytes["read"] + metrics.ddr_bytes["write"]
    gbps = traffic / latency / 1000
    peak = ddr_peak_gbps(result)
    cards.append(
        _card("DDR use", f"{gbps / peak * 100:.1f} %", f"{gbps:.1f} of {peak:g} GB/s, {bytes_text(traffic)}")
    )
    watts = metrics.energy_uj / latency
    cards.append(
        _card(
            "Energy",
            energy_text(metrics.energy_uj),
            f"{watts:.2f} W; by constants that are {_PLURAL[hw.energy.provenance]}",
        )
    )
    guessed = metrics.provenance_share.get("guess", 0.0)
    if guessed > 0:
        cards.append(
            _card("Guessed", f"{guessed * 100:.1f} %", "of the latency; see the Ops tab", tone="warn")
        )
    return cards


def _card(label: str, text: str, hint: str, tone: str = "") -> dict[str, Any]:
    value, _, unit = text.partition(" ")
    return {"label": label, "value": value, "unit": unit, "hint": hint, "tone": tone}


def _mac_roof_us(result: Result) -> float:
    """How long all MACs would take at the peak rate of their type on all tiles."""
    hw = result.hardware
    peak = hw.dpu.macs_per_cycle
    cycles = 0.0
    for task in result.program.tasks:
        if isinstance(task.work, DpuWork) and task.work.kind in ("conv", "dwconv"):
            cycles += task.work.macs / (peak.int8 if task.work.in_bits <= 8 else peak.fp16)
    return cycles / (hw.tiles * hw.clocks.dpu_mhz)


def _command(subject: Subject) -> list[dict[str, Any]]:
    if not subject.command:
        return []
    return [
        {"kind": "command", "width": "half", "title": "The same again", "text": printable(subject.command)}
    ]


def _notes(result: Result) -> list[dict[str, Any]]:
    notes = [printable(note) for note in result.program.notes]
    return [{"kind": "notes", "title": "Notes", "items": notes}] if notes else []


def _hardware_facts(result: Result, subject: Subject) -> list[tuple[str, str]]:
    hw = result.hardware
    share = "shared by all transfers" if hw.ddr.contention else "for every engine alone"
    return [
        ("File", printable(subject.hardware_file) or "-"),
        *([("Changed", printable(", ".join(subject.overrides)))] if subject.overrides else []),
        ("Platform", hw.platform),
        (
            "Tiles",
            f"{hw.tiles}, each 1 DPU, {hw.shave.per_tile} SHAVEs, {hw.cmx.kib_per_tile:,.0f} KiB of CMX",
        ),
        ("Clocks", f"DPU {hw.clocks.dpu_mhz:g} MHz; SHAVE, CMX, DMA {hw.clocks.vpu_mhz:g} MHz"),
        (
            "MACs a cycle",
            f"{hw.dpu.macs_per_cycle.int8:,.0f} INT8, {hw.dpu.macs_per_cycle.fp16:,.0f} FP16, a tile",
        ),
        ("DMA", f"{hw.dma.engines} engines, {hw.dma.bytes_per_cycle:g} B a cycle each"),
        ("DDR", f"{hw.ddr.bandwidth_gbps:g} GB/s {share}, {hw.ddr.latency_ns:g} ns"),
        ("Software", hw.software.name),
    ]


def _run_facts(result: Result, subject: Subject, work: OpWork) -> list[tuple[str, str]]:
    metrics = result.metrics
    tasks = ", ".join(f"{count:,} {_ENGINE_NAMES[engine]}" for engine, count in metrics.tasks.items())
    return [
        ("Workload", printable(subject.workload)),
        ("Ops", f"{len(result.program.ops):,} after fusion"),
        ("Tasks", tasks),
        (
            "DDR read, written",
            f"{bytes_text(metrics.ddr_bytes['read'])}, {bytes_text(metrics.ddr_bytes['write'])}",
        ),
        ("Transfers stretched", f"{time_text(metrics.contended_us)} in all, by sharing DDR"),
        ("Engine", result.timeline.engine),
        (
            "Versions",
            f"npusim {__version__}, OpenVINO {version('openvino')}, Python {platform.python_version()}",
        ),
    ]


def _timeline(result: Result) -> dict[str, Any]:
    return {
        "kind": "timeline",
        "title": "Every task on its queue",
        "data": timeline_data(result, _types_by_time(result)),
    }


def _types_by_time(result: Result) -> list[str]:
    """Op types, those that keep engines busy longest first."""
    times: dict[str, float] = {}
    for row in result.metrics.ops:
        times[row.type] = times.get(row.type, 0.0) + row.dma_us + row.dpu_us + row.shave_us
    return sorted(times, key=lambda kind: (-times[kind], kind))


def _where(result: Result) -> list[dict[str, Any]]:
    return [
        {
            "kind": "breakdown", "title": "Time by op, type, layer and engine", "table": "ops",
            "lead": "Latency counts an op's time on the critical path, so that all ops together make the latency. Busy "
            "time counts how long each engine kind works for an op, overlapped or not.",
            "groups": [
                ["type", "op type"], ["layer", "layer"], ["engine", "engine"], ["bound", "what binds"], ["name", "op"],
            ],
            "measures": [
                {"key": "exposed", "title": "Latency", "columns": ["exposed_us"], "split": "bound"},
                {"key": "busy", "title": "Busy time", "columns": ["dma_us", "dpu_us", "shave_us"]},
            ],
            "colours": {
                "type": dict(zip(_types_by_time(result), PALETTE, strict=False)),
                "engine": {name: f"var:{engine}" for engine, name in _ENGINE_NAMES.items()},
                "bound": {kind: colour for kind, (_, colour) in _KINDS.items()},
            },
            "parts": [
                *({"key": kind, "title": label, "colour": colour} for kind, (label, colour) in _KINDS.items()),
                *(
                    {"key": f"{engine}_us", "title": name, "colour": f"var:{engine}"}
                    for engine, name in _ENGINE_NAMES.items()
                ),
            ],
        },
        {
            "kind": "plot", "title": "What the lanes do, and why they stall", **lanes_figure(result),
            "lead": "A lane waits for an engine where the task at its head stands at a barrier that a task of that "
            "engine releases last.",
        },
    ]  # fmt: skip


def _roofline(result: Result, work: OpWork) -> dict[str, Any]:
    return {
        "kind": "plot", "title": "Ops under the roofs of the hardware", **roofline_figure(result, work),
        "lead": "A dot is an op; its area grows with its share of the latency. Its time is that of its busiest engine "
        "kind. A SHAVE kernel counts one operation an output element.",
    }  # fmt: skip


def _over_time(result: Result) -> dict[str, Any]:
    return {
        "kind": "plot", "title": "Bandwidth, engines and scratchpad over the run", **over_time_figure(result),
        "lead": "Bandwidth and use are averages of 800 equal bins, CMX use their maxima. Use is the busy share of all "
        "servers of an engine kind.",
    }  # fmt: skip


def _ops_block() -> dict[str, Any]:
    lead = "Click a name to see its tasks in the timeline. Times are the union of the op's tasks on an engine kind."
    return {
        "kind": "table",
        "title": "All ops",
        "lead": lead,
        "table": "ops",
        "file": "ops.csv",
        "link": "timeline",
        "choose": "type",
    }


def _ops_table(result: Result, work: OpWork) -> dict[str, Any]:
    ops, rows = result.program.ops, result.metrics.ops
    total = result.latency_us or 1.0

    def text(key: str, title: str, values: Sequence[str]) -> dict[str, Any]:
        return {"key": key, "title": title, "kind": "text", "values": [printable(value) for value in values]}

    def number(key: str, title: str, unit: str, values: Sequence[float], digits: int) -> dict[str, Any]:
        rounded = np.round(np.asarray(values, float), digits + 1)
        shown = rounded.astype(np.int64) if digits == 0 else rounded
        return {
            "key": key, "title": title, "unit": unit, "kind": "number", "digits": digits, "blankZero": True,
            "values": shown.tolist(),
        }  # fmt: skip

    columns = [
        text("name", "Op", [op.name for op in ops]),
        text("type", "Type", [op.type for op in ops]),
        text("layer", "Layer", [op.layer for op in ops]),
        text("engine", "Engine", [_ENGINE_NAMES[row.engine] for row in rows]),
        number("exposed_us", "Latency", "µs", [row.exposed_us for row in rows], 2),
        number("share", "Share", "%", [row.exposed_us / total * 100 for row in rows], 2),
        text("bound", "Bound by", [row.bound for row in rows]),
        number("dpu_us", "DPU", "µs", [row.dpu_us for row in rows], 2),
        number("shave_us", "SHAVE", "µs", [row.shave_us for row in rows], 2),
        number("dma_us", "DMA", "µs", [row.dma_us for row in rows], 2),
        number("start_us", "Start", "µs", [row.start_us for row in rows], 2),
        number("end_us", "End", "µs", [row.end_us for row in rows], 2),
        number("tasks", "Tasks", "", work.tasks.tolist(), 0),
        number("mmac", "MACs", "M", (work.macs / 1e6).tolist(), 2),
        number("read", "DDR read", "KiB", (work.ddr_read_bytes / 1024).tolist(), 1),
        number("write", "DDR written", "KiB", (work.ddr_write_bytes / 1024).tolist(), 1),
        text("provenance", "Cost is", [row.provenance for row in rows]),
        text("shape", "Output", ["×".join(map(str, op.shape)) for op in ops]),
        text("strategy", "Split", [op.strategy for op in ops]),
    ]
    return {"columns": columns, "sort": "exposed_us"}
