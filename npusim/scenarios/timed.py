"""Programs of a scenario, lowered and simulated: each is one call of the NPU, with what the host adds."""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path

from npusim import api
from npusim.api import Result
from npusim.explore.rewrites import rewrite_for
from npusim.graph.ir import Graph
from npusim.hardware.load import load_hardware
from npusim.hardware.schema import Hardware
from npusim.hints import Seen, compiled_for, prepare
from npusim.scenarios.parts import part_of
from npusim.scenarios.spec import ProgramSpec, ScenarioSpec
from npusim.source import ModelSource

_LOOPS = ("Loop", "TensorIterator")


@dataclass(frozen=True)
class Asked:
    """A program as it is asked for: its Graph, the loops that stand in it step by step, and its machine."""

    name: str
    graph: Graph
    loops: tuple[str, ...]
    hardware: Hardware


@dataclass(frozen=True)
class Timed:
    """One call of the NPU: the simulation of its device part, and what a caller sees of it."""

    name: str
    result: Result
    seen: Seen

    @property
    def device_us(self) -> float:
        """Inside the NPU, µs."""
        return self.seen.device_us

    @property
    def call_us(self) -> float:
        """What host, driver and client add to a call, µs."""
        return self.seen.host_us

    @property
    def us(self) -> float:
        """One call, as its caller sees it, µs."""
        return self.device_us + self.call_us

    @property
    def energy_uj(self) -> float:
        """Of the device part."""
        return self.result.metrics.energy_uj


@dataclass(frozen=True)
class Bench:
    """The programs of one scenario, each read and simulated when it is first asked for. ``folder`` is where relative
    model files are looked for."""

    spec: ScenarioSpec
    folder: Path = Path()

    @cached_property
    def _asked(self) -> dict[str, Asked]:
        return {}

    @cached_property
    def _timed(self) -> dict[str, Timed]:
        return {}

    def machine(self, one: ProgramSpec | None = None) -> Hardware:
        """The machine of a program, or of the scenario. Raises UserError."""
        file = (one.hardware if one else None) or self.spec.hardware
        return load_hardware(file, (*self.spec.set, *(one.set if one else ())))

    def asked(self, name: str) -> Asked:
        """A program's Graph and machine. Raises UserError."""
        if name not in self._asked:
            one = self.spec.programs[name]
            hardware = compiled_for(self.machine(one), "latency")
            source = self._source(one)
            model, notes = source.read()
            model = rewrite_for(one.xamba, hardware)(model)
            loops = [n.get_friendly_name() for n in model.get_ordered_ops() if n.get_type_name() in _LOOPS]
            graph = part_of(source.graph_of(model, notes), one.after, one.until, loops)
            self._asked[name] = Asked(name, graph, tuple(loops), hardware)
        return self._asked[name]

    def timed(self, name: str) -> Timed:
        """A program, simulated. Raises UserError."""
        if name not in self._timed:
            asked = self.asked(name)
            self._timed[name] = self.call(name, asked.graph, asked.hardware)
        return self._timed[name]

    def call(self, name: str, graph: Graph, hardware: Hardware) -> Timed:
        """A Graph as one call of a machine. Raises UserError."""
        program = api.lower(graph, hardware)
        result = api.simulate(program, hardware, "fast", self.spec.allow_guess)
        prepared = prepare(graph, hardware, "latency", program)
        [seen] = prepared.seen([hardware], self.spec.allow_guess, self.spec.client)
        return Timed(name, result, seen)

    def _source(self, one: ProgramSpec) -> ModelSource:
        file = Path(one.model)
        if file.suffix:
            shapes = {name: list(shape) for name, shape in one.shapes.items()}
            path = self.folder / file
            return ModelSource(file=path if path.exists() else file, shapes=shapes)
        source = ModelSource(one.model)
        return replace(source, phase=one.phase, tokens=one.tokens, layers=one.layers, batch=one.batch)
