"""npusim against what real NPUs were measured to do, beside the vendor's own estimate where there is one.

Rows of use ``score`` count by their error, rows of use ``trend`` by their order, rows of use ``steps`` by how much
longer than the smallest of its family a network takes; rows of use ``contradicts`` are shown.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from math import nan
from statistics import median

from npusim.hints import Bound
from npusim.validation.schedules.scores import spearman
from npusim.validation.silicon.measurements import Measurement, Shares

#: The same networks in the packaged reference schedules.
CASES = {
    "resnet-50": "resnet50",
    "resnet-50-int8": "resnet50_int8",
    "mobilenet-v2": "mobilenet-v2",
    "bert-base": "bert-base_s128",
    "bert-base-int8": "bert-base_s128_int8",
}


@dataclass(frozen=True, slots=True)
class Scored:
    """One measured row and what is predicted for it, µs; ``vendor_us`` is the compiler's estimate of one inference on
    as many tiles, None where the packaged schedules have none; ``device_us`` is the NPU's part of the prediction."""

    row: Measurement
    predicted_us: float
    vendor_us: float | None
    device_us: float = 0.0
    bound: Bound = "compute"

    @property
    def error(self) -> float:
        """Signed relative error of npusim."""
        return self.predicted_us / self.row.measured_us - 1

    @property
    def vendor_error(self) -> float:
        """Signed relative error of the vendor's estimate; nan where there is none."""
        return nan if self.vendor_us is None else self.vendor_us / self.row.measured_us - 1


@dataclass(frozen=True, slots=True)
class Ratio:
    """A speed-up, as measured and as predicted."""

    what: str
    measured: float
    predicted: float

    @property
    def error(self) -> float:
        """Signed relative error."""
        return self.predicted / self.measured - 1


@dataclass(frozen=True, slots=True)
class Bottleneck:
    """The engine that keeps an operator longest, and its share of the busy time, as measured and as predicted."""

    shares: Shares
    predicted: str
    predicted_shares: Mapping[str, float]

    @property
    def right(self) -> bool:
        """Whether it is the engine that was measured."""
        return self.predicted == self.shares.bottleneck


def median_error(found: Iterable[Scored]) -> float:
    """Median absolute error of npusim; nan of no rows."""
    errors = [abs(one.error) for one in found]
    return median(errors) if errors else nan


def vendor_median_error(found: Iterable[Scored]) -> float:
    """Median absolute error of the vendor's estimate over the rows that have one; nan of none."""
    errors = [abs(one.vendor_error) for one in found if one.vendor_us is not None]
    return median(errors) if errors else nan


def rank(found: Sequence[Scored]) -> float:
    """Spearman's correlation of predicted with measured times."""
    return spearman([one.predicted_us for one in found], [one.row.measured_us for one in found])


def precision_speedups(found: Iterable[Scored]) -> list[Ratio]:
    """INT8 over FP16, by network, machine and release, where both were measured."""

    def alike(row: Measurement) -> tuple[str, ...]:
        return row.workload, row.metric, row.platform, row.device, row.openvino

    return _ratios(found, lambda row: row.precision, ("FP16", "INT8"), alike)


def platform_speedups(found: Iterable[Scored]) -> list[Ratio]:
    """A generation over the one before, by network, precision and metric, within one release of the source."""

    def alike(row: Measurement) -> tuple[str, ...]:
        return row.workload, row.precision, row.metric, row.openvino

    found = list(found)
    generations = pairwise(sorted({one.row.platform for one in found}))
    return [ratio for pair in generations for ratio in _ratios(found, lambda row: row.platform, pair, alike)]


def size_steps(found: Iterable[Scored]) -> list[Ratio]:
    """How much longer than the smallest of its family a network takes, ms, all else of a published table equal: a time
    that is the same for all (a Python harness around the call) does not matter."""
    groups: dict[tuple[str, ...], list[Scored]] = {}
    for one in found:
        if one.row.use == "steps":
            row = one.row
            key = (row.workload[:-1], row.precision, row.platform, row.device, row.openvino)
            groups.setdefault(key, []).append(one)
    steps = []
    for (_, *same), members in groups.items():
        first, *others = sorted(members, key=lambda one: one.row.measured_us)
        for one in others:
            what = f"{one.row.workload} - {first.row.workload}: {' '.join(same)}"
            measured, predicted = (
                (a - b) / 1e3
                for a, b in (
                    (one.row.measured_us, first.row.measured_us),
                    (one.predicted_us, first.predicted_us),
                )
            )
            steps.append(Ratio(what, measured, predicted))
    return steps


def _ratios(
    found: Iterable[Scored],
    by: Callable[[Measurement], str],
    values: tuple[str, str],
    alike: Callable[[Measurement], tuple[str, ...]],
) -> list[Ratio]:
    """Speed-ups from the first of two values of a field to the second, all else of a published table equal."""
    groups: dict[tuple[str, ...], dict[str, Scored]] = {}
    for one in found:
        groups.setdefault(alike(one.row), {})[by(one.row)] = one
    ratios = []
    for key, both in groups.items():
        if set(values) <= both.keys():
            slow, fast = (both[value] for value in values)
            measured = slow.row.measured_us / fast.row.measured_us
            ratios.append(
                Ratio(
                    f"{values[1]} / {values[0]}: {' '.join(key)}",
                    measured,
                    slow.predicted_us / fast.predicted_us,
                )
            )
    return ratios
