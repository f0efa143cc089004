"""The terminal summary of one run."""

from __future__ import annotations

import re
import shutil
import sys
from pathlib import Path

from rich.table import Table
from rich.text import Text

from npusim.analysis.metrics import OpRow
from npusim.api import Result
from npusim.cli.terminal import console
from npusim.report.subject import Subject
from npusim.report.units import bytes_text, energy_text, time_text
from npusim.text import printable

TOP = 10
_MINIMUM_WIDTH = 100
_NUMBER = re.compile(r"\d+")


def print_summary(result: Result, subject: Subject, folder: Path | None, wall_s: float) -> None:
    """Latency, what the engines did, the costliest ops, provenance and notes, on stdout."""
    columns = shutil.get_terminal_size((_MINIMUM_WIDTH, 25)).columns
    width = columns if sys.stdout.isatty() else max(columns, _MINIMUM_WIDTH)
    screen = console(width=width)
    metrics, hw = result.metrics, result.hardware
    screen.print(Text.assemble((printable(subject.workload), "bold"), " on ", (printable(hw.name), "bold")))
    facts = (
        f"platform {hw.platform}", f"{hw.tiles} tiles", f"DPU {hw.clocks.dpu_mhz:g} MHz", printable(hw.software.name),
        f"{result.timeline.engine} engine",
    )  # fmt: skip
    screen.print(" · ".join(facts), soft_wrap=True)
    screen.print()
    screen.print(_headline(result, subject))
    screen.print()
    screen.print(_engines(result))
    screen.print()
    screen.print(_costliest(result))
    screen.print()
    shares = [f"{share:.1%} {name}" for name, share in metrics.provenance_share.items() if share > 0]
    screen.print("Costs of the latency are " + (", ".join(shares) or "none") + ".")
    if metrics.provenance_share.get("guess", 0) > 0:
        screen.print(Text("Part of this latency is a guess; see the provenance column of ops.csv.", "yellow"))
    for note in result.program.notes:
        screen.print(Text(f"note: {printable(note)}", "yellow"), soft_wrap=True)
    if folder is not None:
        screen.print(
            Text.assemble("Report in ", (f"{folder}/", "bold"), f"  ({wall_s:.1f} s)"), soft_wrap=True
        )


def _headline(result: Result, subject: Subject) -> Table:
    metrics = result.metrics
    grid = Table.grid(padding=(0, 4))
    facts = [("latency", time_text(metrics.latency_us))]
    rate = subject.tokens_per_s(metrics.latency_us)
    if rate is not None:
        facts.append(("tokens/s", f"{rate:,.0f}" if rate >= 100 else f"{rate:.1f}"))
    traffic = metrics.ddr_bytes["read"] + metrics.ddr_bytes["write"]
    facts += [
        ("energy", energy_text(metrics.energy_uj)),
        ("DDR traffic", bytes_text(traffic)),
        ("tasks", f"{sum(metrics.tasks.values()):,}"),
    ]
    grid.add_row(*(Text(label, "dim") for label, _ in facts))
    grid.add_row(*(Text(value, "bold") for _, value in facts))
    return grid


def _engines(result: Result) -> Table:
    metrics, stats = result.metrics, result.metrics.statistics
    table = _table(("engine", "left"), ("busy", "right"), ("of latency", "right"), ("use of servers", "right"),
                   ("tasks", "right"), ("on the critical path", "right"))  # fmt: skip
    on_path = {"dma": ("start-up", "dma", "ddr"), "dpu": ("dpu",), "shave": ("shave",)}
    total = metrics.latency_us or 1.0
    for engine, kinds in on_path.items():
        busy = stats[f"{engine}_us"]
        exposed = sum(metrics.exposed_us.get(kind, 0.0) for kind in kinds)
        table.add_row(
            engine.upper(), time_text(busy), f"{busy / total:.1%}", f"{metrics.utilisation[engine]:.1%}",
            f"{metrics.tasks[engine]:,}", f"{exposed / total:.1%}",
        )  # fmt: skip
    overlaps = (("DMA ∩ DPU", "dma_dpu_overlap_us"), ("DMA ∩ SHAVE", "dma_shave_overlap_us"),
                ("SHAVE ∩ DPU", "shave_dpu_overlap_us"), ("idle", "idle_us"))  # fmt: skip
    for label, key in overlaps:
        table.add_row(Text(label, "dim"), time_text(stats[key]), f"{stats[key] / total:.1%}", "", "", "")
    return table


def _costliest(result: Result) -> Table:
    table = _table(("costliest ops", "left"), ("type", "left"), ("engine", "left"), ("of latency", "right"),
                   ("time", "right"), ("bound by", "left"), ("cost is", "left"))  # fmt: skip
    total = result.metrics.latency_us or 1.0
    for name, alike in _across_layers(result)[:TOP]:
        op = max(alike, key=lambda row: row.exposed_us)
        exposed = sum(row.exposed_us for row in alike)
        count = f" ×{len(alike)}" if len(alike) > 1 else ""
        table.add_row(
            Text.assemble(printable(name), (count, "dim")), printable(op.type), op.engine.upper(),
            f"{exposed / total:.1%}",
            time_text(exposed), op.bound, op.provenance,
        )  # fmt: skip
    return table


def _across_layers(result: Result) -> list[tuple[str, list[OpRow]]]:
    """Ops that cost latency, the costliest first; those that differ in the number of their layer stand together."""
    alike: dict[tuple[str, str, str], list[OpRow]] = {}
    for op, row in zip(result.program.ops, result.metrics.ops, strict=True):
        if row.exposed_us > 0:
            name = op.name.replace(op.layer, _NUMBER.sub("*", op.layer), 1) if op.layer else op.name
            alike.setdefault((name, row.type, row.engine), []).append(row)
    return sorted(
        ((name, rows) for (name, _, _), rows in alike.items()),
        key=lambda item: -sum(row.exposed_us for row in item[1]),
    )


def _table(*columns: tuple[str, str]) -> Table:
    table = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0), header_style="dim")
    for number, (name, justify) in enumerate(columns):
        table.add_column(
            name, justify="right" if justify == "right" else "left", no_wrap=True,
            overflow="ellipsis" if number == 0 else "fold", min_width=12 if number == 0 else None,
        )  # fmt: skip
    return table
