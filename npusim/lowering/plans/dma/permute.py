"""Transposes that DMA does: transfers with strides, cut into slices."""

from __future__ import annotations

from npusim.hardware.schema import Hardware
from npusim.lowering.ir.nodes import Node
from npusim.lowering.ir.plan import Load, Plan, Slice, Store, cmx_capacity, load_value, transfer
from npusim.lowering.ir.values import Dist, Value, ceil_div, even
from npusim.program.work import DmaWork, Work


def moved_blocks(value: Value, out: Value) -> tuple[int, ...]:
    """Extents of a value in memory, those that lie side by side in the same order before and after as one."""
    before, after = value.memory_order, out.memory_order
    blocks: list[int] = []
    for i, axis in enumerate(before):
        if i and after.index(axis) == after.index(before[i - 1]) + 1:
            blocks[-1] *= value.shape[axis]
        else:
            blocks.append(value.shape[axis])
    return tuple(blocks)


def plan_permute_dma(node: Node, hw: Hardware, hint: Dist | None = None) -> Plan:
    """Into one tile's CMX, permuted there by one transfer an engine, and out; in slices of its longest dimension where
    both do not fit. ``hint`` is how the value lies in CMX already, from where it is taken as a whole, if the tiles do
    not share its rows."""
    value, out, engines = node.inputs[0], node.output, hw.dma.engines
    longest = max(moved_blocks(value, out), default=1)
    line = (value.bytes + out.bytes) // longest
    capacity = cmx_capacity(hw)
    fits = next((n for n in range(1, longest + 1) if ceil_div(longest, n) * line <= capacity), 0)
    sizes = [value.elements // longest * lines for lines in even(longest, fits)] if fits else []
    parts = []
    for elements in sizes or even(value.elements, ceil_div(value.bytes + out.bytes, capacity)):
        work: list[tuple[int, Work]] = [
            (0, DmaWork("cmx", "cmx", part * value.bits // 8, part * value.bits // 8))
            for part in even(elements, engines)
        ]
        load = Load(0, 0, load_value(value, elements, hw), elements * value.bits // 8)
        used = (elements * out.bits // 8,) + (0,) * (hw.tiles - 1)
        store = Store(0, transfer("cmx", "ddr", elements, out.stored_bits, hw))
        parts.append(Slice([load], work, [store], used))
    by_rows = hint is not None and not hint.whole and hint.outer == 1
    found = None if by_rows or len(parts) > 1 else hint
    handed_on = len(parts) == 1 and hw.software.permuted_in_cmx
    return Plan(node, [value], [found], out, None, parts, "permuted by DMA", handed_on=handed_on)
