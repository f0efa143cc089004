"""Fitting values of a hardware file to measurements: which values, how well they are known, what is left unexplained.

Residuals are log(predicted / measured). Programs are lowered with the parameters as they stand, the parameters are
fitted to those fixed Programs (only the prices of their tasks change), and that is repeated until lowering makes the
same Programs again. Every model is left out once, and predicted with what the others say.

A parameter is identified if its 95 % interval (from the Jacobian at the solution) is narrower than its bounds.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np

from npusim.errors import UserError
from npusim.validation.calibrate.bench import DIFFERENCE, Bench, Case, Matrix
from npusim.validation.calibrate.identify import FLAT, ParameterFit, identify
from npusim.validation.calibrate.parameters import Point, Space

Loss = Literal["linear", "soft_l1", "cauchy"]
Step = Callable[[str], None]

_MOST_ROUNDS = 4
_MOST_EVALUATIONS = 30
#: Schedules have kinks and jumps, so a fit takes steps of one width after another (shares of a range). A stage starts
#: so far from the bounds at least, beside which steps are short.
_STAGES = ((DIFFERENCE, 0.1), (DIFFERENCE / 10, 1e-3))
#: A residual above this counts less with the robust losses.
_ROBUST_FROM = 0.1


@dataclass(frozen=True, slots=True)
class CaseFit:
    """A case, predicted with the file as it is, as fitted, and as fitted without its model or its machine (None: it is
    alone)."""

    case: Case
    base_us: float
    fitted_us: float
    left_out_us: float | None
    machine_out_us: float | None = None

    def error(self, predicted_us: float) -> float:
        """Signed relative error."""
        return predicted_us / self.case.measured_us - 1


@dataclass(frozen=True, slots=True)
class Calibration:
    """The outcome. ``correlation`` is that of the parameters, nan where it is not known; ``settled`` whether lowering
    with the fitted values gives the Programs that they were fitted to."""

    space: Space
    parameters: tuple[ParameterFit, ...]
    cases: tuple[CaseFit, ...]
    correlation: Matrix
    rounds: int
    settled: bool
    loss: Loss = "linear"

    def minimised(self, which: Literal["base_us", "fitted_us"]) -> float:
        """What the fit makes small: the sum over the cases of the squares of log(predicted / measured), as the loss
        counts them (scipy.optimize.least_squares)."""
        squares = np.array([np.log(getattr(one, which) / one.case.measured_us) ** 2 for one in self.cases])
        parts = squares / _ROBUST_FROM**2
        counted = {"linear": parts, "soft_l1": 2 * (np.sqrt(1 + parts) - 1), "cauchy": np.log1p(parts)}
        return float(np.sum(counted[self.loss]) * _ROBUST_FROM**2)

    def median(self, which: Literal["base_us", "fitted_us", "left_out_us", "machine_out_us"]) -> float:
        """Median absolute relative error; nan where nothing was predicted so."""
        errors = [abs(one.error(us)) for one in self.cases if (us := getattr(one, which)) is not None]
        return float(np.median(errors)) if errors else float("nan")


def calibrate(
    space: Space,
    cases: Sequence[Case],
    loss: Loss = "linear",
    leave_out: bool = True,
    step: Step = lambda text: None,
) -> Calibration:
    """Fit the free parameters of ``space`` to ``cases``. ``step`` is told what is going on.

    Raises UserError where there is nothing to fit, or a model cannot be lowered.
    """
    if not space.free:
        raise UserError("nothing is free: give --free PATH=LOW:HIGH")
    if not cases:
        raise UserError("there is nothing to fit to: no measured row is left")
    step("lowering")
    base = Bench.lowered(space, cases, space.base)
    start = space.start
    point, bench, rounds, settled = _fit_and_lower(space, cases, start, loss, step)
    step("analysing")
    left_out, machine_out = (
        _leave_out(space, cases, bench, start, loss, step, group) if leave_out else [None] * len(cases)
        for group in ("model", "machine")
    )
    parameters, correlation = identify(space, bench, point)
    before, after = base.predict([space.base])[0], bench.predict([space.hardware(point)])[0]
    rows = zip(cases, before.tolist(), after.tolist(), left_out, machine_out, strict=True)
    fits = tuple(CaseFit(*row) for row in rows)
    return Calibration(space, parameters, fits, correlation, rounds, settled, loss)


def _fit_and_lower(
    space: Space, cases: Sequence[Case], start: Point, loss: Loss, step: Step
) -> tuple[Point, Bench, int, bool]:
    """The fitted point, its Programs, the rounds it took, and whether they are what was fitted to."""
    bench = Bench.lowered(space, cases, space.hardware(start))
    point, best = start, None
    for number in range(1, _MOST_ROUNDS + 1):
        point = _fit(bench, point, loss, step, f"round {number}, ")
        again = Bench.lowered(space, cases, space.hardware(point))
        settled = again.same_as(bench)
        cost = float(np.sum(again.residuals([point]) ** 2))
        if best is None or cost < best[0]:
            best = (cost, point, again, number, settled)
        if settled:
            break
        bench = again
    assert best is not None  # the loop runs at least once
    return best[1:]


def _fit(bench: Bench, start: Point, loss: Loss, step: Step, where: str) -> Point:
    """The point with the least residuals, by steps from ``start``; what no case depends on stays where it is."""
    from scipy import optimize

    point, evaluations = start.copy(), 0
    free = bench.moves(start) >= FLAT
    gaps = np.flatnonzero(~free) - np.arange(int(np.sum(~free)))

    def at(inner: Point) -> Point:
        return np.asarray(np.where(free, np.insert(inner, gaps, 0.0), point))

    def residuals(inner: Point) -> Matrix:
        nonlocal evaluations
        evaluations += 1
        step(f"{where}evaluation {evaluations}")
        return bench.residuals([at(inner)])[0]

    for difference, margin in _STAGES if free.any() else ():
        found = optimize.least_squares(
            residuals,
            np.clip(point[free], margin, 1 - margin),
            jac=lambda inner, width=difference: bench.jacobian(at(inner), width)[:, free],
            bounds=(0.0, 1.0),
            loss=loss,
            f_scale=_ROBUST_FROM,
            x_scale=1.0,
            ftol=1e-8,
            xtol=1e-7,
            gtol=1e-10,
            max_nfev=_MOST_EVALUATIONS,
        )
        point = at(found.x)
    return point


def _leave_out(
    space: Space,
    cases: Sequence[Case],
    bench: Bench,
    start: Point,
    loss: Loss,
    step: Step,
    group: Literal["model", "machine"],
) -> list[float | None]:
    """Every case predicted with what the cases of other models, or machines, say; None where there are none."""
    predicted: dict[int, float] = {}
    names = list(dict.fromkeys(getattr(case, group) for case in cases))
    for number, name in enumerate(names if len(names) > 1 else [], 1):
        others = [case for case in cases if getattr(case, group) != name]
        mine = [case for case in cases if getattr(case, group) == name]
        where = f"without {name} ({number} of {len(names)}), "
        hw = space.hardware(_fit(bench.only(others), start, loss, step, where))
        predicted |= zip(map(id, mine), Bench.lowered(space, mine, hw).predict([hw])[0].tolist(), strict=True)
    return [predicted.get(id(case)) for case in cases]
