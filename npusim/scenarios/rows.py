"""rows: a language model that serves many: rows of prompts, tokens and drafts in common calls, over time.

Every call takes a row of each sequence that generates (with its drafts), oldest first, and fills up with rows of the
prompts that wait. Rows are padded to the next size that the model is compiled for; what is padded is computed all the
same. All sequences lie in one cache (npusim.llm.rows), so that a call grows with what all of them remember.
(XY-Serve, https://arxiv.org/abs/2412.18106, cuts such batches into fixed tiles on another NPU.)
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

import numpy as np

from npusim.errors import UserError
from npusim.explore.rewrites import rewrite_for
from npusim.hardware.schema import Hardware
from npusim.llm.predict import Predictor
from npusim.llm.source import find
from npusim.scenarios.spec import RowsSpec

#: Tokens of the cache are counted in steps of so many: between them a call hardly changes.
_STEP = 1024


@dataclass(frozen=True, slots=True)
class Served:
    """What came of one arrival rate. Times are ms from the arrival of a request; ``padding`` is the share of computed
    rows that nobody asked for, ``busy`` that of time in which a call ran."""

    requests_per_s: float
    tokens_per_s: float
    first_ms: tuple[float, float]
    done_ms: tuple[float, float]
    calls: int
    rows: int
    padding: float
    busy: float

    @property
    def rows_a_call(self) -> float:
        """Rows that were asked for, on average."""
        return self.rows / self.calls


@dataclass(frozen=True, slots=True)
class Service:
    """All arrival rates."""

    rates: tuple[Served, ...]

    @property
    def most(self) -> Served:
        """The one with most tokens a second."""
        return max(self.rates, key=lambda each: each.tokens_per_s)


@dataclass(slots=True)
class _Request:
    arrived: float
    prompt: int
    left: int
    read: int = 0
    first: float = field(default=float("nan"))
    done: float = field(default=float("nan"))


def rows(hardware: Hardware, spec: RowsSpec, xamba: str = "", allow_guess: bool = False) -> Service:
    """The model at every arrival rate. Raises UserError for a model that cannot take rows of several sequences."""
    model = find(spec.model, spec.weights, xamba, rewrite_for(xamba, hardware))
    if model.attentions < model.layers:
        raise UserError(
            f"{model.name}: rows of several sequences need a cache that a mask can part, and layers with states have "
            "none"
        )
    predictor = Predictor(model, hardware, None, allow_guess)
    known: dict[tuple[int, int], float] = {}

    def us(count: int, cache: int) -> float:
        key = count, _STEP * max(1, -(-cache // _STEP))
        if key not in known:
            known[key] = predictor.step(key[1] + count, count).us
        return known[key]

    return Service(tuple(serve(spec, rate, us) for rate in spec.requests_per_s))


def serve(spec: RowsSpec, rate: float, us: Callable[[int, int], float]) -> Served:
    """Requests that arrive at random, ``rate`` a second; ``us`` is what a call of so many rows over so many remembered
    tokens takes."""
    rng = np.random.default_rng(spec.seed)
    arrivals = rng.exponential(1e6 / rate, spec.requests).cumsum()
    waiting = [_Request(float(at), spec.prompt, spec.generate) for at in arrivals]
    every = list(waiting)
    active: list[_Request] = []
    now = float(arrivals[0])
    calls = wanted = computed = 0
    busy = 0.0
    while waiting or active:
        while waiting and waiting[0].arrived <= now:
            active.append(waiting.pop(0))
        if not active:
            now = waiting[0].arrived
            continue
        taken = _batch(active, spec)
        count = sum(rows for _, rows in taken)
        padded = min(size for size in spec.pad_to if size >= count)
        spent = us(padded, sum(one.read for one in active))
        now, busy = now + spent, busy + spent
        calls, wanted, computed = calls + 1, wanted + count, computed + padded
        for one, rows in taken:
            _advance(one, rows, now, spec, rng)
        active = [one for one in active if one.left > 0]
    span = now - every[0].arrived
    return Served(
        rate, 1e6 * spec.generate * spec.requests / span, _quantiles([one.first - one.arrived for one in every]),
        _quantiles([one.done - one.arrived for one in every]), calls, wanted, 1 - wanted / computed, busy / span,
    )  # fmt: skip


def _batch(active: Sequence[_Request], spec: RowsSpec) -> list[tuple[_Request, int]]:
    """Requests and their rows in the next call: those that generate, then prompts, the oldest first."""
    room, taken = spec.most_rows, []
    for one in active:
        if one.read >= one.prompt and room > spec.draft:
            taken.append((one, spec.draft + 1))
            room -= spec.draft + 1
    for one in active:
        rows = min(room, one.prompt - one.read)
        if rows > 0:
            taken.append((one, rows))
            room -= rows
    return taken


def _advance(one: _Request, rows: int, now: float, spec: RowsSpec, rng: np.random.Generator) -> None:
    """A request after a call: its prompt read further, or tokens made: one, and those drafts before the first wrong."""
    if one.read < one.prompt:
        one.read += rows
        if one.read < one.prompt:
            return
        one.first, made = now, 1
    else:
        right = rng.random(spec.draft) < spec.accept
        made = 1 + (int(right.argmin()) if not right.all() else spec.draft)
    one.left -= made
    one.read += made
    if one.left <= 0:
        one.done = now


def _quantiles(times_us: Sequence[float]) -> tuple[float, float]:
    """The median and the 95th percentile, ms."""
    half, most = np.quantile(times_us, (0.5, 0.95)) / 1e3
    return float(half), float(most)
