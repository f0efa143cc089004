"""What a dense convolution saves by the zeros among its operands (``dpu.sparsity``)."""

from __future__ import annotations

import numpy as np

from npusim.costs.products import grids
from npusim.hardware.schema import Hardware
from npusim.hardware.zeros import Skipping
from npusim.program.work import DpuWork

#: In tables of shares: what all weights are, and all of the dense time.
PERCENT, THOUSANDTHS = 100, 1000


def time_share(work: DpuWork, channels: int, hw: Hardware) -> float:
    """The share of its dense time that a convolution of so many output channels takes: that of the operand whose zeros
    save more."""
    sparsity = hw.dpu.sparsity
    if sparsity is None or not (work.zeros or work.relu):
        return 1.0
    weights = _share(sparsity.weights, work.zeros, work, channels)
    relu_zeros = sparsity.relu_zeros if work.relu else 0.0
    return min(weights, _share(sparsity.activations, relu_zeros, work, channels))


def _share(skipping: Skipping | None, zeros: float, work: DpuWork, channels: int) -> float:
    if skipping is None or not zeros:
        return 1.0
    if skipping.answers is not None:
        window = "1x1" if work.kernel_h == work.kernel_w == 1 else "3x3"
        known, name = grids(skipping.answers), f"{'int8' if work.in_bits <= 8 else 'fp16'} {window}"
        grid = known.get(f"{name} {work.mpe_mode}") or known[name]
        kept = max(1.0, PERCENT * (1 - zeros))
        return grid.at((work.height, kept, work.in_channels, channels)) / THOUSANDTHS
    if skipping.law is not None:
        return max(1.0 - skipping.law.saved * zeros, skipping.law.least)
    assert skipping.table is not None
    shares, points, windows = zip(
        *(skipping.table.int8 if work.in_bits <= 8 else skipping.table.fp16), strict=True
    )
    return float(np.interp(zeros, shares, points if work.kernel_h == work.kernel_w == 1 else windows))
