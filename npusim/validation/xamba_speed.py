"""How fast Mamba and Mamba-2 of every published size decode and prefill, as they are and rewritten."""

from __future__ import annotations

import os
import signal
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor, as_completed
from dataclasses import dataclass
from itertools import combinations
from multiprocessing import get_context
from typing import TYPE_CHECKING

from npusim import api
from npusim.source import NONE

if TYPE_CHECKING:
    import openvino

MACHINES = ("lunarlake.yaml", "pantherlake.yaml", "meteorlake.yaml")
"""The silicon, with the software of 2026; Arrow Lake has the NPU of Meteor Lake."""
PAPER = "cumba,reduba"
"""The exact rewrites of the XAMBA paper."""
RULES = ("contract", "segsum", "cumba", "reduba")
"""Every exact rule, in the order in which none takes another's better site."""
SHOWN = (NONE, "cumba", PAPER, ",".join(RULES))
"""Pipelines that prefill is shown with."""
PROMPT = 256
"""Tokens of a prefill: one chunk of Mamba-2."""
_FEW_LAYERS = 2


@dataclass(frozen=True, slots=True)
class Speed:
    """One model on one machine: a ``decode`` step of the whole model, or one layer of a ``prefill`` of PROMPT tokens.
    ``latency_us`` is by pipeline: as it is (NONE), and SHOWN or, for decode, the fastest fixed pipeline."""

    workload: str
    phase: str
    machine: str
    latency_us: dict[str, float]

    @property
    def best(self) -> str:
        """The fastest pipeline."""
        return min(self.latency_us, key=lambda passes: self.latency_us[passes])

    def gain(self, passes: str) -> float:
        """Stock latency over that with a pipeline."""
        return self.latency_us[NONE] / self.latency_us[passes]


def speeds(
    workers: int | None = None, progress: Callable[[int, int], None] = lambda done, all: None
) -> list[Speed]:
    """All models: decode on all machines, prefill on the first. ``progress`` is told how many of how many are done."""
    from workloads.config import PUBLISHED

    jobs = [(name, phase) for phase in ("decode", "prefill") for name in PUBLISHED]
    workers = min(workers or os.cpu_count() or 1, len(jobs))
    if workers == 1:
        return [one for job in jobs for one in _speeds(*job)]
    # Started afresh: a fork of a process in which OpenVINO runs threads may hang.
    pool = ProcessPoolExecutor(workers, get_context("spawn"), initializer=_ignore_interrupt)
    try:
        by_size = sorted(jobs, key=lambda job: -PUBLISHED[job[0]].layers * (job[1] == "decode"))
        futures = {job: pool.submit(_speeds, *job) for job in by_size}
        for done, _ in enumerate(as_completed(futures.values()), start=1):
            progress(done, len(jobs))
        return [one for job in jobs for one in futures[job].result()]
    finally:
        pool.shutdown(cancel_futures=True)


def _ignore_interrupt() -> None:
    """Ctrl-C is the parent's to answer."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)


def _speeds(workload: str, phase: str) -> list[Speed]:
    """One model on the machines that are shown for a phase."""
    import workloads

    if phase == "prefill":
        layer = workloads.build(workload, tokens=PROMPT, layers=1, block_only=True)
        latency_us = _latencies(_graphs(layer, SHOWN), MACHINES[0])
        return [Speed(workload, phase, MACHINES[0], latency_us)]
    few = workloads.build(workload, phase="decode", layers=_FEW_LAYERS)
    tried = {machine: _latencies(_graphs(few, _distinct(few)), machine) for machine in MACHINES}
    best = {machine: min(found, key=lambda passes: found[passes]) for machine, found in tried.items()}
    model = workloads.build(workload, phase="decode")
    graphs = _graphs(model, sorted({NONE, *best.values()}))
    return [
        Speed(workload, phase, machine, _latencies({p: graphs[p] for p in (NONE, fastest)}, machine))
        for machine, fastest in best.items()
    ]


def _distinct(model: openvino.Model) -> list[str]:
    """Of all fixed pipelines, those that take different sites of a model; the shortest of each kind, NONE first."""
    import xamba

    pipelines = [
        ",".join(rules) for count in range(1, len(RULES) + 1) for rules in combinations(RULES, count)
    ]
    kinds: dict[frozenset[tuple[str, str]], str] = {frozenset(): NONE}
    for passes in pipelines:
        sites = xamba.apply(model, passes)[1]
        kinds.setdefault(frozenset((site.rule, site.op) for site in sites if site.taken), passes)
    return list(kinds.values())


def _graphs(model: openvino.Model, pipelines: Sequence[str]) -> dict[str, api.Graph]:
    """The Graph of a model by pipeline; one for all those that find nothing to rewrite."""
    import xamba
    from npusim.graph import from_openvino

    stock = from_openvino(model)
    found = {}
    for passes in pipelines:
        rewritten, sites = xamba.apply(model, "" if passes == NONE else passes)
        found[passes] = from_openvino(rewritten) if any(site.taken for site in sites) else stock
    return found


def _latencies(graphs: Mapping[str, api.Graph], machine: str) -> dict[str, float]:
    """Latency by pipeline, µs; a Graph is simulated once."""
    hw = api.load_hardware(machine)
    distinct = {id(graph): graph for graph in graphs.values()}
    latency_us = {
        number: api.simulate(api.lower(graph, hw), hw, engine="fast").latency_us
        for number, graph in distinct.items()
    }
    return {passes: latency_us[id(graph)] for passes, graph in graphs.items()}
