"""One design point to one row of results, by the path that ``npusim run`` takes.

A process keeps the last Programs, so that neighbours that differ in timing alone are lowered once. What cannot be (an
op that does not fit the scratchpad, a model that cannot be built) is a row that says why.
"""

from __future__ import annotations

from collections.abc import Callable, Hashable, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Any, TypeVar

from npusim.analysis.bottleneck import KINDS, binding_kind, critical_path
from npusim.analysis.metrics import statistics
from npusim.costs.price import price
from npusim.costs.prices import PROVENANCE
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


def evaluate(space: Space, point: Point) -> Row:
    """The row of a point: a value for every axis and all of store.COLUMNS."""
    setting = _Setting(*space.at(point))
    try:
        compiled = _compiled(setting)
        if isinstance(compiled, Exception):
            raise compiled
        return _row(space, point, _result(compiled, setting, space.allow_guess))
    except Exception as error:  # one bad point must not take the others with it
        return _row(space, point, _failure(error))


def failed_row(space: Space, point: Point, error: str) -> Row:
    """The row of a point that could not be evaluated at all."""
    return _row(space, point, {"error": error})


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


def _result(compiled: Compiled, setting: _Setting, allow_guess: bool) -> Row:
    prices = price(compiled.program, setting.hardware, allow_guess)
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
        "energy_uj": float(prices.energy_pj.sum()) * 1e-6 + setting.hardware.static_mw * latency * 1e-3,
        **{name: times[name] for name in ("dma_us", "dpu_us", "shave_us", "idle_us")},
        "bound": KINDS[int(binding_kind(path.kind_us.sum(axis=0)[None])[0])],
        "guess_share": guessed / latency if latency > 0 else 0.0,
        "tasks": len(compiled.program.tasks),
        "error": "",
    }


# -- what is kept from point to point in one process ------------------------------------------------------------


class _Kept:
    """The last few results of slow work, by key; an exception is a result too."""

    def __init__(self, most: int) -> None:
        self.most = most
        self.made: dict[Hashable, Any] = {}

    def get(self, key: Hashable, make: Callable[[], _Made]) -> _Made | Exception:
        """What ``make`` gives, or gave for this key."""
        if key in self.made:
            value = self.made.pop(key)
        else:
            try:
                value = make()
            except Exception as error:
                value = error
        self.made[key] = value
        while len(self.made) > self.most:
            del self.made[next(iter(self.made))]
        return value


@lru_cache(maxsize=1)
def _kept() -> tuple[_Kept, _Kept]:
    """This process's Graphs and compiled Programs: a handful each, since neighbours in a sweep share them."""
    return _Kept(4), _Kept(2)


def _compiled(setting: _Setting) -> Compiled | Exception:
    graphs, programs = _kept()

    def make() -> Compiled:
        graph = graphs.get(
            setting.graph_key(), lambda: graph_for(setting.model, setting.passes, setting.hardware)
        )
        if isinstance(graph, Exception):
            raise graph
        return compile_program(lower(graph, setting.hardware))

    return programs.get(setting.program_key(), make)
