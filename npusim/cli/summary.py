"""The terminal summary of one run."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from rich.console import Group
from rich.table import Table
from rich.text import Text

from npusim.analysis.metrics import OpRow
from npusim.api import Result
from npusim.cli.tables import Column, fitted, folded, width_of_output
from npusim.cli.terminal import console
from npusim.report.model_facts import (
    energy_facts,
    latency_facts,
    memory_text,
    model_text,
    slow_paths,
    under_hint,
)
from npusim.report.ops_table import folded_name
from npusim.report.subject import Subject
from npusim.report.units import bytes_text, time_text
from npusim.text import printable

TOP = 10
_ENGINES = (
    Column("engine"), Column("busy", "right"), Column("of latency", "right"), Column("use of servers", "right", 2),
    Column("tasks", "right", 3), Column("critical path", "right", 1),
)  # fmt: skip
_OPS = (
    Column("costliest ops"), Column("type", rank=1, most=16), Column("engine", rank=2), Column("of latency", "right"),
    Column("time", "right"), Column("bound by", rank=4), Column("cost is", rank=3),
)  # fmt: skip


def print_summary(result: Result, subject: Subject, folder: Path | None, wall_s: float) -> None:
    """Latency, what the engines did, the costliest ops, provenance and notes, on stdout."""
    width = width_of_output()
    screen = console(width=width)
    metrics, hw = result.metrics, result.hardware
    screen.print(Text.assemble((printable(subject.title), "bold"), " on ", (printable(hw.name), "bold")))
    facts = (
        f"platform {hw.platform}", f"{hw.tiles} tiles", f"DPU {hw.clocks.dpu_mhz:g} MHz", printable(hw.software.name),
        f"{result.timeline.engine} engine",
    )  # fmt: skip
    screen.print(Text(folded(facts, width)))
    screen.print()
    screen.print(_headline(result, subject, width))
    screen.print()
    about = _about(result, subject)
    for label, text in about:
        screen.print(Text(folded(text.split(" · "), width, f"{label:<10}")))
    if about:
        screen.print()
    screen.print(_engines(result, width))
    screen.print()
    screen.print(_costliest(result, width))
    screen.print()
    shares = [f"{share:.1%} {name}" for name, share in metrics.provenance_share.items() if share > 0]
    screen.print(Text("Costs of the latency are " + (", ".join(shares) or "none") + "."))
    if metrics.provenance_share.get("guess", 0) > 0:
        screen.print(
            Text("Part of this latency is a guess: ops.csv has each op's part as guess_us.", "yellow")
        )
    for note in result.program.notes:
        screen.print(Text(f"note: {printable(note)}", "yellow"), soft_wrap=True)
    if folder is not None:
        screen.print(
            Text.assemble("Report in ", (f"{folder}/", "bold"), f"  ({wall_s:.1f} s)"), soft_wrap=True
        )


def _headline(result: Result, subject: Subject, width: int) -> Group:
    """Figures under their names, in as many lines as a narrow terminal needs."""
    metrics = result.metrics
    facts = [
        *latency_facts(result, subject),
        *energy_facts(result, subject),
        ("DDR traffic", bytes_text(sum(metrics.ddr_bytes.values()))),
        ("tasks", f"{sum(metrics.tasks.values()):,}"),
    ]
    lines: list[list[tuple[str, str]]] = [[]]
    for fact in facts:
        if lines[-1] and sum(4 + max(map(len, one)) for one in (*lines[-1], fact)) > width + 4:
            lines.append([])
        lines[-1].append(fact)
    return Group(*map(_figures, lines))


def _figures(facts: Sequence[tuple[str, str]]) -> Table:
    grid = Table.grid(padding=(0, 4))
    grid.add_row(*(Text(label, "dim") for label, _ in facts))
    grid.add_row(*(Text(value, "bold") for _, value in facts))
    return grid


def _about(result: Result, subject: Subject) -> list[tuple[str, str]]:
    lines = [("hint", under_hint(subject.seen))] if subject.seen else []
    lines += [("model", model_text(subject.model))] if subject.model else []
    memory = memory_text(result, subject)
    lines += [("memory", memory)] if memory else []
    slow = ", ".join(f"{kind} {share:.0%}" for kind, share in slow_paths(result))
    return [*lines, *([("on SHAVE", f"{slow} of the latency")] if slow else [])]


def _engines(result: Result, width: int) -> Table:
    metrics, stats = result.metrics, result.metrics.statistics
    on_path = {"dma": ("start-up", "dma", "ddr"), "dpu": ("dpu",), "shave": ("shave",), "block": ("block",)}
    total = metrics.latency_us or 1.0
    rows: list[Sequence[str]] = []
    for engine, kinds in on_path.items():
        if engine not in metrics.tasks:
            continue
        busy = stats[f"{engine}_us"]
        exposed = sum(metrics.exposed_us.get(kind, 0.0) for kind in kinds)
        rows.append((
            engine.upper(), time_text(busy), f"{busy / total:.1%}", f"{metrics.utilisation[engine]:.1%}",
            f"{metrics.tasks[engine]:,}", f"{exposed / total:.1%}",
        ))  # fmt: skip
    overlaps = (("DMA ∩ DPU", "dma_dpu_overlap_us"), ("DMA ∩ SHAVE", "dma_shave_overlap_us"),
                ("SHAVE ∩ DPU", "shave_dpu_overlap_us"), ("idle", "idle_us"))  # fmt: skip
    rows += [
        (label, time_text(stats[key]), f"{stats[key] / total:.1%}", "", "", "") for label, key in overlaps
    ]
    return fitted(_ENGINES, rows, width)


def _costliest(result: Result, width: int) -> Table:
    total = result.metrics.latency_us or 1.0
    rows = []
    for name, alike in across_layers(result)[:TOP]:
        op = max(alike, key=lambda row: row.exposed_us)
        exposed = sum(row.exposed_us for row in alike)
        count = f" ×{len(alike)}" if len(alike) > 1 else ""
        rows.append((
            f"{name}{count}", op.type, op.engine.upper(), f"{exposed / total:.1%}", time_text(exposed), op.bound,
            op.provenance,
        ))  # fmt: skip
    return fitted(_OPS, rows, width)


def across_layers(result: Result) -> list[tuple[str, list[OpRow]]]:
    """Ops that cost latency, the costliest first; those that differ in the number of their layer stand together."""
    alike: dict[tuple[str, str, str], list[OpRow]] = {}
    for op, row in zip(result.program.ops, result.metrics.ops, strict=True):
        if row.exposed_us > 0:
            alike.setdefault((folded_name(op), row.type, row.engine), []).append(row)
    return sorted(
        ((name, rows) for (name, _, _), rows in alike.items()),
        key=lambda item: -sum(row.exposed_us for row in item[1]),
    )
