"""Batches of images on the DPU: planned for one image, and run once for each.

The DPU works on one image at a time (``slice_0`` to ``slice_N`` in the compiler's schedules of every convolution and
pooling of 2 to 16 images). All find the weights where the first has loaded them, if those fit at once; each loads its
own weight table.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import replace
from itertools import pairwise
from math import prod

from npusim.hardware.schema import Hardware
from npusim.lowering.ir.convolution import TABLE_BYTES, channel_bytes, is_stem
from npusim.lowering.ir.nodes import Conv, Depthwise, Eltwise, Node, Pool
from npusim.lowering.ir.plan import (
    ALL_TILES,
    CONSTANT,
    Load,
    Plan,
    Slice,
    cmx_capacity,
    held,
    load_bytes,
    operand_loads,
    output_stores,
    piece,
    transfer,
)
from npusim.lowering.ir.shapes import CHANNELS
from npusim.lowering.ir.values import WHOLE, Dist, Fresh, Value, round_up
from npusim.lowering.place.spread import spread_factor
from npusim.program.work import DmaWork, Work

#: First number of a key of what one image loads for itself.
_OWN = 100


def images(node: Node) -> int:
    """Images that a node works on one after the other; 1 for what is no image.

    A product of four dimensions whose factors have the first of them both, and all are full or none, is one too: the
    compiler makes a kernel call of each (``slice_0`` on of the sources of Mamba-2's states)."""
    if isinstance(node, Eltwise) and node.runs("multiply", "square") and not node.outer:
        shape = node.output.shape
        alike = len({v.elements == node.output.elements for v in node.inputs}) == 1
        given = all(v.plain and not v.constant for v in node.inputs)
        batched = len(shape) == 4 and all(v.shape[:1] == shape[:1] for v in node.inputs)
        return shape[0] if alike and given and batched and spread_factor(node) is None else 1
    slides = isinstance(node, Conv | Depthwise | Pool) and node.window is not None
    return node.output.shape[0] if slides and node.inputs[0].shape[:1] == node.output.shape[:1] else 1


def one_image(node: Node, count: int) -> Node:
    """The node for one of its ``count`` images."""
    inputs = tuple(value if value.constant else _first(value) for value in node.inputs)
    one = replace(node, inputs=inputs, output=_first(node.output))
    return replace(one, m=one.m // count) if isinstance(one, Conv) else one


def _first(value: Value) -> Value:
    return replace(value, shape=(1, *value.shape[1:]))


def spread(before: Plan, plan: Plan, hw: Hardware, fresh: Fresh, alone: bool) -> list[Plan]:
    """The plans of an image that transfers transpose in one tile's CMX, and of what reads it, with one between them
    that copies it to where that does: each tile its share, or the whole to all. Where it ``alone`` reads the images,
    3720 transposes them on the way to the tiles instead."""
    dist, part = plan.in_dists[0], before.slices[0] if before.slices else None
    if part is None or dist is None or len(before.slices) + len(plan.slices) > 2:
        return [before, plan]
    if not all(isinstance(work, DmaWork) for _, work in part.computes):
        return [before, plan]
    if alone and not hw.software.permuted_in_cmx and not dist.whole:
        return [_turned_on_the_way(before, plan, hw)]
    sizes = [load.work.bytes for load in plan.slices[0].loads if load.operand == 0]
    if dist.whole and not isinstance(plan.node, Conv):
        sizes = [before.output.bytes // hw.tiles] * hw.tiles
    value, shared = before.output, fresh(before.output)
    copies: list[tuple[int, Work]] = [
        (tile, DmaWork("cmx", "cmx", size, size)) for tile, size in enumerate(sizes)
    ]
    loads = operand_loads(0, value, WHOLE, hw.tiles, hw, 1, 0)
    stores = output_stores(shared, dist, hw.tiles, hw, 1, 0)
    parts = [Slice(loads, copies, stores, held(shared, dist, hw.tiles))]
    copying = Plan(
        before.node, [value], [WHOLE], shared, dist, parts, "copied within CMX to the tiles that read it"
    )
    return [replace(before, out_dist=WHOLE), copying, replace(plan, inputs=[shared, *plan.inputs[1:]])]


def _turned_on_the_way(before: Plan, plan: Plan, hw: Hardware) -> Plan:
    """The plan of an image that transfers transpose on their way to the tiles, one an engine for each, from a copy in
    DDR (evidence/lowering.md#4.1)."""
    value, part = before.inputs[0], plan.slices[0]
    engines = hw.dma.engines
    loads = [x for x in part.loads if x.operand != 0]
    turned = [piece(x, engines, i) for x in part.loads if x.operand == 0 for i in range(engines)]
    copied = transfer("ddr", "ddr", value.elements, value.stored_bits, hw)
    return replace(
        plan,
        inputs=[value, *plan.inputs[1:]],
        in_dists=[None, *plan.in_dists[1:]],
        slices=[replace(part, loads=[*turned, *loads])],
        ddr_moves=[*plan.ddr_moves, (0, copied)],
    )


def all_images(plan: Plan, count: int, copied: bool = False) -> Plan:
    """The plan of one image as that of ``count``, of which each is ``copied`` by itself in DDR, or all at once."""
    stem = isinstance(plan.node, Conv) and is_stem(plan.node)
    shared = len(plan.slices) == 1 and not stem
    inputs = [value if value.constant else _times(value, count) for value in plan.inputs]
    parts = [_of_image(part, i, plan, shared) for i in range(count) for part in plan.slices]
    slices = [replace(part, detail=f"slice {i + 1}/{len(parts)}") for i, part in enumerate(parts)]
    return replace(
        plan,
        inputs=inputs,
        output=_times(plan.output, count),
        slices=slices,
        strategy=f"{plan.strategy}, {count} images",
        images=count if len(plan.slices) == 1 else 1,
        ddr_moves=[
            move
            for operand, work in plan.ddr_moves
            for move in ([(operand, work)] * count if copied else [(operand, _repeated(work, count))])
        ],
    )


def image_a_tile(plan: Plan, count: int) -> Plan:
    """The plan of one image on one tile as that of ``count`` on as many, which share the weights."""
    parts = [
        replace(
            part,
            loads=[x for load in part.loads for x in _for_each(load, count)],
            computes=[(tile, work) for tile in range(count) for _, work in part.computes],
            stores=[replace(store, tile=tile) for tile in range(count) for store in part.stores],
            out_bytes=part.out_bytes[:1] * count,
        )
        for part in plan.slices
    ]
    act, out = plan.inputs[0], plan.output
    return replace(
        plan,
        inputs=[_times(act, count), *plan.inputs[1:]],
        in_dists=[Dist(1, (act.elements,) * count), *plan.in_dists[1:]],
        output=_times(out, count),
        out_dist=Dist(1, (out.elements,) * count),
        slices=parts,
        strategy=f"{plan.strategy}, an image on each tile",
        ddr_moves=[(operand, _repeated(work, count)) for operand, work in plan.ddr_moves],
    )


def _for_each(load: Load, count: int) -> list[Load]:
    """What one tile loads for an image, for ``count`` tiles: constants in one transfer to all."""
    if load.operand == CONSTANT:
        return [replace(load, tile=ALL_TILES)]
    return [replace(load, tile=t, key=(_OWN + t, *load.key) if load.key else ()) for t in range(count)]


def _times(value: Value, count: int) -> Value:
    return replace(value, shape=(value.shape[0] * count, *value.shape[1:]))


def _repeated(work: DmaWork, count: int) -> DmaWork:
    return replace(work, bytes=work.bytes * count, counted_bytes=work.counted_bytes * count)


def _of_image(part: Slice, image: int, plan: Plan, shared: bool) -> Slice:
    """A slice for one image. ``shared``: weights are loaded once for all of them."""
    loads: list[Load] = []
    for load in part.loads:
        own = replace(load, key=(_OWN + image, *load.key) if load.key else ())
        if not shared or load.operand != CONSTANT or load.key[:1] not in ((1,), (3,)):
            loads.append(own)
        elif load.key[:1] == (1,):
            loads.append(load)
        else:
            loads.extend(_apart(load, own, plan.node))
    return replace(part, loads=loads)


def _apart(load: Load, own: Load, node: Node) -> Iterable[Load]:
    """Weights and table that come in one transfer as the weights for all images and a table for each."""
    each = channel_bytes(node) if isinstance(node, Conv) else _taps(node) + TABLE_BYTES
    table = load.work.bytes // each * TABLE_BYTES
    for kept, size in ((load, load.work.bytes - table), (own, table)):
        yield replace(kept, work=replace(kept.work, bytes=size, counted_bytes=size), cmx_bytes=size)


def _taps(node: Node) -> int:
    """Bytes of the weights of one channel of a depth-wise convolution, or of a resize, whose weights are FP16."""
    taps = prod(node.window.kernel) if isinstance(node, Depthwise | Pool) else 1
    bits = node.inputs[1].stored_bits if len(node.inputs) > 1 else 16
    return round_up(taps, CHANNELS) * bits // 8


def in_step(before: Plan, plan: Plan, hw: Hardware) -> bool:
    """Whether each image of a plan follows that of the one before it at once and finds it in CMX: both are plans of as
    many images in one slice each, lie alike over the tiles, and one of both fits there."""
    alike = before.out_dist is not None and list(plan.in_dists[:1]) == [before.out_dist]
    if not alike or len(before.slices) != len(plan.slices) or before.output.storage != plan.inputs[0].storage:
        return False
    fits = max(_alone(before, hw), _behind(before, plan, hw)) <= cmx_capacity(hw)
    return fits and not before.in_place and not plan.inputs[0].partial


def _alone(plan: Plan, hw: Hardware) -> int:
    """CMX bytes of an image with all that is loaded for it."""
    part = plan.slices[0]
    return load_bytes(part.loads, hw.tiles) + max(part.out_bytes)


def _behind(before: Plan, plan: Plan, hw: Hardware) -> int:
    """CMX bytes of an image that is made of what ``before`` has left there."""
    part = plan.slices[0]
    loads = [load for load in part.loads if load.operand != 0]
    return max(before.slices[0].out_bytes) + load_bytes(loads, hw.tiles) + max(part.out_bytes)


def with_own_weights(plans: Sequence[Plan], hw: Hardware) -> list[Plan]:
    """The plans, of which those that pass images on to each other load weights for every image where CMX does not take
    the weights of all of them beside the largest image."""
    chains: dict[int, list[Plan]] = defaultdict(list)
    for plan in plans:
        if plan.images > 1 and plan.chain >= 0:
            chains[plan.chain].append(plan)
    crowded = {number for number, chain in chains.items() if _peak(chain, hw) > cmx_capacity(hw)}
    if not crowded:
        return list(plans)
    return [_own(plan) if plan.images > 1 and plan.chain in crowded else plan for plan in plans]


def _peak(chain: Sequence[Plan], hw: Hardware) -> int:
    """CMX bytes of the weights of all plans of a chain and of the largest image beside them."""
    weights = [_kept(plan, hw) for plan in chain]
    images = [_alone(chain[0], hw), *(_behind(a, b, hw) for a, b in pairwise(chain))]
    return sum(weights) + max(image - kept for image, kept in zip(images, weights, strict=True))


def _kept(plan: Plan, hw: Hardware) -> int:
    """CMX bytes of what all images of a plan share."""
    shared = _shared(plan)
    return load_bytes([load for load in plan.slices[0].loads if load.key in shared], hw.tiles)


def _shared(plan: Plan) -> set[tuple[int, ...]]:
    """The keys of what the first of its images loads for all of them."""
    return {load.key for load in plan.slices[1].loads if load.key[:1] != (_OWN + 1,) and load.key}


def _own(plan: Plan) -> Plan:
    """The plan with what its images share loaded for each of them."""
    shared = _shared(plan)
    parts = [
        replace(part, loads=[replace(x, key=(-1 - i, *x.key)) if x.key in shared else x for x in part.loads])
        for i, part in enumerate(plan.slices)
    ]
    return replace(plan, slices=parts)


def at_once(before: Plan, plan: Plan, hw: Hardware) -> bool:
    """Whether all images are brought to channels last before the first of them is computed: those whose rows are no
    multiples of 16 pixels, between which and their reader a change of shape stands, as far as CMX takes them."""
    turned, computed = before.slices[0], plan.slices[0]
    size = before.images * max(turned.out_bytes) + load_bytes(turned.loads, hw.tiles)
    folded = before.node.name == plan.node.name and before.inputs[0].shape[-1] % CHANNELS > 0
    return folded and size + 2 * max(computed.out_bytes) <= cmx_capacity(hw)
