"""A run or a comparison in GitHub's Markdown, for pull requests."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from npusim.api import Result
from npusim.report.model_facts import latency_facts, memory_text, model_text
from npusim.report.subject import Subject
from npusim.report.units import bytes_text, energy_text, time_text
from npusim.text import printable

#: Op types that a run's summary lists.
_MOST_TYPES = 8


def run_markdown(result: Result, subject: Subject) -> str:
    """Headline, figures, and the costliest op types, as Markdown."""
    metrics = result.metrics
    facts = [*latency_facts(result, subject), ("DDR traffic", bytes_text(sum(metrics.ddr_bytes.values()))),
             ("energy", energy_text(metrics.energy_uj))]  # fmt: skip
    times: dict[tuple[str, str], float] = {}
    for row in metrics.ops:
        key = row.type, row.engine.upper()
        times[key] = times.get(key, 0.0) + row.exposed_us
    costly = sorted(times.items(), key=lambda item: -item[1])[:_MOST_TYPES]
    rows = [
        (kind, engine, time_text(us), f"{us / (result.latency_us or 1.0):.1%}")
        for (kind, engine), us in costly
        if us > 0
    ]
    about = [f"- {model_text(subject.model)}"] if subject.model else []
    return "\n".join([
        f"### {_cell(subject.title)} on {_cell(result.hardware.name)}", "",
        *_table([name for name, _ in facts], [[value for _, value in facts]]), "",
        *about, f"- {memory_text(result, subject)}",
        f"- {metrics.provenance_share.get('guess', 0.0):.1%} of the latency is guessed", "",
        *_table(["op type", "engine", "time on the critical path", "of latency"], rows),
    ]) + "\n"  # fmt: skip


def comparison_markdown(title: str, document: Mapping[str, Any]) -> str:
    """The runs of compare.json as Markdown."""
    rows = [
        (
            run["label"], time_text(run["latency_us"]), f"{run['speedup']:.2f} ×",
            bytes_text(sum(run["ddr_bytes"].values())), energy_text(run["energy_uj"]),
        )
        for run in document["runs"]
    ]  # fmt: skip
    header = ["run", "latency", "speed-up", "DDR traffic", "energy"]
    return "\n".join([f"### {_cell(title)}", "", *_table(header, rows)]) + "\n"


def _table(header: Sequence[str], rows: Iterable[Sequence[str]]) -> list[str]:
    lines = [header, ["---"] * len(header), *rows]
    return [f"| {' | '.join(_cell(cell) for cell in line)} |" for line in lines]


def _cell(text: str) -> str:
    return printable(text).replace("|", "\\|").replace("<", "&lt;")
