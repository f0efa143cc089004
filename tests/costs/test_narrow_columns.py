"""Groups of products whose rows stand in one column or two, as Intel's compiler prices them."""

from __future__ import annotations

import pytest

from npusim.costs.dpu import cycles
from npusim.hardware import load_hardware
from npusim.program.work import DpuWork


@pytest.mark.parametrize(
    ("height", "width", "terms", "channels", "lunarlake_us", "pantherlake_us"),
    [
        (101, 1, 64, 64, 1.038, 0.584),
        (197, 1, 64, 208, 5.768, 3.425),
        (197, 1, 208, 64, 6.184, 2.650),
        (193, 1, 96, 192, 7.625, 4.069),
        (257, 1, 64, 272, 10.112, 5.523),
        (101, 2, 64, 64, 1.086, 0.600),
        (257, 2, 128, 64, 4.781, 2.378),
        (1, 1, 64, 256, 0.469, 0.210),
        (2, 1, 64, 512, 0.873, 0.400),
        (7, 1, 256, 128, 0.868, 0.391),
    ],
)
def test_groups_of_one_column_or_two_cost_what_the_compiler_says(
    height: int, width: int, terms: int, channels: int, lunarlake_us: float, pantherlake_us: float
) -> None:
    """µs of tasks of models compiled for 4000 and 5010."""
    work = DpuWork("conv", height, width, channels, terms, mpe_mode="16x16")
    for machine, us in (("lunarlake", lunarlake_us), ("pantherlake", pantherlake_us)):
        hw = load_hardware(f"{machine}-vpunn.yaml")
        assert cycles(work, hw) / hw.clocks.dpu_mhz == pytest.approx(us, rel=0.14)
