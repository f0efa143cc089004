"""Plans of pure data movement: copies, concatenations, broadcasts, gathers, conversions."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import replace
from fractions import Fraction

from npusim.hardware.schema import Hardware
from npusim.lowering.ir.nodes import Concat, Node
from npusim.lowering.ir.plan import (
    ALL_TILES,
    Load,
    Plan,
    Slice,
    Store,
    cmx_capacity,
    held,
    load_value,
    output_stores,
    transfer,
)
from npusim.lowering.ir.shapes import four
from npusim.lowering.ir.values import WHOLE, Dist, Value, ceil_div, even
from npusim.program.work import DmaWork, ShaveWork, Work

#: Longest row that one gather transfer takes (4,096 B in one, 5,120 B in two: mamba-1.3b and mamba2-2.7b).
GATHER_ROW_BYTES = 4096

#: Numbers of a table of 8 bits from which it is gathered from as it is stored.
CODED_NUMBERS = 37_000_000


def plan_copy(
    node: Node, hw: Hardware, written: Collection[int] = (), batches: Mapping[int, int] | None = None
) -> Plan:
    """DDR to DDR copies of all activation pieces (and fills of the constant ones), issued together, but of the storages
    that are ``written`` where they go; ``batches`` are the pieces that are stored, and so copied, in several parts."""
    batches = batches or {}
    moves = [
        (k, transfer("ddr", "ddr", part, v.stored_bits, hw))
        for k, v in enumerate(node.inputs)
        if v.storage not in written
        for part in even(v.elements, batches.get(v.storage, 1))
    ]
    inputs = list(node.inputs)
    return Plan(node, inputs, [None] * len(inputs), node.output, None, [], "DDR to DDR copy", ddr_moves=moves)


def joined(hints: Sequence[Dist | None], node: Concat) -> Dist | None:
    """How the pieces of a Concat lie side by side in CMX: images along their channels, innermost in memory, whole on
    every tile or with the same rows on each. None where they lie otherwise."""
    known = [hint for hint in hints if hint is not None]
    inner = node.output.memory_order[-1:] == (node.axis,) and not node.output.plain
    if node.type != "Concat" or len(known) < len(hints) or not inner:
        return None
    if all(hint.whole for hint in known):
        return WHOLE
    if any(hint.outer != 1 or len(hint.cuts) != len(known[0].cuts) for hint in known):
        return None
    rows = [
        tuple(Fraction(cut, value.elements) for cut in hint.cuts)
        for hint, value in zip(known, node.inputs, strict=True)
    ]
    return (
        Dist(1, tuple(map(sum, zip(*(hint.cuts for hint in known), strict=True))))
        if len(set(rows)) == 1
        else None
    )


def plan_broadcast(node: Node, hw: Hardware) -> Plan:
    """Into CMX once, expanded there, out again; in slices along its outermost axis where the result does not fit (of
    the input, which is kept where it is the same for all, each gets its part). 3720 expands rows plane by plane, on all
    engines."""
    output = node.output
    value = node.inputs[0]
    shape, (operand,) = four(output, [value])
    axis = next((d for d in range(4) if shape[d] > 1), 3)
    varies = operand is not None and operand[axis] > 1
    capacity = cmx_capacity(hw)
    line = output.bytes // shape[axis]
    source = value.bytes // shape[axis] if varies else 0
    fixed = 0 if varies else value.bytes
    extent = shape[axis]
    count = next((n for n in range(1, extent) if _fits(extent, n, line + source, fixed, capacity)), extent)
    along_rows = operand is not None and operand[3] == 1 < shape[3]
    by_planes = hw.software.broadcast_by_planes and along_rows and varies and axis == 1
    parts = []
    for lines in even(extent, count):
        moved = lines * line
        read = value.elements * lines // shape[axis] if varies else value.elements
        loads = [
            Load(
                0,
                0,
                load_value(value, read, hw),
                read * value.bits // 8,
                () if varies or count == 1 else (0,),
            )
        ]
        store = Store(0, transfer("cmx", "ddr", output.elements * lines // shape[axis], output.bits, hw))
        planes = lines if by_planes else 1
        expand = DmaWork("cmx", "cmx", moved // planes, moved // planes, "resize")
        computes: list[tuple[int, Work]] = [(0, expand)] * planes
        parts.append(Slice(loads, computes, [store], (moved,) + (0,) * (hw.tiles - 1)))
    return Plan(node, [value], [None], output, None, parts, "expanded in CMX")


def plan_expand(
    node: Node, hw: Hardware, dist: Dist, alone: bool = True, everywhere: bool = False
) -> Plan | None:
    """A broadcast that stays in CMX: expanded on one tile, from where every tile copies its part (``dist``) of it; None
    where the whole and a part do not fit there beside each other. ``alone``: nothing is loaded ahead meanwhile, it has
    all of CMX; the mask of attention is expanded beside what else runs."""
    value, out, capacity = node.inputs[0], node.output, cmx_capacity(hw)
    own = dist.elements(0, out.elements) * out.bits // 8
    if hw.tiles == 1 or (dist.whole and not everywhere) or out.bytes + own > capacity:
        return None
    parts = output_stores(out, dist, hw.tiles, hw)
    work: list[tuple[int, Work]] = [(0, DmaWork("cmx", "cmx", out.bytes, out.bytes, "resize"))]
    work += [(0, replace(store.work, dst="cmx")) for store in parts]
    room = capacity - own if alone else value.bytes + out.bytes
    load = Load(0, 0, load_value(value, value.elements, hw), room)
    part = Slice([load], work, output_stores(out, dist, hw.tiles, hw), held(out, dist, hw.tiles))
    return Plan(node, [value], [None], out, dist, [part], "expanded in CMX for all tiles")


def _fits(extent: int, slices: int, line: int, fixed: int, capacity: int) -> bool:
    return ceil_div(extent, slices) * line + fixed <= capacity


def plan_gather(node: Node, hw: Hardware, copied: bool = False) -> Plan:
    """Rows picked by index: the indices are made ready by a SHAVE kernel, then one gather transfer brings the rows, or
    a SHAVE kernel copies them (evidence/lowering.md#1.2.31, #7). Rows longer than a gather can carry are brought in
    parts, side by side on the engines where all fit (those of 2,560 channels). ``copied``: what a kernel has picked is
    copied within CMX to all tiles."""
    data, indices = node.inputs[:2]
    output = node.output
    row = ceil_div(output.bytes, max(indices.elements, 1))
    count = ceil_div(row, GATHER_ROW_BYTES) if hw.software.dma_gather else 1
    slices = []
    for elements in even(output.elements, count):
        size = ceil_div(elements * output.bits, 8)
        loads = []
        if not indices.constant:
            loads = [Load(1, 0, load_value(indices, indices.elements, hw), indices.bytes)]
        computes = _gather(data, indices, output, elements, count, loads, hw)
        if copied:
            computes.append((0, DmaWork("cmx", "cmx", size, size)))
        store = Store(ALL_TILES, transfer("cmx", "ddr", elements, output.bits, hw))
        slices.append(Slice(loads, computes, [store], (size,) + (0,) * (hw.tiles - 1)))
    if count > 1 and output.bytes <= cmx_capacity(hw):
        loads, stores = (
            [x for part in slices for x in part.loads],
            [x for part in slices for x in part.stores],
        )
        works = sorted((x for part in slices for x in part.computes), key=lambda x: isinstance(x[1], DmaWork))
        slices = [Slice(loads, works, stores, (output.bytes,) + (0,) * (hw.tiles - 1))]
    stays = (
        hw.software.dma_gather or copied or indices.elements == 1
    )  # else a kernel's rows lie on its tile alone
    return Plan(node, [data, indices], [None, None], output, WHOLE if stays else None, slices, "gather")


def _gather(
    data: Value, indices: Value, output: Value, elements: int, parts: int, loads: list[Load], hw: Hardware
) -> list[tuple[int, Work]]:
    """What brings ``elements`` of the rows. Intel's estimator charges a transfer for the whole table
    (evidence/lowering.md#1.3), which is converted when the model is compiled, 8-bit weights too (bert int8 on 4 and 6
    tiles: 958 µs, as in FP16). A SHAVE reads the table in CMX where it fits, else from DDR (mamba-130m and bert on
    3720)."""
    index = ShaveWork("convert", indices.elements, indices.elements * 4, indices.elements * 12)
    size = ceil_div(elements * data.bits, 8)
    if hw.software.dma_gather and _stays_coded(data):
        return [(0, index), *_gather_coded(data, indices, size, hw)]
    if hw.software.dma_gather:
        table = data.elements // parts if hw.dma.counting == "elements" else elements
        bits = output.bits if data.constant else data.stored_bits
        counted_bytes = transfer("ddr", "cmx", max(table, elements), bits, hw).counted_bytes
        return [(0, index), (0, DmaWork("ddr", "cmx", size, counted_bytes, "gather"))]
    if _stays_coded(data):  # its scales are gathered from beside it
        scales = transfer("ddr", "cmx", data.shape[0], 16, hw)
        loads.append(Load(0, 0, scales, scales.bytes))
    if data.bytes + size + indices.bytes <= cmx_capacity(hw):
        loads.append(Load(0, 0, load_value(data, data.elements, hw), data.bytes))
    pieces = even(elements, min(hw.shave.per_tile, indices.elements))
    kernels: list[tuple[int, Work]] = [(0, index)]
    for piece in pieces:
        part = ceil_div(piece * data.bits, 8)
        kernels.append((0, ShaveWork("gather", piece, part, 2 * part)))
    return kernels


def _stays_coded(table: Value) -> bool:
    """Whether a table of weights is gathered from as it is stored, and its scales beside it: of 4 bits, and of 8 where
    it is large (36.9 million numbers are decoded when the model is compiled, 37.6 million are not)."""
    return table.constant and (
        table.stored_bits < 8 or (table.stored_bits == 8 and table.elements > CODED_NUMBERS)
    )


def _gather_coded(table: Value, indices: Value, size: int, hw: Hardware) -> list[tuple[int, Work]]:
    """The transfers that bring coded rows: one a tile, each charged for the whole table, where there are rows for all
    tiles, and one for the scales (1 to 32 rows of 4 and 8 bits on 4000 and 5010)."""
    parts = hw.tiles if indices.elements >= hw.tiles else 1
    numbers = table.elements * (1 if table.stored_bits == 8 or hw.dma.narrow_bytes else 2)
    rows = [DmaWork("ddr", "cmx", ceil_div(size, parts), numbers, "gather")] * parts
    scales = transfer("ddr", "cmx", table.shape[0], 16, hw)
    return [*enumerate(rows), (0, replace(scales, kind="gather"))]


def plan_convert(node: Node, hw: Hardware) -> Plan:
    """A change of floating type by itself: a converting copy DDR to DDR (evidence/lowering.md#1.2.32)."""
    value = node.inputs[0]
    moves = [(0, transfer("ddr", "ddr", value.elements, value.stored_bits, hw, "convert"))]
    return Plan(node, [value], [None], node.output, None, [], "converting copy", ddr_moves=moves)
