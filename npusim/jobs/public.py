"""Whole jobs for Python: what the commands do, with models, machines and overrides as Python has them.

Every function takes a ``model`` (a built-in workload's name, a path, an openvino.Model, or a torch.nn.Module with
``example`` inputs) and a machine ``hw`` (a shipped file's name, a path, or a Hardware) with overrides ``set``
(``{"clocks.dpu_mhz": 1700}``). ``size`` are the model's: ``shapes`` and ``dims`` of a model's inputs, or a workload's
``phase``, ``tokens``, ``layers``, ``batch`` and ``chunk``. All raise UserError for what cannot be; `checked` compares
what is given with the annotations.
"""

from __future__ import annotations

import time
from collections.abc import Iterable, Mapping
from dataclasses import replace
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Annotated, Any, Unpack

from npusim import api
from npusim.analysis.compare import Case
from npusim.analysis.compare import compare as compared
from npusim.analysis.sensitivity import sensitivities
from npusim.api import Engine
from npusim.arguments import checked, texts_of
from npusim.explore.axes import Value, axis_of, bind
from npusim.explore.constraints import parse_constraints
from npusim.explore.optimize import Sampler
from npusim.explore.results import DEFAULT_OBJECTIVES, ObjectiveName
from npusim.explore.rewrites import graph_for
from npusim.explore.space import Space as DesignSpace
from npusim.files.models import save_model
from npusim.hardware.schema import ClientName, Hardware
from npusim.hints import DEFAULT_CLIENT, HintName
from npusim.jobs.advise import AdviceFor, advise_model
from npusim.jobs.machine import Overrides, machine_of, override_texts
from npusim.jobs.model import Size, source_of
from npusim.jobs.results import Compared, Rewritten, Sensitivities, Space, Validated, Verified
from npusim.jobs.run import Run, simulate_model
from npusim.limits import MOST_POINTS, MOST_SEED, MOST_SEGMENTS, MOST_WORKERS
from npusim.report.subject import Subject
from npusim.source import NONE, ModelSource
from npusim.text import told_apart

DEFAULT_MODEL, DEFAULT_HW = "mamba2-130m", "lunarlake.yaml"
Hw = str | Path | Hardware
#: What an axis may be: a list of values, one, or a text such as ``34:136:8``.
Axis = Value | Iterable[Value]
#: Rewrites, one after another.
Rules = Annotated[str, "such as 'cumba,reduba', or 'auto'"]
Points = Annotated[int, range(1, MOST_POINTS + 1)]
Seed = Annotated[int, range(MOST_SEED + 1)]
Segments = Annotated[int, range(1, MOST_SEGMENTS + 1)]
Workers = Annotated[int, range(1, MOST_WORKERS + 1)]


@checked
def run(
    model: Any = DEFAULT_MODEL,
    hw: Hw = DEFAULT_HW,
    *,
    set: Overrides = (),
    xamba: Rules = "",
    engine: Engine = "fast",
    hint: HintName | None = None,
    client: ClientName | None = None,
    segments: Segments = 1,
    power: str = "",
    allow_guess: bool = False,
    explain: str | None = None,
    **size: Unpack[Size],
) -> Run:
    """Simulate one model on one machine, after the rewrites ``xamba`` (``cumba,reduba``, or ``auto``); ``client`` asks
    for the time of a call, ``segments`` for that of a model called in so many graphs, ``power`` for a power mode of the
    machine."""
    return simulate_model(
        source_of(model, **size), machine_of(hw, set, power), passes=xamba, engine=engine,
        hint=hint or ("latency" if client or segments > 1 else None), client=client or DEFAULT_CLIENT,
        segments=segments, allow_guess=allow_guess, explain=explain,
    )  # fmt: skip


@checked
def compare(
    model: Any = DEFAULT_MODEL,
    hw: Hw | Iterable[Hw] = DEFAULT_HW,
    *,
    set: Overrides = (),
    xamba: Rules | Iterable[Rules] = NONE,
    allow_guess: bool = False,
    **size: Unpack[Size],
) -> Compared:
    """Simulate one model on several machines (``hw`` a list), or after several rewrites; the first is the baseline."""
    began = time.perf_counter()
    source = source_of(model, **size)
    machines = [machine_of(one, set) for one in ([hw] if isinstance(hw, Hw) else hw)]
    pairs = [(machine, passes) for machine in machines for passes in texts_of(xamba)]
    if len(pairs) < 2:
        raise api.UserError(
            "there is nothing to compare with: give several machines, hw=[...], or rewrites, xamba=[...]"
        )
    results = []
    for machine, passes in pairs:
        program = api.lower(graph_for(source, passes, machine.hardware), machine.hardware)
        results.append(api.simulate(program, machine.hardware, "fast", allow_guess))
    labels = told_apart([(machine.file, passes) for machine, passes in pairs])
    cases = [Case(label, one.program.ops, one.metrics) for label, one in zip(labels, results, strict=True)]
    tokens = source.tokens_per_inference
    subjects = tuple(Subject(source.name, m.file, m.overrides, "", tokens) for m, _ in pairs)
    passes_of = tuple(passes for _, passes in pairs)
    return Compared(compared(cases), tuple(results), subjects, passes_of, time.perf_counter() - began)


@checked
def sweep(
    axes: Mapping[str, Axis],
    model: Any = DEFAULT_MODEL,
    hw: Hw = DEFAULT_HW,
    *,
    set: Overrides = (),
    objectives: ObjectiveName | Iterable[ObjectiveName] = DEFAULT_OBJECTIVES,
    constraints: str | Iterable[str] = (),
    samples: Points | None = None,
    seed: Seed = 0,
    folder: str | Path | None = None,
    workers: Workers = 1,
    allow_guess: bool = False,
    **size: Unpack[Size],
) -> Space:
    """Simulate every point of the grid of ``axes`` (``{"tiles": [1, 2, 4], "ddr.bandwidth_gbps": "34:136:8"}``), or
    ``samples`` of it by Latin hypercube. What breaks one of ``constraints`` (``latency_us<5000``) is on no front. With
    ``folder``, finished points are kept there and gone on with."""
    from npusim.explore.space import grid, latin_hypercube
    from npusim.explore.sweep import sweep as swept
    from npusim.workers import Machines

    source, limits = source_of(model, **size), parse_constraints(texts_of(constraints), "constraints:")
    with TemporaryDirectory() as scratch:
        kept = _on_disk(source, folder or scratch)
        space = _space(axes, kept, hw, set, allow_guess, size)
        points = grid(space.axes) if samples is None else latin_hypercube(space.axes, samples, seed)
        where = Path(folder) if folder else None
        found = swept(space, points, where, Machines(workers), texts_of(objectives), constraints=limits)
    return Space(found, f"{source.name} around {space.hardware.name}")


@checked
def optimize(
    axes: Mapping[str, Axis],
    model: Any = DEFAULT_MODEL,
    hw: Hw = DEFAULT_HW,
    *,
    set: Overrides = (),
    objectives: ObjectiveName | Iterable[ObjectiveName] = DEFAULT_OBJECTIVES,
    constraints: str | Iterable[str] = (),
    trials: Points = 200,
    sampler: Sampler = "nsga2",
    seed: Seed = 0,
    folder: str | Path | None = None,
    workers: Workers = 1,
    allow_guess: bool = False,
    **size: Unpack[Size],
) -> Space:
    """Search the grid of ``axes`` for its Pareto front, which holds nothing that breaks one of ``constraints``."""
    from npusim.explore.optimize import optimize as searched
    from npusim.workers import Machines

    source, limits = source_of(model, **size), parse_constraints(texts_of(constraints), "constraints:")
    with TemporaryDirectory() as scratch:
        kept = _on_disk(source, folder or scratch)
        space = _space(axes, kept, hw, set, allow_guess, size)
        where = Path(folder) if folder else Path(scratch)
        found = searched(
            space, trials, where, sampler, seed, Machines(workers), texts_of(objectives), constraints=limits
        )
    return Space(found, f"{source.name} around {space.hardware.name}")


def _space(
    axes: Mapping[str, Axis], source: ModelSource, hw: Hw, set: Overrides, allow_guess: bool, size: Size
) -> DesignSpace:
    if not axes:
        raise api.UserError("axes: say what varies, such as {'tiles': [1, 2, 4]}")
    hardware = machine_of(hw, set).hardware
    texts = [axis_of(name, values, f"axes: {name}") for name, values in axes.items()]
    fixed = {name: f"{name}={value}" for name, value in size.items() if value is not None}
    fixed |= {f"dim.{name}": f"dims {name}={value}" for name, value in (size.get("dims") or {}).items()}
    fixed |= {text.partition("=")[0].strip(): f"set {text}" for text in override_texts(set)}
    return DesignSpace(hardware, source, bind(texts, hardware, source, fixed), allow_guess=allow_guess)


def _on_disk(source: ModelSource, folder: str | Path) -> ModelSource:
    """A model in memory as a file that other processes can read."""
    if source.model is None or source.file is None:
        return source
    file = Path(folder) / source.file.name
    save_model(source.model, file)
    return replace(source, file=file, model=None)


@checked
def sensitivity(
    model: Any = DEFAULT_MODEL,
    hw: Hw = DEFAULT_HW,
    *,
    set: Overrides = (),
    xamba: Rules = "",
    allow_guess: bool = False,
    **size: Unpack[Size],
) -> Sensitivities:
    """By how much the latency changes for one per cent more of each number of the hardware."""
    done = run(model, hw, set=set, xamba=xamba, allow_guess=allow_guess, **size)
    title = f"{done.subject.title} on {done.result.hardware.name}"
    return Sensitivities(tuple(sensitivities(done.result)), title)


@checked
def advise(
    model: Any = DEFAULT_MODEL,
    hw: Hw = DEFAULT_HW,
    *,
    set: Overrides = (),
    allow_guess: bool = False,
    **size: Unpack[Size],
) -> AdviceFor:
    """What would make the model faster, each change simulated."""
    return advise_model(source_of(model, **size), machine_of(hw, set), allow_guess=allow_guess)


@checked
def transform(model: Any, passes: Rules, **size: Unpack[Size]) -> Rewritten:
    """The model after a pipeline of rewrites, as an openvino.Model, with every site that a rule looked at."""
    from npusim import xamba

    stock, _ = source_of(model, **size).read()
    try:
        made, sites = xamba.apply(stock, passes)
    except (xamba.PipelineError, xamba.CannotRun) as error:
        raise api.UserError(str(error)) from None
    return Rewritten(made, tuple(sites))


@checked
def verify(a: Any, b: Any, *, tolerance: float = 1e-3, seed: Seed = 0, **size: Unpack[Size]) -> Verified:
    """Run two models on random and edge inputs on the CPU in FP32: how far apart their outputs are."""
    from npusim import xamba
    from npusim.xamba.check import compare as differences
    from npusim.xamba.check import worst

    (first, _), (second, _) = (source_of(one, **size).read() for one in (a, b))
    try:
        return Verified(tuple(worst(differences(first, second, seed=seed))), tolerance)
    except (xamba.CannotRun, xamba.ModelsDiffer) as error:
        raise api.UserError(str(error)) from None


@checked
def validate(
    *,
    sets: str | Iterable[str] = (),
    index: str | Path | None = None,
    family: str | None = None,
    platform: str | None = None,
    tiles: int | None = None,
    workers: Workers = 1,
) -> Validated:
    """Predict reference schedules of Intel's compiler: the packaged sets, or those of an ``index``.

    A script with more than one of ``workers`` begins with ``if __name__ == "__main__":``, as any that starts processes.
    """
    from npusim.validation.schedules.predict import predict
    from npusim.validation.schedules.references import open_reference, select

    reference = open_reference(Path(index) if index else None, texts_of(sets))
    return Validated(predict(reference, select(reference, family, platform, tiles, None), workers))
