"""Prices: how long every task of a Program takes by itself, as arrays in the Program's task order."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

#: Where a cost comes from, best first; Prices.provenance indexes this.
PROVENANCE = ("measured", "fitted", "roofline", "guess")


@dataclass(frozen=True, slots=True)
class Prices:
    """Cost of every task when it is alone on the machine.

    ``duration_us`` is the whole of it. For a transfer, ``latency_us`` of that is start-up, and the rest moves
    ``ddr_bytes`` to or from DDR (twice the payload for DDR to DDR, 0 between scratchpads) at
    ``ddr_bytes / (duration_us - latency_us)``, the engine's own cap; where DDR is contended the engine model
    stretches that part. ``ddr_gbps`` is what all transfers in flight share, or None where it is not contended.
    """

    duration_us: npt.NDArray[np.float64]
    latency_us: npt.NDArray[np.float64]
    ddr_bytes: npt.NDArray[np.float64]
    provenance: npt.NDArray[np.int8]
    energy_pj: npt.NDArray[np.float64]
    ddr_gbps: float | None
