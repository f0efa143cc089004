"""What a call of a unit beside the tiles costs (``blocks``): fixed logic by levels, or event-driven adds."""

from __future__ import annotations

from npusim.hardware.schema import Hardware
from npusim.program.work import BlockWork


def time_ns(work: BlockWork, hw: Hardware) -> float:
    """Time of one call, ns: its levels one behind the other, or the adds of all steps."""
    block = hw.blocks[work.block]
    if block.levels is not None:
        return block.call_ns + block.levels.level_ns * (block.levels.levels or work.levels)
    assert block.events is not None
    events = block.events
    return block.call_ns + events.steps * (events.step_ns + events.rate * work.macs / events.adds_gops)


def energy_pj(work: BlockWork, hw: Hardware) -> float:
    """Energy of one call, pJ, without that of its operands."""
    block = hw.blocks[work.block]
    if block.levels is not None:
        return block.levels.output_pj * work.out_elements
    assert block.events is not None
    return block.events.steps * block.events.rate * work.macs * block.events.add_pj
