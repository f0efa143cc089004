"""How far an answer may be off: bands that hold for 80 % of what was measured of models and machines like it.

A band is conformal: of the rows of a class, the measured time lies within ``predicted / spread`` to ``predicted *
spread`` for at least 80 % of them, where ``spread`` is the (n + 1)·0.8-th smallest of their errors. Of rows that are
exchangeable with a new one the same share is right for that; how far this holds is tried with every model's rows left
out (`coverage`). Rows are in ``data/measured/residuals.csv``, which ``npusim validate --against silicon --residuals``
writes.
"""

from __future__ import annotations

import csv
import io
import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import cache
from typing import TYPE_CHECKING, Literal, cast

from npusim.hardware.schema import Hardware
from npusim.hints import Bound
from npusim.validation.silicon.measurements import PACKAGED, measurements

if TYPE_CHECKING:
    from npusim.validation.silicon.scores import Scored

LEVEL = 0.8
FILE = PACKAGED / "residuals.csv"
#: Rows of a class from which on it has a band of its own; those of fewer are judged with all of their scope.
_FEWEST = 9

Scope = Literal["own", "other"]
"""Whether rows of the very machine were measured (a file that names its ``machines``), or of others of its platform."""


@dataclass(frozen=True, slots=True)
class Residual:
    """One measured row: what bounds its prediction, whether the hardware file is of its machine, log(predicted /
    measured). ``quantised`` is the platform of a model that computes in 8 bits, whose compilers differ most from one
    release to the next; empty for others."""

    model: str
    bound: Bound
    scope: Scope
    log_error: float
    quantised: str = ""


@dataclass(frozen=True, slots=True)
class Interval:
    """The band of one answer, µs; ``rows`` that it was read off, and what they are."""

    low_us: float
    high_us: float
    rows: int
    like: str
    level: float = LEVEL


def scope_of(hw: Hardware, changed: bool = False) -> Scope:
    """Whether rows of a hardware file's machines are scored, and they are as they are, not ``changed`` by overrides."""
    scored = not changed and any(row.use == "score" and row.on(hw.machines) for row in measurements())
    return "own" if scored and hw.role in ("silicon", "machine") else "other"


def interval(us: float, bound: Bound, scope: Scope, quantised: str = "") -> Interval | None:
    """The band of an answer of ``us``, of a model as `Residual` tells it; None where nothing was measured."""
    known = residuals()
    if not known or us <= 0:
        return None
    alike, like = _alike(known, bound, scope, quantised)
    spread = spread_of(alike)
    return Interval(us / spread, us * spread, len(alike), like)


def spread_of(rows: Sequence[Residual]) -> float:
    """The factor by which at most 80 % of ``rows`` are off, by the conformal rank; the largest where they are few."""
    errors = sorted(abs(one.log_error) for one in rows)
    rank = math.ceil((len(errors) + 1) * LEVEL)
    return math.exp(errors[min(rank, len(errors)) - 1])


def coverage(rows: Sequence[Residual]) -> dict[str, tuple[int, float]]:
    """Rows, and the share of them within the band that the rows of all other models give, by class and in all."""
    held: dict[str, list[bool]] = {}
    for one in rows:
        others = [other for other in rows if other.model != one.model]
        alike, like = _alike(others, one.bound, one.scope, one.quantised)
        inside = abs(one.log_error) <= math.log(spread_of(alike))
        for name in (like, "all"):
            held.setdefault(name, []).append(inside)
    return {name: (len(inside), sum(inside) / len(inside)) for name, inside in sorted(held.items())}


def _alike(
    rows: Sequence[Residual], bound: Bound, scope: Scope, quantised: str
) -> tuple[Sequence[Residual], str]:
    """The rows of a class, or of its scope, or all, whichever are enough first; and what they are called. 8-bit models
    of a platform are a class of their own; what bounds them says less than that."""
    same = [one for one in rows if one.scope == scope]
    closest = [one for one in same if one.quantised == quantised] if quantised else []
    if len(closest) >= _FEWEST:
        return closest, _named(None, scope, f"8-bit models on {quantised}")
    closest = [one for one in same if one.bound == bound]
    if len(closest) >= _FEWEST:
        return closest, _named(bound, scope)
    return (same, _named(None, scope)) if len(same) >= _FEWEST else (rows, "all measured rows")


def _named(bound: Bound | None, scope: Scope, models: str = "all models") -> str:
    what = models if bound is None else f"models bound by {bound}"
    return f"{what}, {'this machine' if scope == 'own' else 'another machine of the platform'}"


def residuals_of(found: Iterable[Scored], scope: Scope) -> list[Residual]:
    """The rows to be scored, as predicted."""
    scored = [one for one in found if one.row.use == "score"]
    return [
        Residual(
            one.row.workload, one.bound, scope, math.log(one.predicted_us / one.row.measured_us),
            one.row.platform if one.row.precision == "INT8" else "",
        )
        for one in scored
    ]  # fmt: skip


@cache
def residuals() -> tuple[Residual, ...]:
    """Those that the package carries; none where they have not been written."""
    if not FILE.is_file():
        return ()
    with FILE.open(encoding="utf-8", newline="") as file:
        return tuple(
            Residual(
                row["model"],
                cast("Bound", row["bound"]),
                cast("Scope", row["scope"]),
                float(row["log_error"]),
                row["quantised"],
            )
            for row in csv.DictReader(file)
        )


def residuals_csv(rows: Iterable[Residual]) -> str:
    """The file's text."""
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(("model", "bound", "scope", "log_error", "quantised"))
    writer.writerows((one.model, one.bound, one.scope, f"{one.log_error:.4f}", one.quantised) for one in rows)
    return text.getvalue()
