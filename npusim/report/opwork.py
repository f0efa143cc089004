"""How much work the tasks of every op are: tasks, MACs, other elements, DDR bytes."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from npusim.program import Program
from npusim.program.work import BlockWork, DmaWork, ShaveWork, Work

Counts = npt.NDArray[np.int64]


@dataclass(frozen=True, slots=True)
class OpWork:
    """Sums over the tasks of every op, as arrays in the order of Program.ops.

    ``macs`` counts convolutions and MatMuls on the DPU (padding included), ``elements`` the outputs of everything else
    that computes: SHAVE kernels, and the DPU's eltwise, pooling and permute tasks.
    """

    tasks: Counts
    macs: Counts
    elements: Counts
    ddr_read_bytes: Counts
    ddr_write_bytes: Counts

    def columns(self) -> tuple[Counts, ...]:
        """All sums, in the order of the fields."""
        return self.tasks, self.macs, self.elements, self.ddr_read_bytes, self.ddr_write_bytes


def op_work(program: Program) -> OpWork:
    """Add up the work of every op; equal work is looked at once."""
    tasks = program.tasks
    counts = np.array([(1, *_counts(work)) for work in tasks.works], np.int64).reshape(-1, 5)
    table = np.zeros((len(program.ops), 5), np.int64)
    np.add.at(table, tasks.op, counts[tasks.work])
    return OpWork(*table.T)


def _counts(work: Work) -> tuple[int, int, int, int]:
    if isinstance(work, DmaWork):
        return 0, 0, work.ddr_read_bytes, work.ddr_write_bytes
    if isinstance(work, BlockWork):
        return work.macs, 0, 0, 0
    if isinstance(work, ShaveWork):
        return 0, work.out_elements, 0, 0
    if work.kind in ("conv", "dwconv"):
        return work.macs, 0, 0, 0
    return 0, work.height * work.width * work.out_channels, 0, 0
