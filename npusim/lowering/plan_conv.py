"""Plans of DPU ops with weights: MatMul and Convolution, and MatMul of two activations."""

from __future__ import annotations

from math import isqrt, prod

from npusim.costs.dpu import choose_mode
from npusim.costs.work import DmaWork, DpuWork, MpeMode, Work
from npusim.hardware.schema import Hardware
from npusim.lowering.nodes import Node
from npusim.lowering.plan import (
    ALL_TILES,
    CONSTANT,
    Load,
    Plan,
    Slice,
    cmx_capacity,
    load_value,
    operand_loads,
    output_stores,
    transfer,
)
from npusim.lowering.values import WHOLE, Dist, Value, ceil_div, even, round_up

#: Channels that the DPU works on at once; output and input channels are padded to it.
CHANNELS = 16
#: Bytes of weight table per output channel (facts/npu_hardware.md section 2).
TABLE_BYTES = 16
#: Share of CMX that weights may take before an op is cut over output channels (facts/vendor_lowering.md 3.2).
LARGE_WEIGHTS = 0.25
#: Share of CMX that pipelined slices may take (ibid.).
PIPELINE_SHARE = 0.9


def fold_rows(m: int, width: int) -> tuple[int, int]:
    """The rows M of a MatMul as the H x W of a 1x1 convolution (facts/vendor_lowering.md 2.1)."""
    if m <= 7:
        return m, 1
    for w in (width, 4):
        if m % w == 0:
            return max(m // w, w), min(m // w, w)
    for w in range(isqrt(m), 1, -1):
        if m % w == 0:
            return m // w, w
    if m > 64:
        return ceil_div(m, 4), 4
    return m, 1


def weight_bytes(channels: int, k: int, bits: int) -> int:
    """Bytes of the weights of so many output channels, input channels padded."""
    return channels * k * bits // 8


def conv_work(
    height: int, width: int, channels: int, k: int, node: Node, mode: MpeMode, hw: Hardware
) -> DpuWork:
    """One tile's share of a convolution."""
    kernel = node.params.get("kernel", (1, 1))
    stride = node.params.get("stride", (1, 1))
    activation = node.inputs[0]
    return DpuWork(
        "conv", height, width, channels, k, kernel[0], kernel[1], stride[0],
        in_bits=activation.bits,
        out_bits=node.output.bits,
        weight_bits=min(node.inputs[1].stored_bits, 16),
        mpe_mode=mode,
        lut=fused_lut(node, hw),
    )  # fmt: skip


def fused_lut(node: Node, hw: Hardware) -> bool:
    """Whether the op ends with an activation from the PPE's look-up table."""
    lut = hw.dpu.ppe.lut
    return lut is not None and node.params.get("post", "") in lut.functions


def geometry(node: Node, hw: Hardware) -> tuple[int, int]:
    """Output height and width of a convolution-like node."""
    if "kernel" in node.params:
        shape = node.output.shape
        return (shape[2], shape[3]) if len(shape) == 4 else (shape[2], 1)
    return fold_rows(node.params["m"], hw.software.row_fold)


def prefers_rows(node: Node, height: int, m: int, k: int, n: int, tiles: int) -> bool:
    """Split over rows (SOH) rather than output channels (SOK): facts/vendor_lowering.md 2.2, 87 of 89 cases."""
    if height < tiles:
        return False
    if node.params.get("kernel", (1, 1)) != (1, 1) or "kernel" in node.params:
        return height >= 30 or n < CHANNELS * tiles
    fill = 4 * ceil_div(ceil_div(height, tiles), 4) / (height / tiles)
    return n < 64 or (m > 1.75 * k * n / (k + n) and fill <= 1.5)


def plan_conv(node: Node, hw: Hardware, segment_output: bool = False) -> Plan:
    """MatMul by constant weights, or a dense convolution.

    ``segment_output``: the reader is a SHAVE op, so a split over channels leaves each tile its own part.
    """
    tiles = hw.tiles
    height, width = geometry(node, hw)
    kernel = node.params.get("kernel", (1, 1))
    k16 = round_up(node.params["k"], CHANNELS)
    n16 = round_up(node.params["n"], CHANNELS)
    taps = kernel[0] * kernel[1]
    rows = prefers_rows(node, height, height * width, node.params["k"], node.params["n"], tiles)
    if not rows and height < tiles and n16 <= CHANNELS:
        return _clustered(node, hw, height, width, k16, n16)
    return (_over_rows if rows else _over_channels)(node, hw, height, width, k16, n16, taps, segment_output)


def _pipelined(fixed: int, per_unit: int, units: int, hw: Hardware) -> int:
    """Fewest slices so that two of them are resident beside the fixed operand."""
    budget = PIPELINE_SHARE * cmx_capacity(hw) - fixed
    for n in range(1, units + 1):
        if 2 * ceil_div(units, n) * per_unit <= budget:
            return n
    return units


def _over_channels(
    node: Node, hw: Hardware, height: int, width: int, k16: int, n16: int, taps: int, segment_output: bool
) -> Plan:
    tiles, act, weights, out = hw.tiles, node.inputs[0], node.inputs[1], node.output
    granules = n16 // CHANNELS
    used = min(tiles, granules)
    per_channel = weight_bytes(1, k16 * taps, weights.stored_bits) + TABLE_BYTES
    out_channel = height * width * out.bits // 8 * (1 if segment_output or not hw.software.broadcast_output else tiles)
    per_tile = ceil_div(granules, used) * CHANNELS
    whole = act.bytes + per_tile * (per_channel + out_channel)
    slices = 1
    if whole > cmx_capacity(hw) or (
        per_tile * per_channel > LARGE_WEIGHTS * cmx_capacity(hw) and granules > used
    ):
        slices = _pipelined(act.bytes, CHANNELS * (per_channel + out_channel), ceil_div(granules, used), hw)
        slices = max(slices, 1)
    segmented = segment_output or not hw.software.broadcast_output
    parts = []
    done = 0
    for i, channels in enumerate(even(n16, slices, CHANNELS)):
        cuts = even(channels, used, CHANNELS)
        mode = choose_mode(height, width, channels, hw)
        loads = [
            Load(0, ALL_TILES, load_value(act, act.elements, hw), act.bytes, key=(0,)),
            *(_weights(t, c, k16 * taps, weights, hw, i) for t, c in enumerate(cuts)),
            *(_table(t, c, hw, i) for t, c in enumerate(cuts)),
        ]
        computes: list[tuple[int, Work]] = [
            (t, conv_work(height, width, c, k16, node, mode, hw)) for t, c in enumerate(cuts)
        ]
        real = min(channels, node.params["n"] - done)
        done += channels
        elements = height * width * real
        if segmented:
            scale = real / channels
            dist = Dist(height * width, tuple(int(c * scale) for c in cuts))
            stores = output_stores(Value(-1, (elements,), out.bits, out.stored_bits), dist, tiles, hw)
            held = tuple(height * width * c * out.bits // 8 for c in cuts) + (0,) * (tiles - used)
        else:
            stores = output_stores(Value(-1, (elements,), out.bits, out.stored_bits), WHOLE, tiles, hw)
            held = (height * width * channels * out.bits // 8,) * tiles
        parts.append(Slice(loads, computes, stores, held, f"channels {i + 1}/{slices}" if slices > 1 else ""))
    if segmented:
        cuts = even(n16, used, CHANNELS)
        out_dist = Dist(height * width, (*cuts[:-1], cuts[-1] - (n16 - node.params["n"])))
    else:
        out_dist = WHOLE
    strategy = f"split over output channels (SOK) on {used} tiles" + (f", {slices} slices" if slices > 1 else "")
    return Plan(node, [act], [WHOLE], out, out_dist, parts, strategy)


def _weights(tile: int, channels: int, k: int, weights: Value, hw: Hardware, index: int) -> Load:
    work = transfer("ddr", "cmx", channels * k, weights.stored_bits, hw)
    return Load(CONSTANT, tile, work, work.bytes, key=(1, tile, index))


def _table(tile: int, channels: int, hw: Hardware, index: int) -> Load:
    work = transfer("ddr", "cmx", channels * TABLE_BYTES // 4, 32, hw)
    return Load(CONSTANT, tile, work, work.bytes, key=(2, tile, index))


def fused_constant(channels: int, k: int, weights: Value, hw: Hardware, index: int) -> Load:
    """Weights and weight table in one transfer to all tiles (a byte tensor: charged as it is)."""
    moved = channels * (k * weights.stored_bits // 8 + TABLE_BYTES)
    return Load(CONSTANT, ALL_TILES, DmaWork("ddr", "cmx", moved, moved), moved, key=(3, index))


def row_dist(value: Value, rows: int, tiles: int) -> Dist:
    """A value cut along its outermost memory dimension, which has ``rows`` equal parts."""
    per_row = value.elements // rows
    return Dist(1, tuple(r * per_row for r in even(rows, tiles)))


def _over_rows(
    node: Node, hw: Hardware, height: int, width: int, k16: int, n16: int, taps: int, segment_output: bool
) -> Plan:
    tiles, act, weights, out = hw.tiles, node.inputs[0], node.inputs[1], node.output
    row_cuts = even(height, tiles)
    used = len(row_cuts)
    kernel = node.params.get("kernel", (1, 1))
    in_rows = act.shape[2] if "kernel" in node.params and len(act.shape) > 2 else height
    in_dist = row_dist(act, in_rows, used)
    halo = (kernel[0] - 1) * (act.elements // in_rows)
    act_tile = ceil_div((max(in_dist.cuts) + halo) * act.bits, 8)
    per_channel = weight_bytes(1, k16 * taps, weights.stored_bits) + TABLE_BYTES
    out_channel = row_cuts[0] * width * out.bits // 8
    whole = act_tile + n16 * (per_channel + out_channel)
    slices, by_rows = 1, 1
    if whole > cmx_capacity(hw) or n16 * per_channel > LARGE_WEIGHTS * cmx_capacity(hw):
        budget = PIPELINE_SHARE * cmx_capacity(hw)
        if act_tile > budget / 2 and n16 * per_channel < budget / 2:
            by_rows = ceil_div(2 * (act_tile + n16 * out_channel), int(budget - n16 * per_channel))
        else:
            units = n16 // CHANNELS
            slices = _pipelined(act_tile, CHANNELS * (per_channel + out_channel), units, hw)
    parts = []
    done = 0
    count = slices * by_rows
    for i in range(count):
        channels = even(n16, slices, CHANNELS)[i] if by_rows == 1 and i < len(even(n16, slices, CHANNELS)) else n16
        tile_rows = [even(r, by_rows)[i] if by_rows > 1 and i < len(even(r, by_rows)) else r for r in row_cuts]
        mode = choose_mode(sum(tile_rows), width, channels, hw)
        loads = operand_loads(0, act, in_dist, tiles, hw, by_rows, i if by_rows > 1 else 0)
        if by_rows == 1:
            for load in loads:
                load.key = (0, load.tile)
        if halo and not act.partial:
            loads = [_with_halo(load, halo, act, hw) for load in loads]
        loads.append(fused_constant(channels, k16 * taps, weights, hw, i if by_rows == 1 else 0))
        computes: list[tuple[int, Work]] = [
            (t, conv_work(r, width, channels, k16, node, mode, hw)) for t, r in enumerate(tile_rows)
        ]
        real = min(channels, node.params["n"] - done) if by_rows == 1 else node.params["n"]
        done += channels
        stores = [
            s
            for t, r in enumerate(tile_rows)
            for s in [_store(t, r * width * real, out, hw)]
        ]
        held = tuple(r * width * channels * out.bits // 8 for r in tile_rows) + (0,) * (tiles - used)
        parts.append(Slice(loads, computes, stores, held, f"slice {i + 1}/{count}" if count > 1 else ""))
    out_dist = Dist(1, tuple(r * (out.elements // height) for r in row_cuts))
    strategy = f"split over rows (SOH) on {used} tiles" + (f", {count} slices" if count > 1 else "")
    return Plan(node, [act], [in_dist], out, out_dist, parts, strategy)


def _store(tile: int, elements: int, out: Value, hw: Hardware):  # type: ignore[no-untyped-def]
    from npusim.lowering.plan import Store

    return Store(tile, transfer("cmx", "ddr", elements, out.stored_bits, hw))


def _with_halo(load: Load, halo: int, act: Value, hw: Hardware) -> Load:
    elements = load.work.bytes * 8 // act.stored_bits + halo
    work = load_value(act, elements, hw)
    return Load(load.operand, load.tile, work, ceil_div(elements * act.bits, 8), load.key)


def _clustered(node: Node, hw: Hardware, height: int, width: int, k16: int, n16: int) -> Plan:
    act, weights, out = node.inputs[0], node.inputs[1], node.output
    mode = choose_mode(height, width, n16, hw)
    kernel = node.params.get("kernel", (1, 1))
    part = Slice(
        [
            Load(0, ALL_TILES, load_value(act, act.elements, hw), act.bytes),
            fused_constant(n16, k16 * prod(kernel), weights, hw, 0),
        ],
        [(t, conv_work(height, width, n16, k16, node, mode, hw)) for t in range(hw.tiles)],
        output_stores(out, WHOLE, hw.tiles, hw),
        (height * width * n16 * out.bits // 8,) * hw.tiles,
    )
    return Plan(node, [act], [WHOLE], out, WHOLE, [part], f"repeated on {hw.tiles} tiles")


def plan_bmm(node: Node, hw: Hardware) -> Plan:
    """MatMul of two activations [B, M, K] x [B, N, K]: groups over tiles where they are many and small, else one
    convolution a batch, each split over rows (facts/vendor_lowering.md 1.2, 2.3)."""
    batch, m, k, n = (node.params[p] for p in ("batch", "m", "k", "n"))
    tiles = hw.tiles
    lhs, rhs = node.inputs
    group = (m * k + n * k + m * n) * 2
    grouped = hw.software.grouped_matmul and batch >= tiles and group <= GROUP_BYTES
    if grouped and not (lhs.constant or rhs.constant):
        return _grouped(node, hw, batch, m, k, n)
    return _unrolled(node, hw, batch, m, k, n)


#: Largest group (lhs + rhs + output, bytes) that runs grouped: 384 KiB seen, 648 not (facts/vendor_lowering.md 1.2).
GROUP_BYTES = 512 * 1024


def _group_counted(work: DmaWork, divisor: int, hw: Hardware) -> DmaWork:
    """The estimator drops the last dimension of rank-5 operands (facts/vendor_costs.md section 2, case 4)."""
    if hw.dma.counting != "elements" or divisor == 1:
        return work
    return DmaWork(work.src, work.dst, work.bytes, ceil_div(work.counted_bytes, divisor), work.kind)


def _grouped(node: Node, hw: Hardware, batch: int, m: int, k: int, n: int) -> Plan:
    tiles, (lhs, rhs), out = hw.tiles, node.inputs, node.output
    height, width = fold_rows(m, 4)
    k16, n16 = round_up(k, CHANNELS), round_up(n, CHANNELS)
    per_group = (m * k16 + n16 * k16 + m * n16) * 2 + n16 * TABLE_BYTES
    groups = even(batch, tiles)
    used = len(groups)
    slices = max(1, ceil_div(groups[0] * per_group, cmx_capacity(hw)))
    mode = choose_mode(height, width, n16, hw)
    work = DpuWork("conv", height, width, n16, k16, mpe_mode=mode, in_bits=lhs.bits, out_bits=out.bits)
    parts = []
    for i in range(slices):
        counts = [_nth(even(g, slices), i) for g in groups]
        loads, stores = [], []
        for t, g in enumerate(counts):
            if not g:
                continue
            a = _group_counted(load_value(lhs, g * m * k, hw), width, hw)
            loads.append(Load(0, t, a, g * m * k16 * 2))
        for t, g in enumerate(counts):
            if g:
                loads.append(Load(1, t, load_value(rhs, g * n * k, hw), g * n16 * k16 * 2))
        for t, g in enumerate(counts):
            if g:
                table = transfer("ddr", "cmx", g * n16 * 4, 32, hw)
                loads.append(Load(CONSTANT, t, _group_counted(table, 4, hw), table.bytes))
        for t, g in enumerate(counts):
            if g:
                s = _store(t, g * m * n, out, hw)
                s.work = _group_counted(s.work, width, hw)
                stores.append(s)
        computes: list[tuple[int, Work]] = [(t, work) for t, g in enumerate(counts) for _ in range(g)]
        held = tuple(g * m * n16 * 2 for g in counts) + (0,) * (tiles - used)
        parts.append(Slice(loads, computes, stores, held, f"groups {i + 1}/{slices}" if slices > 1 else ""))
    dists = [Dist(1, tuple(g * v.elements // batch for g in groups)) for v in (lhs, rhs, out)]
    strategy = f"{batch} groups over {used} tiles" + (f", {slices} slices" if slices > 1 else "")
    return Plan(node, [lhs, rhs], [dists[0], dists[1]], out, dists[2], parts, strategy)


def _nth(pieces: tuple[int, ...], i: int) -> int:
    return pieces[i] if i < len(pieces) else 0


def _unrolled(node: Node, hw: Hardware, batch: int, m: int, k: int, n: int) -> Plan:
    """One convolution a batch element: activations over rows, the other operand as weights on every tile."""
    tiles, (lhs, rhs), out = hw.tiles, node.inputs, node.output
    height, width = fold_rows(m, hw.software.row_fold)
    k16, n16 = round_up(k, CHANNELS), round_up(n, CHANNELS)
    rows = even(height, tiles)
    used = len(rows)
    parts = []
    act_tile = rows[0] * width * k16 * 2
    weights = n16 * k16 * 2
    row_bytes = rows[0] * width * CHANNELS * 2
    units = n16 // CHANNELS
    slices = 1
    if act_tile + weights + row_bytes * units > cmx_capacity(hw) or weights > LARGE_WEIGHTS * cmx_capacity(hw):
        slices = _pipelined(act_tile, CHANNELS * k16 * 2 + row_bytes, units, hw)
    operand = {False: (0, 1)}[False]
    for b in range(batch):
        for i, channels in enumerate(even(n16, slices, CHANNELS)):
            real = min(channels, n)
            mode = choose_mode(height, width, channels, hw)
            loads = []
            for t, r in enumerate(rows):
                moved = load_value(lhs, r * width * k, hw)
                key = (4, t) if lhs.constant else (4, t, b)
                loads.append(Load(CONSTANT if lhs.constant else operand[0], t, moved, r * width * k16 * 2, key=key))
            moved = load_value(rhs, real * k, hw)
            loads.append(Load(CONSTANT if rhs.constant else operand[1], ALL_TILES, moved, channels * k16 * 2, key=(5, b, i)))
            table = transfer("ddr", "cmx", channels * 4, 32, hw)
            loads.append(Load(CONSTANT, ALL_TILES, table, table.bytes, key=(6, channels)))
            work = [
                DpuWork("conv", r, width, channels, k16, mpe_mode=mode, in_bits=lhs.bits, out_bits=out.bits)
                for r in rows
            ]
            stores = [_store(t, r * width * real, out, hw) for t, r in enumerate(rows)]
            held = tuple(r * width * channels * 2 for r in rows) + (0,) * (tiles - used)
            parts.append(Slice(loads, list(enumerate(work)), stores, held, f"batch {b + 1}/{batch}" if batch > 1 else ""))
    dist = Dist(1, tuple(r * (out.elements // height) for r in rows)) if batch == 1 else None
    in_dist = Dist(1, tuple(r * (lhs.elements // height) for r in rows)) if batch == 1 else None
    inputs = [v for v in (lhs, rhs) if not v.constant]
    dists: list[Dist | None] = [in_dist if v is lhs else (WHOLE if batch == 1 else None) for v in inputs]
    if lhs.constant:
        for part in parts:
            for load in part.loads:
                load.operand = 0 if load.operand == 1 else load.operand
    strategy = f"{batch} MatMuls, each split over rows (SOH) on {used} tiles" + (
        f", {slices} slices" if slices > 1 else ""
    )
    return Plan(node, inputs, dists, out, dist, parts, strategy)
