"""Advice: the few changes to a model, or to how it is run, that would help most, each of them simulated.

A large model is judged by its probe, one layer of each kind, and what a change gains there is taken as often as there
are such layers; the rewrites that are best there, and small models, are simulated whole. What a change rests on is
said with it. Nothing is advised that was not simulated.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass, replace
from typing import Any, Literal

from npusim import api
from npusim.api import Result
from npusim.errors import UserError
from npusim.explore.auto import fixed_rewrites
from npusim.explore.narrow import with_int8
from npusim.explore.probe import layers_per_kind, probe_of
from npusim.graph.ir import BITS, Graph
from npusim.hardware.schema import Hardware
from npusim.hints import HintName, prepare
from npusim.source import DEFAULT_TOKENS, NONE, ModelSource

#: A model of no more tasks, or of fewer than twice its probe's, is simulated whole for every change.
_SMALL = 3000
_FEW = 2
#: Gains below are not worth a line.
LEAST_GAIN = 1.01
#: Chunk lengths of Mamba-2 that are tried.
_CHUNKS = (64, 128)
_WHOLE = "the whole model, simulated"

Measure = Literal["latency", "time between results"]


@dataclass(frozen=True, slots=True)
class Advice:
    """One change: ``before_us`` and ``after_us`` of an inference (or of the time between results, under a hint),
    ``how`` to do it, the ``options`` of `npusim run` that ask for it (none where the model has to be made anew), and
    what the figures rest on."""

    what: str
    measure: Measure
    before_us: float
    after_us: float
    how: str
    options: tuple[tuple[str, object], ...]
    rests_on: str

    @property
    def gain(self) -> float:
        """How many times as fast."""
        return self.before_us / self.after_us if self.after_us > 0 else 1.0


@dataclass(frozen=True, slots=True)
class Advised:
    """The model as it stands, what holds it back, and the changes that help, the most helpful first."""

    result: Result
    graph: Graph
    bottleneck: str
    advice: tuple[Advice, ...]


def advise(
    source: ModelSource,
    hw: Hardware,
    *,
    allow_guess: bool = False,
    step: Callable[[str], None] = lambda text: None,
) -> Advised:
    """Simulate ``source`` on ``hw`` as it stands, and what would make it faster.

    Raises UserError where the model as it stands cannot be simulated; a change that cannot be is left out.
    """
    step("simulating the model as it stands")
    model, notes = source.read()
    graph = source.graph_of(model, notes)
    result = api.simulate(api.lower(graph, hw), hw, "fast", allow_guess)
    bench = _bench(source, model, hw, result)
    found: list[Advice] = []
    for number, (what, change) in enumerate(_CHANGES.items(), 1):
        step(f"{number} of {len(_CHANGES)}: trying {what}")
        found += [one for one in _tried(change, bench) if one.gain >= LEAST_GAIN]
    return Advised(result, graph, bottleneck(result), tuple(sorted(found, key=lambda one: -one.gain)))


def bottleneck(result: Result) -> str:
    """What most of the latency goes to: ``68 % is CumSum on SHAVE``."""
    by_kind: dict[tuple[str, str], float] = {}
    for row in result.metrics.ops:
        key = row.type, "DMA" if row.bound in ("dma", "ddr", "start-up") else row.engine.upper()
        by_kind[key] = by_kind.get(key, 0.0) + row.exposed_us
    if not by_kind or not result.latency_us:
        return "nothing takes time"
    (kind, engine), us = max(by_kind.items(), key=lambda item: item[1])
    where = "waiting for its transfers" if engine == "DMA" else f"on {engine}"
    return f"{us / result.latency_us:.0%} is {kind} {where}"


@dataclass(frozen=True, slots=True)
class _Bench:
    """What changes are tried on: the whole model, or its probe, each layer of which stands for ``times`` like it.

    ``result`` is that of the whole model as it stands, ``probe_us`` the latency of ``probe``.
    """

    source: ModelSource
    model: Any
    hw: Hardware
    result: Result
    probe: Any
    times: float
    probe_us: float

    @property
    def whole(self) -> bool:
        """Whether changes are tried on the whole model."""
        return self.probe is self.model

    @property
    def rests_on(self) -> str:
        """What figures rest on."""
        return (
            _WHOLE
            if self.whole
            else f"one layer of each kind, simulated; the model has {self.times:.3g} of it"
        )

    def latency_us(self, model: Any, hw: Hardware | None = None) -> float:
        """Simulated latency of an openvino.Model, µs. Raises UserError where it cannot be lowered."""
        return _latency_us(self.source.graph_of(model), hw or self.hw)

    def scaled_us(self, probe_us: float) -> float:
        """Latency of the whole model where its probe takes ``probe_us``: what is gained there, layer by layer."""
        whole_us = self.result.latency_us
        times = min(self.times, whole_us / self.probe_us)
        return probe_us if self.whole else whole_us - times * (self.probe_us - probe_us)

    def advice(self, what: str, probe_us: float, how: str, *options: tuple[str, object]) -> Advice:
        """Advice of a change that makes the probe take ``probe_us``."""
        after_us = self.scaled_us(probe_us)
        return Advice(what, "latency", self.result.latency_us, after_us, how, options, self.rests_on)


def _bench(source: ModelSource, model: Any, hw: Hardware, result: Result) -> _Bench:
    probe, tasks = probe_of(model), len(result.program.tasks)
    if tasks > _SMALL:
        program = api.lower(source.graph_of(probe), hw)
        if tasks > _FEW * len(program.tasks):
            probe_us = api.simulate(program, hw, "fast", allow_guess=True).latency_us
            return _Bench(source, model, hw, result, probe, layers_per_kind(model), probe_us)
    return _Bench(source, model, hw, result, model, 1.0, result.latency_us)


def _latency_us(graph: Graph, hw: Hardware) -> float:
    return api.simulate(api.lower(graph, hw), hw, "fast", allow_guess=True).latency_us


def _rewrites(bench: _Bench) -> Iterator[Advice]:
    """The fixed pipeline of exact rewrites that is fastest on the probe, simulated on the whole model."""
    passes, probe_us = fixed_rewrites(bench.probe, bench.hw, bench.source.name)[0]
    if passes == NONE or probe_us >= bench.probe_us:
        return
    whole_us = probe_us if bench.whole else _latency_us(bench.source.graph(passes), bench.hw)
    yield Advice(
        f"rewrites {passes}", "latency", bench.result.latency_us, whole_us,
        "exact up to rounding; npusim transform writes the rewritten model, --xamba auto looks for more",
        (("--xamba", passes),), _WHOLE,
    )  # fmt: skip


def _eight_bits(bench: _Bench) -> Iterator[Advice]:
    """Weights of 8 bits, and activations too: as the built-in workload has them, or as they would be."""
    for activations, ending, what, how in (
        (
            False,
            "int8-weights",
            "INT8 weights",
            "nncf.compress_weights(model, mode=nncf.CompressWeightsMode.INT8_SYM)",
        ),
        (True, "int8", "INT8 weights and activations", "nncf.quantize(model, calibration_data)"),
    ):
        check = f"{how}; npusim says nothing of its accuracy"
        ready = _variant(bench.source, ending)
        if ready is not None:
            model, _ = ready.read()
            us = bench.latency_us(model if bench.whole else probe_of(model))
            yield bench.advice(what, us, check, ("--workload", ready.workload))
        elif (changed := with_int8(bench.probe, activations=activations)) is not None:
            yield bench.advice(what, bench.latency_us(changed), check)


def _variant(source: ModelSource, ending: str) -> ModelSource | None:
    """The built-in workload that is ``source`` in another precision."""
    from npusim import workloads

    name = f"{source.workload}-{ending}"
    return source.at(workload=name) if source.file is None and name in workloads.names() else None


def _interface(bench: _Bench) -> Iterator[Advice]:
    """Inputs and outputs as narrow as they are computed."""
    graph = bench.source.graph_of(bench.model)
    ends = {*graph.inputs, *graph.outputs}
    wide = {i for i in ends if BITS[graph.tensors[i].stored_dtype] > BITS[graph.tensors[i].dtype]}
    if not wide or not bench.whole:
        return
    tensors = tuple(replace(t, stored_dtype=t.dtype) if t.id in wide else t for t in graph.tensors)
    us = _latency_us(replace(graph, tensors=tensors), bench.hw)
    how = "openvino.preprocess.PrePostProcessor: set the element type of inputs and outputs"
    yield bench.advice("FP16 inputs and outputs", us, how)


def _tiles(bench: _Bench) -> Iterator[Advice]:
    """Fewer tiles, where those that there are get into each other's way."""
    tried = {
        tiles: bench.latency_us(bench.probe, bench.hw.model_copy(update={"tiles": tiles}))
        for tiles in range(max(1, bench.hw.tiles // 2), bench.hw.tiles)
    }
    if tried:
        tiles = min(tried, key=lambda number: tried[number])
        how = f"compile for {tiles} tiles (NPU_DPU_GROUPS)"
        yield bench.advice(
            f"{tiles} of {bench.hw.tiles} tiles", tried[tiles], how, ("--set", f"tiles={tiles}")
        )


def _throughput(bench: _Bench) -> Iterator[Advice]:
    """Several inferences in flight, for whom results a second count."""
    graph = bench.source.graph_of(bench.probe)
    alone, many = (prepare(graph, bench.hw, hint).seen([bench.hw], allow_guess=True)[0].us for hint in _HINTS)
    scale = bench.result.latency_us / bench.probe_us
    how = (
        "ov.hint.PerformanceMode.THROUGHPUT and several requests in flight; one inference takes no less time"
    )
    rests = bench.rests_on if bench.whole else "one layer of each kind, simulated, as if all of it ran so"
    yield Advice(
        "hint throughput",
        "time between results",
        alone * scale,
        many * scale,
        how,
        (("--hint", "throughput"),),
        rests,
    )


def _rows(bench: _Bench) -> Iterator[Advice]:
    """The rows of a batch one after another."""
    if bench.source.file is not None or bench.source.batch == 1:
        return
    batch = bench.source.batch
    alone_us = _latency_us(bench.source.at(batch=1).graph(), bench.hw)
    how = f"run {batch} inferences of one sequence each"
    yield Advice(
        "rows one by one",
        "latency",
        bench.result.latency_us,
        batch * alone_us,
        how,
        (("--batch", 1),),
        _WHOLE,
    )


def _chunks(bench: _Bench) -> Iterator[Advice]:
    """Shorter chunks of Mamba-2's prefill."""
    source = bench.source
    if source.file is not None or not source.workload.startswith("mamba2") or source.phase != "prefill":
        return
    tried = {}
    for chunk in _CHUNKS:
        if chunk != source.chunk and chunk < (source.tokens or DEFAULT_TOKENS):
            other = source.at(chunk=chunk, layers=source.layers if bench.whole else 1)
            model, _ = other.read()
            tried[chunk] = bench.latency_us(model if bench.whole else probe_of(model))
    if tried:
        best = min(tried, key=lambda chunk: tried[chunk])
        how = "the scan in shorter pieces, with the same results"
        yield bench.advice(f"chunks of {best} tokens", tried[best], how, ("--chunk", best))


_HINTS: tuple[HintName, HintName] = ("latency", "throughput")
_CHANGES: dict[str, Callable[[_Bench], Iterator[Advice]]] = {
    "rewrites": _rewrites,
    "8-bit numbers": _eight_bits,
    "the interface": _interface,
    "tiles": _tiles,
    "hints": _throughput,
    "the batch": _rows,
    "chunks": _chunks,
}


def _tried(change: Callable[[_Bench], Iterator[Advice]], bench: _Bench) -> list[Advice]:
    """What a change gives, up to the first form of it that cannot be simulated."""
    found: list[Advice] = []
    with suppress(UserError):
        found.extend(change(bench))
    return found
