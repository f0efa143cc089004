"""Dynamic energy of one task, picojoules: its events times the figures of the hardware file."""

from __future__ import annotations

from npusim.costs import block, dpu
from npusim.hardware.schema import Hardware
from npusim.program.work import BlockWork, DmaWork, DpuWork, Memory, ShaveWork, Work


def dynamic_pj(work: Work, hw: Hardware, shave_cycles: float = 0.0) -> float:
    """Energy of one task, pJ, without the static power of the NPU.

    DMA: every byte at each memory it touches. DPU: multiply-accumulates by element type, and the scratchpad bytes
    that its stencils read and its output writes. SHAVE: an operation an element or product and at least one a cycle
    (scalar kernels spend many cycles on an element), and the bytes of its operands.
    """
    energy = hw.energy
    if isinstance(work, DmaWork):
        sides = [work.src, work.dst, *([work.kept] if work.kept else [])]
        return work.bytes * sum(_byte_pj(memory, hw) for memory in sides)
    if isinstance(work, DpuWork):
        mac_pj = energy.mac_int8_pj if work.in_bits <= 8 else energy.mac_fp16_pj
        return work.macs * mac_pj + dpu.cmx_bytes(work, hw) * energy.cmx_byte_pj
    if isinstance(work, ShaveWork):
        operations = max(work.out_elements, work.macs, shave_cycles)
        return operations * energy.shave_op_pj + work.io_bytes * energy.cmx_byte_pj
    if isinstance(work, BlockWork):
        return block.energy_pj(work, hw) + work.io_bytes * energy.cmx_byte_pj
    raise TypeError(f"no energy model for {type(work).__name__}")


def _byte_pj(memory: Memory, hw: Hardware) -> float:
    """Energy of a byte read from a memory or written to it, pJ."""
    tier = hw.memory.tiers.get(memory)
    if tier is not None:
        return tier.byte_pj
    return hw.energy.ddr_byte_pj if memory == "ddr" else hw.energy.cmx_byte_pj
