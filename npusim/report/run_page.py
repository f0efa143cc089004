"""report.html of one run."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from npusim.analysis.sensitivity import Sensitivity
from npusim.api import Result
from npusim.program.journal import Entry
from npusim.report.advice import advice_table
from npusim.report.blocks import Block, plot, tab
from npusim.report.decisions import decisions
from npusim.report.figures import lanes_figure, over_time_figure, roofline_figure
from npusim.report.graph_data import graph_block
from npusim.report.looks import ENGINE_NAMES, KINDS, TYPE_PALETTE
from npusim.report.model_facts import latency_facts
from npusim.report.ops_table import ops_block, ops_table
from npusim.report.opwork import op_work
from npusim.report.page import render
from npusim.report.run_summary import summary_tab
from npusim.report.sensitivity_page import sensitivity_blocks, sensitivity_table
from npusim.report.subject import Subject, imported
from npusim.report.timeline_data import timeline_data

_WAITS = (
    "A lane waits for an engine where the task at its head stands at a barrier that a task of that engine "
    "releases last."
)
_WAITS_INFERRED = (
    "What a lane waits for is inferred: the engine of the task that ended when its next one began."
)
_ROOFS = (
    "A dot is an op; its area grows with its share of the latency. Its time is that of its busiest engine kind. "
    "A SHAVE kernel counts one operation an output element. Click a dot to see the op's tasks in the timeline."
)
_OVER = (
    "Bandwidth and use are averages of 800 equal bins, CMX use their maxima. Use is the busy share of all servers "
    "of an engine kind. A tile's CMX use is an upper bound: a buffer counts as on the fullest of its tiles."
)


def run_page(
    result: Result, subject: Subject, what_if: Sequence[Sensitivity] = (), entries: Iterable[Entry] = ()
) -> str:
    """The page as HTML text; with ``what_if``, a tab of what would change the latency. ``entries`` are the journal of
    the lowering, which the timeline shows of the chosen op."""
    hw = result.hardware
    work = op_work(result.program)
    software = f"software {hw.software.name}" if not imported(result) else "hardware assumed"
    machine = f"{hw.name} · {hw.tiles} tiles at {hw.clocks.dpu_mhz:g} MHz"
    phase = f" · {subject.phase}" if subject.phase else ""
    roofs = plot("Ops under the roofs of the hardware", roofline_figure(result, work), _ROOFS)
    over = plot("Bandwidth, engines and scratchpad over the run", over_time_figure(result), _OVER)
    tabs = [
        tab("summary", "Summary", *summary_tab(result, subject, work)),
        tab("timeline", "Timeline", timeline_block(result, entries)),
        tab("time", "Where the time goes", *_where(result)),
        tab("roofline", "Roofline", roofs),
        tab("overtime", "Over time", over),
        tab("ops", "Ops", ops_block()),
    ]
    if subject.edges:
        tabs.insert(2, tab("graph", "Graph", graph_block(subject.edges)))
    tables = {"ops": ops_table(result, work)}
    if subject.advice:
        tables["advice"] = advice_table(subject)
    if what_if:
        tabs.insert(-1, tab("sensitivity", "What would change that", *sensitivity_blocks(what_if)))
        tables["sensitivity"] = sensitivity_table(what_if)
    (what, latency), *_ = latency_facts(result, subject)
    asked = latency if what == "latency" else f"{what} {latency}"
    subtitle = f"{asked} on {machine} · {software}"
    return render(f"{subject.title}{phase}", subtitle, {"tabs": tabs, "tables": tables})


def timeline_block(result: Result, entries: Iterable[Entry] = ()) -> Block:
    """The timeline of one run, with what lowering decided, if ``entries`` of its journal say so."""
    kept = tuple(entries)
    return {
        "kind": "timeline",
        "title": "Every task on its queue",
        "data": timeline_data(result, _types_by_time(result)),
        "decisions": decisions(result, kept) if kept else None,
    }


def _types_by_time(result: Result) -> list[str]:
    """Op types, those that keep engines busy longest first."""
    times: dict[str, float] = {}
    for row in result.metrics.ops:
        times[row.type] = times.get(row.type, 0.0) + row.dma_us + row.dpu_us + row.shave_us
    return sorted(times, key=lambda kind: (-times[kind], kind))


def _where(result: Result) -> list[Block]:
    waits = _WAITS_INFERRED if imported(result) else _WAITS
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
                "type": dict(zip(_types_by_time(result), TYPE_PALETTE, strict=False)),
                "engine": {name: f"var:{engine}" for engine, name in ENGINE_NAMES.items()},
                "bound": {kind: colour for kind, (_, colour) in KINDS.items()},
            },
            "parts": [
                *({"key": kind, "title": label, "colour": colour} for kind, (label, colour) in KINDS.items()),
                *(
                    {"key": f"{engine}_us", "title": name, "colour": f"var:{engine}"}
                    for engine, name in ENGINE_NAMES.items()
                ),
            ],
        },
        plot("What the lanes do, and why they stall", lanes_figure(result), waits),
    ]  # fmt: skip
