"""Measured cases with their Programs: lowered once, priced and simulated for as many machines as are asked about."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np

from npusim.graph.ir import Graph
from npusim.hardware.schema import ClientName, Hardware
from npusim.hints import DEFAULT_CLIENT, HintName, Inside, Prepared, prepare
from npusim.validation.calibrate.parameters import Point, Space

Matrix = np.ndarray

#: Step of a derivative, share of a parameter's range on either side: several inferences that share DDR fall in and out
#: of step, and the time between their results jumps by about 1 % over shares of 0.01.
DIFFERENCE = 0.05


@dataclass(frozen=True, slots=True, eq=False)
class Case:
    """One measured figure: wall time of one inference, or (``throughput``) time between results, µs.

    ``model`` is what is left out together, and so is ``machine``; ``client`` asked for the inference.
    """

    label: str
    model: str
    metric: HintName
    measured_us: float
    graph: Graph
    client: ClientName = DEFAULT_CLIENT
    machine: str = ""


_Key = tuple[int, HintName]
_Apart = tuple[tuple[str, int], ...]


@dataclass(frozen=True, slots=True)
class Bench:
    """Cases, and what lowering makes of their Graphs on one machine; predictions are for others that leave the Programs
    as they are. ``known`` is what the NPU takes on machines that were asked about, whatever is around them."""

    space: Space
    cases: Sequence[Case]
    programs: Mapping[_Key, Prepared]
    known: dict[tuple[_Key, _Apart], tuple[Hardware, Inside]] = field(default_factory=dict)

    @classmethod
    def lowered(cls, space: Space, cases: Sequence[Case], hw: Hardware) -> Bench:
        """Every Graph lowered for ``hw``. Raises UserError where one cannot be."""
        wanted = {_key(case): case for case in cases}
        return cls(space, cases, {key: prepare(case.graph, hw, case.metric) for key, case in wanted.items()})

    def same_as(self, other: Bench) -> bool:
        """Whether lowering gave the same Programs."""
        return all(one.program == other.programs[key].program for key, one in self.programs.items())

    def only(self, cases: Sequence[Case]) -> Bench:
        """The same Programs with some of the cases."""
        return Bench(self.space, cases, self.programs, self.known)

    def predict(self, machines: Sequence[Hardware]) -> Matrix:
        """Predicted figures, µs, shape (machines, cases)."""
        asked = dict.fromkeys((_key(case), case.client) for case in self.cases)
        seen = {(key, client): self._seen(key, client, machines) for key, client in asked}
        return np.array([seen[_key(case), case.client] for case in self.cases]).T

    def _seen(self, key: _Key, client: ClientName, machines: Sequence[Hardware]) -> list[float]:
        """What a client sees of one Program on each of ``machines``; those whose NPUs are alike are simulated once."""
        prepared = self.programs[key]
        apart = [(key, _apart_from_host(hw)) for hw in machines]
        new = {place: hw for place, hw in zip(apart, machines, strict=True) if place not in self.known}
        found = prepared.inside(list(new.values()), allow_guess=True) if new else []
        self.known.update((place, (hw, one)) for (place, hw), one in zip(new.items(), found, strict=True))
        return [
            prepared.outside(hw, self.known[place][1], client).us
            for place, hw in zip(apart, machines, strict=True)
        ]

    def residuals(self, points: Sequence[Point]) -> Matrix:
        """log(predicted / measured), shape (points, cases)."""
        measured = np.array([case.measured_us for case in self.cases])
        return np.asarray(np.log(self.predict([self.space.hardware(point) for point in points]) / measured))

    def jacobian(self, point: Point, difference: float = DIFFERENCE) -> Matrix:
        """Derivatives of the residuals by central differences (one-sided at a bound), shape (cases, parameters)."""
        steps = np.eye(len(point)) * difference
        above, below = np.clip(point + steps, 0, 1), np.clip(point - steps, 0, 1)
        both = self.residuals([*above, *below])
        widths = np.diag(above - below)
        return np.asarray(((both[: len(point)] - both[len(point) :]) / widths[:, None]).T)

    def moves(self, point: Point) -> Matrix:
        """By how much (log) every parameter moves the prediction that it moves most, from bound to bound."""
        ends = []
        for k in range(len(point)):
            for end in (0.0, 1.0):
                moved = point.copy()
                moved[k] = end
                ends.append(moved)
        rows = self.residuals(ends)
        return np.asarray(np.abs(rows[1::2] - rows[::2]).max(axis=1))


def _key(case: Case) -> _Key:
    return id(case.graph), case.metric


def _apart_from_host(hw: Hardware) -> _Apart:
    """Equal for machines that share all sections but ``host``, as those of one Space do where no value of another is
    free; whoever keeps this keeps the machine, whose sections are told by where they are."""
    return tuple((name, id(getattr(hw, name))) for name in type(hw).model_fields if name != "host")
