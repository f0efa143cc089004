"""What an architect asks first: by how much does the latency fall if this number of the hardware gets better?

The chain rule: the derivative of the latency by the price of every task (gradient.py, exact) times the derivative of
the price by the number (central differences of the cost models, once for every distinct work). It is the derivative
for the Program as it is, which another compiler run might change, and it holds while the critical path and the order
in which transfers come and go stay as they are.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from npusim.analysis.gradient import latency_gradient
from npusim.costs.price import price_points
from npusim.hardware.paths import values, with_values
from npusim.hardware.schema import Hardware

if TYPE_CHECKING:
    from npusim.api import Result

#: Relative step of the central differences. Cost models are sums and quotients of their numbers, so that the error is
#: of the order of its square, and what rounding adds of the order of 1e-16 over it.
_STEP = 1e-5

#: Sections that no price of a task depends on.
_UNPRICED = ("energy.", "host.", "scheduled_for.")

#: Units by the end of the path.
_UNITS = {
    "_mhz": "MHz",
    "_gbps": "GB/s",
    "_ns": "ns",
    "us": "µs",
    "macs_per_cycle.int8": "MAC/cycle",
    "macs_per_cycle.fp16": "MAC/cycle",
    "bytes_per_cycle": "B/cycle",
    "per_cycle": "1/cycle",
    "cycles_per_byte": "cycles/B",
    "drain_cycles_per_cell.int8": "cycles",
    "drain_cycles_per_cell.fp16": "cycles",
    "cycles": "cycles",
    "c0": "cycles",
    "c_stencil": "cycles",
}


@dataclass(frozen=True, slots=True)
class Sensitivity:
    """What one number of the hardware does to the latency.

    ``us_per_percent`` is the change of the latency, µs, when the number at ``path`` grows by 1 % of its ``value``
    (negative: the latency falls), to first order; ``elasticity`` the same in per cent: d ln latency / d ln value.
    ``unit`` is that of the value, empty for plain factors.
    """

    path: str
    value: float
    unit: str
    us_per_percent: float
    elasticity: float


def sensitivities(result: Result) -> list[Sensitivity]:
    """Sensitivity of the latency to every number of the hardware that prices depend on, the largest first.

    Numbers without an effect are left out, and whole numbers (tiles, engines), which have no derivative. Where a cost
    model has a kink (two limits that are equal) it is the mean of both sides.
    """
    timeline, prices = result.timeline, result.prices
    latency = timeline.latency_us
    hw = Hardware.model_validate(result.hardware.model_dump())  # defaults become floats too
    numbers = {
        path: value
        for path, value in values(hw).items()
        if type(value) is float and value and not path.startswith(_UNPRICED)
    }
    steps = [
        with_values(hw, [(path, value * (1 + step))])
        for path, value in numbers.items()
        for step in (_STEP, -_STEP)
    ]
    table = price_points(result.program, steps, allow_guess=True)
    gradient = latency_gradient(timeline, prices)
    works = len(table.ddr_bytes)
    by_duration = np.bincount(table.work_of_task, gradient.duration, works)
    by_latency = np.bincount(table.work_of_task, gradient.latency, works)
    up_less_down = (
        (table.duration_us[::2] - table.duration_us[1::2]) @ by_duration
        + (table.latency_us[::2] - table.latency_us[1::2]) @ by_latency
        + np.nan_to_num(table.ddr_gbps[::2] - table.ddr_gbps[1::2]) * gradient.ddr_gbps
    )
    rows = [
        Sensitivity(path, value, _unit(path), us / 100, us / latency)
        for (path, value), us in zip(numbers.items(), (up_less_down / (2 * _STEP)).tolist(), strict=True)
        if us
    ]
    return sorted(rows, key=lambda row: (-abs(row.us_per_percent), row.path))


def _unit(path: str) -> str:
    return next((unit for end, unit in _UNITS.items() if path.endswith(end)), "")
