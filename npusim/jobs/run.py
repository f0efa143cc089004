"""One simulation of one model on one machine, from the model to the Run that says what came of it."""

from __future__ import annotations

import io
import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from npusim import api
from npusim.analysis.explain import Explanation
from npusim.analysis.explain import explain as explained
from npusim.analysis.footprint import footprint
from npusim.analysis.metrics import Metrics
from npusim.analysis.wiring import wiring
from npusim.api import Engine, Result
from npusim.arguments import checked
from npusim.explore.rewrites import graph_for
from npusim.hardware.schema import ClientName
from npusim.hints import DEFAULT_CLIENT, HintName, bound_of, compiled_for, seen
from npusim.jobs.commands import command_line
from npusim.jobs.machine import Machine
from npusim.jobs.saved import save_document
from npusim.jobs.shown import Shown
from npusim.program.journal import Entry
from npusim.report import write_report
from npusim.report.document import run_document
from npusim.report.model_facts import latency_facts, memory_text, model_text
from npusim.report.notebook import plotly_figure
from npusim.report.subject import Subject
from npusim.report.tables import ops_csv
from npusim.size import MANY_TASKS
from npusim.source import ModelSource
from npusim.validation.silicon.intervals import interval, scope_of

if TYPE_CHECKING:
    import pandas as pd
    import plotly.graph_objects as go


@dataclass(frozen=True, repr=False)
class Run(Shown):
    """One simulation: the Result, what it is about, how long it took to get (``wall_s``), and the journal of what
    lowering decided; with the explanation of an op where one was asked for."""

    result: Result
    subject: Subject
    wall_s: float
    entries: tuple[Entry, ...] = ()
    explanation: Explanation | None = None

    @property
    def latency_us(self) -> float:
        """Latency of one inference inside the NPU, µs."""
        return self.result.latency_us

    @property
    def metrics(self) -> Metrics:
        """Statistics, ops, critical path, energy."""
        return self.result.metrics

    def headline(self) -> str:
        """Model, machine and latency."""
        (what, asked), *_ = latency_facts(self.result, self.subject)
        return f"{self.subject.title} on {self.result.hardware.name}: {what} {asked}"

    def facts(self) -> list[tuple[str, str]]:
        """Latency, rate, the model and its memory."""
        model = [("model", model_text(self.subject.model))] if self.subject.model else []
        guess = self.metrics.provenance_share.get("guess", 0.0)
        return [
            *latency_facts(self.result, self.subject), *model, ("memory", memory_text(self.result, self.subject)),
            ("guessed", f"{guess:.1%} of the latency"),
        ]  # fmt: skip

    def to_frame(self) -> pd.DataFrame:
        """The columns of ops.csv, the costliest op first."""
        import pandas as pd

        frame = pd.read_csv(io.StringIO(ops_csv(self.result)), keep_default_na=False)
        return frame.sort_values("exposed_us", ascending=False, kind="stable").reset_index(drop=True)

    @checked
    def figure(self, kind: Literal["types", "lanes", "over time", "roofline"] = "types") -> go.Figure:
        """A Plotly figure: latency by op type, what the lanes do, bandwidth and use over time, or the roofline."""
        from npusim.report import figures
        from npusim.report.opwork import op_work

        made = {
            "types": lambda: figures.types_figure(self.result),
            "lanes": lambda: figures.lanes_figure(self.result),
            "over time": lambda: figures.over_time_figure(self.result),
            "roofline": lambda: figures.roofline_figure(self.result, op_work(self.result.program)),
        }
        return plotly_figure(made[kind]())

    @checked
    def report(self, folder: str | Path) -> Path:
        """Write report.html, run.json, ops.csv and trace.json to ``folder``; the page's path."""
        write_report(self.result, folder, self.subject, wall_s=self.wall_s, entries=self.entries)
        return Path(folder) / "report.html"

    def document(self) -> dict[str, Any]:
        """run.json."""
        return run_document(self.result, self.subject, self.wall_s)

    @checked
    def save(self, path: str | Path) -> Path:
        """Write run.json to ``path``, for `npusim.load`."""
        return save_document(self.document(), path)


def simulate_model(
    source: ModelSource,
    machine: Machine,
    *,
    passes: str = "",
    engine: Engine | None = None,
    hint: HintName | None = None,
    client: ClientName = DEFAULT_CLIENT,
    segments: int = 1,
    allow_guess: bool = False,
    explain: str | None = None,
    command: str = "",
    step: Callable[[str], None] = lambda text: None,
) -> Run:
    """Read or build the model, rewrite, lower and simulate it; ``step`` is told what is being done.

    Unless an ``engine`` is given it is the reference engine, and for a schedule of many tasks the fast one, which ends
    the same up to rounding.

    Raises UserError as `ModelSource.graph`, `api.lower` and `api.simulate` do.
    """
    began = time.perf_counter()
    hardware = compiled_for(machine.hardware, hint) if hint else machine.hardware
    step("reading the model" if source.file else "building the model")
    graph = graph_for(source, passes, hardware)
    graph = replace(graph, notes=(*graph.notes, *machine.doubts))
    step("lowering")
    program, entries = api.lower_explained(graph, hardware)
    step("simulating")
    engine = engine or ("fast" if len(program.tasks) > MANY_TASKS else "event")
    result = api.simulate(program, hardware, engine=engine, allow_guess=allow_guess)
    outside = seen(graph, machine.hardware, hint, allow_guess, client, program, segments) if hint else None
    bound = outside.bound if outside else bound_of(result.prices, result.latency_us)
    headline_us = outside.us if outside else result.latency_us
    model = footprint(graph, program)
    scope = scope_of(machine.hardware, bool(machine.overrides))
    quantised = machine.hardware.platform if model.quantised else ""
    subject = Subject(
        workload=source.name,
        hardware_file=machine.file,
        overrides=machine.overrides,
        phase=source.phase if source.file is None else "",
        tokens=source.tokens_per_inference,
        command=command,
        model=model,
        seen=outside,
        interval=interval(headline_us, bound, scope, quantised),
        ask_advice=_ask_advice(source, machine),
        edges=wiring(graph, program),
    )
    explanation = explained(result.timeline, entries, explain) if explain else None
    return Run(result, subject, time.perf_counter() - began, tuple(entries), explanation)


def _ask_advice(source: ModelSource, machine: Machine) -> str:
    """The command that looks for what would help; nothing for a model or a machine that is in memory alone."""
    if source.model is not None or not machine.named:
        return ""
    return command_line(
        "advise", [("--hw", machine.file), *source.options(), ("--set", [*machine.overrides])]
    )
