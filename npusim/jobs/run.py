"""One simulation of one model on one machine, from the model to the Run that says what came of it."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass, replace

from npusim import api
from npusim.analysis.explain import Explanation
from npusim.analysis.explain import explain as explained
from npusim.analysis.footprint import footprint
from npusim.api import Engine, Result
from npusim.explore.rewrites import graph_for
from npusim.hardware.schema import ClientName
from npusim.hints import DEFAULT_CLIENT, HintName, bound_of, compiled_for, seen
from npusim.jobs.commands import command_line
from npusim.jobs.machine import Machine
from npusim.program.journal import Entry
from npusim.report.subject import Subject
from npusim.source import ModelSource
from npusim.validation.silicon.intervals import interval


@dataclass(frozen=True, slots=True)
class Run:
    """One simulation: the Result, what it is about, how long it took to get (``wall_s``), and the journal of what
    lowering decided; with the explanation of an op where one was asked for."""

    result: Result
    subject: Subject
    wall_s: float
    entries: tuple[Entry, ...] = ()
    explanation: Explanation | None = None


def simulate_model(
    source: ModelSource,
    machine: Machine,
    *,
    passes: str = "",
    engine: Engine = "event",
    hint: HintName | None = None,
    client: ClientName = DEFAULT_CLIENT,
    allow_guess: bool = False,
    explain: str | None = None,
    command: str = "",
    step: Callable[[str], None] = lambda text: None,
) -> Run:
    """Read or build the model, rewrite, lower and simulate it; ``step`` is told what is being done.

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
    result = api.simulate(program, hardware, engine=engine, allow_guess=allow_guess)
    outside = seen(graph, machine.hardware, hint, allow_guess, client, program) if hint else None
    bound = outside.bound if outside else bound_of(result.prices, result.latency_us)
    headline_us = outside.us if outside else result.latency_us
    subject = Subject(
        workload=source.name,
        hardware_file=machine.file,
        overrides=machine.overrides,
        phase=source.phase if source.file is None else "",
        tokens=source.tokens_per_inference,
        command=command,
        model=footprint(graph, program),
        seen=outside,
        interval=interval(headline_us, bound, machine.hardware),
        ask_advice=command_line(
            "advise", [("--hw", machine.file), *source.options(), ("--set", [*machine.overrides])]
        ),
    )
    explanation = explained(result.timeline, entries, explain) if explain else None
    return Run(result, subject, time.perf_counter() - began, tuple(entries), explanation)
