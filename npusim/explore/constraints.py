"""What a design must keep: ``latency_us<5000``. A point that does not is on no Pareto front."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from npusim.errors import UserError
from npusim.explore.pareto import Mask

if TYPE_CHECKING:
    import pandas as pd

#: What may be limited: columns of a table of points, and their short names.
COLUMNS = {
    "latency": "latency_us", "energy": "energy_uj", "macs": "macs_per_cycle", "cmx": "cmx_bytes",
    "latency_us": "latency_us", "energy_uj": "energy_uj", "macs_per_cycle": "macs_per_cycle", "cmx_bytes": "cmx_bytes",
}  # fmt: skip
_FORM = re.compile(r"\s*([a-z_]+)\s*(<=|>=|<|>)\s*([-+.\deE]+)\s*")


@dataclass(frozen=True, slots=True)
class Constraint:
    """A ``column`` that is to be below ``limit`` (above it, unless ``below``), the limit itself allowed."""

    text: str
    column: str
    below: bool
    limit: float

    def keeps(self, value: float) -> bool:
        """Whether a value is within the limit."""
        return value <= self.limit if self.below else value >= self.limit

    def excess(self, values: npt.ArrayLike) -> npt.NDArray[np.float64]:
        """How far beyond the limit values are, as a share of it; 0 where they keep it."""
        beyond = (np.asarray(values, float) - self.limit) * (1 if self.below else -1)
        return np.maximum(beyond, 0.0) / (abs(self.limit) or 1.0)


def parse_constraints(texts: Iterable[str], option: str = "--constraint") -> tuple[Constraint, ...]:
    """Constraints as the command line has them, in ``option``.

    Raises UserError for another form, and for what cannot be limited.
    """
    return tuple(_parsed(text, f"{option} {text}") for text in texts)


def _parsed(text: str, where: str) -> Constraint:
    match = _FORM.fullmatch(text)
    if match is None:
        raise UserError(f"{where}: must have the form NAME<NUMBER or NAME>NUMBER, such as latency_us<5000")
    name, sign, number = match.groups()
    if name == "area":
        raise UserError(f"{where}: area has no scale of its own: limit macs (a cycle) and cmx (bytes)")
    if name not in COLUMNS:
        raise UserError(f"{where}: must limit one of {', '.join(COLUMNS)}")
    try:
        return Constraint(text, COLUMNS[name], sign.startswith("<"), float(number))
    except ValueError:
        raise UserError(f"{where}: {number} is no number") from None


def kept(table: pd.DataFrame, constraints: Sequence[Constraint]) -> Mask:
    """The rows of a table that keep all constraints, shape (points,)."""
    mask = np.ones(len(table), bool)
    for one in constraints:
        values = table[one.column].to_numpy(float)
        mask &= values <= one.limit if one.below else values >= one.limit
    return mask


def nearest(table: pd.DataFrame, constraints: Sequence[Constraint]) -> int | None:
    """The position of the row that comes nearest to keeping all constraints; None where no row has a result."""
    worst = np.max(
        [one.excess(table[one.column].to_numpy(float)) for one in constraints], axis=0, initial=0.0
    )
    worst = np.where(table["error"] == "", worst, np.nan)
    return None if np.isnan(worst).all() else int(np.nanargmin(worst))


def broken(row: Mapping[str, object], constraints: Sequence[Constraint]) -> str:
    """The first constraint that a point's results break; nothing if they keep all."""
    return next((one.text for one in constraints if not one.keeps(float(str(row[one.column])))), "")
