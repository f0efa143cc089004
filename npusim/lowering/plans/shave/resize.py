"""The plan of a kernel that resizes an image."""

from __future__ import annotations

from npusim.hardware.schema import Hardware
from npusim.lowering.ir.nodes import Resize
from npusim.lowering.ir.plan import (
    ALL_TILES,
    CONSTANT,
    Load,
    Plan,
    Slice,
    Store,
    cmx_capacity,
    load_value,
    odd_halves,
    store,
)
from npusim.lowering.ir.values import ceil_div, even
from npusim.program.work import DmaWork, ShaveWork, Work

#: Bytes of one entry of a table of weights.
_ENTRY = 4


def plan_resize(node: Resize, hw: Hardware) -> Plan:
    """The tiles share the rows of the result, and the SHAVEs of a tile its rows; each SHAVE loads the rows that its own
    need, and the tables of weights come to all. In slices of rows where they do not fit."""
    value, out = node.inputs[0], node.output
    line, made = value.elements // value.shape[2], out.elements // out.shape[2]
    tables = [_ENTRY * n for n in out.shape[2:]] if node.weighted else []
    count = _slices(node, hw, line, made)
    slices, first = [], 0
    groups: list[list[list[tuple[int, int, int]]]] = [
        [[] for _ in range(hw.shave.per_tile)] for _ in range(count)
    ]
    for tile, own in enumerate(even(out.shape[2], hw.tiles)):
        for index, rows in enumerate(even(own, count)):
            for number, part in enumerate(even(rows, hw.shave.per_tile)):
                groups[index][number].append((tile, first, part))
                first += part
    for by_shave in groups:
        loads = [
            Load(CONSTANT, ALL_TILES, DmaWork("ddr", "cmx", n, n), n, (i,)) for i, n in enumerate(tables)
        ]
        computes: list[tuple[int, Work]] = []
        stores: list[Store] = []
        used = [0] * hw.tiles
        for group in by_shave:
            read = [(t, _read(node, begin, rows) * line) for t, begin, rows in group]
            loads += odd_halves(
                [Load(0, t, load_value(value, n, hw), n * value.bits // 8) for t, n in read], hw
            )
            for (t, n), (_, _, rows) in zip(read, group, strict=True):
                size = rows * made * out.bits // 8
                used[t] += size
                work = ShaveWork(node.kernel, rows * made, size, size + n * value.bits // 8)
                computes.append((t, work))
            stores += odd_halves([store(t, rows * made, out, hw) for t, _, rows in group], hw)
        slices.append(Slice(loads, computes, stores, tuple(used)))
    strategy = f"{node.kernel} over rows" + (f", {count} slices" if count > 1 else "")
    return Plan(node, [value], [None], out, None, slices, strategy)


def _read(node: Resize, begin: int, rows: int) -> int:
    """Rows of the operand that so many of the result need."""
    top = max(int(begin * node.step) - node.before, 0)
    last = min(int((begin + rows - 1) * node.step) + node.behind, node.inputs[0].shape[2] - 1)
    return last - top + 1


def _slices(node: Resize, hw: Hardware, line: int, made: int) -> int:
    """In how many slices the rows of a tile fit its CMX."""
    value, out = node.inputs[0], node.output
    own = ceil_div(out.shape[2], hw.tiles)

    def held(rows: int) -> float:
        spread = hw.shave.per_tile * (node.before + node.behind + 1)
        read = rows * node.step + spread
        return (rows * made * out.bits + read * line * value.bits) / 8

    return next((n for n in range(1, own) if held(ceil_div(own, n)) <= cmx_capacity(hw)), own)
