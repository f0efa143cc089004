"""Plans of calls of units beside the tiles."""

from __future__ import annotations

from npusim.errors import UserError
from npusim.hardware.schema import Hardware
from npusim.lowering.ir.nodes import BlockCall
from npusim.lowering.ir.plan import Plan, Slice, booked_bytes, cmx_capacity, operand_loads, output_stores
from npusim.lowering.ir.values import WHOLE
from npusim.program.work import BlockWork


def plan_block(node: BlockCall, hw: Hardware) -> Plan:
    """Operands and result lie whole in the scratchpads, where the unit finds and leaves them."""
    out, number = node.output, list(hw.blocks).index(node.block)
    loads = [
        load for i, value in enumerate(node.inputs) for load in operand_loads(i, value, WHOLE, hw.tiles, hw)
    ]
    moved = sum(value.bytes for value in (*node.inputs, out))
    if booked_bytes(loads, hw.tiles) + out.bytes > cmx_capacity(hw):
        raise UserError(
            f"blocks.{node.block}: operands and result of '{node.name}' take {moved / 1024:,.1f} KiB, whole in a "
            f"scratchpad of {hw.cmx.kib_per_tile:,.1f} KiB; let it take ops with smaller ones"
        )
    work = BlockWork(node.block, node.macs, node.levels, out.elements, moved)
    stores = output_stores(out, WHOLE, hw.tiles, hw)
    part = Slice(loads, [(number, work)], stores, (out.bytes,) * hw.tiles)
    return Plan(
        node, node.inputs, [WHOLE] * len(node.inputs), out, WHOLE, [part], f"one call of {node.block}"
    )
