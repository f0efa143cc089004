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


@dataclass(frozen=True, slots=True)
class PriceTable:
    """Prices of one Program at many design points, a column for every distinct work.

    ``work_of_task`` (tasks,) is the column of each task. ``duration_us``, ``latency_us``, ``provenance`` and
    ``energy_pj`` have shape (points, works), ``ddr_bytes`` (works,), and ``ddr_gbps`` (points,) is nan where DDR is not
    contended; they mean what they mean in Prices.
    """

    work_of_task: npt.NDArray[np.int32]
    duration_us: npt.NDArray[np.float64]
    latency_us: npt.NDArray[np.float64]
    ddr_bytes: npt.NDArray[np.float64]
    provenance: npt.NDArray[np.int8]
    energy_pj: npt.NDArray[np.float64]
    ddr_gbps: npt.NDArray[np.float64]

    @property
    def dynamic_pj(self) -> npt.NDArray[np.float64]:
        """Energy of all tasks together at every point, pJ, without static power; shape (points,)."""
        calls = np.bincount(self.work_of_task, minlength=len(self.ddr_bytes))
        return self.energy_pj @ calls

    def prices(self, point: int) -> Prices:
        """Prices of all tasks at one point."""
        columns = self.work_of_task
        gbps = float(self.ddr_gbps[point])
        return Prices(
            duration_us=self.duration_us[point, columns],
            latency_us=self.latency_us[point, columns],
            ddr_bytes=self.ddr_bytes[columns],
            provenance=self.provenance[point, columns],
            energy_pj=self.energy_pj[point, columns],
            ddr_gbps=None if np.isnan(gbps) else gbps,
        )
