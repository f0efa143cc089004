"""Work and Hardware to Prices: every distinct work of a Program is priced once."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from npusim.costs import dma, dpu, energy, shave
from npusim.costs.prices import PROVENANCE, Prices
from npusim.costs.work import DmaWork, DpuWork, ShaveWork, Work
from npusim.hardware.schema import Hardware

if TYPE_CHECKING:  # lowering asks for the price of a task while it is imported
    from npusim.lowering.program import Program


class _Price(NamedTuple):
    duration_us: float
    latency_us: float
    ddr_bytes: float
    provenance: int
    energy_pj: float


def work_us(work: Work, hw: Hardware, allow_guess: bool = False) -> float:
    """Duration of one task that is alone on the machine, µs."""
    if isinstance(work, DmaWork):
        return dma.time(work, hw)[1]
    if isinstance(work, DpuWork):
        return dpu.cycles(work, hw) / hw.clocks.dpu_mhz
    return shave.cycles(work, hw, allow_guess) / hw.clocks.vpu_mhz


def price(program: Program, hw: Hardware, allow_guess: bool = False) -> Prices:
    """Prices of all tasks of ``program``, in its task order.

    Raises ``shave.UnknownKernel`` for a SHAVE kernel without a row, unless ``allow_guess`` prices it as the default
    kernel with provenance ``guess``.
    """
    index, unique = _distinct(task.work for task in program.tasks)
    table = np.array([_price(work, hw, allow_guess) for work in unique], dtype=np.float64).reshape(-1, 5)
    columns = table[index].T
    return Prices(
        duration_us=np.ascontiguousarray(columns[0]),
        latency_us=np.ascontiguousarray(columns[1]),
        ddr_bytes=np.ascontiguousarray(columns[2]),
        provenance=columns[3].astype(np.int8),
        energy_pj=np.ascontiguousarray(columns[4]),
        ddr_gbps=hw.ddr.bandwidth_gbps if hw.ddr.contention else None,
    )


def _distinct(works: Iterable[Work]) -> tuple[np.ndarray, list[Work]]:
    """Position of every work in the list of distinct ones. Equal objects hash once per identity, not per task."""
    by_identity: dict[int, int] = {}
    by_value: dict[Work, int] = {}
    index = []
    for work in works:
        position = by_identity.get(id(work))
        if position is None:
            position = by_identity[id(work)] = by_value.setdefault(work, len(by_value))
        index.append(position)
    return np.array(index, dtype=np.intp), list(by_value)


def _price(work: Work, hw: Hardware, allow_guess: bool) -> _Price:
    if isinstance(work, DmaWork):
        latency_us, duration_us = dma.time(work, hw)
        ddr_bytes = work.ddr_read_bytes + work.ddr_write_bytes
        provenance = PROVENANCE.index(hw.dma.provenance)
        return _Price(duration_us, latency_us, ddr_bytes, provenance, energy.dynamic_pj(work, hw))
    if isinstance(work, DpuWork):
        provenance = PROVENANCE.index(hw.dpu.costs.provenance)
        duration_us = dpu.cycles(work, hw) / hw.clocks.dpu_mhz
        return _Price(duration_us, 0.0, 0.0, provenance, energy.dynamic_pj(work, hw))
    if isinstance(work, ShaveWork):
        cycles = shave.cycles(work, hw, allow_guess)
        provenance = PROVENANCE.index(shave.row(work.kernel, hw, allow_guess).provenance)
        return _Price(cycles / hw.clocks.vpu_mhz, 0.0, 0.0, provenance, energy.dynamic_pj(work, hw, cycles))
    raise TypeError(f"no cost model for {type(work).__name__}")
