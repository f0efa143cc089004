"""How nodes that only move data are placed: pieces, copies, repeats, picked rows, other element types; and calls."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

from npusim.lowering.ir.images import CHANNELS_LAST
from npusim.lowering.ir.nodes import (
    BlockCall,
    Bmm,
    Broadcast,
    ChannelsLast,
    Concat,
    Conv,
    Convert,
    Copy,
    DepthToSpace,
    Depthwise,
    Eltwise,
    Gather,
    Pool,
    Upsample,
)
from npusim.lowering.ir.plan import Plan, cmx_capacity
from npusim.lowering.ir.values import Fresh
from npusim.lowering.place.neighbours import Neighbours
from npusim.lowering.place.pieces import stays_apart
from npusim.lowering.place.summed import plan_summed
from npusim.lowering.plans.block import plan_block
from npusim.lowering.plans.dma.images import plan_depth_to_space, plan_upsample
from npusim.lowering.plans.dma.moves import (
    joined,
    plan_broadcast,
    plan_convert,
    plan_copy,
    plan_expand,
    plan_gather,
)
from npusim.lowering.plans.dpu.eltwise import plan_add, plan_quantize
from npusim.lowering.plans.dpu.images import row_split
from npusim.lowering.plans.dpu.reorder import plan_reorder
from npusim.lowering.plans.shave.kernel import plan_shave
from npusim.lowering.tile.slices import LARGE_WEIGHTS
from npusim.program.journal import note


def concat(node: Concat, near: Neighbours, fresh: Fresh) -> Iterator[Plan]:
    """Pieces copied side by side, but for those that are written in their place."""
    written = [v.storage for v in node.inputs if near.homes.get(v.storage) == node.output.storage]
    if stays_apart(node, near):
        written = [v.storage for v in node.inputs]
    dist = joined([near.hint(value) for value in node.inputs], node)
    makers = {v.storage: near.makers.get(v.storage) for v in node.inputs}
    batches = {storage: m.batch for storage, m in makers.items() if isinstance(m, Bmm) and m.on == "dpu"}
    yield replace(plan_copy(node, near.hw, written, batches), out_dist=dist)


def copy(node: Copy, near: Neighbours, fresh: Fresh) -> Iterator[Plan]:
    """A copy in DDR."""
    yield plan_copy(node, near.hw)


def depth_to_space(node: DepthToSpace, near: Neighbours, fresh: Fresh) -> Iterator[Plan]:
    """Channels spread over pixels by transfers."""
    yield plan_depth_to_space(node, near.hw)


def upsample(node: Upsample, near: Neighbours, fresh: Fresh) -> Iterator[Plan]:
    """Pixels written between zeros by transfers."""
    yield plan_upsample(node, near.hw)


def channels_last(node: ChannelsLast, near: Neighbours, fresh: Fresh) -> Iterator[Plan]:
    """An image of planes turned for its readers."""
    value, rules = node.inputs[0], near.hw.software
    readers = near.read_by(node.output)
    windows = [n.window for n in readers if isinstance(n, Conv | Depthwise | Pool) and n.window is not None]
    halo = rules.halo_copies and any(w.kernel[0] > w.stride[0] for w in windows)
    _, channels, height, width = value.shape
    planes = (channels, height, width)
    yield from plan_reorder(
        node, near.hw, value, node.output, planes, fresh, reader="halo" if halo else "rows"
    )


def broadcast(node: Broadcast, near: Neighbours, fresh: Fresh) -> Iterator[Plan]:
    """Data repeated by transfers; what only a sum reads (the mask of attention) goes to the tiles as that wants it,
    but not slice by slice, for a sum that is cut with its kernel."""
    readers = near.readers.get(node.output.storage, ())
    within = None
    if len(readers) == 1 and readers[0].runs("add") and node.output.storage not in near.outputs:
        total = plan_add(readers[0], near.hw)
        dists = zip(readers[0].inputs, total.in_dists, strict=True)
        dist = next(dist for value, dist in dists if value.storage == node.output.storage)
        full = all(value.elements == node.output.elements for value in readers[0].inputs)
        sliced = isinstance(readers[0], Eltwise) and plan_summed(readers[0], near) is not None
        if full and len(total.slices) == 1 and not sliced and dist is not None:
            within = plan_expand(node, near.hw, dist, alone=False)
    yield within or plan_broadcast(node, near.hw)


def gather(node: Gather, near: Neighbours, fresh: Fresh) -> Iterator[Plan]:
    """Rows picked by index; a kernel's are copied to all tiles where only a product by weights that stay in one slice
    reads them."""
    hw, reader = near.hw, near.sole_reader(node.output)
    room = LARGE_WEIGHTS * cmx_capacity(hw) * hw.tiles
    whole = isinstance(reader, Conv) and reader.inputs[1].bytes <= room
    yield plan_gather(node, hw, whole and not hw.software.dma_gather and node.inputs[1].elements > 1)


def convert(node: Convert, near: Neighbours, fresh: Fresh) -> Iterator[Plan]:
    """A change of element type: while it is moved, or on the way to another memory order, or by a kernel."""
    hw, value, out = near.hw, node.inputs[0], node.output
    if node.quantize and out.order != value.order:
        _, channels, height, width = value.shape
        yield from plan_reorder(node, hw, value, out, (channels, height, width), fresh)
    elif node.quantize:
        rows = row_split(value, value.shape[2], hw.tiles) if value.order == CHANNELS_LAST else None
        yield plan_quantize(node, hw, near.hint(value) or rows)
    elif hw.software.dma_convert:
        yield plan_convert(node, hw)
    else:
        yield plan_shave(node, hw, "convert", near.hint(value))


def block_call(node: BlockCall, near: Neighbours, fresh: Fresh) -> Iterator[Plan]:
    """A call of a unit beside the tiles."""
    note("engine", node.name, f"{node.block}, a unit beside the tiles, takes it")
    yield plan_block(node, near.hw)
