"""`auto`: rewrites of `xamba` where, and only where, a simulation says that they pay on the hardware at hand."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from npusim import api
from npusim.errors import UserError
from npusim.graph.load import graph_of
from npusim.hardware.schema import Hardware

#: Pipelines of exact rules, in the one order in which no rule takes another's better site.
PIPELINES = tuple(
    ",".join(filter(None, (contract, segsum, cumba, reduba)))
    for contract in ("", "contract")
    for segsum in ("", "segsum")
    for cumba in ("", "cumba")
    for reduba in ("", "reduba")
)


@dataclass(frozen=True, slots=True)
class SiteGain:
    """One op that a rule could rewrite, and how much faster the whole model is for it, µs.

    Of a site that is ``taken``, ``gain_us`` is what the model would lose without it; of one that is not, what the model
    would gain by the best rule for it (``rule``): nothing or less.
    """

    rule: str
    op: str
    type: str
    taken: bool
    gain_us: float
    note: str


@dataclass(frozen=True, slots=True)
class Fixed:
    """A pipeline that takes every site it can, and the latency with it, µs."""

    passes: str
    latency_us: float


@dataclass(frozen=True, slots=True)
class Chosen:
    """The openvino.Model that was chosen, its latency and that of the model as it stood, and what there was."""

    model: Any
    latency_us: float
    stock_us: float
    sites: tuple[SiteGain, ...]
    fixed: tuple[Fixed, ...]


def best_rewrites(model: Any, hw: Hardware) -> Chosen:
    """The rewrites of an openvino.Model that are predicted to pay on ``hw``.

    Raises UserError where the model as it stands cannot be simulated either.
    """
    import xamba

    results = [(passes, *xamba.apply(model, passes)) for passes in PIPELINES]
    fixed = [Fixed(passes or "none", _latency_us(rewritten, hw)) for passes, rewritten, _ in results]
    best = min(range(len(fixed)), key=lambda i: fixed[i].latency_us)
    sites = tuple(SiteGain(s.rule, s.op, s.type, s.taken, 0.0, s.note) for s in results[best][2])
    return Chosen(results[best][1], fixed[best].latency_us, fixed[0].latency_us, sites, tuple(fixed))


def _latency_us(model: Any, hw: Hardware) -> float:
    """Simulated latency; infinite where the model cannot be lowered."""
    try:
        program = api.lower(graph_of(model, "auto", "auto"), hw)
    except UserError:
        return float("inf")
    return api.simulate(program, hw, engine="fast", allow_guess=True).latency_us
