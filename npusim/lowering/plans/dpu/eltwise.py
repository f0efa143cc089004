"""Plans of elementwise DPU ops: addition, quantisation, and products whose one factor becomes weights."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace

from npusim.hardware.schema import Hardware
from npusim.lowering.ir.convolution import TABLE_BYTES, fused_lut
from npusim.lowering.ir.nodes import Node
from npusim.lowering.ir.plan import ALL_TILES, CONSTANT, Load, Plan, Slice, Store, held, load_value, transfer
from npusim.lowering.ir.shapes import CHANNELS, MAX_DIMENSION
from npusim.lowering.ir.values import WHOLE, Dist, Value, canonical4, ceil_div, even
from npusim.lowering.plans.dpu.images import (
    Image,
    assemble,
    depthwise_tasks,
    fit,
    near_square,
    refold,
    row_cuts,
    row_split,
)
from npusim.program.work import DpuWork, Work


def plan_add(
    node: Node,
    hw: Hardware,
    hint: Dist | None = None,
    operands: int = 2,
    ends: bool = False,
    folded: bool = False,
) -> Plan:
    """Elementwise addition (or another eltwise DPU op) of equally shaped operands, in place of the first one. The
    elements of a row are channels (the residual sum of a single token). Of operands that lie whole on every tile, each
    computes its own rows, which reach every tile but where nothing reads the result (``ends``). ``folded``: the
    elements are 16 channels of a near square image, which neither those who make the operands nor those who read the
    result see."""
    out, tiles = node.output, hw.tiles
    inputs = node.inputs[:operands]
    planes = out.plain and not inputs[0].plain
    image = Image(1, 1, out.elements) if is_row(out) else refold((inputs[0] if planes else out).physical)
    if folded:
        image, hint = near_square(out.elements), None
    own = row_split(out, image.height, tiles)
    dist = own if hint is None else hint
    apart = ends and dist.whole and not own.whole
    largest = out.elements if dist.whole else dist.outer * max(dist.cuts)
    demand = sum(ceil_div(largest * v.bits, 8) for v in inputs)
    slices = fit(hw, demand, max(held(out, own, tiles)) if apart else 0, image.width, ahead=False)
    made = own if apart else dist
    written = hw.software.broadcast_output and not node.runs("multiply", "square")
    spread = apart or (dist.whole and not own.whole and written)
    rows = row_cuts(image.height, tiles)

    def works(tile: int, index: int) -> Iterable[Work]:
        elements = (own if spread else made).elements(tile, out.elements)
        if elements:
            share = max(1, round(elements * image.height / out.elements))
            height = rows[tile] if hint is None or spread else share
            columns = ceil_div(ceil_div(elements, slices), height * image.channels)
            yield DpuWork("eltwise", height, columns, image.channels, in_bits=inputs[0].bits, out_bits=out.bits,
                          mpe_mode="8x16", fp8=inputs[0].fp8, planes=planes, lut=fused_lut(node, hw))  # fmt: skip

    strategy = "eltwise " + ("repeated" if made.whole else "split") + f" on {tiles} tiles"
    if planes and not made.whole:
        lies = Dist(image.channels, tuple(ceil_div(cut, image.channels) for cut in made.cuts))
    else:
        lies = made
    plan = assemble(
        node, hw, inputs, [dist] * len(inputs), out, lies, slices, works, strategy, in_place=not apart
    )
    return replace(plan, in_dists=[None] * len(inputs)) if folded else plan


def adds_planes(node: Node, constant: Value) -> bool:
    """Whether a sum is of several planes and a constant of as many numbers (the scores of heads and their mask, but for
    one of truth values, which is made when the model runs)."""
    out = node.output
    n, c, _, w = canonical4(out.physical)
    full = constant.constant and constant.elements == out.elements and constant.bits == out.bits
    return node.runs("add") and full and out.plain and n * c > 1 and w % CHANNELS == 0


def plan_quantize(node: Node, hw: Hardware, hint: Dist | None) -> Plan:
    """A change to 8 bits: an eltwise pass that writes the other type."""
    return plan_add(node, hw, hint, operands=1)


def is_row(value: Value) -> bool:
    """Whether a value is a row [1, K] whose elements may be the channels of a DPU tensor."""
    shape = value.shape or (1,)
    row = shape[0] == 1 and (len(shape) == 2 or (len(shape) == 3 and shape[2] == 1))
    return row and shape[1] % CHANNELS == 0 and shape[1] <= MAX_DIMENSION


def is_runtime_scale(node: Node) -> bool:
    """A product of two equal shapes [1,1,H>1,W] so small that one factor becomes the weights of a depth-wise op."""
    n, c, h, w = canonical4(node.output.physical)
    size = n * c * h * w
    if n * c > 1 or h == 1 or len(node.output.shape) != 4:
        return False
    alike = all(v.elements == size and not v.constant for v in node.inputs)
    return alike and size <= MAX_DIMENSION and size % CHANNELS == 0


def plan_runtime_scale(node: Node, hw: Hardware) -> Plan:
    """A product as a depth-wise 1x1 convolution of one pixel: every element a channel, the second factor written into
    weight rows of 16 values whose rest is zero (evidence/lowering.md#1.2.14)."""
    if hw.software.eltwise_multiply_on_dpu:
        return _product_of_pixels(node, hw)
    value, factor, out, tiles = node.inputs[0], node.inputs[-1], node.output, hw.tiles
    cuts = even(out.elements, tiles, CHANNELS)
    loads = [Load(0, ALL_TILES, load_value(value, value.elements, hw), value.bytes)]
    fill = CHANNELS - 1
    operand = len(node.inputs) - 1 if factor.storage != value.storage else 0
    loads += [Load(operand, t, load_value(factor, c, hw), c * 2) for t, c in enumerate(cuts)]
    loads += [
        Load(CONSTANT, t, transfer("ddr", "cmx", c * fill, 16, hw), c * fill * 2) for t, c in enumerate(cuts)
    ]
    loads += [
        Load(CONSTANT, t, transfer("ddr", "cmx", c * TABLE_BYTES // 4, 32, hw), c * TABLE_BYTES)
        for t, c in enumerate(cuts)
    ]
    computes = [(t, w) for t, c in enumerate(cuts) for w in depthwise_tasks(Image(1, 1, c), 1, 1, c, hw)]
    whole = hw.software.broadcast_output
    dist = WHOLE if whole else Dist(1, cuts)
    stores = [Store(ALL_TILES, transfer("cmx", "ddr", out.elements, out.stored_bits, hw))]
    used = tuple(out.bytes if whole else c * 2 for c in cuts) + (0,) * (tiles - len(cuts))
    part = Slice(loads, computes, stores, used)
    inputs = [value] if operand == 0 else [value, factor]
    dists: list[Dist | None] = [None] * len(inputs)
    return Plan(node, inputs, dists, out, dist, [part], "product as a depth-wise convolution")


def _product_of_pixels(node: Node, hw: Hardware) -> Plan:
    """The same on the eltwise path (5010: squares, Mul_6 and Mul_9 of Mamba's single token, Mul_1 of Mamba-2)."""
    out = node.output
    inputs = list({v.storage: v for v in node.inputs}.values())
    cuts = even(out.elements, hw.tiles, CHANNELS)
    dist = Dist(1, cuts)

    def works(tile: int, index: int) -> Iterable[Work]:
        if tile < len(cuts):
            yield DpuWork("eltwise", 1, 1, cuts[tile], in_bits=inputs[0].bits, out_bits=out.bits,
                          mpe_mode="8x16", fp8=inputs[0].fp8)  # fmt: skip

    strategy = f"eltwise over channels on {len(cuts)} tiles"
    return assemble(node, hw, inputs, [dist] * len(inputs), out, dist, 1, works, strategy)
