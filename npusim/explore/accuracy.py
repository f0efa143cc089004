"""`auto` with an accuracy budget: rewrites that trade accuracy for speed, weighed by both.

On top of the exact rewrites that pay, every pipeline of LOSSY is done to the whole model, which is then simulated, and
run beside the original on random inputs by OpenVINO's CPU plugin in FP32. Chosen is the fastest whose damage, the worst
relative error of an output (as `npusim verify` tells it), is within the budget. With random weights the damage says
little of a trained model: pruning and rounding hurt numbers without structure most.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from npusim import api
from npusim.errors import UserError
from npusim.explore.auto import best_rewrites
from npusim.explore.pareto import pareto_front
from npusim.graph.load import graph_of
from npusim.hardware.schema import Hardware

if TYPE_CHECKING:
    from npusim.xamba import Site

#: What is tried, each on the whole model.
LOSSY = (
    "quantize",
    "quantize{weights=int4}",
    "quantize{weights=int4,group=128}",
    "quantize{weights=nf4}",
    "prune{share=0.25}",
    "prune{share=0.5}",
    "prune{share=0.75}",
    "prune{pattern=2:4}",
    "prune{channels=0.25}",
    "prune{channels=0.5}",
    "prune{share=0.5},quantize",
    "prune{channels=0.25},quantize",
)
#: Random inputs that damage is told on.
_DRAWS = 2
#: What the model is called that has exact rewrites alone.
EXACT = "exact"


@dataclass(frozen=True, slots=True)
class Weighed:
    """A pipeline: latency, µs, the damage that it does, and whether no other is both faster and more exact."""

    passes: str
    latency_us: float
    damage: float
    front: bool = False


@dataclass(frozen=True, slots=True)
class Bargain:
    """All that was weighed, the fastest first, and the one that was chosen, with its openvino.Model and sites."""

    weighed: tuple[Weighed, ...]
    chosen: Weighed
    model: Any
    sites: tuple[Site, ...]
    stock_us: float


def within_budget(
    model: Any, hw: Hardware, budget: float, *, name: str = "the model", lossy: Sequence[str] = LOSSY
) -> Bargain:
    """The fastest rewrite of an openvino.Model on ``hw`` whose damage is within ``budget`` (a relative error).

    Raises UserError, with ``name`` for the model, where it cannot be simulated as it stands or run on the CPU.
    """
    from npusim import xamba

    exact = best_rewrites(model, hw, name=name)
    made: dict[str, tuple[Any, list[Site]]] = {EXACT: (exact.model, [])}
    for passes in lossy:
        result, sites = xamba.apply(exact.model, passes)
        if any(site.taken for site in sites):
            made[passes] = result, sites
    try:
        judge = _Judge(model)
        found = [
            Weighed(passes, us, judge.damage(result) if passes != EXACT else 0.0)
            for passes, (result, _) in made.items()
            for us in [exact.latency_us if passes == EXACT else _latency_us(result, hw, name)]
            if us is not None
        ]
    except xamba.CannotRun as error:
        raise UserError(f"{name}: its damage cannot be told: {error}") from None
    front = pareto_front([(one.latency_us, one.damage) for one in found])
    ordered = sorted(
        (
            Weighed(one.passes, one.latency_us, one.damage, bool(on))
            for one, on in zip(found, front, strict=True)
        ),
        key=lambda one: one.latency_us,
    )
    chosen = next(one for one in ordered if one.damage <= budget)
    result, sites = made[chosen.passes]
    return Bargain(tuple(ordered), chosen, result, tuple(sites), exact.stock_us)


def _latency_us(model: Any, hw: Hardware, name: str) -> float | None:
    """None where the result cannot be lowered."""
    try:
        program = api.lower(graph_of(model, "auto", name), hw)
        return api.simulate(program, hw, "fast", allow_guess=True).latency_us
    except UserError:
        return None


class _Judge:
    """The original on random inputs, to which others are compared."""

    def __init__(self, model: Any) -> None:
        """Run it. Raises CannotRun."""
        from npusim.xamba.inputs import cases
        from npusim.xamba.runner import runner

        run = runner(model, "the model")
        drawn = [
            one for one in cases(model, seed=0, randoms=_DRAWS) if one[0].startswith(("random", "length"))
        ]
        self._right = [(case, inputs, run(case, inputs)) for case, inputs in drawn]

    def damage(self, result: Any) -> float:
        """The worst relative error of an output of ``result``. Raises CannotRun."""
        from npusim.xamba.check import difference
        from npusim.xamba.runner import runner

        run = runner(result, "its rewritten form")
        return max(
            difference(case, str(i), np.asarray(x, float), np.asarray(y, float)).relative
            for case, inputs, right in self._right
            for i, (x, y) in enumerate(zip(right, run(case, inputs), strict=True))
        )
