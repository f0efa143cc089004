"""How fast a user of OpenVINO sees a model run: latency of one inference, or time between results with many in flight.

A simulation of a Program is one inference inside the NPU. What is measured from outside depends on the performance
hint, which decides for how many tiles the model is compiled and how many requests are in flight
(``software.hints``), and on host and driver (``host``):

- ``latency``: one request. Wall time is the device time on the tiles of that hint, ``host.serial_us`` and
  ``host.overhead_us``.
- ``throughput``: as many inferences run side by side as the tiles allow, sharing DDR; the others wait behind them, so
  that the host's part is hidden. The time between two results is the device's and ``host.serial_us`` of every stream.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

from npusim.graph.ir import Graph
from npusim.hardware.schema import Hardware

if TYPE_CHECKING:
    from npusim.costs.prices import Prices
    from npusim.engine.inflight import InFlight
    from npusim.program import Program

HintName = Literal["latency", "throughput"]


@dataclass(frozen=True, slots=True)
class Seen:
    """What a user sees of one model under one hint.

    ``tiles`` that an inference is compiled for, ``streams`` of inferences side by side, ``device_us`` of one that is
    alone on the NPU. ``us`` is what is measured: wall time of an inference, or time between two results.
    """

    hint: HintName
    tiles: int
    streams: int
    device_us: float
    us: float


def compiled_for(hw: Hardware, hint: HintName) -> Hardware:
    """The hardware as one inference sees it: with the tiles that the hint compiles for."""
    wanted = getattr(hw.software.hints, hint).tiles
    return hw if wanted is None or wanted >= hw.tiles else hw.model_copy(update={"tiles": wanted})


@dataclass(frozen=True, slots=True)
class Prepared:
    """A model lowered for one hint: whatever machine makes the same Program of it can be asked what a user sees."""

    hint: HintName
    requests: int
    program: Program
    flight: InFlight

    def seen(self, machines: Sequence[Hardware], allow_guess: bool = False) -> list[Seen]:
        """What a user sees on each of ``machines``. Raises UserError as `api.simulate` does."""
        from npusim import api

        table = api.priced(self.program, [compiled_for(hw, self.hint) for hw in machines], allow_guess)
        return [self._seen(hw, table.prices(point)) for point, hw in enumerate(machines)]

    def _seen(self, hw: Hardware, prices: Prices) -> Seen:
        tiles, streams = self.program.tiles, self.flight.streams
        device_us, period = self.flight.times_us(prices)
        wall_us = device_us + hw.host.serial_us + hw.host.overhead_us
        if self.requests == 1:
            return Seen(self.hint, tiles, 1, device_us, wall_us)
        period = period + hw.host.serial_us / streams
        if self.requests == streams:  # nobody waits to go on where one ends
            period = max(period, wall_us / streams)
        return Seen(self.hint, tiles, streams, device_us, period)


def prepare(graph: Graph, hw: Hardware, hint: HintName) -> Prepared:
    """Lower ``graph`` as ``hint`` compiles it. Raises UserError as `api.lower` does."""
    from npusim import api
    from npusim.engine.inflight import InFlight

    program = api.lower(graph, compiled_for(hw, hint))
    requests = getattr(hw.software.hints, hint).requests
    streams = min(requests, hw.tiles // program.tiles)
    return Prepared(hint, requests, program, InFlight(program, streams))


def seen(graph: Graph, hw: Hardware, hint: HintName, allow_guess: bool = False) -> Seen:
    """Lower ``graph`` for a hint and simulate what a user sees.

    Raises UserError as `api.lower` and `api.simulate` do.
    """
    return prepare(graph, hw, hint).seen([hw], allow_guess)[0]
