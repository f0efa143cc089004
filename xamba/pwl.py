"""Piecewise-linear tables of activation functions, fitted minimax.

Between two inflections a function is convex or concave, and the line that errs least over a segment is the chord, moved
by half its largest distance to the curve; the error is that half. The best table gives all segments the same error E:
segments are laid from the left, each as long as E allows, and E is the smallest for which K suffice. It falls with
1 / K^2: a segment of length h errs by h^2 |f''| / 16. Outside the range the function is its asymptote.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import lru_cache
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]
#: Slope and intercept.
Line = tuple[float, float]

_CANDIDATES, _SAMPLES = 24, 33
_GRID = 2**16 + 1
_SQRT_HALF = math.sqrt(0.5)
_erf: Callable[[Array], Array] = np.vectorize(math.erf, otypes=[np.float64])


@dataclass(frozen=True)
class Function:
    """An activation in f64, the range it is fitted over unless one is given, and its asymptotes.

    `right` is None where there is none, and the last segment goes on. `inflections` are where it changes curvature.
    """

    of: Callable[[Array], Array]
    low: float
    high: float
    left: Line
    right: Line | None
    inflections: tuple[float, ...] = ()


def _sigmoid(x: Array) -> Array:
    return 0.5 * (1 + np.tanh(0.5 * x))


def _gelu_tanh(x: Array) -> Array:
    return 0.5 * x * (1 + np.tanh(math.sqrt(2 / math.pi) * (x + 0.044715 * x**3)))


_ZERO, _ONE, _SAME = (0.0, 0.0), (0.0, 1.0), (1.0, 0.0)

FUNCTIONS: dict[str, Function] = {
    "swish": Function(lambda x: x * _sigmoid(x), -14, 14, _ZERO, _SAME, (-2.3993572805, 2.3993572805)),
    "softplus": Function(lambda x: np.logaddexp(0, x), -12, 12, _ZERO, _SAME),
    "sigmoid": Function(_sigmoid, -12, 12, _ZERO, _ONE, (0.0,)),
    "tanh": Function(np.tanh, -6, 6, (0.0, -1.0), _ONE, (0.0,)),
    "gelu": Function(
        lambda x: 0.5 * x * (1 + _erf(x * _SQRT_HALF)), -5, 5, _ZERO, _SAME, (-math.sqrt(2), math.sqrt(2))
    ),
    "gelu_tanh": Function(_gelu_tanh, -6, 6, _ZERO, _SAME, (-1.4171503758, 1.4171503758)),
    "exp": Function(np.exp, -12, 2, _ZERO, None),
}


@dataclass(frozen=True)
class Table:
    """y = slopes[i] * x + intercepts[i] where i of the K + 1 ascending `knots` are smaller than x.

    There are K + 2 lines: the asymptotes outside, K segments between; all numbers are f32. `error` is the largest
    |y - f(x)| within the knots, `error_outside` that beyond them (infinite where the function has no asymptote).
    """

    knots: NDArray[np.float32]
    slopes: NDArray[np.float32]
    intercepts: NDArray[np.float32]
    error: float
    error_outside: float

    def __call__(self, x: NDArray[np.float32]) -> NDArray[np.float32]:
        """The table at x, in f32, as the model computes it."""
        i = np.searchsorted(self.knots, x)
        return np.asarray(self.slopes[i] * x + self.intercepts[i], np.float32)


def check_segments(name: str, segments: int, low: float, high: float) -> None:
    """Raise ValueError where the range holds more inflections than the segments can go around."""
    needed = len(_regions(FUNCTIONS[name], low, high))
    if segments < needed:
        raise ValueError(
            f"{name} changes its curvature {needed - 1} times: it needs {needed} segments or more"
        )


@lru_cache(maxsize=64)
def fit(name: str, segments: int, low: float, high: float) -> Table:
    """The table of FUNCTIONS[name] with at most `segments` segments over [low, high]; see `check_segments`."""
    check_segments(name, segments, low, high)
    function = FUNCTIONS[name]
    grid = np.linspace(low, high, _GRID)
    values = function.of(grid)

    def curve(x: Array) -> Array:
        return np.interp(x, grid, values)

    bend = np.sqrt(np.abs(np.diff(values, 2))).sum()  # the integral of sqrt |f''|
    knots = _best_knots(curve, _regions(function, low, high), segments, (bend / segments) ** 2 / 16)
    lines = [_line(function.of, a, b) for a, b in pairwise(knots)]
    right = function.right or lines[-1]
    slopes, intercepts = (
        np.array([line[i] for line in (function.left, *lines, right)], np.float32) for i in (0, 1)
    )
    ends = np.array(knots, np.float32)
    ends[0] = np.nextafter(ends[0], np.float32(-np.inf))  # the lower end belongs to the first segment
    table = Table(ends, slopes, intercepts, 0.0, 0.0)
    return replace(table, error=_error_within(table, function), error_outside=_error_outside(table, function))


def _regions(function: Function, low: float, high: float) -> list[tuple[float, float]]:
    inner = [p for p in function.inflections if low < p < high]
    return list(zip([low, *inner], [*inner, high], strict=True))


def _best_knots(
    curve: Callable[[Array], Array], regions: list[tuple[float, float]], segments: int, estimate: float
) -> list[float]:
    """Knots for the smallest error that `segments` segments reach, by bisection of its logarithm from an estimate."""
    low = math.log2(estimate) - 1
    best, step = _knots(curve, regions, 2.0 ** (low + 2), segments), 2
    while len(best) - 1 > segments:
        low, step = low + step, step + 2
        best = _knots(curve, regions, 2.0 ** (low + step), segments)
    high = low + step
    for _ in range(14):
        middle = (low + high) / 2
        knots = _knots(curve, regions, 2.0**middle, segments)
        if len(knots) - 1 <= segments:
            best, high = knots, middle
        else:
            low = middle
    return best


def _knots(
    curve: Callable[[Array], Array], regions: list[tuple[float, float]], error: float, limit: int
) -> list[float]:
    """Knots of segments as long as `error` allows; it gives up with one more than `limit`."""
    knots = [regions[0][0]]
    for _, end in regions:
        while knots[-1] < end:
            knots.append(_reach(curve, knots[-1], end, 2 * error))
            if len(knots) - 1 > limit:
                return knots
    return knots


def _reach(curve: Callable[[Array], Array], start: float, end: float, gap: float) -> float:
    """The largest b <= end for which the chord over [start, b] stays within `gap` of the curve."""
    inside, outside = start, end
    t = np.linspace(0, 1, _SAMPLES)
    for turn in range(4):
        b = np.linspace(inside, outside, _CANDIDATES + 1)[1:]
        y = curve(start + (b - start)[:, None] * t)
        distance = np.abs(y - (y[:, :1] + (y[:, -1:] - y[:, :1]) * t)).max(axis=1)
        good = int(np.searchsorted(distance, gap, side="right"))
        if good == _CANDIDATES:
            return float(outside if turn else end)
        inside, outside = (float(b[good - 1]) if good else inside), float(b[good])
    return inside if inside > start else outside


def _line(of: Callable[[Array], Array], a: float, b: float) -> Line:
    """The line that errs least over [a, b], where the function is convex or concave."""
    x = np.linspace(a, b, 1025)
    y = of(x)
    slope = float((y[-1] - y[0]) / (b - a))
    rest = y - slope * x
    return slope, float(rest.max() + rest.min()) / 2


def _error_within(table: Table, function: Function) -> float:
    knots = table.knots.astype(np.float64)
    x = knots[:-1, None] + (knots[1:] - knots[:-1])[:, None] * np.linspace(0, 1, 257)
    return _largest_error(table, function, x.reshape(-1)[1:])


def _error_outside(table: Table, function: Function) -> float:
    """Where there are asymptotes, the function comes ever closer to them: it is enough to look near the range."""
    if function.right is None:
        return math.inf
    low, high = table.knots[0], np.nextafter(table.knots[-1], np.float32(np.inf))
    away = np.linspace(0, 20, 4097, dtype=np.float32)
    return _largest_error(table, function, np.concatenate([low - away, high + away]))


def _largest_error(table: Table, function: Function, x: NDArray[np.floating]) -> float:
    narrow = x.astype(np.float32)
    exact = function.of(narrow.astype(np.float64))
    return float(np.abs(table(narrow) - exact).max())
