"""Parameters of a hardware file that are free to be fitted, and where their values stand between their bounds.

Inside the fit a parameter is a number from 0 (its lower bound) to 1 (its upper bound): on a logarithmic scale, unless
its lower bound is 0. Several parameters are comparable then, and a step means the same wherever it is taken.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import reduce
from typing import Any

import numpy as np
import numpy.typing as npt

from npusim.errors import UserError
from npusim.explore.fields import number_field
from npusim.hardware import Hardware, load_hardware
from npusim.hardware.paths import with_values

Point = npt.NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class Free:
    """One value of a hardware file, by its path, and the bounds that it is fitted within; ``path`` may be several paths
    with commas between, which share the value."""

    path: str
    low: float
    high: float

    @property
    def paths(self) -> list[str]:
        """Every path that the value stands at."""
        return self.path.split(",")

    def value(self, share: float) -> float:
        """The value at ``share`` of the range, 0 to 1."""
        if self.low > 0:
            return self.low * (self.high / self.low) ** share
        return self.low + (self.high - self.low) * share

    def share(self, value: float) -> float:
        """Where ``value`` stands in the range; beyond 0 and 1 where it is outside."""
        if self.low > 0:
            return math.log(value / self.low) / math.log(self.high / self.low) if value > 0 else -math.inf
        return (value - self.low) / (self.high - self.low)


def parse_free(texts: Sequence[str]) -> tuple[Free, ...]:
    """``ddr.bandwidth_gbps=40:120``, one text a parameter. Raises UserError for any other form."""
    found: list[Free] = []
    for text in texts:
        path, equals, bounds = text.partition("=")
        low, colon, high = bounds.partition(":")
        try:
            free = Free(",".join(one.strip() for one in path.split(",")), float(low), float(high))
        except ValueError:
            free = None
        if free is None or not (equals and colon and all(free.paths) and math.isfinite(free.low + free.high)):
            raise UserError(
                f"--free {text}: must have the form PATH=LOW:HIGH, as in ddr.bandwidth_gbps=40:120"
            )
        if not 0 <= free.low < free.high:
            raise UserError(f"--free {text}: bounds must be at least 0, and the upper one above the lower")
        found.append(free)
        paths = [path for one in found for path in one.paths]
        for path in free.paths:
            if paths.count(path) > 1:
                raise UserError(f"--free {text}: '{path}' is given twice")
    return tuple(found)


class Space:
    """A hardware file with free parameters: the Hardware at every point of the unit cube."""

    def __init__(self, file: str, free: Sequence[Free], overrides: Sequence[str] = ()) -> None:
        """Raises UserError where the file is wrong, or a path is not that of a number that may have fractions."""
        self.file = file
        self.free = tuple(free)
        self.base = load_hardware(file, overrides)
        self.base_values = tuple(self._checked(one) for one in self.free)

    @property
    def start(self) -> Point:
        """The file's own values, moved into the bounds where they are outside."""
        shares = [one.share(value) for one, value in zip(self.free, self.base_values, strict=True)]
        return np.clip(np.array(shares), 0.0, 1.0)

    def values(self, point: Point) -> tuple[float, ...]:
        """Values of the parameters, with six digits."""
        return tuple(
            float(f"{one.value(share):.6g}") for one, share in zip(self.free, point.tolist(), strict=True)
        )

    def hardware(self, point: Point) -> Hardware:
        """The machine at a point."""
        shares = zip(self.free, point.tolist(), strict=True)
        found = [(path, one.value(share)) for one, share in shares for path in one.paths]
        return with_values(self.base, found)

    def _checked(self, free: Free) -> float:
        """The value in the file, of several paths the first one's. Raises UserError where a path or the bounds are
        wrong."""
        first, *_ = (self._value(free, path) for path in free.paths)
        return first

    def _value(self, free: Free, path: str) -> float:
        where = f"--free {free.path}={free.low:g}:{free.high:g}"
        field = number_field(self.base, path, where)
        if field.whole:
            raise UserError(f"{where}: is a whole number; only values that may have fractions can be fitted")
        for bound in (free.low, free.high):
            field.read(bound, where)
        value = reduce(_entry, path.split("."), self.base)
        if not isinstance(value, float):
            raise UserError(f"{where}: is not a number in {self.file}")
        return value


def _entry(section: Any, key: str) -> Any:
    return section[key] if isinstance(section, Mapping) else getattr(section, key)
