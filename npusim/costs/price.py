"""Work and Hardware to Prices: every distinct work of a Program is priced once."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from npusim.costs import block, dma, dpu, energy, shave
from npusim.costs.prices import PROVENANCE, Prices, PriceTable
from npusim.hardware.base import Section
from npusim.hardware.schema import Hardware
from npusim.program import Program
from npusim.program.work import BlockWork, DmaWork, DpuWork, ShaveWork, Work


def work_us(work: Work, hw: Hardware, allow_guess: bool = False) -> float:
    """Duration of one task that is alone on the machine, µs, without its dispatch (no compiler counts that in)."""
    if isinstance(work, DmaWork):
        return dma.time(work, hw)[1]
    if isinstance(work, DpuWork):
        return dpu.cycles(work, hw) / hw.clocks.dpu_mhz
    if isinstance(work, BlockWork):
        return block.time_ns(work, hw) / 1000
    return shave.cycles(work, hw, allow_guess) / hw.clocks.vpu_mhz


def price(program: Program, hw: Hardware, allow_guess: bool = False) -> Prices:
    """Prices of all tasks of ``program``, in its task order.

    Raises ``shave.UnknownKernel`` for a SHAVE kernel without a row, unless ``allow_guess`` prices it as the default
    kernel with provenance ``guess``.
    """
    return price_points(program, [hw], allow_guess).prices(0)


def price_points(program: Program, hardwares: Sequence[Hardware], allow_guess: bool = False) -> PriceTable:
    """Prices of one ``program`` on each of ``hardwares``, which may differ in whatever leaves the Program as it is.

    Raises as ``price`` does.
    """
    works = program.tasks.works
    other = next((work for work in works if type(work) not in _KINDS), None)
    if other is not None:
        raise TypeError(f"no cost model for {type(other).__name__}")
    shape = (len(hardwares), len(works))
    duration, latency, energy_pj = np.zeros(shape), np.zeros(shape), np.zeros(shape)
    provenance = np.zeros(shape, np.int8)
    values = _Values()
    for kind, how in _KINDS.items():
        mine = [i for i, work in enumerate(works) if type(work) is kind]
        tables: dict[tuple[str, ...], npt.NDArray[np.float64]] = {}
        for point, hw in enumerate(hardwares):
            key = tuple(map(values.of, how.sections(hw)))
            if key not in tables:
                rows = [how.row(works[i], hw, allow_guess) for i in mine]
                tables[key] = np.array(rows, np.float64).reshape(-1, 4).T
            lasts, latency[point, mine], provenance[point, mine], energy_pj[point, mine] = tables[key]
            duration[point, mine] = lasts / how.per_us(hw) + how.dispatch_us(hw)
    moved = [w.ddr_read_bytes + w.ddr_write_bytes if isinstance(w, DmaWork) else 0.0 for w in works]
    return PriceTable(
        work_of_task=program.tasks.work,
        duration_us=duration,
        latency_us=latency,
        ddr_bytes=np.array(moved, np.float64),
        provenance=provenance,
        energy_pj=energy_pj,
        ddr_gbps=np.array([hw.ddr.bandwidth_gbps if hw.ddr.contention else np.nan for hw in hardwares]),
    )


class _Row(NamedTuple):
    lasts: float  # in the unit of _Kind.per_us
    latency_us: float
    provenance: int
    energy_pj: float


class _Kind(NamedTuple):
    """How one kind of work is priced: a row a work, which only the ``sections`` decide, times 1 / ``per_us``, and the
    dispatch of a task (that of a transfer is part of its row: a ``sync`` has none)."""

    row: Callable[[Any, Hardware, bool], _Row]
    sections: Callable[[Hardware], tuple[Section | None, ...]]
    per_us: Callable[[Hardware], float]
    dispatch_us: Callable[[Hardware], float]


def _dma_row(work: DmaWork, hw: Hardware, _: bool) -> _Row:
    latency_us, duration_us = dma.time(work, hw)
    dispatch_us = 0.0 if work.kind == "sync" else hw.software.dispatch.dma_us
    provenance = PROVENANCE.index(hw.dma.provenance)
    return _Row(duration_us + dispatch_us, latency_us + dispatch_us, provenance, energy.dynamic_pj(work, hw))


def _dpu_row(work: DpuWork, hw: Hardware, _: bool) -> _Row:
    provenance = PROVENANCE.index(hw.dpu.costs.provenance)
    return _Row(dpu.cycles(work, hw), 0.0, provenance, energy.dynamic_pj(work, hw))


def _shave_row(work: ShaveWork, hw: Hardware, allow_guess: bool) -> _Row:
    cycles = shave.cycles(work, hw, allow_guess)
    provenance = PROVENANCE.index(shave.row(work.kernel, hw, allow_guess).provenance)
    return _Row(cycles, 0.0, provenance, energy.dynamic_pj(work, hw, cycles))


def _block_row(work: BlockWork, hw: Hardware, _: bool) -> _Row:
    guess = PROVENANCE.index("guess")
    return _Row(block.time_ns(work, hw) / 1000, 0.0, guess, energy.dynamic_pj(work, hw))


_KINDS: dict[type, _Kind] = {
    BlockWork: _Kind(_block_row, lambda hw: (*hw.blocks.values(), hw.energy), lambda _: 1.0, lambda _: 0.0),
    DmaWork: _Kind(
        _dma_row,
        lambda hw: (hw.dma, hw.ddr, hw.memory, hw.clocks, hw.software.fetch, hw.software.dispatch, hw.energy),
        lambda _: 1.0,
        lambda _: 0.0,
    ),
    DpuWork: _Kind(
        _dpu_row,
        lambda hw: (hw.dpu, hw.energy),
        lambda hw: hw.clocks.dpu_mhz,
        lambda hw: hw.software.dispatch.dpu_us,
    ),
    ShaveWork: _Kind(
        _shave_row,
        lambda hw: (hw.shave, hw.energy),
        lambda hw: hw.clocks.vpu_mhz,
        lambda hw: hw.software.dispatch.shave_us,
    ),
}


class _Values:
    """Sections of the hardware points as text, written once for every object."""

    def __init__(self) -> None:
        self.by_identity: dict[int, str] = {}

    def of(self, section: Section | None) -> str:
        """The section's values; equal for equal sections."""
        if section is None:
            return ""
        text = self.by_identity.get(id(section))
        if text is None:
            text = self.by_identity[id(section)] = section.model_dump_json()
        return text
