"""Pieces that plans of convolution-like DPU ops share: geometry, weights and tables, row cuts."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from math import isqrt, prod

from npusim.hardware.schema import Hardware
from npusim.lowering.ir.nodes import POINT, Bmm, Conv, Depthwise, Node, Pool, Product, Window
from npusim.lowering.ir.plan import ALL_TILES, CONSTANT, Load, cmx_capacity, odd_halves, transfer
from npusim.lowering.ir.shapes import CHANNELS
from npusim.lowering.ir.values import Value, ceil_div, round_up
from npusim.program.work import DmaWork, DpuWork, MpeMode

#: Bytes of weight table per output channel (evidence/hardware.md#2).
TABLE_BYTES = 16


#: Elements of the smaller of what a MatMul reads and makes from which rows that have no factors are worth padding
#: (npu_compiler, adjust_convolution_input_shape.cpp).
WORTH_PADDING = 3072


def fold_rows(m: int, width: int, smaller: int = WORTH_PADDING) -> tuple[int, int]:
    """The rows M of a MatMul as the H x W of a 1x1 convolution (evidence/lowering.md#2.1). Rows without factors are
    padded to fours, where the ``smaller`` one of its operand and result has elements enough."""
    if m <= 7:
        return m, 1
    for w in (width, 4):
        if m % w == 0 and (w == 4 or m >= w * w):
            return max(m // w, w), min(m // w, w)
    for w in range(isqrt(m), 1, -1):
        if m % w == 0:
            return m // w, w
    fours = ceil_div(m, 4)
    return (max(fours, 4), min(fours, 4)) if smaller >= WORTH_PADDING else (m, 1)


def geometry(node: Product | Depthwise | Pool, hw: Hardware) -> tuple[int, int]:
    """Output height and width of a convolution-like node."""
    if node.window is not None:
        shape = node.output.shape
        return (shape[2], node.window.width or shape[3]) if len(shape) == 4 else (shape[2], 1)
    return fold_rows(node.m, hw.software.row_fold, _smaller(node))


def _smaller(node: Product | Depthwise | Pool) -> int:
    """Elements of the smaller one of what a MatMul reads and makes, channels padded."""
    assert isinstance(node, Product)
    return node.m * round_up(min(node.k, node.n), CHANNELS)


def zeros_behind(node: Product, hw: Hardware) -> tuple[int, int]:
    """Zeros that the operand of a MatMul is expanded with for the DPU: whole rows, and those behind the terms of its
    rows."""
    height, width = geometry(node, hw)
    k16 = round_up(node.k, CHANNELS)
    return (height * width - node.m) * k16, node.m * (k16 - node.k)


def row_zeros(node: Product, hw: Hardware, key: tuple[int, ...]) -> list[Load]:
    """What is loaded beside the operand of a MatMul to expand it on every tile."""
    zeros = sum(zeros_behind(node, hw))
    work = transfer("ddr", "cmx", zeros, node.inputs[0].bits, hw)
    return [Load(0, ALL_TILES, work, 0, (5, *key))] if zeros else []


def column_zeros(node: Product, hw: Hardware, key: tuple[int, ...]) -> list[Load]:
    """What is loaded to fill up the columns of a single product of two activations, of which every tile has all."""
    columns, single = node.inputs[1], isinstance(node, Bmm) and node.batch == 1
    missing = (round_up(node.n, CHANNELS) - node.n) * node.k
    if not single or columns.constant or not missing or columns.elements != node.n * node.k:
        return []
    return [Load(1, ALL_TILES, transfer("ddr", "cmx", missing, columns.bits, hw), 0, (6, *key))]


def is_line_of_planes(node: Product) -> bool:
    """Whether a convolution of one column writes its result as planes, which a kernel behind it cuts over channels."""
    output = node.output
    return node.window is not None and output.plain and len(output.shape) > 2 and prod(output.shape[3:]) == 1


def is_stem(node: Product) -> bool:
    """A convolution whose few input channels leave at least half of the padded ones empty: its weights are stored
    sparse, and the DPU skips the zeros (stems of three channels)."""
    weights = node.inputs[1]
    return node.window is not None and weights.constant and 2 * weights.shape[1] <= CHANNELS


def fits_padded(node: Conv, hw: Hardware) -> bool:
    """Whether a stem is computed with its input channels padded: of 8 bits, or where one tile could hold it so."""
    act, weights, out = node.inputs[0], node.inputs[1], node.output
    padded = act.elements // act.shape[1] * round_up(act.shape[1], CHANNELS) * act.bits // 8
    taps = weights.elements // weights.shape[1] * CHANNELS * weights.bits // 8
    return act.bits <= 8 or padded + taps + out.bytes <= cmx_capacity(hw)


def folded(node: Conv, window: Window) -> Conv:
    """A stem with groups of 16 pixels of a row as its input channels and those of 16 / stride pixels as its output
    channels (evidence/lowering.md#1.2.8: 7x7 stride 2 over 3 channels becomes 7x3 over 48, 64 channels become 512)."""
    (height, width), stride, pads = window.kernel, window.stride, window.pads
    if stride[1] == 1 or CHANNELS % stride[1] or len(node.output.shape) < 4:
        return node
    pixels = CHANNELS // stride[1]
    columns = node.output.shape[3]
    if columns % pixels:
        return node
    left, right = -pads[1], (pixels - 1) * stride[1] - pads[1] + width - 1
    groups = right // CHANNELS - left // CHANNELS + 1
    channels = node.inputs[1].shape[1] * CHANNELS
    wide = replace(window, kernel=(height, groups), stride=(stride[0], 1), width=columns // pixels)
    return replace(node, window=wide, k=channels, n=node.n * pixels)


def flattened(node: Conv, window: Window, tiles: int) -> Conv:
    """A 1x1 convolution with fewer rows than tiles, or of one-dimensional data, as a MatMul over its pixels, whose rows
    are folded anew: the DPU reads pixels one by one, and a row of more than 8,192 could not be one of its tensors' at
    all."""
    rows = len(node.output.shape) > 3 and node.output.shape[2] >= tiles
    if not window.point or rows or node.output.elements == node.n:
        return node
    return replace(node, window=None)


def weight_bytes(channels: int, k: int, bits: int) -> int:
    """Bytes of the weights of so many output channels, input channels padded."""
    return channels * k * bits // 8


def sparse_bytes(node: Product) -> tuple[int, int]:
    """Bytes of the non-zero weights of one output channel, and of the bit map that says where they are, each padded to
    16 (a 7 x 7 stem of three channels: 432 and 448 together); compressed ones of 8 bits have no map."""
    weights, kernel = node.inputs[1], (node.window or POINT).kernel
    reduced = round_up(node.k, CHANNELS) * kernel[0] * kernel[1]
    values = weights.elements // weights.shape[0]
    if node.zeros:
        values = round(reduced * (1 - node.zeros))
    bit_map = round_up(ceil_div(reduced, 8), 16) if node.inputs[0].bits > 8 else 0
    return round_up(ceil_div(values * weights.stored_bits, 8), 16), bit_map


def channel_bytes(node: Product) -> int:
    """Bytes of weights and weight table of one output channel, of sparse ones as they are stored."""
    kernel = (node.window or POINT).kernel
    reduced = round_up(node.k, CHANNELS) * kernel[0] * kernel[1]
    weights = node.inputs[1]
    if is_stem(node) or node.zeros:
        return sum(sparse_bytes(node)) + TABLE_BYTES
    return weight_bytes(1, reduced, weights.stored_bits) + TABLE_BYTES


def conv_work(
    height: int, width: int, channels: int, k: int, node: Product, mode: MpeMode, hw: Hardware,
    everywhere: bool = False,
) -> DpuWork:  # fmt: skip
    """One tile's share of a convolution."""
    window = node.window or POINT
    activation = node.inputs[0]
    return DpuWork(
        "conv", height, width, channels, k, *window.kernel, window.stride[0],
        in_bits=computed_bits(activation, node.inputs[1]),
        fp8=activation.fp8,
        out_bits=node.output.bits,
        weight_bits=min(node.inputs[1].stored_bits, 16),
        mpe_mode=mode,
        lut=fused_lut(node, hw),
        planes=node.window is not None and node.output.plain,
        skipped=_skipped(node, channels, hw),
        zeros=node.zeros,
        relu=node.rectified,
        everywhere=everywhere,
    )  # fmt: skip


def shares_stencil(node: Product, hw: Hardware) -> bool:
    """Whether the channels of all tiles choose the stencil of a task whose result reaches all tiles: those of a MatMul
    do, those of an image where ``software.shared_stencil`` says so."""
    return hw.software.broadcast_output and (node.window is None or hw.software.shared_stencil)


def _skipped(node: Product, channels: int, hw: Hardware) -> float:
    """Share of its multiply-accumulates that a convolution of few input channels saves: none of the first granule of
    its output channels."""
    saving = hw.software.sparse_saving if node.inputs[0].bits > 8 else hw.software.compressed_saving
    if node.zeros or not is_stem(node):
        return 0.0
    return saving * (1 - CHANNELS / channels)


def computed_bits(activation: Value, weights: Value) -> int:
    """Bits of the type that a product is computed in: 8-bit activations need weights as narrow; narrow weights follow
    the activations."""
    width = weights.stored_bits if weights.constant else weights.bits
    return max(activation.bits, min(width, 16)) if width > 8 else activation.bits


def fused_lut(node: Node, hw: Hardware) -> bool:
    """Whether the op ends with an activation from the PPE's look-up table."""
    lut = hw.dpu.ppe.lut
    return lut is not None and node.post in lut.functions


def weights_load(
    operand: int, tile: int, channels: int, k: int, weights: Value, hw: Hardware, key: tuple[int, ...]
) -> Load:
    """One tile's own weights (SOK), which stay as narrow as they are stored, or an activation on every tile."""
    work = transfer("ddr", "cmx", channels * k, weights.stored_bits, hw)
    bits = min(weights.stored_bits, weights.bits)
    return Load(operand, tile, work, channels * k * bits // 8, key=(1, tile, *key))


def sparse_load(
    tile: int, channels: int, node: Product, hw: Hardware, key: tuple[int, ...]
) -> tuple[Load, Load]:
    """One tile's own sparse weights, and their bit map (whose bits the estimator counts as elements)."""
    values, bit_map = (channels * size for size in sparse_bytes(node))
    bits = node.inputs[1].stored_bits
    first = transfer("ddr", "cmx", values * 8 // bits, bits, hw)
    second = transfer("ddr", "cmx", bit_map * 8, 1, hw)
    return (
        Load(CONSTANT, tile, first, values, key=(1, tile, *key)),
        Load(CONSTANT, tile, second, bit_map, key=(4, tile, *key)),
    )


def table_load(tile: int, channels: int, hw: Hardware, key: tuple[int, ...]) -> Load:
    """One tile's own weight table (SOK)."""
    work = transfer("ddr", "cmx", channels * TABLE_BYTES // 4, 32, hw)
    return Load(CONSTANT, tile, work, work.bytes, key=(2, tile, *key))


def address_loads(
    node: Node, rows: Sequence[tuple[int, int]], columns: int, channels: int, hw: Hardware, *key: int
) -> list[Load]:
    """What a window that reads through addresses needs on each tile, whose ``rows`` and ``columns`` of the result are
    given (tile, rows): the map of its channels that are not zero, a bit each, where the DPU takes one (a transposed
    convolution's always), and an address of 32 bits a pixel (evidence/lowering.md#1.2.34)."""
    window = node.window if isinstance(node, Product | Depthwise | Pool) else None
    if window is None or not window.addressed or not hw.software.storage_elements:
        return []
    width = (columns - 1) * window.stride[1] + window.kernel[1]
    heights = [(tile, (count - 1) * window.stride[0] + window.kernel[0]) for tile, count in rows if count]
    works = [[(t, transfer("ddr", "cmx", h * width, 32, hw)) for t, h in heights]]
    if hw.software.storage_elements == "mapped" or not isinstance(node, Pool):
        works.insert(0, [(t, transfer("ddr", "cmx", h * width * channels, 1, hw)) for t, h in heights])
    return [
        load
        for number, kind in enumerate(works)
        for load in odd_halves(
            [Load(CONSTANT, t, w, w.bytes, key=(5 + number, t, *key)) for t, w in kind], hw
        )
    ]


def brings_weights(load: Load) -> bool:
    """Whether a load brings constant weights (or their bit map) without a weight table."""
    return load.operand == CONSTANT and load.key[:1] in ((1,), (4,))


def fused_load(size: int, *key: int) -> Load:
    """Weights and weight table of so many bytes in one transfer to all tiles."""
    return Load(CONSTANT, ALL_TILES, DmaWork("ddr", "cmx", size, size), size, key=(3, *key))


def fused_constant(channels: int, k: int, weights: Value, hw: Hardware, *key: int) -> Load:
    """Weights and weight table in one transfer to all tiles (a byte tensor: charged as it is)."""
    moved = channels * (k * weights.stored_bits // 8 + TABLE_BYTES)
    return Load(CONSTANT, ALL_TILES, DmaWork("ddr", "cmx", moved, moved), moved, key=(3, *key))
