"""Plans of MatMul of two activations [B, M, K] x [B, N, K] (or a constant mask times an activation)."""

from __future__ import annotations

from dataclasses import replace

from npusim.costs.dpu import choose_mode
from npusim.hardware.schema import Hardware
from npusim.lowering.ir.convolution import computed_bits, geometry
from npusim.lowering.ir.groups import fold_group, group_bytes, grouped
from npusim.lowering.ir.nodes import Bmm
from npusim.lowering.ir.plan import (
    ALL_TILES,
    CONSTANT,
    Load,
    Plan,
    Slice,
    booked_bytes,
    cmx_capacity,
    load_value,
    odd_halves,
    store,
    transfer,
)
from npusim.lowering.ir.shapes import CHANNELS
from npusim.lowering.ir.values import WHOLE, Dist, Fresh, Value, ceil_div, even, round_up
from npusim.lowering.plans.dpu.conv import Builder
from npusim.lowering.plans.dpu.surroundings import Surroundings
from npusim.lowering.split.dpu import Wanted, choose
from npusim.lowering.tile.matmul import MORE_SLICES
from npusim.program.work import DmaWork, DpuWork, MpeMode, Work

#: Batch elements whose operands are loaded ahead of the one that computes, or of the permute before them.
BATCHES_AHEAD = 2
#: The same where the results are kept beside each other: 10 on 5010 and 6 on 3720 at most, where time allows.
KEPT_AHEAD = 10
#: Columns of a group up to which its rows alone decide how the DPU takes it.
NARROW = 2
#: Share of CMX up to which all that a constant is multiplied with is loaded at once, to all tiles, with what one
#: product needs beside it and with the results if those are kept.
WHOLE_OPERAND = 0.5


def plan_bmm(
    node: Bmm, hw: Hardware, row_by_row: bool = False, loose: bool = False, bare: bool = False
) -> Plan:
    """Groups over tiles where they are many and small, else one convolution a batch, each split like any other
    (evidence/lowering.md#1.2.2, #2.3). ``row_by_row``: a kernel that needs whole rows makes its left side or reads its
    result, and spares the way through DDR where the tiles share the rows. ``loose``: its left side was made without the
    padding that the DPU needs; ``bare``: its right side was."""
    if is_grouped(node, hw):
        plan = _grouped(node, hw, node.batch, node.m, node.k, node.n, loose, bare)
    else:
        plan = _unrolled(node, hw, node.batch, row_by_row)
    left = None if node.regrouped in ("left", "both") else plan.in_dists[0]
    result = None if node.regrouped in ("result", "both") else plan.out_dist
    return replace(plan, in_dists=[left, *plan.in_dists[1:]], out_dist=result)


def is_grouped(node: Bmm, hw: Hardware) -> bool:
    """Whether the batch of a product are groups of one op."""
    return grouped(node.batch, node.m, node.k, node.n, hw) and not any(v.constant for v in node.inputs)


def _group_counted(work: DmaWork, divisor: int, hw: Hardware) -> DmaWork:
    """The estimator drops the last dimension of rank-5 operands (evidence/costs.md#2, case 4)."""
    if hw.dma.counting != "elements" or divisor == 1:
        return work
    return DmaWork(work.src, work.dst, work.bytes, ceil_div(work.counted_bytes, divisor), work.kind)


def _grouped(node: Bmm, hw: Hardware, batch: int, m: int, k: int, n: int, loose: bool, bare: bool) -> Plan:
    tiles, (lhs, rhs), out = hw.tiles, node.inputs, node.output
    height, width = fold_group(m)
    k16, n16 = round_up(k, CHANNELS), round_up(n, CHANNELS)
    groups = even(batch, tiles)
    slices = _slices_of_groups(batch, group_bytes(m, k, n), m * n16 * 2, hw)
    mode: MpeMode = "16x16" if width <= NARROW else choose_mode(height, width, n16, hw)
    work = DpuWork(
        "conv",
        height,
        width,
        n16,
        k16,
        mpe_mode=mode,
        in_bits=computed_bits(lhs, rhs),
        out_bits=out.bits,
        fp8=lhs.fp8,
    )
    parts = []
    for i, count in enumerate(even(batch, slices)):
        counts = list(enumerate(even(count, tiles)))
        loads = [
            Load(
                0,
                t,
                _group_counted(
                    load_value(lhs, g * lhs.elements // batch, hw), 1 if loose and k16 > k else width, hw
                ),
                g * m * k16 * 2,
            )
            for t, g in counts
        ]
        loads = odd_halves(loads, hw)
        if loose and k16 > k:
            zeros = [
                Load(0, t, transfer("ddr", "cmx", g * m * (k16 - k), lhs.bits, hw), 0) for t, g in counts
            ]
            loads.extend(odd_halves(zeros, hw))
        right = [
            Load(1, t, load_value(rhs, g * rhs.elements // batch, hw), g * n16 * k16 * 2) for t, g in counts
        ]
        loads.extend(odd_halves(right, hw))
        if bare:
            zeros = [
                Load(1, t, transfer("ddr", "cmx", g * (n16 - n) * k16, rhs.bits, hw), 0) for t, g in counts
            ]
            loads.extend(odd_halves(zeros, hw))
        tables = []
        for t, g in counts:
            table = transfer("ddr", "cmx", g * n16 * 4, 32, hw)
            tables.append(Load(CONSTANT, t, _group_counted(table, 4, hw), table.bytes))
        loads.extend(odd_halves(tables, hw))
        stores = [store(t, g * m * n, out, hw) for t, g in counts]
        if slices > 1:
            stores = [replace(s, work=_group_counted(s.work, width, hw)) for s in stores]
        stores = odd_halves(stores, hw)
        computes: list[tuple[int, Work]] = [(t, work) for t, g in counts for _ in range(g)]
        held = [0] * tiles
        for t, g in counts:
            held[t] = g * m * n16 * 2
        parts.append(
            Slice(loads, computes, stores, tuple(held), f"groups {i + 1}/{slices}" if slices > 1 else "")
        )
    dists = [Dist(1, tuple(g * v.elements // batch for g in groups)) for v in (lhs, rhs, out)]
    strategy = f"{batch} groups over {len(groups)} tiles" + (f", {slices} slices" if slices > 1 else "")
    return Plan(node, [lhs, rhs], [dists[0], dists[1]], out, dists[2], parts, strategy)


def _slices_of_groups(batch: int, group: int, result: int, hw: Hardware) -> int:
    """Slices of ``batch`` groups of ``group`` bytes, ``result`` of them written: one if all fit; else the fewest that
    leave room for the operands of the next slice, if they are at most three times as many as the fewest that fit
    (npu_compiler: core/tiling.cpp, 2024)."""
    room = cmx_capacity(hw)
    alone = next(n for n in range(1, batch + 1) if _a_tile(batch, n, hw) * group <= room or n == batch)
    pipelined = (
        n
        for n in range(alone, min(MORE_SLICES * alone, batch) + 1)
        if _a_tile(batch, n, hw) * (2 * group - result) <= hw.software.pipeline_share * room
    )
    return next(pipelined, alone) if alone > 1 else 1


def _a_tile(batch: int, slices: int, hw: Hardware) -> int:
    """The most groups that a tile has in one of ``slices``."""
    return ceil_div(ceil_div(batch, slices), hw.tiles)


def _of_batch(part: Slice, number: int, batch: int) -> Slice:
    """A slice of the product of one batch element, which shares nothing with the others."""
    loads = [replace(load, key=(*load.key, number)) for load in part.loads]
    return replace(part, loads=loads, detail=f"batch {number + 1}/{batch}")


def lacks_columns(node: Bmm, hw: Hardware) -> bool:
    """Whether the right sides of groups lack columns to whole granules, and no terms."""
    return node.n % CHANNELS > 0 == node.k % CHANNELS and is_grouped(node, hw)


def expanded(node: Bmm, hw: Hardware, fresh: Fresh) -> tuple[list[Plan], Bmm]:
    """The copies in DDR that pad what a product reads of a model's inputs to whole granules of terms and columns, and
    the product of what they make; none where there is no padding. Groups read a left side without padding, with the
    zeros beside it, and a right side that lacks columns alone; of products one by one all but the last find columns of
    the next as padding, if no term lacks."""
    (left, right), batch, n, k = node.inputs, node.batch, node.n, node.k
    n16, k16 = round_up(n, CHANNELS), round_up(k, CHANNELS)
    if (n16, k16) == (n, k) or lacks_columns(node, hw) or any(v.constant or v.partial for v in node.inputs):
        return [], node
    alone = not is_grouped(node, hw)
    wide = replace(fresh(right), shape=(batch, n16, k16), order=())
    parts = 1 if not alone else batch
    sizes = [right.elements // parts, batch // parts * n * (k16 - k), batch // parts * (n16 - n) * k16]
    plans = [_copies(node, right, wide, sizes * (parts if k16 > k else 1), hw)]
    if alone and k16 > k:
        tall = replace(fresh(left), shape=(batch, node.m, k16), order=())
        plans = [_copies(node, left, tall, [left.elements, batch * node.m * (k16 - k)], hw), *plans]
        node = replace(node, inputs=(tall, right), k=k16)
    return plans, replace(node, inputs=(node.inputs[0], wide))


def _copies(node: Bmm, value: Value, wide: Value, sizes: list[int], hw: Hardware) -> Plan:
    moves = [(0, transfer("ddr", "ddr", size, value.bits, hw)) for size in sizes if size]
    return Plan(node, [value], [None], wide, None, [], "expanded in DDR", ddr_moves=moves)


def _unrolled(node: Bmm, hw: Hardware, batch: int, row_by_row: bool) -> Plan:
    """One convolution a batch element, with the second operand as its weights; nothing is shared between them. The
    transfers of one of many are hidden behind the others' computing, so computing decides its split, unless a constant
    is multiplied (14 batched ones change by more than 1 % by this, 11 of them come closer)."""
    (lhs, rhs), out = node.inputs, node.output
    m, k, n = node.m, node.k, node.n
    inputs = (replace(lhs, shape=(m, k), order=()), replace(rhs, shape=(n, k), order=()))
    one = replace(node, inputs=inputs, output=replace(out, shape=(m, n), order=()))
    hidden = batch > 1 and not lhs.constant
    split = choose(replace(one, shared=hidden), hw)
    if row_by_row and batch == 1 and geometry(one, hw)[0] >= hw.tiles:
        split = "rows"
    wanted = Wanted.WHOLE if split == "rows" and batch > 1 and _keeps_rows(one, hw) else Wanted.ROWS
    around = Surroundings(sliced_producer=True, wanted=wanted)
    plan = Builder(one, hw, split, around).build()
    if batch == 1:
        return replace(plan, node=node, inputs=[lhs, rhs], output=out)
    strategy = f"{batch} MatMuls, each {plan.strategy}"
    ahead = BATCHES_AHEAD * len(plan.slices)
    parts = [_of_batch(part, b, batch) for b in range(batch) for part in plan.slices]
    if lhs.constant and plan.out_dist == WHOLE and len(parts) == batch:
        parts = _kept(parts, node, hw)
        ahead = BATCHES_AHEAD if parts[0].stores else KEPT_AHEAD
        parts = _at_once(parts, rhs, hw) if split == "channels" else parts
    dists = [None, None if rhs.constant else WHOLE]
    return Plan(node, [lhs, rhs], dists, out, None, parts, strategy, ahead=ahead)


def _keeps_rows(one: Bmm, hw: Hardware) -> bool:
    """Whether the rows of one product by a constant go to every tile: few of them, which the tiles do not share
    evenly."""
    few = one.output.bytes <= hw.software.kept_rows_bytes
    return one.inputs[0].constant and few and geometry(one, hw)[0] % hw.tiles > 0


def _kept(parts: list[Slice], node: Bmm, hw: Hardware) -> list[Slice]:
    """Products of which every tile has the whole result: where there is room the results are kept beside each other,
    and stored in one transfer behind the last. 3720 does so with single rows only."""
    out, tiles = node.output, hw.tiles
    room = hw.software.pipeline_share * cmx_capacity(hw)
    fits = out.bytes + booked_bytes(parts[0].loads, tiles) <= room
    if not fits or (node.m > 1 and not hw.software.broadcast_output):
        return parts
    parts = [replace(part, stores=[], out_bytes=(out.bytes,) * tiles) for part in parts]
    return [*parts[:-1], replace(parts[-1], stores=[store(ALL_TILES, out.elements, out, hw)])]


def _at_once(parts: list[Slice], operand: Value, hw: Hardware) -> list[Slice]:
    """Products whose second operand is loaded as a whole with the first of them, to all tiles, if half of CMX has room
    for all that is then there."""
    others = [[load for load in part.loads if load.operand != 1] for part in parts]
    needed = operand.bytes + booked_bytes(others[0], hw.tiles) + max(parts[0].out_bytes)
    if needed > WHOLE_OPERAND * cmx_capacity(hw):
        return parts
    every = Load(1, ALL_TILES, load_value(operand, operand.elements, hw), operand.bytes, key=(1,))
    return [replace(part, loads=[every, *own]) for part, own in zip(parts, others, strict=True)]
