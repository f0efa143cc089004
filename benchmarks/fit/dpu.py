"""Judges and fits the DPU cost tables: ``python -m benchmarks.fit.dpu [--reference DIR] [--tables DIR]``.

Prints how far the shipped tables (hwconfigs/*-vpunn.yaml) are from every DPU variant of the vendor's schedules, by
platform and kind, and from the sum of DPU time of every case. With ``--tables`` (the cost tables, which the project
does not carry) it also refits them: residuals with each case and with each family of cases left out of the fit, and
the rows for the hardware files.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt

from benchmarks.fit.dpu_data import Point, schedule_points, table_points
from benchmarks.vendor.pack import unpack
from npusim.costs import dpu
from npusim.hardware import files_of, load_hardware
from npusim.hardware.dpu import CellCost, ConvCost
from npusim.hardware.schema import Hardware
from npusim.program.work import DpuWork
from npusim.validation.schedules.references import DATA

#: What one vendor schedule's variant weighs against one grid point (convolution, eltwise; none for pooling, where
#: schedules did not improve what was left out).
SCHEDULE_WEIGHT = {"3720": 9.0, "4000": 9.0, "5010": 30.0}
_CONV = ("c0", "c_mac", "c_deep", "c_drain", "c_act", "c_wt", "c_weights", "c_out")
_CELL = ("startup_cycles", "granule_cycles", "granule_tap_cycles", "cell_cycles", "tap_cycles")
_CELL_OF_CLASS = {
    "k1": ("startup_cycles", "granule_cycles", "cell_cycles"),
    "k3s1": ("startup_cycles", "granule_tap_cycles", "tap_cycles"),
    "s1": _CELL,
    "s2": _CELL,
}
_LEAST_ERROR = 0.03
_STEPS = 8

Floats = npt.NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class RowFit:
    """One row of a table as fitted: its coefficients, the number of points and of schedule variants among them, and
    the median relative error."""

    key: str
    row: Mapping[str, float]
    points: int
    schedules: int
    median_error: float


def row_key(work: DpuWork, platform: str) -> str:
    """The row that a fit makes for this work: without channels, and with a class for kernels 3 wide on 5010 alone,
    whose depth-wise engine has a fast path for them (evidence/hardware.md#2)."""
    if work.kind == "conv":
        return dpu.conv_keys(work)[0]
    keys = dpu.cell_keys(work, work.out_channels)
    if work.kind in ("eltwise", "permute"):
        return keys[0]
    classes = keys[len(keys) // 2 : -1]
    return classes[0] if platform == "5010" and work.kind != "maxpool" else classes[-1]


def columns(key: str) -> tuple[str, ...]:
    """Coefficients that a row may have."""
    words = key.split()
    if len(words) == 3 and words[-1] in dpu.STENCIL_PIXELS:
        return _CONV
    return _CELL_OF_CLASS.get(words[-1], _CELL_OF_CLASS["k1"])


def terms(work: DpuWork, hw: Hardware) -> dict[str, float]:
    """What each coefficient of a row is multiplied by, for a task of one workload."""
    if work.kind == "conv":
        conv = dpu.conv_terms(work, work.out_channels, hw)
        return {
            "c0": 1.0,
            "c_mac": conv.mac,
            "c_deep": conv.deep,
            "c_drain": max(conv.mac, conv.drain),
            "c_act": conv.act_bytes / 100,
            "c_wt": conv.wt_bytes / 100,
            "c_weights": conv.weight_bytes / 100,
            "c_out": conv.out_bytes / 100,
        }
    granules, taps, cells = dpu.cell_terms(work, work.out_channels, hw)
    per_tap = granules * taps
    return dict(zip(_CELL, (1.0, granules, per_tap, granules * cells, per_tap * cells), strict=True))


def solve(matrix: Floats, cycles: Floats, weights: Floats) -> Floats:
    """Coefficients >= 0 of least weighted absolute relative error (iteratively reweighted least squares)."""
    from scipy.optimize import nnls

    relative = matrix / cycles[:, None]
    scale = np.sqrt(weights)
    solution = np.zeros(matrix.shape[1])
    for _ in range(_STEPS):
        solution = nnls(relative * scale[:, None], scale)[0]
        error = np.abs(relative @ solution - 1)
        scale = np.sqrt(weights / np.maximum(error, _LEAST_ERROR))
    return solution


class Fit:
    """Rows fitted to points, with or without some of them."""

    def __init__(self, points: Iterable[Point], hw: Hardware, weight: float) -> None:
        """Groups ``points`` by row. Equal works of several platforms count once, as in the tables they share."""
        self._hw = hw
        self._weight = weight
        self._rows: dict[str, list[Point]] = defaultdict(list)
        seen = set()
        for point in points:
            key = (point.work, point.cycles, point.source)
            if point.fitted and (point.source != "schedule" or key not in seen):
                seen.add(key)
                self._rows[row_key(point.work, point.platform)].append(point)

    def rows(self) -> list[RowFit]:
        """All rows, each from all of its points."""
        return [self._row(key) for key in sorted(self._rows)]

    def without(self, key: str, group: Callable[[Point], str], left_out: str) -> Mapping[str, float]:
        """The row ``key`` fitted without the schedule variants of one group."""
        kept = [one for one in self._rows[key] if one.source != "schedule" or group(one) != left_out]
        return self._solve(key, kept)

    def _row(self, key: str) -> RowFit:
        points = self._rows[key]
        row = self._solve(key, points)
        errors = [abs(self.cycles(key, row, one.work) / one.cycles - 1) for one in points]
        schedules = sum(one.source == "schedule" for one in points)
        return RowFit(key, row, len(points), schedules, float(np.median(errors)))

    def _solve(self, key: str, points: Sequence[Point]) -> Mapping[str, float]:
        names = columns(key)
        used = [one for one in points if self._weight_of(one) > 0]
        if not used:
            return dict.fromkeys(names, 0.0)
        matrix = np.array([[terms(one.work, self._hw)[name] for name in names] for one in used])
        cycles = np.array([one.cycles for one in used])
        weights = np.array([self._weight_of(one) for one in used])
        return dict(zip(names, solve(matrix, cycles, weights).tolist(), strict=True))

    def cycles(self, key: str, row: Mapping[str, float], work: DpuWork) -> float:
        """DPU cycles of ``work`` by a row, never below the roofline."""
        values = terms(work, self._hw)
        return max(
            sum(row[name] * values[name] for name in columns(key)), dpu.roofline_cycles(work, self._hw)
        )

    def _weight_of(self, point: Point) -> float:
        if point.source != "schedule":
            return 1.0
        return 0.0 if point.work.kind in ("dwconv", "maxpool", "avgpool") else self._weight


def left_out(fit: Fit, points: Sequence[Point], group: Callable[[Point], str]) -> list[float]:
    """Cycles of every schedule point by rows that were fitted without the point's group."""
    known: dict[tuple[str, str], Mapping[str, float]] = {}
    predicted = []
    for point in points:
        key = row_key(point.work, point.platform)
        name = (key, group(point))
        if name not in known:
            known[name] = fit.without(key, group, name[1])
        predicted.append(fit.cycles(key, known[name], point.work))
    return predicted


def residuals(points: Sequence[Point], predicted: Sequence[float], title: str) -> str:
    """Text tables of relative errors: by platform and kind over distinct variants, and of DPU time by case."""
    lines = [title, "platform  kind          distinct  median %  p90 %  all variants  time bias %"]
    kinds: dict[tuple[str, str], list[tuple[Point, float]]] = defaultdict(list)
    cases: dict[tuple[str, str], list[float]] = defaultdict(lambda: [0.0, 0.0])
    for point, cycles in zip(points, predicted, strict=True):
        bits = " int8" if point.work.in_bits == 8 else ""
        kinds[point.platform, point.work.kind + bits].append((point, cycles))
        both = cases[point.platform, point.case]
        both[0] += cycles * point.count
        both[1] += point.cycles * point.count
    for (platform, kind), found in sorted(kinds.items()):
        distinct = {(one.work, one.cycles): abs(cycles / one.cycles - 1) for one, cycles in found}
        errors = 100 * np.array(list(distinct.values()))
        bias = sum(p * one.count for one, p in found) / sum(one.cycles * one.count for one, _ in found) - 1
        count = sum(one.count for one, _ in found)
        lines.append(
            f"{platform:8}  {kind:12}  {len(errors):8}  {np.median(errors):8.1f}  {np.quantile(errors, 0.9):5.1f}"
            f"  {count:12}  {100 * bias:11.1f}"
        )
    lines.append("platform  cases  DPU time of a case: median %  p90 %  median bias %")
    for platform in sorted({name for name, _ in cases}):
        ratio = np.array([p / c - 1 for (name, _), (p, c) in cases.items() if name == platform])
        size = 100 * np.abs(ratio)
        lines.append(
            f"{platform:8}  {len(ratio):5}  {np.median(size):28.1f}  {np.quantile(size, 0.9):5.1f}"
            f"  {100 * np.median(ratio):13.1f}"
        )
    return "\n".join(lines) + "\n"


def yaml_rows(rows: Iterable[RowFit]) -> str:
    """Rows as they stand in a hardware file."""
    lines = []
    for fit in rows:
        values = ", ".join(
            f"{name}: {value:.4g}" for name, value in fit.row.items() if value > 0 or name in _ALWAYS
        )
        error = f"{100 * fit.median_error:.1f} %"
        lines.append(
            f"      {fit.key}: {{{values}}}  # {fit.points} points, {fit.schedules} of schedules, {error}"
        )
    return "\n".join(lines) + "\n"


_ALWAYS = (next(iter(ConvCost.model_fields)), next(iter(CellCost.model_fields)))


def main(arguments: Sequence[str] | None = None) -> None:
    """The command."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.fit.dpu", description=__doc__)
    parser.add_argument(
        "--reference", type=Path, help="folder with index.csv, models and traces (default: the packaged set)"
    )
    parser.add_argument(
        "--tables", type=Path, help="folder with the cost tables; without it nothing is refitted"
    )
    options = parser.parse_args(arguments)
    hardware = {platform: load_hardware(name) for platform, name in files_of("estimator").items()}
    points = _points(options.reference, hardware)
    shipped = [dpu.cycles(one.work, hardware[one.platform]) for one in points]
    _write(residuals(points, shipped, "Shipped tables, all variants"))
    if options.tables:
        _refit(points, hardware, options.tables)


def _points(reference: Path | None, hardware: Mapping[str, Hardware]) -> list[Point]:
    """The variants of a folder of schedules, or of the packaged ones, unpacked for as long as they are read."""
    if reference is not None:
        return list(schedule_points(reference, hardware))
    with tempfile.TemporaryDirectory() as folder:
        unpack(DATA / "vendor_schedules", Path(folder))
        return list(schedule_points(Path(folder), hardware))


def _refit(points: Sequence[Point], hardware: Mapping[str, Hardware], tables: Path) -> None:
    groups: dict[str, Callable[[Point], str]] = {
        "case": lambda one: one.case,
        "family": lambda one: one.family,
    }
    for platforms in (("3720", "4000"), ("5010",)):
        platform = platforms[-1]
        own = [one for one in points if one.platform in platforms]
        extra = table_points(tables, platform, hardware[platform])
        fit = Fit([*extra, *own], hardware[platform], SCHEDULE_WEIGHT[platform])
        dense = [one for one in own if one.fitted]
        for name, group in groups.items():
            _write(
                residuals(
                    dense, left_out(fit, dense, group), f"Refit, leaving the {name} out (fittable variants)"
                )
            )
        _write(f"Rows for {' and '.join(platforms)}\n{yaml_rows(fit.rows())}")


def _write(text: str) -> None:
    sys.stdout.write(f"{text}\n")


if __name__ == "__main__":
    main()
