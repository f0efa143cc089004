"""How fast Mamba and Mamba-2 of every published size decode and prefill, as they are and rewritten."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, cast

from npusim import api
from npusim.errors import UserError
from npusim.source import NONE
from npusim.workers import Died, Machines, pool_of, run_all

if TYPE_CHECKING:
    import openvino

MACHINES = ("lunarlake.yaml", "pantherlake.yaml", "meteorlake.yaml")
"""The silicon, with the software of 2026; Arrow Lake has the NPU of Meteor Lake."""
PAPER = "cumba,reduba"
"""The exact rewrites of the XAMBA paper."""
RULES = ("contract", "segsum", "cumba", "reduba")
"""Every exact rule, in the order in which none takes another's better site."""
SHOWN = (NONE, "cumba", PAPER, ",".join(RULES))
"""Pipelines that a layer is shown with."""
PROMPT = 256
"""Tokens of a prefill: one chunk of Mamba-2."""
PHASES = {"decode": MACHINES, "prefill": MACHINES[:2]}
"""Machines that a phase is shown on: a stock prefill on Meteor Lake, whose compiler contracts nothing, takes up to five
million tasks."""


@dataclass(frozen=True, slots=True)
class Speed:
    """A whole model on one machine: a ``decode`` step, or a ``prefill`` of PROMPT tokens.

    Latencies, µs, are of the model as it is, with the fastest ``fixed`` pipeline of exact rewrites, and with
    ``auto``."""

    workload: str
    phase: str
    machine: str
    stock_us: float
    fixed: str
    fixed_us: float
    auto_us: float


@dataclass(frozen=True, slots=True)
class LayerSpeed:
    """One layer of a model over PROMPT tokens on the first machine: latency by pipeline of SHOWN, µs."""

    workload: str
    latency_us: dict[str, float]

    @property
    def gain(self) -> float:
        """Stock latency over that of the fastest pipeline."""
        return self.latency_us[NONE] / min(self.latency_us.values())


def speeds(
    workers: int | None = None, progress: Callable[[int, int], None] = lambda done, all: None
) -> tuple[list[Speed], list[LayerSpeed]]:
    """All models on the machines of PHASES, and their layers. ``progress`` is told how many of how many are done."""
    from npusim.workloads.config import PUBLISHED

    asked = [
        (name, phase, machine) for phase, shown in PHASES.items() for name in PUBLISHED for machine in shown
    ]
    workers = min(workers or os.cpu_count() or 1, len(asked))
    by_size = sorted(asked, key=lambda job: (job[1] == "decode", -PUBLISHED[job[0]].layers))
    jobs: list[tuple[str, ...]] = [*by_size, *((name,) for name in PUBLISHED)]
    found: dict[tuple[str, ...], Speed | LayerSpeed] = {}
    with pool_of(
        Machines(workers, fresh=True)
    ) as pool:  # the largest leave gigabytes of unused memory behind
        for job, made in run_all(_job, jobs, pool):
            if isinstance(made, Died):
                raise UserError(f"{' '.join(job)}: {made}")
            found[job] = made
            progress(len(found), len(jobs))
    whole, layers = ([found[job] for job in some] for some in (asked, [(name,) for name in PUBLISHED]))
    return cast("list[Speed]", whole), cast("list[LayerSpeed]", layers)


def _job(job: tuple[str, ...]) -> Speed | LayerSpeed:
    """A model, a phase and a machine, or a model alone."""
    return _speed(*job) if len(job) > 1 else _layer(*job)


def _speed(workload: str, phase: str, machine: str) -> Speed:
    """One model on one machine."""
    from npusim import workloads
    from npusim.explore.auto import best_rewrites

    options = {"phase": phase} if phase == "decode" else {"tokens": PROMPT}
    model = workloads.build(workload, **options)
    chosen = best_rewrites(model, api.load_hardware(machine))
    whole = {one.passes: one.latency_us for one in chosen.fixed if one.latency_us is not None}
    fixed = min(whole, key=lambda passes: whole[passes])
    return Speed(workload, phase, machine, chosen.stock_us, fixed, whole[fixed], chosen.latency_us)


def _layer(workload: str) -> LayerSpeed:
    """One layer of a model with the pipelines of SHOWN."""
    from npusim import workloads

    layer = workloads.build(workload, tokens=PROMPT, layers=1, block_only=True)
    return LayerSpeed(workload, _latencies(_graphs(layer, SHOWN), MACHINES[0]))


def _graphs(model: openvino.Model, pipelines: Sequence[str]) -> dict[str, api.Graph]:
    """The Graph of a model by pipeline; one for all those that find nothing to rewrite."""
    from npusim import xamba
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
