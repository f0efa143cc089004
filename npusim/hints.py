"""How fast a user of OpenVINO sees a model run: latency of one inference, or time between results with many in flight.

A simulation of a Program is one inference inside the NPU. What is measured from outside depends on the performance
hint, which decides for how many tiles the model is compiled and how many requests are in flight
(``software.hints``), on host and driver (``host``), and on who asks (``host.clients``):

- ``latency``: one request. Wall time is the device time on the tiles of that hint, ``host.serial_us``,
  ``host.overhead_us``, and what the client adds to a call.
- ``throughput``: as many inferences run side by side as the tiles allow, sharing DDR; the others wait behind them, so
  that the host's part is hidden. The time between two results is the device's and ``host.serial_us`` of every stream,
  and at least what the client's thread takes for a call.
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
    alone on the NPU, ``host_us`` that firmware, driver and ``client`` add to one that is alone. ``us`` is what is
    measured: wall time of an inference, or time between two results.
    """

    hint: HintName
    tiles: int
    streams: int
    device_us: float
    us: float
    host_us: float = 0.0
    client: ClientName = DEFAULT_CLIENT
    bound: Bound = "compute"


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


def bound_of(prices: Prices, device_us: float, host_us: float = 0.0) -> Bound:
    """What bounds an inference that takes ``device_us`` on the NPU and ``host_us`` beside it: whatever is at least half
    of it, with DDR taken at its full rate."""
    if host_us >= device_us:
        return "host"
    ddr_us = float(prices.ddr_bytes.sum()) / prices.ddr_gbps / 1e3 if prices.ddr_gbps else 0.0
    return "memory" if 2 * ddr_us >= device_us else "compute"


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
        self, machines: Sequence[Hardware], allow_guess: bool = False, client: ClientName = DEFAULT_CLIENT
    ) -> list[Seen]:
        """What a user sees on each of ``machines``. Raises UserError as `api.simulate` does."""
        from npusim import api

        table = api.priced(self.program, [compiled_for(hw, self.hint) for hw in machines], allow_guess)
        return [self._seen(hw, table.prices(point), client) for point, hw in enumerate(machines)]

    def _seen(self, hw: Hardware, prices: Prices, client: ClientName) -> Seen:
        tiles, streams = self.program.tiles, self.flight.streams
        device_us, period = self.flight.times_us(prices)
        serial_us = hw.host.serial_us + (hw.host.shave_us if self.uses_shaves else 0.0)
        client_us = self.interface.client_us(hw, client)
        host_us = serial_us + hw.host.overhead_us + client_us
        wall_us = device_us + host_us
        if self.requests == 1:
            bound = bound_of(prices, device_us, host_us)
            return Seen(self.hint, tiles, 1, device_us, wall_us, host_us, client, bound)
        period = max(period + serial_us / streams, client_us)
        if self.requests == streams:  # nobody waits to go on where one ends
            period = max(period, wall_us / streams)
        bound = bound_of(prices, device_us, max(period * streams - device_us, 0.0))
        return Seen(self.hint, tiles, streams, device_us, period, host_us, client, bound)


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
) -> Seen:
    """What a user sees of ``graph`` under a hint; ``program`` as in `prepare`.

    Raises UserError as `api.lower` and `api.simulate` do.
    """
    return prepare(graph, hw, hint, program).seen([hw], allow_guess, client)[0]
