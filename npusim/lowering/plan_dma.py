"""Plans of pure data movement: copies, concatenations, broadcasts, gathers, conversions."""

from __future__ import annotations

from npusim.costs.work import DmaWork, ShaveWork
from npusim.hardware.schema import Hardware
from npusim.lowering.nodes import Node
from npusim.lowering.plan import ALL_TILES, Load, Plan, Slice, Store, cmx_capacity, load_value, slice_part, transfer
from npusim.lowering.values import WHOLE, Value, ceil_div, even


def _moves(elements: int, bits: int, hw: Hardware) -> list[DmaWork]:
    """A DDR to DDR copy, halved over the engines where it is long."""
    parts = hw.dma.engines if elements * bits // 8 > hw.software.dma_split_bytes else 1
    return [transfer("ddr", "ddr", part, bits, hw) for part in even(elements, parts)]


def plan_copy(node: Node, hw: Hardware) -> Plan:
    """DDR to DDR copies of all activation pieces (and fills of the constant ones)."""
    direct = node.params.get("direct", ())
    moves = [(k, m) for k, v in enumerate(node.inputs) if k not in direct for m in _moves(v.elements, v.stored_bits, hw)]
    return Plan(node, node.inputs, [None] * len(node.inputs), node.output, None, [], "DDR to DDR copy", ddr_moves=moves)


def plan_broadcast(node: Node, hw: Hardware) -> Plan:
    """Into CMX once, expanded there, out again; in slices where the result does not fit."""
    value, output = node.inputs[0], node.output
    per_slice = cmx_capacity(hw) - value.bytes
    slices = max(1, ceil_div(output.bytes, max(per_slice, 1)))
    parts = []
    for i in range(slices):
        elements = slice_part(output.elements, slices, i)
        moved = ceil_div(elements * output.bits, 8)
        parts.append(
            Slice(
                loads=[Load(0, 0, load_value(value, value.elements, hw), value.bytes)],
                computes=[(0, DmaWork("cmx", "cmx", moved, moved, "resize"))],
                stores=[Store(0, transfer("cmx", "ddr", elements, output.bits, hw))],
                out_bytes=(moved,) + (0,) * (hw.tiles - 1),
            )
        )
    return Plan(node, [value], [None], output, None, parts, "expanded in CMX")


def plan_gather(node: Node, hw: Hardware) -> Plan:
    """Rows picked by one gather transfer; Intel's estimator charges it for the whole table (vendor_lowering 1.3)."""
    data, indices = node.inputs[:2]
    output = node.output
    whole_table = hw.dma.counting == "elements"
    moved = data if whole_table and data.elements > output.elements else output
    loads = [Load(1, 0, load_value(indices, indices.elements, hw), indices.bytes)] if not indices.constant else []
    index = ShaveWork("convert", indices.elements, indices.elements * 4, indices.elements * 12)
    if hw.software.dma_gather:
        work = DmaWork("ddr", "cmx", output.bytes, transfer("ddr", "cmx", moved.elements, data.stored_bits, hw).counted_bytes, "gather")
        computes = [(0, index), (0, work)]
    else:
        loads.append(Load(0, 0, transfer("ddr", "cmx", output.elements, output.bits, hw), output.bytes))
        computes = [(0, index), (0, ShaveWork("gather", output.elements, output.bytes, 2 * output.bytes))]
    slices = [Slice(loads, computes, [Store(ALL_TILES, transfer("cmx", "ddr", output.elements, output.bits, hw))], (output.bytes,) + (0,) * (hw.tiles - 1))]
    return Plan(node, [data, indices], [None, None], output, WHOLE, slices, "gather")


def plan_convert(node: Node, hw: Hardware) -> Plan:
    """A change of type: a converting copy DDR to DDR."""
    value = node.inputs[0]
    return Plan(
        node, [value], [None], node.output, None, [], "converting copy", ddr_moves=[(0, m) for m in _moves(value.elements, 16, hw)]
    )


def is_movement(value: Value) -> bool:
    """Whether a value can only come from DDR."""
    return value.constant or value.partial
