"""The Python API: a model and a hardware file in, a priced and simulated Program with its Metrics out.

hw = npusim.load_hardware("lunarlake.yaml", ["clocks.dpu_mhz=1700"])
graph = npusim.build_workload("mamba2-130m", tokens=256)
result = npusim.simulate(npusim.lower(graph, hw), hw)
print(result.latency_us)
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from npusim.analysis.metrics import Metrics, metrics
from npusim.arguments import checked
from npusim.costs.price import price_points
from npusim.costs.prices import Prices, PriceTable
from npusim.costs.shave import UnknownKernel
from npusim.engine.timeline import Timeline
from npusim.errors import UserError
from npusim.graph.ir import Graph
from npusim.hardware.load import load_hardware
from npusim.hardware.schema import Hardware
from npusim.program import Program
from npusim.program.journal import Entry
from npusim.source import ModelSource

Engine = Literal["event", "fast"]
Phase = Literal["prefill", "decode"]

__all__ = [
    "Engine",
    "Graph",
    "Hardware",
    "Phase",
    "Program",
    "Result",
    "UserError",
    "build_workload",
    "load_hardware",
    "load_model",
    "lower",
    "simulate",
]


@dataclass(frozen=True, slots=True, repr=False)
class Result:
    """One simulation: what was run, what every task costs, when it ran, and what that means."""

    program: Program
    hardware: Hardware
    prices: Prices
    timeline: Timeline
    metrics: Metrics

    def __repr__(self) -> str:
        """Short: what was run on what, and the latency."""
        tasks = len(self.program.tasks)
        return f"<Result: {self.program.name} on {self.hardware.name}: {self.latency_us:,.1f} µs, {tasks:,} tasks>"

    @property
    def latency_us(self) -> float:
        """End of the last task, µs."""
        return self.timeline.latency_us


@checked
def load_model(
    path: str | Path, shapes: Mapping[str, Sequence[int]] | None = None, *, passes: str = ""
) -> Graph:
    """The Graph of a model file (OpenVINO IR, ONNX, TensorFlow, TFLite, Paddle).

    ``shapes`` gives static shapes to inputs, by name; ``passes`` is a pipeline of `xamba` that rewrites the model.
    Raises UserError where the file is not a model or stays dynamic, and for a pipeline that cannot be read.
    """
    return ModelSource(file=Path(path), shapes={k: list(v) for k, v in (shapes or {}).items()}).graph(passes)


@checked
def build_workload(
    name: str,
    *,
    phase: Phase = "prefill",
    tokens: int | None = None,
    layers: int | None = None,
    batch: int = 1,
    chunk: int | None = None,
    passes: str = "",
) -> Graph:
    """The Graph of a built-in workload (``mamba2-130m`` ...).

    ``tokens`` is the prompt length of a prefill (256 unless given; a decode step has one new token a sequence);
    ``layers`` cuts the model to its first layers; ``chunk`` is Mamba-2's chunk length; ``passes`` is a pipeline of
    `xamba` that rewrites the model. Raises UserError for an unknown name and for values that cannot be built.
    """
    source = ModelSource(name, phase=phase, tokens=tokens, layers=layers, batch=batch, chunk=chunk)
    return source.graph(passes)


@checked
def lower(graph: Graph, hw: Hardware) -> Program:
    """The Program that a compiler would make of ``graph`` for ``hw``.

    Raises UserError for an op nothing is known about and for a tensor that cannot be sliced to fit CMX.
    """
    from npusim.lowering import lower as lower_graph

    return lower_graph(graph, hw)


def lower_explained(graph: Graph, hw: Hardware) -> tuple[Program, list[Entry]]:
    """As `lower`, with the journal of what every stage decided about every op (`analysis.explain` reads it)."""
    from npusim.lowering import lower as lower_graph
    from npusim.program.journal import journal

    with journal() as kept:
        program = lower_graph(graph, hw)
    return program, list(kept.entries)


@checked
def simulate(program: Program, hw: Hardware, engine: Engine = "event", allow_guess: bool = False) -> Result:
    """Price ``program`` on ``hw``, run it, and analyse the Timeline.

    ``event`` is the reference engine, ``fast`` a single in-order pass. ``allow_guess`` lets SHAVE kernels without a
    cost through, priced as the default kernel and marked ``guess``; otherwise they raise UserError.
    """
    prices = priced(program, [hw], allow_guess).prices(0)
    if engine == "event":
        from npusim.engine.event import simulate as run
    else:
        from npusim.engine.fast import simulate_fast as run
    timeline = run(program, prices)
    return Result(program, hw, prices, timeline, metrics(timeline, prices, hw))


def priced(program: Program, machines: Sequence[Hardware], allow_guess: bool = False) -> PriceTable:
    """Prices of ``program`` on ``machines`` that leave it as it is. Raises UserError for a kernel without a cost."""
    try:
        return price_points(program, machines, allow_guess)
    except UnknownKernel as error:
        raise UserError(f"{_first_op(program, error.kernel)}: {error}") from None


def _first_op(program: Program, kernel: str) -> str:
    """The first op with a call of ``kernel``, as an error names it."""
    task = next(task for task in program.tasks if getattr(task.work, "kernel", None) == kernel)
    op = program.ops[task.op]
    return f"op '{op.name}' ({op.type})"
