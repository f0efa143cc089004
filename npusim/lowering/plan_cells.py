"""Plans of DPU ops without weights to speak of: depth-wise convolution, scale, addition, pooling, reduction, permute."""

from __future__ import annotations

from math import isqrt, prod

from npusim.costs.dpu import choose_mode
from npusim.costs.work import DpuWork, Work
from npusim.hardware.schema import Hardware
from npusim.lowering.nodes import Node
from npusim.lowering.plan import (
    ALL_TILES,
    CONSTANT,
    Load,
    Plan,
    Slice,
    cmx_capacity,
    held,
    load_value,
    operand_loads,
    output_stores,
    slice_part,
    transfer,
)
from npusim.lowering.plan_conv import CHANNELS, TABLE_BYTES, fold_rows, fused_constant, geometry, row_dist
from npusim.lowering.values import WHOLE, Dist, Value, along, canonical4, ceil_div, even, round_up

#: Largest pooling kernel (facts/npu_hardware.md section 1).
MAX_KERNEL = 11


def workload_channels(channels: int) -> int:
    """Channels of one depth-wise or pooling workload: 64, else 32, else 16 (facts/vendor_lowering.md section 5)."""
    return 64 if channels % 64 == 0 or channels > 64 else 32 if channels > 16 else 16


def square(size: int) -> tuple[int, int]:
    """The most square factor pair (h, w), h >= w."""
    for w in range(isqrt(size), 0, -1):
        if size % w == 0:
            return size // w, w
    return size, 1


def image(shape: tuple[int, ...]) -> tuple[int, int, int]:
    """A row-major shape as (height, width, channels) for a shape-free DPU op (facts/vendor_lowering.md 1.1)."""
    n, c, h, w = canonical4(shape)
    total = n * c * h * w
    if w % CHANNELS == 0:
        if n * c > 1:
            return n * c, h, w
        return h, 1, w
    if total % CHANNELS == 0:
        height, width = square(total // CHANNELS)
        return height, width, CHANNELS
    return n * c if n * c > 1 else h, h if n * c > 1 else 1, round_up(w, CHANNELS)


# -- elementwise ------------------------------------------------------------------------------------------------------


def plan_add(node: Node, hw: Hardware, hint: Dist | None = None, operands: int = 2) -> Plan:
    """Elementwise addition (or another eltwise DPU op) of equally shaped operands, in place of the first one."""
    out, tiles = node.output, hw.tiles
    inputs = node.inputs[:operands]
    height, width, channels = image(out.physical)
    rows = even(height, tiles)
    dist = WHOLE if len(rows) < tiles else Dist(1, tuple(r * (out.elements // height) for r in rows))
    if hint is not None:
        dist = hint
    used = tiles
    demand = sum(max(held(v, dist, tiles)) for v in inputs)
    slices = max(1, ceil_div(demand, cmx_capacity(hw)))
    parts = []
    for i in range(slices):
        computes: list[tuple[int, Work]] = []
        for t in range(used):
            elements = slice_part(dist.elements(t, out.elements), slices, i)
            if not elements:
                continue
            tile_rows = height if dist.whole else max(1, round(elements * slices * height / out.elements))
            columns = max(1, ceil_div(elements, tile_rows * channels))
            computes.append(
                (t, DpuWork("eltwise", tile_rows, columns, channels, in_bits=inputs[0].bits, out_bits=out.bits, mpe_mode="8x16"))
            )
        loads = [x for k, v in enumerate(inputs) for x in operand_loads(k, v, dist, tiles, hw, slices, i)]
        parts.append(
            Slice(loads, computes, output_stores(out, dist, tiles, hw, slices, i), (0,) * tiles)
        )
    strategy = f"eltwise on {used} tiles" + (f", {slices} slices" if slices > 1 else "")
    return Plan(node, inputs, [dist] * len(inputs), out, dist, parts, strategy, in_place=True)


def plan_quantize(node: Node, hw: Hardware) -> Plan:
    """A change to 8 bits: an eltwise pass that writes the other type."""
    return plan_add(node, hw, operands=1)


# -- depth-wise -------------------------------------------------------------------------------------------------------


def plan_depthwise(node: Node, hw: Hardware) -> Plan:
    """Depth-wise convolution: over channels where each tile gets whole granules, else over rows (2.2)."""
    act, weights, out = node.inputs[0], node.inputs[1], node.output
    height, width = geometry(node, hw)
    kernel, stride = node.params["kernel"], node.params["stride"]
    channels = out.shape[1]
    return _channelwise(node, hw, act, out, height, width, channels, kernel, stride[0], weights.stored_bits)


def _channelwise(
    node: Node, hw: Hardware, act: Value, out: Value, height: int, width: int, channels: int,
    kernel: tuple[int, int], stride: int, bits: int,
) -> Plan:  # fmt: skip
    tiles = hw.tiles
    c16 = round_up(channels, CHANNELS)
    taps = round_up(kernel[0] * kernel[1], CHANNELS)
    pointwise = kernel == (1, 1)
    over_channels = height == tiles if pointwise else c16 % (CHANNELS * tiles) == 0
    if height < tiles:
        over_channels = c16 >= CHANNELS * tiles
    weights = Value(-1, (c16, taps), 16, bits, constant=True)
    if over_channels:
        cuts = even(c16, tiles, CHANNELS)
        real = (*cuts[:-1], cuts[-1] - (c16 - channels))
        in_dist, out_dist = Dist(act.elements // channels, real), Dist(out.elements // channels, real)
    else:
        rows = even(height, tiles)
        in_rows = act.shape[2] if "kernel" in node.params and len(act.shape) > 2 else height
        in_dist = row_dist(act, in_rows, len(rows))
        out_dist = row_dist(out, height, len(rows)) if len(rows) == tiles else WHOLE
        if out_dist.whole:
            in_dist = WHOLE
    demand = max(held(act, in_dist, tiles)) + max(held(out, out_dist, tiles)) + c16 * (taps * 2 + TABLE_BYTES)
    slices = max(1, ceil_div(demand, cmx_capacity(hw)))
    parts = []
    for i in range(slices):
        loads = operand_loads(0, act, in_dist, tiles, hw, slices, i)
        if over_channels:
            for t, c in enumerate(cuts):
                w = transfer("ddr", "cmx", c * taps, bits, hw)
                loads.append(Load(CONSTANT, t, w, w.bytes, key=(1, t)))
            for t, c in enumerate(cuts):
                w = transfer("ddr", "cmx", c * TABLE_BYTES // 4, 32, hw)
                loads.append(Load(CONSTANT, t, w, w.bytes, key=(2, t)))
        else:
            loads.append(fused_constant(c16, taps, weights, hw, 0))
        computes: list[tuple[int, Work]] = []
        for t in range(tiles):
            if over_channels:
                h, c = slice_part(height, slices, i), cuts[t] if t < len(cuts) else 0
            else:
                h = slice_part(height if out_dist.whole else (rows[t] if t < len(rows) else 0), slices, i)
                c = c16
            if h and c:
                computes.append(
                    (t, DpuWork("dwconv", h, width, c, 1, kernel[0], kernel[1], stride,
                                in_bits=act.bits, out_bits=out.bits, weight_bits=min(bits, 16),
                                variant_channels=workload_channels(c)))
                )  # fmt: skip
        stores = output_stores(out, out_dist, tiles, hw, slices, i)
        parts.append(Slice(loads, computes, stores, held(out, out_dist, tiles, slices)))
    how = "channels (SOK)" if over_channels else "rows (SOH)"
    strategy = f"depth-wise over {how}" + (f", {slices} slices" if slices > 1 else "")
    return Plan(node, [act], [in_dist], out, out_dist, parts, strategy)


def plan_scale(node: Node, hw: Hardware, hint: Dist | None = None) -> Plan:
    """Multiply or add by a constant that is scalar or varies along one axis: a depth-wise 1x1 convolution.

    Where the axis is not innermost the caller has moved the data first.
    """
    act, out = node.inputs[0], node.output
    last = out.physical[-1] if out.physical else 1
    if last % CHANNELS and out.elements % CHANNELS == 0 and node.params.get("axis") is None:
        height, width = square(out.elements // CHANNELS)
        last = CHANNELS
    else:
        height, width = fold_rows(out.elements // last, hw.software.row_fold)
        if len(out.physical) == 4 and out.physical[1] * out.physical[0] > 1:
            height, width = out.physical[0] * out.physical[1], out.physical[2]
    return _channelwise(node, hw, act, out, height, width, last, (1, 1), 1, 16)


# -- pooling and reductions -------------------------------------------------------------------------------------------


def plan_pool(node: Node, hw: Hardware) -> Plan:
    """Max or average pooling, over rows."""
    act, out, tiles = node.inputs[0], node.output, hw.tiles
    height, width = geometry(node, hw)
    channels = out.shape[1]
    kind = "maxpool" if node.params["pool"] == "max" else "avgpool"
    kernel, stride = node.params["kernel"], node.params["stride"]
    rows = even(height, tiles)
    if len(rows) < tiles:
        in_dist = out_dist = WHOLE
        rows = (height,) * tiles
    else:
        in_dist, out_dist = row_dist(act, act.shape[2], tiles), row_dist(out, height, tiles)
    demand = max(held(act, in_dist, tiles)) + max(held(out, out_dist, tiles))
    slices = max(1, ceil_div(demand, cmx_capacity(hw)))
    parts = []
    for i in range(slices):
        computes: list[tuple[int, Work]] = [
            (t, DpuWork(kind, slice_part(r, slices, i), width, round_up(channels, CHANNELS), 1, kernel[0], kernel[1],
                        stride[0], in_bits=act.bits, out_bits=out.bits,
                        variant_channels=workload_channels(channels)))
            for t, r in enumerate(rows) if slice_part(r, slices, i)
        ]  # fmt: skip
        parts.append(
            Slice(
                operand_loads(0, act, in_dist, tiles, hw, slices, i),
                computes,
                output_stores(out, out_dist, tiles, hw, slices, i),
                held(out, out_dist, tiles, slices),
            )
        )
    return Plan(node, [act], [in_dist], out, out_dist, parts, f"{kind} over rows (SOH)")


def factor(length: int) -> list[int]:
    """Kernels of a pooling chain that reduces ``length``: 8 first, each at most 11 (facts/vendor_lowering.md 1.2)."""
    kernels = []
    while length > MAX_KERNEL:
        for k in (8, *range(MAX_KERNEL, 1, -1)):
            if length % k == 0:
                break
        else:
            return [*kernels, length]
        kernels.append(k)
        length //= k
    return [*kernels, length] if length > 1 else kernels


def plan_reduce_chain(node: Node, hw: Hardware, storage: int) -> list[Plan]:
    """ReduceSum, Mean or Max as a chain of poolings down one axis; the rows (length) are cut over the tiles as long as
    each tile gets whole kernels, then one tile's result is broadcast and the last ones are repeated everywhere."""
    value, out, tiles = node.inputs[0], node.output, hw.tiles
    before, length, after = node.params["view"]
    kind = "maxpool" if node.params["reduce"] == "max" else "avgpool"
    if after % CHANNELS == 0:
        channels = CHANNELS if before == 1 else min(after, 64)
        width = after // channels
    else:
        channels, width = round_up(after, CHANNELS), 1
    plans: list[Plan] = []
    source = value
    rows = length
    source_dist: Dist | None = None
    for stage, kernel in enumerate(factor(length)):
        rows //= kernel
        last = rows == 1
        total_rows = rows * before
        cuts = even(total_rows, tiles)
        split = len(cuts) == tiles and (before > 1 or rows >= tiles)
        target = out if last else Value(storage + stage, (before, rows, after), 16)
        in_dist = Dist(1, tuple(c * (source.elements // total_rows) for c in cuts)) if split else WHOLE
        next_split = before >= tiles or (not last and rows // (factor(length) + [1])[stage + 1] >= tiles)
        out_dist = Dist(1, tuple(c * (target.elements // total_rows) for c in cuts)) if split and next_split else WHOLE
        if source_dist is not None:
            in_dist = source_dist
        tile_rows = cuts if split else (total_rows,) * tiles
        computes: list[tuple[int, Work]] = [
            (t, DpuWork(kind, r, width, channels, 1, kernel, 1, kernel, in_bits=value.bits,
                        variant_channels=workload_channels(channels)))
            for t, r in enumerate(tile_rows)
        ]  # fmt: skip
        demand = max(held(source, in_dist, tiles)) + max(held(target, out_dist, tiles))
        slices = max(1, ceil_div(demand, cmx_capacity(hw))) if stage == 0 else 1
        parts = []
        for i in range(slices):
            works: list[tuple[int, Work]] = computes
            if slices > 1:
                works = [
                    (t, DpuWork(kind, tile_rows[t], max(1, slice_part(width, slices, i)), channels, 1, kernel, 1, kernel,
                                in_bits=value.bits, variant_channels=workload_channels(channels)))
                    for t in range(tiles)
                ]  # fmt: skip
            parts.append(
                Slice(
                    operand_loads(0, source, in_dist, tiles, hw, slices, i),
                    works,
                    output_stores(target, out_dist, tiles, hw, slices, i),
                    held(target, out_dist, tiles, slices),
                )
            )
        plans.append(Plan(node, [source], [in_dist], target, out_dist, parts, f"{kind} chain, kernel {kernel}"))
        source, source_dist = target, out_dist if slices == 1 else None
    return plans


def plan_reduce_conv(node: Node, hw: Hardware) -> Plan:
    """ReduceSum over the innermost axis as a 1x1 convolution with 16 output channels of ones."""
    value, out, tiles = node.inputs[0], node.output, hw.tiles
    before, length, _ = node.params["view"]
    height, width = fold_rows(before, hw.software.row_fold)
    k16 = round_up(length, CHANNELS)
    rows = even(height, tiles)
    if len(rows) < tiles:
        in_dist = out_dist = WHOLE
        rows = (height,) * tiles
    else:
        in_dist, out_dist = row_dist(value, height, tiles), row_dist(out, height, tiles)
    weights = Value(-1, (CHANNELS, k16), constant=True)
    demand = max(held(value, in_dist, tiles)) + rows[0] * width * CHANNELS * 2 + CHANNELS * (k16 * 2 + TABLE_BYTES)
    slices = max(1, ceil_div(demand, cmx_capacity(hw)))
    mode = choose_mode(height, width, CHANNELS, hw)
    parts = []
    for i in range(slices):
        loads = operand_loads(0, value, in_dist, tiles, hw, slices, i)
        loads.append(fused_constant(CHANNELS, k16, weights, hw, 0))
        computes: list[tuple[int, Work]] = [
            (t, DpuWork("conv", slice_part(r, slices, i), width, CHANNELS, k16, mpe_mode=mode))
            for t, r in enumerate(rows) if slice_part(r, slices, i)
        ]  # fmt: skip
        used = (rows[0] * width * CHANNELS * 2 // slices,) * tiles
        parts.append(Slice(loads, computes, output_stores(out, out_dist, tiles, hw, slices, i), used))
    return Plan(node, [value], [in_dist], out, out_dist, parts, "ReduceSum as a convolution with ones, over rows (SOH)")


# -- permute ----------------------------------------------------------------------------------------------------------


def plan_permute(node: Node, hw: Hardware) -> Plan:
    """A transpose on the DPU: an identity pooling whose output is written in another order."""
    value, out, tiles = node.inputs[0], node.output, hw.tiles
    dims = [value.shape[d] for d in value.memory_order]
    if len(dims) < 3:
        dims = [1] * (3 - len(dims)) + dims
    height, width, channels = prod(dims[:-2]), dims[-2], dims[-1]
    axis = value.memory_order[0] if value.memory_order else 0
    if height < tiles:
        axis = value.memory_order[-2] if len(value.memory_order) > 1 else axis
        split = width
    else:
        split = dims[0] if len(value.memory_order) > 2 else height
    cuts = even(split, tiles)
    if len(cuts) < tiles:
        in_dist = out_dist = WHOLE
    else:
        in_dist = _along_memory(value, axis, cuts)
        out_dist = _along_memory(out, axis, cuts)
    c16 = round_up(channels, CHANNELS)
    demand = max(held(value, in_dist, tiles)) + max(held(out, out_dist, tiles))
    slices = max(1, ceil_div(demand, cmx_capacity(hw)))
    parts = []
    for i in range(slices):
        computes: list[tuple[int, Work]] = []
        for t in range(tiles):
            share = slice_part(in_dist.elements(t, value.elements), slices, i)
            if not share:
                continue
            rows = max(1, share // (width * channels)) if height >= tiles else height
            columns = width if height >= tiles else max(1, share // (height * channels))
            computes.append(
                (t, DpuWork("permute", rows, columns, c16, in_bits=value.bits, out_bits=out.bits,
                            variant_channels=workload_channels(c16)))
            )  # fmt: skip
        parts.append(
            Slice(
                operand_loads(0, value, in_dist, tiles, hw, slices, i),
                computes,
                output_stores(out, out_dist, tiles, hw, slices, i),
                held(out, out_dist, tiles, slices),
            )
        )
    strategy = "permuting pool" + (f", {slices} slices" if slices > 1 else "")
    return Plan(node, [value], [in_dist], out, out_dist, parts, strategy)


def _along_memory(value: Value, axis: int, cuts: tuple[int, ...]) -> Dist:
    """The Dist of a value cut along one of its logical dimensions."""
    order = value.memory_order
    shape = tuple(value.shape[d] for d in order)
    return along(shape, order.index(axis), cuts)


__all__ = [
    "ALL_TILES", "Load", "load_value", "plan_add", "plan_depthwise", "plan_permute", "plan_pool", "plan_quantize",
    "plan_reduce_chain", "plan_reduce_conv", "plan_scale",
]  # fmt: skip
