"""budget: the same program within ever less scratchpad: memory against time.

Lowering cuts ops into as many slices as their operands need, so that what is live in a tile never exceeds the limit
(the Program proves it). Each slice costs the start of a transfer and of a task, halos, and weights that are read again:
the trade of MOTION2NX (https://arxiv.org/abs/2408.16387), whose layers run in chunks so that memory suffices.
"""

from __future__ import annotations

from dataclasses import dataclass

from npusim.analysis.series import cmx_kib, edges_us
from npusim.errors import UserError
from npusim.scenarios.spec import BudgetSpec
from npusim.scenarios.timed import Bench


@dataclass(frozen=True, slots=True)
class Limited:
    """A limit of a tile's live buffers, KiB: what they take at most, µs of one inference, tasks that it is cut into,
    and bytes over DDR; or why nothing fits."""

    limit_kib: float
    peak_kib: float
    us: float
    tasks: int
    ddr_bytes: int
    energy_uj: float
    refused: str = ""


@dataclass(frozen=True, slots=True)
class Budgeted:
    """All limits, the largest first."""

    limits: tuple[Limited, ...]

    @property
    def fits(self) -> tuple[Limited, ...]:
        """Those that the program fits."""
        return tuple(each for each in self.limits if not each.refused)


def budget(bench: Bench, spec: BudgetSpec) -> Budgeted:
    """The program at every limit. Raises UserError where it fits none."""
    asked = bench.asked(spec.program)
    found: list[Limited] = []
    for kib in sorted(spec.kib_per_tile, reverse=True):
        cmx = asked.hardware.cmx.model_copy(update={"kib_per_tile": kib})
        try:
            call = bench.call(spec.program, asked.graph, asked.hardware.model_copy(update={"cmx": cmx}))
        except UserError as error:
            if not found:
                raise
            found.append(Limited(kib, 0.0, float("nan"), 0, 0, float("nan"), str(error)))
            continue
        timeline = call.result.timeline
        peak = float(cmx_kib(timeline, edges_us(timeline, 1)).max(initial=0.0))
        moved = sum(call.result.metrics.ddr_bytes.values())
        found.append(Limited(kib, peak, call.device_us, len(timeline.start_us), moved, call.energy_uj))
    return Budgeted(tuple(found))
