"""Plans of depth-wise DPU ops: convolution, scale and shift, identity pooling with an activation, pooling."""

from __future__ import annotations

from dataclasses import replace

from npusim.hardware.schema import Hardware
from npusim.lowering.ir.convolution import fold_rows, geometry
from npusim.lowering.ir.nodes import Depthwise, Node, Pool, axis_of
from npusim.lowering.ir.plan import ALL_TILES, CONSTANT, Load, Plan, multicast, transfer
from npusim.lowering.ir.shapes import CHANNELS, MAX_DIMENSION
from npusim.lowering.ir.values import Dist, Fresh, Value, canonical4, round_up
from npusim.lowering.plans.dpu.channel_share import (
    Kind,
    channels_are_cheaper,
    depthwise_split,
    image_of,
    over_channels_alone,
)
from npusim.lowering.plans.dpu.channels_last import channels_last, columns_to_channels
from npusim.lowering.plans.dpu.channelwise import plan_channelwise
from npusim.lowering.plans.dpu.images import Image, borrow_channels, near_square, refold, row_split
from npusim.lowering.plans.dpu.reorder import plan_reorder
from npusim.lowering.split.dpu import through_ddr_us


def plan_depthwise(
    node: Depthwise,
    hw: Hardware,
    fresh: Fresh,
    turned: bool = False,
    batched: bool = False,
    by_rows: bool = False,
    found_in_rows: bool = False,
    kept: bool = False,
) -> list[Plan]:
    """Depth-wise convolution; what brings its input to channels last comes first, if it has not been ``turned``.
    ``batched``: it is one image of a batch; ``by_rows``: who reads it is split over rows; ``found_in_rows``: it finds
    rows in CMX; ``kept``: it stands between kernels, and tiles keep the channels that they compute."""
    act, weights, out = node.inputs[0], node.inputs[1], node.output
    channels, window, kernel = out.shape[1], node.window, node.window.kernel
    image = image_of(node, hw)
    height, width = image.height, image.width
    in_rows = act.shape[2] if len(act.shape) > 2 else height
    before, last = channels_last(node, hw, act, window, fresh, batched)
    spills = by_rows and not hw.software.broadcast_output
    if ((before or turned) and width > 1) or (
        kernel != (1, 1) and width == 1 and hw.software.broadcast_output
    ):
        stays = bool(before) and before[-1].out_dist is not None
        spilled = _moved_us(hw, (last, spills and stays), (out, spills))
        over_channels = channels_are_cheaper(hw, image, "dwconv", window, last, out, spilled)
    elif kernel == (1, 1) or width == 1:
        over_channels = over_channels_alone(hw, image, kernel, act, out)
    else:
        moved_us = _moved_us(hw, (act, found_in_rows), (out, spills))
        over_channels = depthwise_split(node, hw, moved_us, kept) == "channels"
    turned_by_dpu = bool(before) and act.elements // act.shape[1] % CHANNELS == 0
    if window.addressed and height >= hw.tiles:
        over_channels = False
    if turned_by_dpu and batched and hw.software.images_by_rows and height >= hw.tiles:
        over_channels = False
    act = last
    rows = [p - kernel[0] // 2 for p in (window.top, window.bottom) if p > kernel[0] // 2]
    if rows and not over_channels:
        joined = fresh(act)
        moves = [(0, transfer("ddr", "ddr", channels * r, act.bits, hw)) for r in rows]
        apart = before and (len(before[-1].slices) > 1 or act.elements // channels % (CHANNELS * hw.tiles))
        if apart:  # the rows that a tile has turned are not those that it convolves
            moves.append((0, transfer("ddr", "ddr", act.elements, act.bits, hw)))
        before.append(Plan(node, [act], [None], joined, None, [], "rows concatenated", ddr_moves=moves))
        act = joined
    plan = plan_channelwise(
        node,
        hw,
        act,
        out,
        image,
        "dwconv",
        window,
        weights.stored_bits,
        in_rows=in_rows,
        over_channels=over_channels,
        kept=kept,
    )
    if rows and over_channels:
        fill = [transfer("ddr", "cmx", channels * r, act.bits, hw) for r in rows]
        more = [Load(CONSTANT, ALL_TILES, w, w.bytes) for w in fill]
        first, *others = plan.slices
        plan = replace(plan, slices=[replace(first, loads=[*first.loads, *more]), *others])
    return [*before, plan]


def _moved_us(hw: Hardware, *values: tuple[Value, bool]) -> float:
    """What it takes to bring those values through DDR that have to be, µs."""
    return sum(through_ddr_us(value, hw) for value, moved in values if moved)


def plan_scale(
    node: Node,
    hw: Hardware,
    fresh: Fresh,
    any_order: bool = False,
    by_rows: bool = False,
    own_planes: bool = False,
) -> list[Plan]:
    """Multiply or add by a constant that is scalar or varies along one axis: a depth-wise 1x1 convolution.

    ``any_order``: the reader takes the result in any order of its elements, so that planes need not become channels.
    ``own_planes``: every tile finds planes in CMX that are whole granules of channels, and keeps to them.
    Rows of 16 scaled by a computed vector are folded like those of a MatMul, which the compiler makes of it (Mul_8 of
    Mamba's single token: 384 x 4 on 4000, 192 x 8 on 5010).
    """
    value, out, axis = node.inputs[0], node.output, axis_of(node)
    planes = out.shape[1] if out.plain and not value.plain else 0
    n, c, h, w = canonical4(value.physical)
    if not value.plain or (axis is not None and value.memory_order[-1:] == (axis,)):
        fold = hw.software.row_fold
        if by_rows and h % (fold * hw.tiles) == 0:
            fold *= hw.tiles
        if n * c > 1:
            image = Image(n * c, h, w)
        elif h % fold == 0 and h > fold:  # 256 planes: 4 x 64 on 3720 and 4000, 8 x 32 on 5010
            as_matmul = w == CHANNELS and any(not v.constant for v in node.inputs[1:])
            image = Image(*(fold_rows(h, fold) if as_matmul else (fold, h // fold)), w)
        else:
            image = Image(h, 1, w, flat=True)
        if planes and any(not v.constant for v in node.inputs[1:]):
            return [_computed_planes(node, hw, image, planes)]
        split = False if by_rows else None
        return [plan_channelwise(node, hw, value, out, image, planes=planes, over_channels=split)]
    if axis is None and (n * c == 1 or any_order or n * c > MAX_DIMENSION):
        borrowed = borrow_channels(out.physical, hw.tiles) if n * c <= MAX_DIMENSION else None
        image = borrowed or refold(out.physical)
        return [plan_channelwise(node, hw, value, out, image)]
    return plan_planes(node, hw, "dwconv", fresh, own_planes)


def _computed_planes(node: Node, hw: Hardware, image: Image, planes: int) -> Plan:
    """A scale by a computed vector whose result is written as planes: a tile has some of them, where there are enough.
    A sum behind it lies over the tiles by the pixels of lines of whole granules, which it finds in CMX only where the
    tiles have equal shares of the planes, and the software keeps those."""
    enough = planes >= CHANNELS * hw.tiles
    value, out = node.inputs[0], node.output
    plan = plan_channelwise(node, hw, value, out, image, planes=planes, over_channels=enough or None)
    pixels = out.elements // planes
    if hw.software.even_planes_in_cmx and planes % (CHANNELS * hw.tiles) == 0:
        return replace(plan, out_dist=Dist(1, (planes // hw.tiles * pixels,) * hw.tiles))
    return replace(plan, out_dist=None) if pixels % CHANNELS == 0 else plan


def plan_activation(
    node: Node,
    hw: Hardware,
    fresh: Fresh,
    hint: Dist | None = None,
    normed: bool = False,
    turned: bool = False,
    returned: bool = False,
) -> list[Plan]:
    """An activation that the PPE applies, alone: behind an identity average pooling (evidence/lowering.md#1.2.21).
    Planes that lie over the tiles (``hint``), and those of a norm (``normed``), are taken as they are, their columns as
    channels, and reach every tile where what reads them turns them to channels last (``turned``); those that are
    ``returned`` it turns itself, in channels if the tiles have whole granules. Channels that lie over them stay.
    Images of which each tile works on one are folded anew, for which they go through DDR."""
    value, out = node.inputs[0], node.output
    if node.each and out.elements % CHANNELS == 0:
        plan = plan_channelwise(node, hw, value, out, near_square(out.elements), "avgpool")
        return [replace(plan, in_dists=[None], out_dist=None)]
    if not value.plain:
        n, c, h, w = canonical4(value.physical)
        kept = hint is not None and not hint.whole and hint.outer == n * c * h > 1
        own = kept and (hw.software.broadcast_output or returned)
        planes, image = out.shape[1] if out.plain else 0, Image(n * c, h, w)
        plan = plan_channelwise(
            node, hw, value, out, image, "avgpool",
            planes=planes, over_channels=own, own_channels=own, kept=returned,
        )  # fmt: skip
        return [plan]
    n, c, h, w = canonical4(out.physical)
    as_planes = hint is not None and hint == row_split(value, n * c, hw.tiles)
    if w % CHANNELS == 0 and (as_planes or normed) and not (normed and returned):
        plan = plan_channelwise(node, hw, value, out, refold(out.physical), "avgpool")
        return [multicast(plan, hw) if turned else plan]
    if n * c == 1 or n * c > MAX_DIMENSION:
        return [plan_channelwise(node, hw, value, out, refold(out.physical), "avgpool")]
    granules = hint is not None and all(cut % (CHANNELS * h * w) == 0 for cut in hint.cuts)
    own = normed and granules and hw.software.broadcast_output
    return plan_planes(node, hw, "avgpool", fresh, own)


def plan_planes(node: Node, hw: Hardware, kind: Kind, fresh: Fresh, own: bool = False) -> list[Plan]:
    """A channel-wise op on row-major [C,H,W]: brought to channels last (C widened to a multiple of 16), computed, and
    written back as planes. ``own``: by tiles that share the planes."""
    value, out, axis = node.inputs[0], node.output, axis_of(node)
    n, c, h, w = canonical4(out.physical)
    if axis is not None:
        shape = out.shape
        c, h, w = shape[axis], 1, out.elements // shape[axis]
        if len(shape) - axis == 3:
            h, w = shape[axis + 1], shape[axis + 2]
    else:
        c = n * c
    wide = round_up(c, CHANNELS)
    target = replace(fresh(value), shape=(h, w, wide), order=())
    image = Image(h, w, wide) if h >= hw.tiles else Image(h * w, 1, wide, flat=True)
    if own:
        turned = plan_reorder(node, hw, value, target, (c, h, w), fresh, by_channels=True)
        scaled = plan_channelwise(
            node, hw, target, out, image, kind, planes=c, over_channels=True, own_channels=True
        )
        return [*turned, scaled]
    before = (columns_to_channels if w == 1 < h and wide > c else plan_reorder)(
        node, hw, value, target, (c, h, w), fresh
    )
    return [*before, plan_channelwise(node, hw, target, out, image, kind, planes=c)]


def plan_pool(
    node: Pool, hw: Hardware, fresh: Fresh, turned: bool = False, batched: bool = False, shared: bool = False
) -> list[Plan]:
    """Max or average pooling, over rows; what brings its input to channels last comes first, if it has not been
    ``turned``. ``batched``: it is one image of a batch; ``shared``: what makes its input finds its own in CMX.

    The poolings of a mean are over channels, as the last one's pixel has no rows to share; tiles that have read their
    own channels alone for the first read them so, from DDR, for the next."""
    act, out = node.inputs[0], node.output
    height, width = geometry(node, hw)
    channels = out.shape[1]
    window, kind = node.window, _pooling(node)
    before, act = channels_last(node, hw, act, window, fresh, batched)
    image = Image(height, width, round_up(channels, CHANNELS))
    brought = turned or bool(before)
    mean = node.type == "ReduceMean" and channels >= CHANNELS * hw.tiles
    if brought:
        by_rows = batched and hw.software.images_by_rows and height >= hw.tiles and not mean
        over_channels = act.shape[3:] not in ((), (1,)) and not by_rows
        over_channels = over_channels and channels_are_cheaper(hw, image, kind, window, act, out)
    else:
        over_channels = mean and height < hw.tiles
    plan = plan_channelwise(
        node, hw, act, out, image, kind, window, in_rows=act.shape[2],
        over_channels=over_channels, own_channels=shared and not brought,
    )  # fmt: skip
    return [*before, plan]


def _pooling(node: Pool) -> Kind:
    return "maxpool" if node.largest else "avgpool"


__all__ = ["channels_last", "plan_activation", "plan_depthwise", "plan_pool", "plan_scale"]
