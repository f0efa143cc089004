"""Predicting measured rows: every model is built once, lowered once for all machines that make the same Program of it,
and models are shared among workers.

A row is predicted under the performance hint and for the client that it was measured with (`npusim.hints`), on the
shipped file of its machine where there is one, else of its platform.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cache

from npusim import api
from npusim.errors import UserError
from npusim.graph.ir import Graph
from npusim.hardware import file_of, load_hardware, shipped
from npusim.hardware.schema import ClientName, Hardware
from npusim.hints import HintName, Seen, compiled_for, prepare
from npusim.lowering.view import lowering_key
from npusim.program import Program
from npusim.source import ModelSource
from npusim.validation.schedules.references import open_reference
from npusim.validation.silicon.engines import layer_shares
from npusim.validation.silicon.measurements import Measurement, Shares
from npusim.validation.silicon.scores import CASES, Bottleneck, Scored
from npusim.workers import Died, Machines, pool_of, run_all

Progress = Callable[[int], None]


@dataclass(frozen=True, slots=True)
class Ask:
    """What ``client`` sees of a model on ``hw`` under a hint."""

    hint: HintName
    hw: Hardware
    client: ClientName


@dataclass(frozen=True, slots=True)
class Job:
    """One model and all that is asked of it; ``profiled`` is the machine, if any, of whose engines the shares
    are asked."""

    number: int
    source: ModelSource
    asks: tuple[Ask, ...] = ()
    profiled: Hardware | None = None


@dataclass(frozen=True, slots=True)
class Answer:
    """What is seen, in the order of the asks, and percent of the time of all layers by engine."""

    seen: tuple[Seen, ...]
    shares: Mapping[str, float]


def file_for(row: Measurement) -> str:
    """The shipped hardware file of the machine that a row was measured on, else of its platform."""
    named = [words for words in _machines() if row.on([words])]
    return _machines()[max(named, key=len)] if named else file_of(row.platform, "silicon")


@cache
def _machines() -> Mapping[str, str]:
    files = {name: load_hardware(name) for name in shipped()}
    real = {name: hw for name, hw in files.items() if hw.role in ("silicon", "machine")}
    return {words: name for name, hw in real.items() for words in hw.machines}


def predict(
    rows: Sequence[Measurement],
    given: Mapping[str, Hardware] | None = None,
    profiles: Sequence[Shares] = (),
    workers: int | None = None,
    progress: Progress = lambda done: None,
) -> tuple[list[Scored], list[Bottleneck]]:
    """The rows with their predictions and the profiled operators with the engines that bind them, in order.

    ``given`` is hardware to take in place of the shipped files, by platform; ``progress`` hears how many models are
    done. Raises UserError for a workload that cannot be lowered.
    """
    given = given or {}
    jobs: dict[ModelSource | tuple[str, str], Job] = {}
    places = []
    for row in rows:
        hw = given.get(row.platform) or _loaded(file_for(row))
        job = jobs.setdefault(_key(row.model_source), Job(len(jobs), row.model_source))
        places.append((job.number, len(job.asks)))
        jobs[_key(job.source)] = replace(job, asks=(*job.asks, Ask(row.metric, hw, row.client)))
    sources = [ModelSource(one.workload, tokens=one.tokens) for one in profiles]
    for one, source in zip(profiles, sources, strict=True):
        job = jobs.setdefault(_key(source), Job(len(jobs), source))
        hw = given.get(one.platform) or _loaded(file_of(one.platform, "silicon"))
        jobs[_key(source)] = replace(job, profiled=hw)
    answers = _answers(list(jobs.values()), workers, progress)
    vendor = vendor_estimates()
    scored = []
    for row, (job_number, place) in zip(rows, places, strict=True):
        found = answers[job_number].seen[place]
        estimate = vendor.get((CASES.get(row.model_source.name, ""), row.platform, found.tiles))
        scored.append(Scored(row, found.us, estimate, found.device_us, found.bound))
    engines = []
    for one, source in zip(profiles, sources, strict=True):
        shares = answers[jobs[_key(source)].number].shares
        engines.append(Bottleneck(one, max(shares, key=lambda engine: shares[engine]), shares))
    return scored, engines


def predict_elsewhere(
    rows: Sequence[Measurement], workers: int | None = None, progress: Progress = lambda done: None
) -> list[Scored]:
    """Rows predicted with the files of every other machine of their platform that was measured: what is to be expected
    of a machine that was not. Raises UserError as `predict` does."""
    measured = {file_for(row) for row in rows}
    found = []
    for file in sorted(measured):
        hw = _loaded(file)
        others = [row for row in rows if row.platform == hw.platform and file_for(row) != file]
        found += predict(others, {hw.platform: hw}, (), workers, progress)[0] if others else []
    return found


def vendor_estimates() -> dict[tuple[str, str, int], float]:
    """The compiler's estimate, µs, by case, platform and tiles, of the packaged schedules."""
    rows = open_reference(sets=["vendor_schedules"]).rows
    return {
        (row.case, row.platform, row.tiles): row.truth["total_us"] for row in rows if "total_us" in row.truth
    }


@cache
def _loaded(file: str) -> Hardware:
    return load_hardware(file)


def _key(source: ModelSource) -> tuple[str, str]:
    """Equal for equal models."""
    return source.name, repr(source)


def _answers(jobs: Sequence[Job], workers: int | None, progress: Progress) -> list[Answer]:
    """The answers in the order of the jobs, the longest of which are begun first."""
    found: dict[int, Answer] = {}
    by_work = sorted(jobs, key=lambda job: -(job.source.tokens or 0))
    with pool_of(Machines(max(1, min(workers or os.cpu_count() or 1, len(jobs))))) as pool:
        for job, answer in run_all(answer_of, by_work, pool):
            if isinstance(answer, Died):
                raise UserError(f"{job.source.name}: {answer}")
            found[job.number] = answer
            progress(len(found))
    return [found[job.number] for job in jobs]


def answer_of(job: Job) -> Answer:
    """Build, lower and simulate one model for all that is asked of it. Raises UserError where it cannot be lowered."""
    graph = job.source.graph()
    programs: dict[str, Program] = {}
    seen = tuple(
        prepare(graph, ask.hw, ask.hint, _lowered(graph, compiled_for(ask.hw, ask.hint), programs)).seen(
            [ask.hw], allow_guess=True, client=ask.client
        )[0]
        for ask in job.asks
    )
    shares: Mapping[str, float] = {}
    if job.profiled is not None:
        part = compiled_for(job.profiled, "latency")
        shares = layer_shares(api.simulate(_lowered(graph, part, programs), part, "fast", allow_guess=True))
    return Answer(seen, shares)


def _lowered(graph: Graph, part: Hardware, programs: dict[str, Program]) -> Program:
    """The Program of ``graph``, made once for all machines that a compiler takes for the same."""
    key = lowering_key(part)
    if key not in programs:
        programs[key] = api.lower(graph, part)
    return programs[key]
