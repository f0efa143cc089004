"""How a kernel of one activation is placed that SHAVE runs: in which shape it sees what it reads, and behind what."""

from __future__ import annotations

from dataclasses import replace

from npusim.lowering.ir.kernels import KERNELS
from npusim.lowering.ir.nodes import Bmm, Eltwise, Further, Scale, Unary
from npusim.lowering.ir.plan import Plan
from npusim.lowering.ir.shapes import CHANNELS
from npusim.lowering.ir.values import INDEX_BITS, WHOLE, Dist, Value
from npusim.lowering.place import summed
from npusim.lowering.place.chain import has_room, joins, padded_rows, plan_joined, wanted_cut
from npusim.lowering.place.neighbours import Neighbours
from npusim.lowering.place.scales import feeds_channels
from npusim.lowering.plans.dpu.bmm import is_grouped
from npusim.lowering.plans.dpu.eltwise import is_row
from npusim.lowering.plans.dpu.images import image_split
from npusim.lowering.plans.shave.kernel import plan_shave
from npusim.lowering.split.shave import is_image_norm


def on_shave(node: Unary, near: Neighbours) -> Plan:
    """A kernel of one activation, over the shape in which its operand lies."""
    hw, value, kernel = near.hw, node.inputs[0], node.kernel
    heads = _single_products(node, near)
    if heads:
        return plan_shave(replace(node, repeated=heads), hw, kernel)
    image = image_split(value, hw.tiles) if node.runs("clamp") else None
    if image is not None:
        return _seen_as(node, (image.outer, CHANNELS), near, image)
    if node.runs("convert") and _widens_places(node, near):
        found = near.hint(value)
        if found == WHOLE:
            return plan_shave(replace(node, repeated=1), hw, kernel)
        return plan_shave(node, hw, kernel, found if found is not None and len(found.cuts) > 1 else None)
    if node.runs("convert") and _is_column(value, near):
        return _seen_as(node, (1, value.elements, 1, 1), near, near.hint(value))
    if summed.cut_to_size(node, near):
        columns = value.shape[-1]
        return replace(
            _seen_as(replace(node, axis=1), (value.elements // columns, columns), near, None), node=node
        )
    producer = near.sliced.get(value.storage)
    alone = producer is near.latest and near.sole_reader(value) is not None
    spread = kernel not in hw.software.single_tile_kernels
    behind = summed.plan_behind_sum(node, hw, producer) if producer is not None and alone else None
    if behind is not None:
        return behind
    if producer is not None and spread and alone and joins(node, near, producer):
        joined = plan_joined(node, hw, kernel, producer)
        if has_room(producer, joined, hw):
            return joined
    padded = padded_rows(node, near) if spread else None
    if padded is not None:
        return plan_joined(node, hw, kernel, padded)
    granule = CHANNELS if feeds_channels(node, near) or _feeds_dpu(node, near) else 1
    plan = plan_shave(node, hw, kernel, wanted_cut(node, near), granule)
    return plan if spread or near.hint(value) != WHOLE else replace(plan, in_dists=[WHOLE])


def _feeds_dpu(node: Unary, near: Neighbours) -> bool:
    """Whether the DPU takes the channels of an image from a norm in whole granules: not where a change of layout reads
    them, nor what an activation makes of planes if a sum does, for which they stay planes."""
    readers = near.read_by(node.output)
    if not is_image_norm(node) or not any(isinstance(n, Unary | Scale | Eltwise) for n in readers):
        return False
    behind = [n for reader in readers if isinstance(reader, Unary) for n in near.read_by(reader.output)]
    turned = not behind and not near.hw.software.broadcast_output
    return not node.planes or not (turned or any(isinstance(n, Eltwise) for n in behind))


def _widens_places(node: Unary, near: Neighbours) -> bool:
    """Whether a conversion widens integers that a kernel has made: on every tile where they are on every one, spread
    over the tiles from a single one."""
    value = node.inputs[0]
    found = isinstance(near.makers.get(value.storage), Unary | Further)
    return found and node.output.bits > value.bits == INDEX_BITS


def _is_column(value: Value, near: Neighbours) -> bool:
    """Whether a row is what the DPU has just made, with its elements as channels (93 of Mamba's decode)."""
    plan = near.latest
    made = plan is not None and plan.output.storage == value.storage and isinstance(plan.node, Eltwise)
    return made and is_row(value)


def _seen_as(node: Unary, shape: tuple[int, ...], near: Neighbours, hint: Dist | None) -> Plan:
    """The plan of a kernel that sees its operand and its result in another shape."""
    value, out = (replace(v, shape=shape, order=()) for v in (node.inputs[0], node.output))
    plan = plan_shave(replace(node, inputs=(value,), output=out), near.hw, node.kernel, hint)
    return replace(plan, node=node, inputs=node.inputs, output=node.output)


def _single_products(node: Unary, near: Neighbours) -> int:
    """How many products, run one after the other, have made what an elementwise kernel reads: they are a batch to it.
    0 for one product, for groups that run together, for a kernel that folds its batch, and on 3720 for factors of fewer
    than four dimensions."""
    value = node.inputs[0]
    maker = near.makers.get(value.storage)
    if not isinstance(maker, Bmm) or maker.batch == 1 or is_grouped(maker, near.hw) or node.axis is not None:
        return 0
    kept = maker.four or near.hw.software.broadcast_output
    return maker.batch if kept and KERNELS[node.kernel].batch != "folded" else 0
