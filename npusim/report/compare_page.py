"""The page that compares simulations of one model: side by side, the way from one latency to the other, what moved."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from npusim.analysis.compare import Comparison, OpChange, Place, Run
from npusim.api import Result
from npusim.report.blocks import Block, card, command, number_column, plot, tab, text_column
from npusim.report.blocks import notes as note_block
from npusim.report.looks import ENGINE_COLOUR, ENGINE_NAMES, KINDS
from npusim.report.page import plot_text, render
from npusim.report.run_page import timeline_block
from npusim.report.units import time_text, time_unit

_MOST_STEPS = 12
_LEAST_SHARE = 0.001
#: Timelines of more tasks in all would make the page too large to be passed around.
_MOST_TASKS = 200_000
_MOVED = {"moved": "moved", "replaced": "replaced", "removed": "removed", "added": "added", "same": "stayed"}


def compare_page(
    comparison: Comparison, results: Sequence[Result], title: str, subtitle: str, command_text: str = ""
) -> str:
    """The page as HTML text. ``results`` belong to ``comparison.runs``, in their order."""
    runs = comparison.runs
    tables: dict[str, Any] = {"runs": _runs_table(runs), "changes": _changes_table(runs[1:])}
    tabs = [
        tab(
            "summary", "Summary", {"kind": "cards", "items": _cards(comparison)},
            plot("What the latencies go to", stacks_figure(runs), "The critical path of every run by kind."),
            {"kind": "table", "title": "Side by side", "table": "runs", "file": "compare.csv"},
            *command(command_text, ""),
        ),
        tab("steps", "From one to the other", *(_waterfall(comparison.baseline, run) for run in runs[1:])),
        tab("changes", "Ops that changed", *_changes(runs[1:])),
    ]  # fmt: skip
    shown = _with_timelines(results)
    for number, (run, result) in enumerate(zip(runs, results, strict=True)):
        if number in shown:
            block = {**timeline_block(result), "title": f"{run.label}: every task on its queue"}
            tabs.append(tab(f"timeline{number}", f"Timeline: {run.label}", block))
    left_out = [_no_timeline(runs[n], len(r.program.tasks)) for n, r in enumerate(results) if n not in shown]
    tabs[0]["blocks"] += note_block(left_out)
    return render(title, subtitle, {"tabs": tabs, "tables": tables})


def _with_timelines(results: Sequence[Result]) -> set[int]:
    """The runs whose timelines the page has room for: those of the fewest tasks."""
    room, shown = _MOST_TASKS, set()
    for number in sorted(range(len(results)), key=lambda n: len(results[n].program.tasks)):
        room -= len(results[number].program.tasks)
        if room >= 0:
            shown.add(number)
    return shown


def _no_timeline(run: Run, tasks: int) -> str:
    return (
        f"{run.label}: its {tasks:,} tasks would make this page too large, so its timeline is not here; "
        "npusim run with the same options shows it"
    )


def _cards(comparison: Comparison) -> list[dict[str, str]]:
    best, base = comparison.best, comparison.baseline
    cards = [card("Baseline", time_text(base.latency_us), base.label)]
    for run in comparison.runs[1:]:
        tone = "main" if run is best else "warn" if run.speedup < 1 else ""
        hint = f"{time_text(run.latency_us)}: {run.label}"
        cards.append(card("Speed-up", f"{run.speedup:.2f} ×", hint, tone))
    return cards


def stacks_figure(runs: Sequence[Run]) -> dict[str, Any]:
    """A bar a run: its latency by what it goes to."""
    scale, unit = time_unit(max(run.latency_us for run in runs))
    at = list(range(len(runs)))
    data = [
        {
            "type": "bar", "orientation": "h", "name": title, "y": at, "marker": {"color": colour}, "hoverinfo": "text",
            "x": [run.metrics.exposed_us.get(kind, 0.0) / scale for run in runs],
            "hovertext": [
                f"{plot_text(run.label)}<br>{title}: {time_text(run.metrics.exposed_us.get(kind, 0.0))} of "
                f"{time_text(run.latency_us)}" for run in runs
            ],
        }
        for kind, (title, colour) in KINDS.items()
        if any(run.metrics.exposed_us.get(kind, 0.0) > 0 for run in runs)
    ]  # fmt: skip
    layout = {
        "yaxis": {
            "tickvals": at, "ticktext": [plot_text(run.label[:48]) for run in runs], "autorange": "reversed",
            "showgrid": False,
        },
        "xaxis": {"title": {"text": f"latency, {unit}"}, "rangemode": "tozero"}, "bargap": 0.3,
    }  # fmt: skip
    return {"data": data, "layout": layout, "height": 130 + 44 * len(runs), "label": "Latency of every run"}


def _waterfall(base: Run, run: Run) -> Block:
    """The way from the baseline's latency to this one's; small steps are taken together."""
    changed = [step for step in run.steps if step.delta_us]
    shown = [step for step in changed if abs(step.delta_us) >= _LEAST_SHARE * base.latency_us][:_MOST_STEPS]
    rest = changed[len(shown) :]
    names = [step.type for step in shown]
    deltas = [step.delta_us for step in shown]
    notes = [f"{time_text(step.before_us)} → {time_text(step.after_us)}" for step in shown]
    if rest:
        names.append(f"{len(rest)} other types")
        deltas.append(sum(step.delta_us for step in rest))
        notes.append(", ".join(step.type for step in rest[:8]))
    scale, unit = time_unit(max(base.latency_us, run.latency_us))
    texts = [_signed(delta) for delta in deltas]
    data = [{
        "type": "waterfall", "orientation": "v", "measure": ["absolute", *["relative"] * len(deltas), "total"],
        "x": list(range(len(deltas) + 2)),
        "y": [base.latency_us / scale, *(delta / scale for delta in deltas), run.latency_us / scale],
        "text": [time_text(base.latency_us), *texts, time_text(run.latency_us)], "textposition": "outside",
        "cliponaxis": False, "connector": {"line": {"color": "var:line", "width": 1}}, "hoverinfo": "text",
        "hovertext": [
            plot_text(base.label),
            *(
                f"{plot_text(name)}: {text}<br>{plot_text(note)}"
                for name, text, note in zip(names, texts, notes, strict=True)
            ),
            plot_text(run.label),
        ],
        "decreasing": {"marker": {"color": "var:dma"}}, "increasing": {"marker": {"color": "var:warn"}},
        "totals": {"marker": {"color": "var:busy"}},
    }]  # fmt: skip
    ends = [base.label, *names, run.label]
    layout = {
        "xaxis": {
            "tickvals": list(range(len(ends))), "ticktext": [plot_text(name[:24]) for name in ends], "showgrid": False,
        },
        "yaxis": {"title": {"text": f"latency, {unit}"}, "rangemode": "tozero"}, "showlegend": False,
        "margin": {"t": 30},
    }  # fmt: skip
    figure = {"data": data, "layout": layout, "height": 420, "label": f"Waterfall to {run.label}"}
    lead = "By op type: each step is the difference of the type's time on the critical path, so that they add up."
    title = f"{base.label} → {run.label}: {run.speedup:.2f} × as fast"
    return plot(title, figure, lead)


def _signed(us: float) -> str:
    return f"{'+' if us > 0 else '−'}{time_text(abs(us))}"


def _changes(runs: Sequence[Run]) -> list[Block]:
    lead = (
        "Ops that differ only in the number of their layer (*) stand in one row. Moved ops run on another engine, "
        "replaced ones as another type on the same."
    )  # fmt: skip
    table: Block = {
        "kind": "table", "title": "Ops before and after", "table": "changes", "file": "changes.csv", "choose": "kind",
        "lead": lead,
    }  # fmt: skip
    return [
        plot("Where the ops run", _engines(runs), "Busy time of the changed ops, before and after."),
        table,
    ]


def _engines(runs: Sequence[Run]) -> dict[str, Any]:
    """Two bars a run: busy time by engine of the ops that are not the same, in the baseline and here."""
    labels: list[str] = []
    sums: list[dict[str, float]] = []
    for run in runs:
        changed = [change for change in run.changes if change.kind != "same"]
        for when, places in (
            (f"{run.label}: before", [change.before for change in changed]),
            (f"{run.label}: after", [change.after for change in changed]),
        ):
            labels.append(when)
            found = dict.fromkeys(ENGINE_NAMES, 0.0)
            for place in places:
                if place is not None:
                    found[place.engine] += place.busy_us
            sums.append(found)
    scale, unit = time_unit(max((sum(one.values()) for one in sums), default=0.0))
    data = [
        {
            "type": "bar", "orientation": "h", "name": f"on {name}", "y": list(range(len(labels))),
            "x": [one[engine] / scale for one in sums], "marker": {"color": ENGINE_COLOUR[engine]}, "hoverinfo": "text",
            "hovertext": [
                f"{plot_text(label)}<br>on {name}: {time_text(one[engine])}"
                for label, one in zip(labels, sums, strict=True)
            ],
        }
        for engine, name in ENGINE_NAMES.items()
        if engine != "block" or any(one[engine] for one in sums)
    ]  # fmt: skip
    layout = {
        "yaxis": {
            "tickvals": list(range(len(labels))), "ticktext": [plot_text(label[:48]) for label in labels],
            "autorange": "reversed", "showgrid": False,
        },
        "xaxis": {"title": {"text": f"busy time, {unit}"}, "rangemode": "tozero"}, "bargap": 0.3,
    }  # fmt: skip
    return {"data": data, "layout": layout, "height": 130 + 40 * max(len(labels), 1), "label": "Engines"}


def _runs_table(runs: Sequence[Run]) -> dict[str, Any]:
    metrics = [run.metrics for run in runs]
    columns = [
        text_column("label", "Run", [run.label for run in runs]),
        number_column("latency", "Latency", "µs", [run.latency_us for run in runs], 2),
        number_column("speedup", "Speed-up", "×", [run.speedup for run in runs], 3),
        *(
            number_column(key, f"{name} busy", "µs", [one.statistics.get(key, 0.0) for one in metrics], 2)
            for key, name in ((f"{engine}_us", name) for engine, name in ENGINE_NAMES.items())
            if any(key in one.statistics for one in metrics)
        ),
        number_column("idle", "Idle", "µs", [one.statistics["idle_us"] for one in metrics], 2),
        number_column("read", "DDR read", "MiB", [one.ddr_bytes["read"] / 2**20 for one in metrics], 2),
        number_column("write", "DDR written", "MiB", [one.ddr_bytes["write"] / 2**20 for one in metrics], 2),
        number_column("energy", "Energy", "mJ", [one.energy_uj / 1e3 for one in metrics], 3),
        number_column("ops", "Ops", "", [len(one.ops) for one in metrics], 0),
        number_column("tasks", "Tasks", "", [sum(one.tasks.values()) for one in metrics], 0),
        number_column("guess", "Guessed", "%", [one.provenance_share.get("guess", 0.0) * 100 for one in metrics], 1),
    ]  # fmt: skip
    return {"columns": columns}


def _changes_table(runs: Sequence[Run]) -> dict[str, Any]:
    rows = [(run, change) for run in runs for change in run.changes]

    def place(one: Place | None, what: str) -> str:
        if one is None:
            return ""
        return f"{one.type} in {one.within}" if what == "type" and one.within else str(getattr(one, what))

    def engine(change: OpChange, side: Place | None) -> str:
        return ENGINE_NAMES[side.engine] if side else "-"

    columns = [
        text_column("name", "Ops", [change.name for _, change in rows]),
        number_column("count", "Count", "", [change.count for _, change in rows], 0),
        *([text_column("run", "In", [run.label for run, _ in rows])] if len(runs) > 1 else []),
        text_column("kind", "What", [_MOVED[change.kind] for _, change in rows]),
        number_column("delta", "Adds to the latency", "µs", [change.delta_us for _, change in rows], 2),
        text_column("before", "Type before", [place(change.before, "type") for _, change in rows]),
        text_column("after", "Type after", [place(change.after, "type") for _, change in rows]),
        text_column("engines", "Engine", [
            f"{engine(change, change.before)} → {engine(change, change.after)}" for _, change in rows
        ]),
        number_column("was", "Latency before", "µs", [_us(change.before, "exposed_us") for _, change in rows], 2),
        number_column("is", "Latency after", "µs", [_us(change.after, "exposed_us") for _, change in rows], 2),
        number_column("wasbusy", "Busy before", "µs", [_us(change.before, "busy_us") for _, change in rows], 2),
        number_column("isbusy", "Busy after", "µs", [_us(change.after, "busy_us") for _, change in rows], 2),
    ]  # fmt: skip
    return {"columns": columns, "sort": "delta", "up": True}


def _us(place: Place | None, what: str) -> float:
    return float(getattr(place, what)) if place else 0.0
