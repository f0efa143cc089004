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


#: The same of convolutions by 3x3: rows, columns, channels read and written.
IMAGES = {
    "lunarlake": [
        (8, 32, 640, 32, "16x16", 30.8),
        (12, 60, 512, 48, "16x16", 97.4),
        (10, 40, 384, 48, "16x16", 44.1),
        (28, 28, 512, 32, "8x16", 93.0),  # a stencil of all tiles' channels
    ],
    "meteorlake": [(10, 20, 512, 64, "16x16", 61.8), (16, 32, 640, 32, "8x16", 108.1)],
}


@pytest.mark.parametrize(("chip", "task"), [(chip, task) for chip, tasks in IMAGES.items() for task in tasks])
def test_a_convolution_costs_what_its_schedule_says(chip, task):
    rows, columns, read, written, mode, us = task
    work = DpuWork("conv", rows, columns, written, read, 3, 3, mpe_mode=mode)
    assert work_us(work, load_hardware(f"{chip}-vpunn")) == pytest.approx(us, rel=0.07)


@pytest.mark.parametrize(
    ("rows", "width", "terms", "channels", "bits", "everywhere", "us"),
    [
        # w16_256_2672_4912 and fp16_1024_4096_4096: each tile has rows of its own, and keeps its result
        (10, 8, 2672, 48, 16, False, 3.766),
        (24, 8, 2048, 64, 16, False, 7.585),
        (8, 8, 4096, 64, 8, False, 4.409),  # int8_1024_4096_4096
        # fp16_1024_1536_2048, int8_512_2048_5504 and int8_1024_2048_2048: channels of its own, written to all tiles
        (8, 8, 1536, 176, 16, True, 5.657),
        (8, 8, 2048, 224, 8, True, 7.062),
        (8, 8, 2048, 176, 8, True, 6.688),
        # w16_428_3312_6144, w8_1004_768_5872 and w8_996_1792_3776, whose rows are no multiple of 8: a wider grid
        (36, 4, 3312, 32, 16, False, 4.888),
        (83, 4, 768, 48, 8, False, 4.071),
        (8, 4, 1792, 304, 8, True, 4.359),
    ],
)
def test_a_product_of_5010_costs_what_is_said_of_its_weights_and_of_where_it_is_written(
    rows, width, terms, channels, bits, everywhere, us
):
    work = DpuWork("conv", rows, width, channels, terms, weight_bits=bits, everywhere=everywhere)
    assert work_us(work, load_hardware("pantherlake-vpunn")) == pytest.approx(
        us, rel=0.04 if width == 8 else 0.09
    )
