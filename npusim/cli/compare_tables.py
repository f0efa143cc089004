"""How ``npusim compare`` prints several runs side by side."""

from __future__ import annotations

from pathlib import Path

from rich.text import Text

from npusim.analysis.compare import Comparison, Run
from npusim.cli.tables import Column, fitted, folded, width_of_output
from npusim.cli.terminal import console
from npusim.report.units import bytes_text, energy_text, time_text
from npusim.text import printable

#: Changed ops that the terminal shows of each run; the rest is in the report and in --json.
_SHOWN = 8
#: How much more DDR traffic is worth a word.
_MORE_TRAFFIC = 1.25
_SIDES = (
    Column(""), Column("latency", "right"), Column("speed-up", "right"), Column("DMA busy", "right", 3),
    Column("DPU busy", "right", 3), Column("SHAVE busy", "right", 3), Column("DDR traffic", "right", 1),
    Column("energy", "right", 4), Column("tasks", "right", 2),
)  # fmt: skip
_CHANGES = (
    Column("  ops that changed"), Column("", rank=3), Column("before", "right", 1), Column("after", "right", 1),
    Column("difference", "right"),
)  # fmt: skip


def print_comparison(comparison: Comparison, title: str, hardware: str, folder: Path | None) -> None:
    """The runs, and of each but the first what changed, the largest difference first."""
    width = width_of_output(120)
    screen = console(width=width)
    screen.print(Text.assemble((printable(title), "bold"), " on ", (printable(hardware), "bold")))
    screen.print(fitted(_SIDES, [_side(run) for run in comparison.runs], width))
    for run in comparison.runs[1:]:
        screen.print()
        difference = run.latency_us - comparison.baseline.latency_us
        screen.print(
            Text(
                f"{printable(run.label)}: {_signed(difference)} on {printable(comparison.baseline.label)}, by op type"
            )
        )
        screen.print(Text(folded(_steps(run), width, "  ", ", ")))
        if reason := slower_because(run, comparison.baseline):
            screen.print(Text(folded(reason, width, "  slower: ", "; "), "yellow"))
        changed = [change for change in run.changes if change.differs][:_SHOWN]
        rows = []
        for change in changed:
            before, after = (
                f"{p.type} {p.engine.upper()}" if p else "-" for p in (change.before, change.after)
            )
            count = f" ×{change.count}" if change.count > 1 else ""
            rows.append((f"  {change.name}{count}", change.kind, before, after, _signed(change.delta_us)))
        if rows:
            screen.print(fitted(_CHANGES, rows, width))
    if folder is not None:
        screen.print(Text.assemble("Report in ", (f"{folder}/", "bold")), soft_wrap=True)


def slower_because(run: Run, baseline: Run) -> list[str]:
    """What a run that is slower than the baseline does that the baseline does not."""
    if run.latency_us <= baseline.latency_us:
        return []
    added: dict[str, float] = {}
    for change in run.changes:
        if change.kind == "added" and change.after is not None:
            added[change.after.type] = added.get(change.after.type, 0.0) + change.delta_us
    reasons = []
    if (us := sum(added.values())) > 0:
        kinds = ", ".join(sorted(added, key=lambda kind: -added[kind])[:3])
        reasons.append(f"ops that {baseline.label} does not run as such add {time_text(us)} ({kinds})")
    traffic, was = (sum(one.metrics.ddr_bytes.values()) for one in (run, baseline))
    if was and traffic > _MORE_TRAFFIC * was:
        reasons.append(f"DDR traffic is {traffic / was:.3g} times as much")
    return reasons


def _side(run: Run) -> tuple[str, ...]:
    stats, metrics = run.metrics.statistics, run.metrics
    return (
        run.label, time_text(run.latency_us), f"{run.speedup:.2f} ×",
        *(time_text(stats[f"{engine}_us"]) for engine in ("dma", "dpu", "shave")),
        bytes_text(sum(metrics.ddr_bytes.values())), energy_text(metrics.energy_uj), f"{sum(metrics.tasks.values()):,}",
    )  # fmt: skip


def _steps(run: Run) -> list[str]:
    steps = [f"{printable(s.type)} {_signed(s.delta_us)}" for s in run.steps[:_SHOWN] if s.delta_us]
    rest = sum(s.delta_us for s in run.steps[_SHOWN:])
    return [*steps, f"others {_signed(rest)}"] if rest else steps or ["no difference"]


def _signed(value_us: float) -> str:
    return f"{'-' if value_us < 0 else '+'}{time_text(abs(value_us))}"
