"""How well fitted parameters are known: their intervals, what they move, and which of them stand for one another."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np

from npusim.validation.calibrate.bench import Bench, Matrix
from npusim.validation.calibrate.parameters import Point, Space

Verdict = Literal["identified", "not identified", "flat", "at its bound"]

#: A direction in which no prediction moves by this much (log) over the whole range is flat.
FLAT = 1e-3
#: So near to a bound a parameter is at it, share of the range.
_AT_BOUND = 2e-3
_CONFIDENCE = 0.95
#: From this correlation on, two parameters are said to be tied.
_TIED = 0.9


@dataclass(frozen=True, slots=True)
class ParameterFit:
    """A fitted value. ``interval`` is its 95 % interval, None where it is not known; ``moves`` by how much (log) it
    moves the prediction it moves most, from bound to bound; ``verdict`` says what to make of it."""

    path: str
    base: float
    value: float
    low: float
    high: float
    interval: tuple[float, float] | None
    moves: float
    verdict: Verdict
    tied_to: tuple[str, ...] = ()
    """Parameters that it is correlated with by more than 0.9, either way."""


def identify(space: Space, bench: Bench, point: Point) -> tuple[tuple[ParameterFit, ...], Matrix]:
    """How well every parameter is known, and their correlation."""
    from scipy import stats

    count = len(point)
    jacobian = bench.jacobian(point)
    residuals = bench.residuals([point])[0]
    moves = bench.moves(point)
    _, strength, directions = np.linalg.svd(jacobian, full_matrices=True)
    strength = np.concatenate((strength, np.zeros(count - len(strength))))
    unseen = (np.abs(directions[strength < FLAT]) > 0.1).any(axis=0)
    seen = strength >= FLAT
    spare = len(residuals) - int(seen.sum())
    half = np.full(count, np.inf)
    correlation = np.full((count, count), np.nan)
    if spare > 0:
        shape = (directions[seen].T / strength[seen] ** 2) @ directions[seen]
        sigma = np.sqrt(np.diag(shape))
        known = ~unseen & (sigma > 0)
        spread = float(np.sum(residuals**2)) / spare
        half[known] = stats.t.ppf(0.5 + _CONFIDENCE / 2, spare) * np.sqrt(spread) * sigma[known]
        pairs = np.ix_(known, known)
        correlation[pairs] = shape[pairs] / np.outer(sigma[known], sigma[known])
    fits = []
    values = space.values(point)
    for k, free in enumerate(space.free):
        flat = bool(moves[k] < FLAT)
        tied = [other.path for j, other in enumerate(space.free) if j != k and abs(correlation[k, j]) > _TIED]
        fits.append(
            ParameterFit(
                path=free.path,
                base=space.base_values[k],
                value=space.base_values[k] if flat else values[k],
                low=free.low,
                high=free.high,
                interval=None if flat or not np.isfinite(half[k]) else _interval(space, point, k, float(half[k])),
                moves=float(moves[k]),
                verdict=_verdict(flat, float(point[k]), float(half[k])),
                tied_to=tuple(tied),
            )
        )  # fmt: skip
    return tuple(fits), correlation


def _verdict(flat: bool, share: float, half: float) -> Verdict:
    if flat:
        return "flat"
    if not _AT_BOUND < share < 1 - _AT_BOUND:
        return "at its bound"
    return "not identified" if half >= 0.5 else "identified"


def _interval(space: Space, point: Point, k: int, half: float) -> tuple[float, float]:
    """The interval of one parameter, cut at its bounds."""
    ends = [float(np.clip(point[k] + side * half, 0, 1)) for side in (-1, 1)]
    low, high = (float(f"{space.free[k].value(end):.4g}") for end in ends)
    return low, high
