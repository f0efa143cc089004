"""Plans of attention that one SHAVE kernel computes, which has the DPU multiply for it (npu_compiler:
VPU/IR/ops/attention.cpp, 2026)."""

from __future__ import annotations

from npusim.hardware.schema import Hardware
from npusim.lowering.ir.attention import fixed_bytes, storage_bytes
from npusim.lowering.ir.nodes import AttentionKernel
from npusim.lowering.ir.plan import (
    ALL_TILES,
    CONSTANT,
    Load,
    Plan,
    Slice,
    Store,
    cmx_capacity,
    load_value,
    nth,
    odd_halves,
    transfer,
)
from npusim.lowering.ir.values import WHOLE, Dist, Value, ceil_div, even
from npusim.program.work import ShaveWork, Work


def plan_attention(node: AttentionKernel, hw: Hardware) -> Plan:
    """The tiles share the rows, or the heads where rows are fewer than tiles; slices are heads. Every tile has all keys
    and values of its heads, or those that all heads share."""
    (query, key, value, *masks), out = node.inputs, node.output
    heads, rows, depth = query.shape[-3:]
    columns, width = key.shape[-2], out.shape[-1]
    shared = key.shape[-3] < heads
    by_rows = rows >= hw.tiles
    tile_rows = even(rows, hw.tiles) if by_rows else (rows,) * min(heads, hw.tiles)
    tile_heads = (heads,) * len(tile_rows) if by_rows else even(heads, hw.tiles)
    line = (depth + width) * 2
    fixed = fixed_bytes(columns, width, tile_rows[0]) + sum(m.bytes for m in masks) // len(tile_rows)

    def fits(count: int) -> bool:
        some = ceil_div(tile_heads[0], count)
        own = some * tile_rows[0] + (1 if shared else some) * columns
        return fixed + own * line <= cmx_capacity(hw)

    count = next((n for n in range(1, tile_heads[0]) if fits(n)), tile_heads[0])
    slices = []
    for index in range(count):
        some = [nth(even(own, count), index) for own in tile_heads]
        lines = [n * r for n, r in zip(some, tile_rows, strict=True)]
        groups = 1 if shared else max(some) if by_rows else sum(some)
        again = (0,) if shared and count > 1 else ()
        loads = odd_halves([_load(0, query, t, n * depth, hw) for t, n in enumerate(lines) if n], hw)
        loads.append(_load(1, key, ALL_TILES, groups * columns * depth, hw, again))
        loads.append(_load(2, value, ALL_TILES, groups * columns * width, hw, again))
        for operand, mask in enumerate(masks, 3):
            kept = (0,) if count > 1 else ()
            if by_rows and mask.shape[-2] == rows:
                each = mask.elements // rows
                own = [_load(operand, mask, t, r * each, hw, kept) for t, r in enumerate(tile_rows)]
                loads += odd_halves(own, hw)
            else:
                loads.append(_load(operand, mask, ALL_TILES, mask.elements, hw, kept))
        for number, size in enumerate((storage_bytes(columns, width), query.bits // 8)):
            work = transfer("ddr", "cmx", size, 8, hw)
            loads.append(Load(CONSTANT, ALL_TILES, work, size, (number,) if count > 1 else ()))
        computes: list[tuple[int, Work]] = []
        for tile, total in enumerate(lines):
            for part in filter(None, even(total, hw.shave.per_tile)):
                size = part * width * out.bits // 8
                io = part * (depth + width) * out.bits // 8
                computes.append(
                    (tile, ShaveWork("attention", part * width, size, io, part * columns * (depth + width)))
                )
        stores = [
            Store(t, transfer("cmx", "ddr", n * width, out.stored_bits, hw)) for t, n in enumerate(lines) if n
        ]
        held = [n * width * out.bits // 8 for n in lines] + [0] * (hw.tiles - len(lines))
        slices.append(Slice(loads, computes, odd_halves(stores, hw), tuple(held)))
    strategy = f"attention by one kernel, {'rows' if by_rows else 'heads'} over {len(lines)} tiles"
    if count > 1:
        strategy += f", {count} slices"
    found: list[Dist | None] = [None] * len(node.inputs)
    if count == 1:
        found[2] = WHOLE
    return Plan(node, list(node.inputs), found, out, None, slices, strategy)


def _load(
    operand: int, value: Value, tile: int, elements: int, hw: Hardware, key: tuple[int, ...] = ()
) -> Load:
    return Load(operand, tile, load_value(value, elements, hw), ceil_div(elements * value.bits, 8), key)
