"""Images that a DPU op needs with their channels innermost, brought into that order before it."""

from __future__ import annotations

from dataclasses import replace

from npusim.hardware.schema import Hardware
from npusim.lowering.ir.images import CHANNELS_LAST
from npusim.lowering.ir.nodes import Node, Window
from npusim.lowering.ir.plan import Plan, output_stores, transfer
from npusim.lowering.ir.shapes import CHANNELS
from npusim.lowering.ir.values import Fresh, Value, even, round_up
from npusim.lowering.plans.dma.permute import plan_permute_dma
from npusim.lowering.plans.dpu.images import row_split
from npusim.lowering.plans.dpu.reduce_conv import plan_widen
from npusim.lowering.plans.dpu.reorder import plan_reorder
from npusim.lowering.plans.dpu.widen import plan_widen_channels


def channels_last(
    node: Node, hw: Hardware, act: Value, window: Window, fresh: Fresh, batched: bool = False
) -> tuple[list[Plan], Value]:
    """The plans that bring the activation [1,C,H,W] of a convolution or pooling to channels last (C widened to a
    multiple of 16, but where a convolution's channels are folded pixels, or a 1x1 window skips pixels), and it; none
    where it lies so already.
    One-dimensional data (W = 1) are transposed. Images of a batch (``batched``) are so where their pixels are no whole
    granules, and else have their channels padded in DDR."""
    shape = act.shape
    channels, height = shape[1], shape[2]
    width = shape[3] if len(shape) > 3 else 1
    order = act.memory_order
    if channels == 1 < min(height, width) and not (batched or window.width):
        return _one_channel(node, hw, act, fresh)
    if not order or channels == 1 or order[-1] == 1 or height * width == 1:
        return [], act
    order = tuple(d for d in range(len(shape)) if d != 1) + (1,)
    moved = replace(fresh(act), order=order, stored_bits=min(act.stored_bits, act.bits))
    if (width == 1 or batched) and height * width % CHANNELS:
        transposed = plan_permute_dma(replace(node, inputs=(act,), output=moved), hw)
        return [replace(transposed, node=node)], moved
    skips = window.kernel == (1, 1) != window.stride
    wide = channels if window.width or skips else round_up(channels, CHANNELS)
    if batched and wide > channels:
        padded = replace(fresh(act), shape=(shape[0], wide, *shape[2:]))
        sizes = (padded.elements - act.elements, act.elements)
        moves = [(0, transfer("ddr", "ddr", size, act.bits, hw)) for size in sizes]
        plan = Plan(node, [act], [None], padded, None, [], "channels padded in DDR", ddr_moves=moves)
        turned, last = channels_last(node, hw, padded, window, fresh, batched)
        return [plan, *turned], last
    target = moved if wide == channels else replace(moved, shape=(shape[0], wide, *shape[2:]))
    planes = (channels, 1, height) if width == 1 else (channels, height, width)
    other = reads_other_rows(window, height, node.output.shape[2], hw)
    return plan_reorder(node, hw, act, target, planes, fresh, reader="halo" if other else "rows"), target


def _one_channel(node: Node, hw: Hardware, act: Value, fresh: Fresh) -> tuple[list[Plan], Value]:
    """An image of one channel with 15 of zeros beside it: by a convolution where its rows are whole granules, else by
    copies in DDR."""
    bits = min(act.stored_bits, act.bits)
    shape = (act.shape[0], CHANNELS, *act.shape[2:])
    wide = replace(fresh(act), shape=shape, order=CHANNELS_LAST, stored_bits=bits)
    if act.shape[3] % CHANNELS == 0:
        seen = replace(act, order=CHANNELS_LAST)
        return [plan_widen_channels(node, hw, seen, wide)], wide
    sizes = (wide.elements - act.elements, act.elements)
    moves = [(0, transfer("ddr", "ddr", size, bits, hw)) for size in sizes]
    return [Plan(node, [act], [None], wide, None, [], "channels padded in DDR", ddr_moves=moves)], wide


def reads_other_rows(window: Window, height: int, out_height: int, hw: Hardware) -> bool:
    """Whether a tile needs rows of an image besides its even share: halo, or those of one more row of the result."""
    stride = window.stride[0]
    if hw.software.halo_copies and window.kernel[0] > stride:
        return True
    needed = [stride * rows for rows in even(out_height, hw.tiles)]
    return out_height >= hw.tiles and stride > 1 and needed != list(even(stride * out_height, hw.tiles))


def columns_to_channels(
    node: Node, hw: Hardware, value: Value, target: Value, planes: tuple[int, int, int], fresh: Fresh
) -> list[Plan]:
    """Planes of one column written channels last, where their number must be padded: the column is widened to 16, the
    wide planes are turned, and one of their 16 columns is kept."""
    channels, height, _ = planes
    if height % CHANNELS:
        return plan_reorder(node, hw, value, target, planes, fresh)
    widened = replace(fresh(value), shape=(channels, height, CHANNELS), order=())
    turned = replace(target, shape=(height, CHANNELS, target.shape[-1]))
    first = plan_widen(node, hw, value, widened)
    last = plan_reorder(node, hw, widened, turned, (channels, height, CHANNELS), fresh)[-1]
    count, kept = len(last.slices), row_split(target, height, hw.tiles)
    parts = [
        replace(part, stores=output_stores(target, kept, hw.tiles, hw, count, i))
        for i, part in enumerate(last.slices)
    ]
    return [replace(first, out_dist=None), replace(last, output=target, out_dist=None, slices=parts)]
