"""Plans of SHAVE kernels: split over tiles, then over the SHAVEs of a tile, sliced to fit CMX."""

from __future__ import annotations

from dataclasses import replace
from math import prod

from npusim.hardware.schema import Hardware
from npusim.lowering.ir.kernels import KERNELS, ShaveKernel
from npusim.lowering.ir.nodes import Further, Node, Unary, axis_of
from npusim.lowering.ir.plan import (
    ALL_TILES,
    Load,
    Plan,
    Slice,
    Store,
    cmx_capacity,
    load_bytes,
    load_value,
    odd_halves,
    store,
    transfer,
)
from npusim.lowering.ir.shapes import C, H, N, Shape, W, four
from npusim.lowering.ir.tiling import Part, Tiling, operand_part
from npusim.lowering.ir.values import ADDED_CONSTANT, INDEX_BITS, Dist, Value, ceil_div
from npusim.lowering.split.shave import share, splits_behind
from npusim.lowering.tile.shave import needed_elements, slice_to_fit
from npusim.program.work import DmaWork, ShaveWork, Work

#: Bits of a wide float; nothing else that a kernel writes to DDR is so wide.
FP32 = 32


def plan_shave(
    node: Node, hw: Hardware, name: str, hint: Dist | None = None, granule: int = 1, room: float = 1.0,
    batched: bool = False,
) -> Plan:  # fmt: skip
    """The plan of one kernel, by its name, over the operands of a node.

    ``hint`` is how its first operand lies in CMX already; a kernel that may takes over that split
    (evidence/lowering.md#2.4). Without, its channels are cut over whole granules where every tile gets one. ``room`` is
    the share of CMX that a slice may take. ``batched``: the operands are those of one image of a batch, whose columns
    each SHAVE has in a buffer of its own.
    """
    output, kernel = node.output, KERNELS[name]
    if kernel.batch == "one by one" and _unrolled(node):
        return _one_by_one(node, hw, kernel)
    operands = [_executed(v) for v in node.inputs]
    if name == "rms" and len(operands) == 1:
        operands.append(_gamma(output))
    shape, aligned = four(output, operands, axis_of(node))
    if shape[N] > 1 and any(a is not None and a[N] == 1 for a in aligned):
        return _over_batch(node, hw, kernel, shape, operands, aligned)
    tiling, aligned = share(node, hw, kernel, shape, aligned, hint, granule)
    written = replace(output, bits=output.bits + node.beside) if isinstance(node, Unary) else output
    tiling = slice_to_fit(tiling, kernel, list(zip(operands, aligned, strict=True)), written, hw, room)
    apart = hint is None and tiling.axis in (H, W) and splits_behind(tiling.shape, kernel, aligned, hw)
    if apart or (batched and tiling.axis == tiling.shave_axis == W):
        kernel = replace(kernel, dense=True)
    plan = _build(node, hw, kernel, operands, aligned, tiling)
    return _read_in_ddr(plan, hw) if node.runs("topk") else plan


def _read_in_ddr(plan: Plan, hw: Hardware) -> Plan:
    """The plan, or where CMX does not take a line of the operand one that reads a copy of it in DDR (TopK of
    1,000,000 on 4000)."""
    if all(load_bytes(x.loads, hw.tiles) + max(x.out_bytes) <= cmx_capacity(hw) for x in plan.slices):
        return plan
    value = plan.inputs[0]
    copy = transfer("ddr", "ddr", value.elements, value.stored_bits, hw)
    apart = plan.changed(lambda part: replace(part, loads=[x for x in part.loads if x.operand]))
    return replace(apart, in_dists=[None, *plan.in_dists[1:]], ddr_moves=[(0, copy)])


def plan_further(node: Further, made: Plan, hw: Hardware) -> Plan:
    """A further result of the kernel that ``made`` plans, cut as that one's own."""
    out, own = node.output, made.output

    def part(size: int, bits: int) -> int:
        """Elements of this result that belong to so many bytes of the other one."""
        return ceil_div(ceil_div(size * 8, bits) * out.elements, own.elements)

    slices = []
    for one in made.slices:
        sizes = [(x.tile, part(x.work.bytes, own.stored_bits)) for x in one.stores]
        held = tuple(ceil_div(part(size, own.bits) * out.bits, 8) for size in one.out_bytes)
        slices.append(Slice((), (), [store(tile, n, out, hw) for tile, n in sizes], held, one.detail))
    dist = made.out_dist
    if dist is not None and out.elements != own.elements and not dist.whole:
        dist = Dist(1, (out.elements,)) if len(dist.cuts) == 1 else None
    return Plan(node, (), (), out, dist, slices, "with the result before it", handed_on=made.handed_on)


def _over_batch(
    node: Node,
    hw: Hardware,
    kernel: ShaveKernel,
    shape: Shape,
    operands: list[Value],
    aligned: list[Shape | None],
) -> Plan:
    """A kernel over a batch that an operand does not have: one batch item after the other, each repeated on every tile
    (Mul_6 and Mul_11 of mamba2 on 3720: [256, ...] runs 256 times, 155 ms on each of both tiles)."""
    batch, *rest = shape
    item = (1, *rest)
    tiling = Tiling((1, rest[0], rest[1], rest[2]), None, (), C, hw.shave.per_tile, slice_axis=C)
    values, shapes = [], []
    for value, seen in zip(operands, aligned, strict=True):
        part = None if seen is None else (1, seen[C], seen[H], seen[W])
        values.append(value if part is None else replace(value, shape=part, order=()))
        shapes.append(part)
    output = replace(node.output, shape=item, order=())
    tiling = slice_to_fit(tiling, kernel, list(zip(values, shapes, strict=True)), output, hw)
    plan = _build(replace(node, inputs=tuple(values), output=output), hw, kernel, values, shapes, tiling)
    slices = [part for _ in range(batch) for part in plan.slices]
    return replace(
        plan,
        node=node,
        inputs=operands,
        in_dists=[None] * len(operands),
        output=node.output,
        out_dist=None,
        slices=slices,
        strategy=f"{plan.strategy}, {batch} batch items",
    )


def _unrolled(node: Node) -> bool:
    """Whether a kernel has a batch of four dimensions."""
    shape = node.output.shape
    repeated = isinstance(node, Unary) and node.repeated
    alone = len(node.inputs) == 1 and node.output.plain and not repeated
    return alone and len(shape) == 4 and shape[0] > 1


def _one_by_one(node: Node, hw: Hardware, kernel: ShaveKernel) -> Plan:
    """The kernel on one batch item after the other."""
    batch = node.output.shape[0]
    item = (1, *node.output.shape[1:])
    one = replace(
        node, inputs=(replace(node.inputs[0], shape=item, order=()),), output=replace(node.output, shape=item)
    )
    plan = plan_shave(one, hw, kernel.name)
    return replace(
        plan,
        node=node,
        inputs=node.inputs,
        output=node.output,
        out_dist=None,
        slices=[part for _ in range(batch) for part in plan.slices],
        strategy=f"{plan.strategy}, {batch} batch items",
    )


def _executed(value: Value) -> Value:
    """Constants are converted to FP16 when the model is compiled, boolean masks too (Where_1 and Where_2 of mamba2)."""
    narrow = value.constant and value.bits not in (16, INDEX_BITS)
    return replace(value, bits=16, stored_bits=16) if narrow else value


def _gamma(output: Value) -> Value:
    """The scale that the RMS kernel always reads (evidence/lowering.md#1.2.23): ones where the model has none."""
    width = output.physical[-1]
    return Value(ADDED_CONSTANT, (1,) * (len(output.shape) - 1) + (width,), constant=True, order=output.order)


# -- the plan ----------------------------------------------------------------------------------------------------


def _build(
    node: Node,
    hw: Hardware,
    kernel: ShaveKernel,
    operands: list[Value],
    aligned: list[Shape | None],
    tiling: Tiling,
) -> Plan:
    output = node.output
    dense = kernel.dense and _strided(tiling, operands, aligned)
    seen: set[int] = set()
    inputs: list[tuple[int, Value, Shape | None]] = []
    for k, (value, shape) in enumerate(zip(operands, aligned, strict=True)):
        again = kernel.reads_twice and _reshaped(aligned[0], hw)
        if value.storage not in seen or value.storage == ADDED_CONSTANT or again:
            inputs.append((k, value, shape))
        seen.add(value.storage)
    slices = []
    for parts in tiling.parts(hw.tiles):
        loads: list[Load] = []
        for k, (_, value, shape) in enumerate(inputs):
            loads.extend(_loads(k, value, shape, parts, tiling, dense, kernel.windows, hw))
        computes: list[tuple[int, Work]] = []
        for tile, part in enumerate(parts):
            for piece in filter(prod, part.pieces):
                io = _io_bytes(kernel, piece, operands, aligned, tiling, output)
                size = ceil_div(prod(piece) * output.bits, 8)
                computes.append((tile, ShaveWork(kernel.name, prod(piece), size, io)))
        held = [ceil_div(part.elements * output.bits, 8) for part in parts] + [0] * (hw.tiles - len(parts))
        slices.append(Slice(loads, computes, _stores(output, parts, tiling, dense, kernel, hw), tuple(held)))
    used = len(tiling.cuts) or hw.tiles
    strategy = f"{kernel.name} {'on' if tiling.cuts else 'repeated on'} {used} tiles"
    if len(slices) > 1:
        strategy += f", {len(slices)} slices"
    values = [v for _, v, _ in inputs]
    dists = [None if dense else _in_dist(v, s, tiling) for _, v, s in inputs]
    return Plan(node, values, dists, output, None if dense else tiling.dist, slices, strategy)


def _reshaped(shape: Shape | None, hw: Hardware) -> bool:
    """Whether a product is seen in another shape, since its outermost axis is too short for all SHAVEs: a square then
    reads its operand twice (pow2_h, and four shapes of 3 or 4 channels; not of 8)."""
    outermost = next((s for s in shape if s > 1), 1) if shape is not None else 1
    return 1 < outermost < hw.tiles * hw.shave.per_tile


def _io_bytes(
    kernel: ShaveKernel,
    piece: Shape,
    operands: list[Value],
    aligned: list[Shape | None],
    tiling: Tiling,
    output: Value,
) -> int:
    """Bytes that one kernel call reads and writes; a broadcast operand counts what the call needs of it."""
    elements = prod(piece)
    bits = elements * output.bits
    flat = tiling.shave_axis is None and tiling.shaves > 1
    for value, shape in zip(operands, aligned, strict=True):
        if value.elements == output.elements or (flat and kernel.flat_operands):
            part = elements
        elif shape is None or flat:
            part = ceil_div(value.elements * elements, output.elements)
        else:
            part = operand_part(piece, shape, tiling.shape)
        bits += part * value.bits
    return ceil_div(bits, 8)


def _strided(tiling: Tiling, operands: list[Value], aligned: list[Shape | None]) -> bool:
    """Whether a SHAVE's part lies strided in its tile's buffer, or an operand is not cut over the SHAVEs."""
    if tiling.shaves == 1:
        return False
    axis = tiling.shave_axis
    if tiling.lines:
        return any(v.elements not in (1, prod(tiling.shape)) for v in operands)
    if axis is None:
        return False
    first = [*tiling.shape]
    if tiling.axis is not None:
        first[tiling.axis] = tiling.cuts[0]
    if first[axis] < 2:
        return False
    uncut = any(
        v.elements > 1 and (s is None or s[axis] == 1) for v, s in zip(operands, aligned, strict=True)
    )
    apart = any(s is not None and prod(s[d] for d in range(axis) if d != tiling.axis) > 1 for s in aligned)
    return uncut or apart or prod(first[:axis]) > 1


def _in_dist(value: Value, shape: Shape | None, tiling: Tiling) -> Dist | None:
    """How an operand must lie in CMX to be read there."""
    if value.elements == prod(tiling.shape):
        return tiling.dist
    if not tiling.cuts or shape is None or tiling.axis is None or shape[tiling.axis] == 1:
        return Dist()
    return replace(tiling, shape=shape).dist


def _loads(
    operand: int,
    value: Value,
    shape: Shape | None,
    parts: list[Part],
    tiling: Tiling,
    dense: bool,
    windows: bool,
    hw: Hardware,
) -> list[Load]:
    """Transfers of one operand for one slice: one a tile (one a SHAVE for dense kernels), or one to all tiles where
    each needs the same. What does not vary over the slices is loaded once and kept."""
    same = windows or value.elements == prod(tiling.shape)
    flat = tiling.axis is None and bool(tiling.cuts)
    varies = same or (shape is not None and not flat and shape[tiling.slice_axis] > 1)
    shared = not tiling.cuts or not (same or (shape is not None and not flat and shape[tiling.axis or 0] > 1))
    inner = None if tiling.lines else tiling.shave_axis
    each = dense and (same or (shape is not None and inner is not None and shape[inner] > 1))
    loads = []
    for tile, part in enumerate(parts[:1] if shared else parts):
        sizes = [needed_elements(value, shape, part, tiling, windows)]
        if each:
            sizes = [
                prod(p) if same or shape is None else operand_part(p, shape, tiling.shape)
                for p in part.pieces
            ]
        for position, elements in enumerate(sizes if part.elements else ()):
            key = (operand, tile, position) if tiling.slices > 1 and not varies else ()
            size = ceil_div(elements * value.bits, 8)
            loads.append(
                Load(operand, ALL_TILES if shared else tile, load_value(value, elements, hw), size, key)
            )
    return loads if dense or shared else odd_halves(loads, hw)


def _store(output: Value, elements: int, kernel: ShaveKernel, hw: Hardware) -> DmaWork:
    """A part of a result on its way out; floats that were widened count as many bytes as those that are converted on
    the way in (5010: all four of FP32)."""
    work = transfer("cmx", "ddr", elements, output.stored_bits, hw)
    if output.bits == FP32 and kernel.name == "convert" and hw.dma.counting == "elements":
        return replace(work, counted_bytes=elements * hw.dma.convert_bytes)
    return work


def _stores(
    output: Value, parts: list[Part], tiling: Tiling, dense: bool, kernel: ShaveKernel, hw: Hardware
) -> list[Store]:
    stores = []
    for tile, part in enumerate(parts if tiling.cuts else parts[:1]):
        target = tile if tiling.cuts else ALL_TILES
        for elements in filter(None, map(prod, part.pieces) if dense else [part.elements]):
            stores.append(Store(target, _store(output, elements, kernel, hw)))
    return odd_halves(stores, hw) if tiling.cuts and not dense else stores
