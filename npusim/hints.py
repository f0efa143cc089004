"""How fast a user of OpenVINO sees a model run: latency of one inference, or time between results with many in flight.

A simulation of a Program is one inference inside the NPU. What is measured from outside depends on the performance
hint, which decides for how many tiles the model is compiled and how many requests are in flight
(``software.hints``), on host and driver (``host``), and on who asks (``host.clients``):

- ``latency``: one request. Wall time is the device time on the tiles of that hint, ``host.serial_us``,
  ``host.overhead_us``, and what the client adds to a call.
- ``throughput``: as many inferences run side by side as the tiles allow, sharing DDR; the others wait behind them, so
  that the host's part is hidden. The time between two results is the device's and ``host.serial_us`` of every stream,
  and at least what the client's thread takes for a call.

A model may run in ``segments``, graphs that the host calls one after another (OpenVINO's HETERO and NPUW plugins cut it
so). Every segment is a call of its own to firmware and driver, and one call to the client.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

from npusim.graph.ir import BITS, Graph
from npusim.hardware.schema import ClientName, Hardware

if TYPE_CHECKING:
    from npusim.costs.prices import Prices
    from npusim.engine.inflight import InFlight
    from npusim.program import Program

HintName = Literal["latency", "throughput"]
Bound = Literal["host", "memory", "compute"]
"""What most of a time goes to: host, driver and client; DDR; or the rest, DPU and SHAVE."""
DEFAULT_CLIENT: ClientName = "benchmark_app"


@dataclass(frozen=True, slots=True)
class Seen:
    """What a user sees of one model under one hint.

    ``tiles`` that an inference is compiled for, ``streams`` of inferences side by side, ``device_us`` of one that is
    alone on the NPU, ``host_us`` that firmware, driver and ``client`` add to one that is alone and called in so many
    ``segments``. ``us`` is what is measured: wall time of an inference, or time between two results.
    """

    hint: HintName
    tiles: int
    streams: int
    device_us: float
    us: float
    host_us: float = 0.0
    client: ClientName = DEFAULT_CLIENT
    bound: Bound = "compute"
    segments: int = 1


@dataclass(frozen=True, slots=True)
class Interface:
    """What goes in and out of one inference, bytes, and the number of outputs."""

    in_bytes: float
    out_bytes: float
    outputs: int

    @classmethod
    def of(cls, graph: Graph) -> Interface:
        """The interface of a model: its inputs and outputs at the types that a caller sees."""

        def size(ids: Sequence[int]) -> float:
            tensors = (graph.tensors[i] for i in ids)
            return sum(one.elements * BITS[one.stored_dtype] / 8 for one in tensors)

        return cls(size(graph.inputs), size(graph.outputs), len(graph.outputs))

    def client_us(self, hw: Hardware, client: ClientName) -> float:
        """What a caller adds to a call, µs."""
        costs = hw.host.client(client)
        moved = costs.in_us_per_mb * self.in_bytes + costs.out_us_per_mb * self.out_bytes
        return costs.call_us + moved / 1e6 + costs.output_us * max(self.outputs - 1, 0)


@dataclass(frozen=True, slots=True)
class Inside:
    """What the NPU takes: ``alone_us`` of one inference by itself, ``period_us`` between two results of a running
    machine, and ``ddr_us`` that DDR needs for one at its full rate. Nothing of ``host`` is part of it."""

    alone_us: float
    period_us: float
    ddr_us: float

    def bound(self, host_us: float) -> Bound:
        """What bounds an inference that takes ``host_us`` beside the NPU: whatever is at least half of it."""
        if host_us >= self.alone_us:
            return "host"
        return "memory" if 2 * self.ddr_us >= self.alone_us else "compute"


def bound_of(prices: Prices, device_us: float, host_us: float = 0.0) -> Bound:
    """What bounds an inference that takes ``device_us`` on the NPU and ``host_us`` beside it."""
    return Inside(device_us, device_us, _ddr_us(prices)).bound(host_us)


def _ddr_us(prices: Prices) -> float:
    """What DDR needs for all bytes at its full rate, µs; 0 where it is not contended."""
    return float(prices.ddr_bytes.sum()) / prices.ddr_gbps / 1e3 if prices.ddr_gbps else 0.0


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
    interface: Interface
    uses_shaves: bool

    def seen(
        self,
        machines: Sequence[Hardware],
        allow_guess: bool = False,
        client: ClientName = DEFAULT_CLIENT,
        segments: int = 1,
    ) -> list[Seen]:
        """What a user sees on each of ``machines``. Raises UserError as `api.simulate` does."""
        found = zip(machines, self.inside(machines, allow_guess), strict=True)
        return [self.outside(hw, inside, client, segments) for hw, inside in found]

    def inside(self, machines: Sequence[Hardware], allow_guess: bool = False) -> list[Inside]:
        """What the NPU takes on each of ``machines``. Raises UserError as `api.simulate` does."""
        from npusim import api

        table = api.priced(self.program, [compiled_for(hw, self.hint) for hw in machines], allow_guess)
        found = (table.prices(point) for point in range(len(machines)))
        return [Inside(*self.flight.times_us(prices), _ddr_us(prices)) for prices in found]

    def outside(self, hw: Hardware, inside: Inside, client: ClientName, segments: int = 1) -> Seen:
        """What a user sees where the NPU takes what it does ``inside`` of ``hw``."""
        tiles, streams = self.program.tiles, self.flight.streams
        serial_us = segments * (hw.host.serial_us + (hw.host.shave_us if self.uses_shaves else 0.0))
        client_us = self.interface.client_us(hw, client)
        host_us = serial_us + segments * hw.host.overhead_us + client_us
        us = wall_us = inside.alone_us + host_us
        if self.requests > 1:
            us = max(inside.period_us + serial_us / streams, client_us)
            if self.requests == streams:  # nobody waits to go on where one ends
                us = max(us, wall_us / streams)
        bound = inside.bound(max(us * streams - inside.alone_us, 0.0))
        return Seen(self.hint, tiles, streams, inside.alone_us, us, host_us, client, bound, segments)


def prepare(graph: Graph, hw: Hardware, hint: HintName, program: Program | None = None) -> Prepared:
    """``graph`` as ``hint`` compiles it; ``program`` is what lowering made of it, where that has been done.

    Raises UserError as `api.lower` does.
    """
    from npusim import api
    from npusim.engine.inflight import InFlight

    program = program or api.lower(graph, compiled_for(hw, hint))
    requests = getattr(hw.software.hints, hint).requests
    streams = min(requests, hw.tiles // program.tiles)
    kernels = {getattr(work, "kernel", None) for work in program.tasks.works}
    flight = InFlight(program, streams)
    return Prepared(hint, requests, program, flight, Interface.of(graph), bool(kernels - {None, "convert"}))


def seen(
    graph: Graph,
    hw: Hardware,
    hint: HintName,
    allow_guess: bool = False,
    client: ClientName = DEFAULT_CLIENT,
    program: Program | None = None,
    segments: int = 1,
) -> Seen:
    """What a user sees of ``graph`` under a hint, called in so many segments; ``program`` as in `prepare`.

    Raises UserError as `api.lower` and `api.simulate` do.
    """
    return prepare(graph, hw, hint, program).seen([hw], allow_guess, client, segments)[0]
