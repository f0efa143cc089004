"""What Intel's estimator has no price for costs nothing in its files, and its time on silicon."""

from __future__ import annotations

from collections.abc import Mapping

import pytest

from npusim.costs.dpu import cycles
from npusim.hardware import load_hardware
from npusim.program.work import DpuWork

#: (channels, terms) of products of one FP16 row by INT4 weights on one tile, and whether the compiler's schedules give
#: them a time (decode blocks of seven sizes, OpenVINO 2026.4.1).
PRICED: Mapping[str, Mapping[tuple[int, int], bool]] = {
    "meteorlake-vpunn.yaml": {(256, 3072): True, (768, 1024): True, (1024, 1536): False, (384, 4096): False},
    "lunarlake-vpunn.yaml": {(384, 1536): True, (512, 1024): True, (512, 1536): False, (192, 4096): False},
}


def product(channels: int, terms: int, bits: int) -> DpuWork:
    return DpuWork("conv", 1, 1, channels, terms, weight_bits=bits)


@pytest.mark.parametrize("file", PRICED)
def test_narrow_weights_that_the_estimator_takes_for_too_large_cost_nothing(file: str) -> None:
    hw, silicon = load_hardware(file), load_hardware(file.replace("-vpunn", ""))
    for size, priced in PRICED[file].items():
        assert bool(cycles(product(*size, 4), hw)) == priced
        assert cycles(product(*size, 8), hw) > 0
        assert cycles(product(*size, 4), silicon) > 0
