"""Products of dense matrices cost what Intel's estimator says, also between the points of its grid."""

from __future__ import annotations

import pytest

from npusim.costs.price import work_us
from npusim.hardware.load import load_hardware
from npusim.program.work import DpuWork

#: Tasks of compiled schedules: rows of four pixels, terms, output channels, the stencil, and how long each took, µs.
TASKS = {
    "lunarlake": [
        (4, 1024, 256, "16x16", 7.194),  # a second product of exp_64_512_1024, whose rows are 16 of all tiles
        (8, 768, 512, "16x16", 11.689),  # of tanh_128_512_768
        (16, 512, 256, "16x16", 6.631),  # the first one of exp_64_512_1024
    ],
    "meteorlake": [
        (16, 256, 512, "16x16", 9.246),  # both products of exp_128_256_1024
        (16, 1024, 128, "16x16", 9.428),
    ],
}


@pytest.mark.parametrize(("chip", "task"), [(chip, task) for chip, tasks in TASKS.items() for task in tasks])
def test_a_product_costs_what_its_schedule_says(chip, task):
    rows, terms, channels, mode, us = task
    work = DpuWork("conv", rows, 4, channels, terms, mpe_mode=mode)
    assert work_us(work, load_hardware(f"{chip}-vpunn")) == pytest.approx(us, rel=0.04)
