"""Points of a design space: the full grid of some axes, or a Latin hypercube between their ends."""

from __future__ import annotations

import hashlib
import json
import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from itertools import product
from typing import Any

from npusim.errors import UserError
from npusim.explore.axes import Axis, Value
from npusim.explore.fields import DIM_AXIS, MODEL_AXES, XAMBA_AXIS
from npusim.hardware.paths import with_values
from npusim.hardware.schema import Hardware
from npusim.limits import MOST_POINTS
from npusim.source import NONE, ModelSource

#: Digits of a sampled number: finer than any figure of a hardware file, short enough to read and to type.
_DIGITS = 6
#: A value for every axis, in their order.
Point = tuple[Value, ...]


@dataclass(frozen=True, slots=True)
class Space:
    """What is swept: ``hardware`` and ``model`` where no axis says otherwise, ``passes`` of `xamba` likewise."""

    hardware: Hardware
    model: ModelSource
    axes: tuple[Axis, ...]
    passes: str = NONE
    allow_guess: bool = False

    def at(self, point: Point) -> tuple[Hardware, ModelSource, str]:
        """The hardware, the model and the pipeline of a point."""
        named = list(zip(self.axes, point, strict=True))
        hw = with_values(self.hardware, [(axis.name, value) for axis, value in named if axis.of_hardware])
        changes: dict[str, Any] = {axis.name: value for axis, value in named if axis.name in MODEL_AXES}
        passes = next((str(value) for axis, value in named if axis.name == XAMBA_AXIS), self.passes)
        model = self.model.at(**changes) if changes else self.model
        dims = {a.name.removeprefix(DIM_AXIS): int(v) for a, v in named if a.name.startswith(DIM_AXIS)}
        return hw, replace(model, dims={**model.dims, **dims}) if dims else model, passes

    def key(self, point: Point) -> str:
        """A point's name in a journal: stable from run to run, and of its values alone."""
        named = {axis.name: value for axis, value in zip(self.axes, point, strict=True)}
        return digest(named)

    def identity(self) -> dict[str, Any]:
        """What two runs must agree on for the results of one to be those of the other; ready for JSON."""
        return {
            "hardware": digest(self.hardware.model_dump(mode="json")),
            "model": {name: value for name, value in self.model.options() if value is not None}
            | self._file(),
            "axes": {axis.name: [repr(axis.span), *axis.values] for axis in self.axes},
            "passes": self.passes,
            "allow_guess": self.allow_guess,
        }

    def _file(self) -> dict[str, Any]:
        if self.model.file is None:
            return {}
        file = self.model.file.stat()
        return {"--model": str(self.model.file), "bytes": file.st_size, "changed": file.st_mtime_ns}


def digest(value: Any) -> str:
    """A short hash of a value that JSON can hold, whatever the order of its keys."""
    return hashlib.sha256(json.dumps(value, sort_keys=True).encode()).hexdigest()[:16]


def grid(axes: Sequence[Axis]) -> list[Point]:
    """All combinations, the last axis changing fastest. Raises UserError for more than MOST_POINTS."""
    count = math.prod(len(axis.values) for axis in axes)
    if count > MOST_POINTS:
        raise UserError(
            f"the axes make {count:,} points, more than {MOST_POINTS:,}: sample them with --lhs N"
        )
    return list(product(*(axis.values for axis in axes)))


def latin_hypercube(axes: Sequence[Axis], count: int, seed: int) -> list[Point]:
    """``count`` points of which every axis has one in each of ``count`` equal parts (scipy.stats.qmc.LatinHypercube).

    Between its ends a range is sampled evenly, or evenly in its logarithm where it is a log range, and rounded to whole
    numbers where it holds those, else to six digits; of a list, every value gets the same share. Equal points, which
    small spaces give, count once.
    """
    from scipy.stats import qmc

    samples = qmc.LatinHypercube(len(axes), rng=seed).random(count).tolist()
    points = [tuple(_sampled(axis, u) for axis, u in zip(axes, sample, strict=True)) for sample in samples]
    return list(dict.fromkeys(points))


def _sampled(axis: Axis, share: float) -> Value:
    if axis.span is None:
        return axis.values[min(int(share * len(axis.values)), len(axis.values) - 1)]
    number = axis.span.at(share)
    return round(number) if axis.whole else float(f"{number:.{_DIGITS}g}")
