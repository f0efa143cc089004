"""Whole jobs for Python: what the commands do, with models, machines and overrides as Python has them.

Every function takes a ``model`` (a built-in workload's name, a path, an openvino.Model, or a torch.nn.Module with
``example`` inputs) and a machine ``hw`` (a shipped file's name, a path, or a Hardware) with overrides ``set``
(``{"clocks.dpu_mhz": 1700}``). ``size`` are the model's: ``shapes`` and ``dims`` of a model's inputs, or a workload's
``phase``, ``tokens``, ``layers``, ``batch`` and ``chunk``. All raise UserError for what cannot be.
"""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, Literal

from npusim import api
from npusim.analysis.compare import Case
from npusim.analysis.compare import compare as compared
from npusim.analysis.sensitivity import sensitivities
from npusim.api import Engine
from npusim.explore.axes import bind, parse_axis
from npusim.explore.rewrites import graph_for
from npusim.explore.space import Space as DesignSpace
from npusim.hardware.schema import ClientName
from npusim.hints import DEFAULT_CLIENT, HintName
from npusim.jobs.advise import AdviceFor, advise_model
from npusim.jobs.machine import Overrides, machine_of
from npusim.jobs.model import source_of
from npusim.jobs.results import Compared, Rewritten, Sensitivities, Space, Validated, Verified
from npusim.jobs.run import Run, simulate_model
from npusim.report.subject import Subject
from npusim.source import NONE, ModelSource

DEFAULT_MODEL, DEFAULT_HW = "mamba2-130m", "lunarlake.yaml"
#: What an axis may be: a list of values, or a text such as ``34:136:8``.
Axis = str | Sequence[Any]


def run(
    model: Any = DEFAULT_MODEL,
    hw: Any = DEFAULT_HW,
    *,
    set: Overrides = (),
    xamba: str = "",
    engine: Engine = "fast",
    hint: HintName | None = None,
    client: ClientName | None = None,
    segments: int = 1,
    power: str = "",
    allow_guess: bool = False,
    explain: str | None = None,
    **size: Any,
) -> Run:
    """Simulate one model on one machine, after the rewrites ``xamba`` (``cumba,reduba``, or ``auto``); ``client`` asks
    for the time of a call, ``segments`` for that of a model called in so many graphs, ``power`` for a power mode of the
    machine."""
    return simulate_model(
        source_of(model, **size), machine_of(hw, set, power), passes=xamba, engine=engine,
        hint=hint or ("latency" if client or segments > 1 else None), client=client or DEFAULT_CLIENT,
        segments=segments, allow_guess=allow_guess, explain=explain,
    )  # fmt: skip


def compare(
    model: Any = DEFAULT_MODEL,
    hw: Any = DEFAULT_HW,
    *,
    set: Overrides = (),
    xamba: Sequence[str] = (NONE,),
    allow_guess: bool = False,
    **size: Any,
) -> Compared:
    """Simulate one model on several machines (``hw`` a list), or after several rewrites; the first is the baseline."""
    began = time.perf_counter()
    source = source_of(model, **size)
    machines = [machine_of(one, set) for one in (hw if isinstance(hw, list | tuple) else [hw])]
    pairs = [(machine, passes) for machine in machines for passes in xamba]
    results = []
    for machine, passes in pairs:
        program = api.lower(graph_for(source, passes, machine.hardware), machine.hardware)
        results.append(api.simulate(program, machine.hardware, "fast", allow_guess))
    labels = [passes if len(machines) == 1 else f"{machine.file} {passes}" for machine, passes in pairs]
    cases = [Case(label, one.program.ops, one.metrics) for label, one in zip(labels, results, strict=True)]
    tokens = source.tokens_per_inference
    subjects = tuple(Subject(source.name, m.file, m.overrides, "", tokens) for m, _ in pairs)
    passes_of = tuple(passes for _, passes in pairs)
    return Compared(compared(cases), tuple(results), subjects, passes_of, time.perf_counter() - began)


def sweep(
    axes: Mapping[str, Axis],
    model: Any = DEFAULT_MODEL,
    hw: Any = DEFAULT_HW,
    *,
    set: Overrides = (),
    objectives: Sequence[str] = ("latency", "energy", "area"),
    samples: int | None = None,
    seed: int = 0,
    folder: str | Path | None = None,
    workers: int = 1,
    allow_guess: bool = False,
    **size: Any,
) -> Space:
    """Simulate every point of the grid of ``axes`` (``{"tiles": [1, 2, 4], "ddr.bandwidth_gbps": "34:136:8"}``), or
    ``samples`` of it by Latin hypercube. With ``folder``, finished points are kept there and gone on with."""
    from npusim.explore.space import grid, latin_hypercube
    from npusim.explore.sweep import sweep as swept
    from npusim.workers import Machines

    with TemporaryDirectory() as scratch:
        space = _space(axes, _on_disk(source_of(model, **size), folder or scratch), hw, set, allow_guess)
        points = grid(space.axes) if samples is None else latin_hypercube(space.axes, samples, seed)
        found = swept(space, points, Path(folder) if folder else None, Machines(workers), objectives)
    return Space(found, f"{space.model.name} around {space.hardware.name}")


def optimize(
    axes: Mapping[str, Axis],
    model: Any = DEFAULT_MODEL,
    hw: Any = DEFAULT_HW,
    *,
    set: Overrides = (),
    objectives: Sequence[str] = ("latency", "energy", "area"),
    trials: int = 200,
    sampler: Literal["nsga2", "tpe"] = "nsga2",
    seed: int = 0,
    folder: str | Path | None = None,
    workers: int = 1,
    allow_guess: bool = False,
    **size: Any,
) -> Space:
    """Search the grid of ``axes`` for its Pareto front."""
    from npusim.explore.optimize import optimize as searched
    from npusim.workers import Machines

    with TemporaryDirectory() as scratch:
        space = _space(axes, _on_disk(source_of(model, **size), folder or scratch), hw, set, allow_guess)
        where = Path(folder) if folder else Path(scratch)
        found = searched(space, trials, where, sampler, seed, Machines(workers), objectives)
    return Space(found, f"{space.model.name} around {space.hardware.name}")


def _space(
    axes: Mapping[str, Axis], source: ModelSource, hw: Any, set: Overrides, allow_guess: bool
) -> DesignSpace:
    hardware = machine_of(hw, set).hardware
    texts = [
        parse_axis(f"{name}={values if isinstance(values, str) else ','.join(map(str, values))}")
        for name, values in axes.items()
    ]
    return DesignSpace(hardware, source, bind(texts, hardware, source), allow_guess=allow_guess)


def _on_disk(source: ModelSource, folder: str | Path) -> ModelSource:
    """A model in memory as a file that other processes can read."""
    if source.model is None or source.file is None:
        return source
    import openvino as ov

    file = Path(folder) / source.file.name
    file.parent.mkdir(parents=True, exist_ok=True)
    ov.save_model(source.model, file, compress_to_fp16=False)
    return replace(source, file=file, model=None)


def sensitivity(
    model: Any = DEFAULT_MODEL,
    hw: Any = DEFAULT_HW,
    *,
    set: Overrides = (),
    xamba: str = "",
    allow_guess: bool = False,
    **size: Any,
) -> Sensitivities:
    """By how much the latency changes for one per cent more of each number of the hardware."""
    done = run(model, hw, set=set, xamba=xamba, allow_guess=allow_guess, **size)
    title = f"{done.subject.title} on {done.result.hardware.name}"
    return Sensitivities(tuple(sensitivities(done.result)), title)


def advise(
    model: Any = DEFAULT_MODEL,
    hw: Any = DEFAULT_HW,
    *,
    set: Overrides = (),
    allow_guess: bool = False,
    **size: Any,
) -> AdviceFor:
    """What would make the model faster, each change simulated."""
    return advise_model(source_of(model, **size), machine_of(hw, set), allow_guess=allow_guess)


def transform(model: Any, passes: str, **size: Any) -> Rewritten:
    """The model after a pipeline of rewrites, as an openvino.Model, with every site that a rule looked at."""
    from npusim import xamba

    stock, _ = source_of(model, **size).read()
    try:
        made, sites = xamba.apply(stock, passes)
    except (xamba.PipelineError, xamba.CannotRun) as error:
        raise api.UserError(str(error)) from None
    return Rewritten(made, tuple(sites))


def verify(a: Any, b: Any, *, tolerance: float = 1e-3, seed: int = 0, **size: Any) -> Verified:
    """Run two models on random and edge inputs on the CPU in FP32: how far apart their outputs are."""
    from npusim import xamba
    from npusim.xamba.check import compare as differences
    from npusim.xamba.check import worst

    (first, _), (second, _) = (source_of(one, **size).read() for one in (a, b))
    try:
        return Verified(tuple(worst(differences(first, second, seed=seed))), tolerance)
    except (xamba.CannotRun, xamba.ModelsDiffer) as error:
        raise api.UserError(str(error)) from None


def validate(
    *,
    sets: Sequence[str] = (),
    index: str | Path | None = None,
    family: str | None = None,
    platform: str | None = None,
    tiles: int | None = None,
    workers: int | None = None,
) -> Validated:
    """Predict reference schedules of Intel's compiler: the packaged sets, or those of an ``index``."""
    from npusim.validation.schedules.predict import predict
    from npusim.validation.schedules.references import open_reference, select

    reference = open_reference(Path(index) if index else None, list(sets))
    return Validated(predict(reference, select(reference, family, platform, tiles, None), workers))
