"""Rows scaled and shifted by constants along their elements (the gamma and beta of a LayerNorm): a depth-wise 1x1
convolution that sees the rows in the dimensions of a MatMul's, and whose split the compiler's own estimate decides."""

from __future__ import annotations

from dataclasses import replace
from math import prod

from npusim.costs.price import work_us
from npusim.hardware.schema import Hardware
from npusim.lowering.ir.convolution import TABLE_BYTES, fold_rows
from npusim.lowering.ir.moves import moves_us
from npusim.lowering.ir.nodes import Scale
from npusim.lowering.ir.plan import Plan, transfer
from npusim.lowering.ir.shapes import CHANNELS
from npusim.lowering.ir.values import even
from npusim.lowering.plans.dpu.channelwise import plan_channelwise
from npusim.lowering.plans.dpu.images import Image, depthwise_tasks

#: Rows are taken up to this multiple of the estimate of channels where an op makes what is scaled (rows at 0.908,
#: 0.973 and 0.925 at most, channels at 0.978, 1.061 and 1.062 at least on 4000, 3720 and 5010).
FED_TOLERANCE = 0.975


def scales_rows(node: Scale, hw: Hardware) -> bool:
    """Whether constants along the innermost dimension scale a matrix of rows that a MatMul would see as an image (one
    of four dimensions is seen as few rows of many columns)."""
    value = node.inputs[0]
    if (
        node.axis is None
        or len(value.shape) > 3
        or not value.plain
        or not all(v.constant for v in node.inputs[1:])
    ):
        return False
    rows = prod(value.shape[-2:-1])
    innermost = value.memory_order[-1:] == (node.axis,) and value.shape[node.axis] % CHANNELS == 0
    image = fold_rows(rows, hw.software.row_fold)[1] > 1
    return innermost and image and rows * value.shape[-1] == value.elements


def plan_scaled_rows(node: Scale, hw: Hardware, fed: bool, by_channels: bool) -> Plan:
    """The plan over rows or channels. ``fed``: an op before it makes what is scaled. Rows that have no such dimensions
    are padded to some that have in DDR."""
    value, image = node.inputs[0], _seen(node, hw)
    plan = plan_channelwise(node, hw, value, node.output, image, over_channels=by_channels)
    missing = image.height * image.width - value.elements // image.channels
    if missing:
        copied = [missing * image.channels, *([] if fed else [value.elements])]
        moves = [(0, transfer("ddr", "ddr", elements, value.bits, hw)) for elements in copied]
        plan = replace(plan, in_dists=[None], ddr_moves=moves)
    return plan


def over_channels(node: Scale, hw: Hardware, fed: bool) -> bool:
    """Whether channels are split, not rows: what the compiler takes to last less long with the transfers of activation
    and constants."""
    image = _seen(node, hw)
    by_rows, by_channels = _estimates(image, hw, node.inputs[0].bits)
    tolerance = FED_TOLERANCE if fed else hw.software.tiling.rows_preference
    return image.height < hw.tiles or by_rows > tolerance * by_channels


def _seen(node: Scale, hw: Hardware) -> Image:
    """The image in which the rows are seen."""
    value, channels = node.inputs[0], node.inputs[0].shape[-1]
    return Image(*fold_rows(value.elements // channels, hw.software.row_fold), channels)


def _estimates(image: Image, hw: Hardware, bits: int) -> tuple[float, float]:
    """What a split over rows and one over channels are estimated to take, µs."""
    per_pixel, per_channel = bits // 8, CHANNELS * 2 + TABLE_BYTES
    heights, shares = even(image.height, hw.tiles), even(image.channels, hw.tiles, CHANNELS)

    def computes(rows: int, channels: int) -> float:
        tasks = depthwise_tasks(image, rows, image.width, channels, hw, in_bits=bits, out_bits=bits)
        return sum(work_us(task, hw) for task in tasks)

    row = image.width * image.channels * per_pixel
    by_rows = (
        computes(heights[0], image.channels)
        + moves_us([rows * row for rows in heights], hw)
        + moves_us([image.channels * per_channel], hw)
    )
    by_channels = (
        computes(image.height, shares[0])
        + moves_us([image.height * row], hw)
        + moves_us([share * per_channel for share in shares], hw)
    )
    return by_rows, by_channels
