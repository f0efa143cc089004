"""How far single tasks are from Intel's reference cycles: the scores that the package carries.

They are written by ``python -m benchmarks.fit.tasks``, from tables that stay outside the project; docs/accuracy.md
shows them and says which are of costs that have changed since.
"""

from __future__ import annotations

import csv
import hashlib
from dataclasses import dataclass
from functools import cache

from npusim.hardware import Hardware, load_hardware
from npusim.validation.silicon.measurements import PACKAGED

#: Silicon file, and VPU clock of the reference transfers (MHz, evidence/hardware.md#3.3), by the tables' device.
SILICON_OF = {"VPU_4_0": ("lunarlake.yaml", 971.0), "VPU_2_7": ("meteorlake.yaml", 975.0)}
FILE = PACKAGED / "tasks.csv"


@dataclass(frozen=True, slots=True)
class TaskScore:
    """Absolute relative errors of one kind of task on one platform: of npusim, and of the vendor's networks. ``costs``
    identifies the costs in the silicon file that were judged."""

    platform: str
    kind: str
    tasks: int
    median: float
    p90: float
    vendor_median: float
    costs: str

    @property
    def current(self) -> bool:
        """Whether the silicon file still has the costs that were judged."""
        return self.costs == costs_of(self.platform)


@cache
def costs_of(platform: str) -> str:
    """A digest of what prices the judged tasks in the silicon file of a platform."""
    hw = next(
        hw for hw in map(hardware, (file for file, _ in SILICON_OF.values())) if hw.platform == platform
    )
    sections = (hw.dpu, hw.dma, hw.ddr.latency_ns, hw.ddr.write_latency_ns, hw.ddr.bandwidth_gbps)
    return hashlib.sha256(repr(sections).encode()).hexdigest()[:12]


@cache
def hardware(file: str, *overrides: str) -> Hardware:
    """The Hardware of a file, read once."""
    return load_hardware(file, overrides)


def read_scores() -> list[TaskScore]:
    """The scores that the package carries; none where they have not been written."""
    if not FILE.is_file():
        return []
    with FILE.open(newline="") as file:
        return [
            TaskScore(
                row["platform"], row["kind"], int(row["tasks"]), float(row["median"]), float(row["p90"]),
                float(row["vendor_median"]), row["costs"],
            )
            for row in csv.DictReader(file)
        ]  # fmt: skip
