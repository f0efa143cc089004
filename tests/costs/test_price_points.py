"""Prices of many points are those of each point by itself, whatever differs between them."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest

from npusim.api import build_workload, load_hardware, lower
from npusim.costs.price import price, price_points
from npusim.costs.prices import Prices
from npusim.hardware.paths import values, with_values


@pytest.mark.parametrize("hardware", ["lunarlake", "meteorlake-vpunn"])
def test_every_number_of_the_hardware_on_an_axis(hardware: str) -> None:
    """A point after another shares what they have in common; were a section forgotten, it would share too much."""
    hw = load_hardware(hardware)
    program = lower(build_workload("mamba2-130m", layers=1, tokens=16), hw)
    program = dataclasses.replace(program, tasks=program.tasks[:400])
    numbers = {path: value for path, value in values(hw).items() if type(value) is float and value}
    points = [with_values(hw, [(path, value * 1.25)]) for path, value in numbers.items()]
    assert len(points) > 100
    table = price_points(program, [hw, *points], allow_guess=True)
    for number, point in enumerate([hw, *points]):
        alone, shared = price(program, point, allow_guess=True), table.prices(number)
        for field in dataclasses.fields(Prices):
            np.testing.assert_array_equal(getattr(shared, field.name), getattr(alone, field.name))
    energy = [price(program, point, allow_guess=True).energy_pj.sum() for point in points[:3]]
    np.testing.assert_allclose(table.dynamic_pj[1:4], energy, rtol=1e-12)
