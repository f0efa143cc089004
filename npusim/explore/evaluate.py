"""One design point to one row of results, by the path that ``npusim run`` takes.

Points that lower to the same Program share it: a group of them is lowered once, priced together and simulated one by
one. What cannot be (an op that does not fit the scratchpad, a model that cannot be built) is a row that says why.
"""

from __future__ import annotations

from collections.abc import Callable, Hashable, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import TYPE_CHECKING, Any, TypeVar

from npusim.analysis.bottleneck import KINDS, binding_kind, critical_path
from npusim.analysis.metrics import statistics
from npusim.costs.price import price_points
from npusim.costs.prices import PROVENANCE, PriceTable
from npusim.costs.shave import UnknownKernel
from npusim.engine.compile import Compiled, compile_program
from npusim.engine.fast import simulate_fast
from npusim.errors import UserError
from npusim.explore.rewrites import AUTO, graph_for
from npusim.explore.space import Point, Space, digest
from npusim.explore.store import Row
from npusim.hardware.schema import Hardware
from npusim.lowering import lower, lowering_key
from npusim.source import ModelSource

if TYPE_CHECKING:
    from npusim.graph.ir import Graph

#: Columns of a row after those of the axes: name and what it says.
COLUMNS = {
    "latency_us": "latency, µs",
    "tokens_per_s": "tokens per second, all sequences together; empty for a model file",
    "energy_uj": "energy, µJ",
    "dma_us": "time in which DMA runs, µs",
    "dpu_us": "time in which a DPU runs, µs",
    "shave_us": "time in which a SHAVE runs, µs",
    "idle_us": "time in which nothing runs, µs",
    "bound": "what most of the latency goes to on the critical path (as in ops.csv)",
    "guess_share": "share of the latency that rests on guessed costs",
    "tasks": "tasks of the Program",
    "macs_per_cycle": "area proxy: 8-bit multiply-accumulates a cycle of all tiles together",
    "cmx_bytes": "area proxy: scratchpad of all tiles together, bytes",
    "error": "why there is no result; empty if there is",
}
_GUESS = PROVENANCE.index("guess")
_Made = TypeVar("_Made")


@dataclass(frozen=True, slots=True)
class _Setting:
    """A point as what is to be run."""

    hardware: Hardware
    model: ModelSource
    passes: str

    def graph_key(self) -> str:
        """Equal only for settings of the same Graph. What ``auto`` chooses may hang on any number of the hardware."""
        tuned = self.hardware.model_dump_json() if self.passes == AUTO else ""
        return digest([repr(self.model), self.passes, tuned])

    def program_key(self) -> tuple[str, str]:
        """Equal only for settings of the same Program."""
        return self.graph_key(), lowering_key(self.hardware)


def program_keys(space: Space, points: Sequence[Point]) -> list[Hashable]:
    """For each point a key that it shares only with points of the same Program."""
    return [_Setting(*space.at(point)).program_key() for point in points]


def evaluate(space: Space, points: Sequence[Point]) -> list[Row]:
    """Rows of points of one Program (``program_keys``), in their order: a value for every axis and all of COLUMNS."""
    settings = [_Setting(*space.at(point)) for point in points]
    found: list[Row]
    try:
        compiled = _compiled(settings[0])
    except Exception as error:  # one bad point must not take the others with it
        found = [_failure(error)] * len(settings)
    else:
        found = _results(compiled, settings, space.allow_guess)
    return [_row(space, point, result) for point, result in zip(points, found, strict=True)]


def failed_rows(space: Space, points: Sequence[Point], error: str) -> list[Row]:
    """Rows of points that could not be evaluated at all."""
    return [_row(space, point, {"error": error}) for point in points]


def is_bug(error: str) -> bool:
    """Whether a row has no result because npusim is wrong, and not the point."""
    return error.startswith(_BUG)


_BUG = "a bug: "


def _failure(error: Exception) -> Row:
    message = " ".join(str(error).split())
    kind = "" if isinstance(error, UserError | UnknownKernel) else f"{_BUG}{type(error).__name__}: "
    return {"error": f"{kind}{message}"}


def _row(space: Space, point: Point, result: Row) -> Row:
    hw = space.at(point)[0]
    area = {
        "macs_per_cycle": hw.tiles * hw.dpu.macs_per_cycle.int8,
        "cmx_bytes": hw.tiles * int(hw.cmx.kib_per_tile * 1024),
    }
    return {**dict(zip((axis.name for axis in space.axes), point, strict=True)), **area, **result}


def _results(compiled: Compiled, settings: Sequence[_Setting], allow_guess: bool) -> list[Row]:
    """Results of settings of one Program; where they fail together, each is tried by itself."""
    try:
        table = price_points(compiled.program, [s.hardware for s in settings], allow_guess)
        energy_pj = table.dynamic_pj.tolist()
        return [_result(compiled, table, i, energy_pj[i], setting) for i, setting in enumerate(settings)]
    except Exception as error:  # one bad point must not take the others with it
        if len(settings) > 1:
            return [row for setting in settings for row in _results(compiled, [setting], allow_guess)]
        return [_failure(error)]


def _result(compiled: Compiled, table: PriceTable, index: int, dynamic_pj: float, setting: _Setting) -> Row:
    prices = table.prices(index)
    timeline = simulate_fast(compiled, prices)
    latency = timeline.latency_us
    times = statistics(timeline, compiled.program.engine)
    path = critical_path(timeline, prices)
    exposed = path.kind_us.sum(axis=1)
    guessed = float(exposed[prices.provenance[path.tasks] == _GUESS].sum())
    tokens = setting.model.tokens_per_inference
    return {
        "latency_us": latency,
        "tokens_per_s": tokens / latency * 1e6 if tokens and latency > 0 else None,
        "energy_uj": dynamic_pj * 1e-6 + setting.hardware.energy.static_mw * latency * 1e-3,
        **{name: times[name] for name in ("dma_us", "dpu_us", "shave_us", "idle_us")},
        "bound": KINDS[int(binding_kind(path.kind_us.sum(axis=0)[None])[0])],
        "guess_share": guessed / latency if latency > 0 else 0.0,
        "tasks": len(compiled.program.tasks),
        "error": "",
    }


# -- what is kept from point to point in one process ------------------------------------------------------------


class _Kept:
    """The last few results of slow work, by key. A failure is not kept."""

    def __init__(self, most: int) -> None:
        self.most = most
        self.made: dict[Hashable, Any] = {}

    def get(self, key: Hashable, make: Callable[[], _Made]) -> _Made:
        """What ``make`` gives, or gave for this key."""
        value = self.made.pop(key) if key in self.made else make()
        self.made[key] = value
        while len(self.made) > self.most:
            del self.made[next(iter(self.made))]
        return value


@lru_cache(maxsize=1)
def _kept() -> tuple[_Kept, _Kept]:
    """This process's Graphs and compiled Programs: a handful each, since neighbours in a sweep share them."""
    return _Kept(4), _Kept(2)


def _graph(setting: _Setting) -> Graph:
    return _kept()[0].get(
        setting.graph_key(), lambda: graph_for(setting.model, setting.passes, setting.hardware)
    )


def _compiled(setting: _Setting) -> Compiled:
    return _kept()[1].get(
        setting.program_key(), lambda: compile_program(lower(_graph(setting), setting.hardware))
    )
