"""What a dense convolution saves by the zeros among its operands (``dpu.sparsity``)."""

from __future__ import annotations

import numpy as np

from npusim.hardware.schema import Hardware
from npusim.hardware.zeros import Skipping
from npusim.program.work import DpuWork


def time_share(work: DpuWork, hw: Hardware) -> float:
    """The share of its dense time that a convolution takes: that of the operand whose zeros save more."""
    sparsity = hw.dpu.sparsity
    if sparsity is None or not (work.zeros or work.relu):
        return 1.0
    weights = _share(sparsity.weights, work.zeros, work)
    return min(weights, _share(sparsity.activations, sparsity.relu_zeros if work.relu else 0.0, work))


def _share(skipping: Skipping | None, zeros: float, work: DpuWork) -> float:
    if skipping is None or not zeros:
        return 1.0
    if skipping.law is not None:
        return max(1.0 - skipping.law.saved * zeros, skipping.law.least)
    assert skipping.table is not None
    shares, points, windows = zip(
        *(skipping.table.int8 if work.in_bits <= 8 else skipping.table.fp16), strict=True
    )
    return float(np.interp(zeros, shares, points if work.kernel_h == work.kernel_w == 1 else windows))
