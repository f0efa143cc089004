"""Scales: depth-wise 1x1 convolutions, of constants or of what is computed, and the transposes around them."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from math import prod

from npusim.hardware.schema import Hardware
from npusim.lowering.ir.convolution import TABLE_BYTES
from npusim.lowering.ir.images import CHANNELS_LAST
from npusim.lowering.ir.nodes import POINT, Conv, Eltwise, Node, Scale, Transpose
from npusim.lowering.ir.plan import ALL_TILES, CONSTANT, Load, Plan, Slice, load_value, multicast, transfer
from npusim.lowering.ir.shapes import CHANNELS
from npusim.lowering.ir.values import WHOLE, Dist, Fresh, Value, even, round_up
from npusim.lowering.place.chain import plan_scaled
from npusim.lowering.place.fed import scaled_over_channels
from npusim.lowering.place.neighbours import Neighbours
from npusim.lowering.plans.dpu.channels_last import channels_last
from npusim.lowering.plans.dpu.channelwise import plan_channelwise
from npusim.lowering.plans.dpu.depthwise import plan_scale
from npusim.lowering.plans.dpu.images import Image
from npusim.lowering.plans.dpu.reorder import plan_reorder
from npusim.lowering.plans.dpu.scaled_rows import plan_scaled_rows, scales_rows
from npusim.lowering.plans.dpu.widen import plan_widen_channels
from npusim.lowering.split.dpu import choose


def scale(node: Scale, near: Neighbours, fresh: Fresh) -> Iterator[Plan | Node]:
    """A scale along the innermost dimension or over planes; its operand is transposed before it, and its result back,
    where the axis lies between others."""
    value, axis = node.inputs[0], node.axis
    movable = value.plain and (axis is None or prod(value.shape[:axis]) == 1)
    if axis is not None and not movable and value.memory_order[-1:] != (axis,) and value.shape[axis] > 1:
        order = tuple(d for d in (value.order or range(len(value.shape))) if d != axis) + (axis,)
        moved = replace(fresh(value), order=order)
        made = replace(fresh(node.output), order=order)
        permute = Transpose(node.name, node.type, (value,), moved, node.fused, region=node.region)
        scaled = plan_scale(replace(node, inputs=(moved, node.inputs[1]), output=made), near.hw, fresh)
        yield permute
        yield from scaled
        yield replace(permute, inputs=(made,), output=node.output)
        return
    chained = _in_chain(node, near)
    if chained is not None:
        yield chained
        return
    hint = near.hint(value)
    if scales_rows(node, near.hw) and (hint is None or hint.outer == 1):
        yield _scaled_rows(node, near)
        return
    by_rows = node.additive and hint is not None and not hint.whole and hint.outer == 1
    plans = plan_scale(node, near.hw, fresh, node.any_order, by_rows, _has_own_planes(node, near))
    if by_rows and len(plans) == 1 and len(plans[0].slices) == 1:
        # The shift of a sum is computed where its rows lie.
        out_dist = plans[0].out_dist if node.output.plain else hint
        plans = [replace(plans[0], in_dists=[hint, *plans[0].in_dists[1:]], out_dist=out_dist)]
    if len(plans) == 1 and plans[0].in_dists[0] == WHOLE and hint is not None and hint.outer > 1:
        # A tile scales its own channels (the smoothing behind bert's Gelu).
        plans = [replace(plans[0], in_dists=[hint, *plans[0].in_dists[1:]])]
    yield from plans


def _has_own_planes(node: Scale, near: Neighbours) -> bool:
    """Whether a result of the model is scaled of which the tiles find planes in CMX, whole granules of channels each,
    as a normalisation leaves them: the DPU turns them where they lie (4000 and 5010; npu_compiler:
    multi_cluster_strategy_assignment.cpp, 2024)."""
    value, hw = node.inputs[0], near.hw
    result = not near.read_by(node.output)
    if len(node.output.shape) != 4 or node.axis != 1 or not (result and hw.software.broadcast_output):
        return False
    _, channels, height, width = node.output.shape
    granules = even(channels, hw.tiles, CHANNELS)
    found = Dist(1, tuple(own * height * width for own in granules))
    unfolded = width % CHANNELS == 0 and height >= hw.tiles and channels % CHANNELS == 0
    return unfolded and near.hint(value) == found


def _scaled_rows(node: Scale, near: Neighbours) -> Plan:
    """A scale of rows, which only those of a normalisation are found in CMX for; the MatMuls behind it find its result
    on every tile, if they are split over channels."""
    maker = near.makers.get(node.inputs[0].storage)
    plan = plan_scaled_rows(node, near.hw, maker is not None, scaled_over_channels(node, near))
    if maker is not None and not maker.runs("mvn"):
        plan = replace(plan, in_dists=[None])
    readers = [n for n in near.read_by(node.output) if isinstance(n, Conv) and n.window is None]
    everywhere = len(readers) == len(near.read_by(node.output)) > 0
    if everywhere and all(choose(reader, near.hw) == "channels" for reader in readers):
        return multicast(plan, near.hw)
    return plan


def feeds_channels(node: Node, near: Neighbours) -> bool:
    """Whether rows are normalised that a scale over channels alone reads: the tiles then share them by whole granules,
    as if they were channels to it."""
    reader = near.sole_reader(node.output)
    rows = node.runs("mvn") and isinstance(reader, Scale) and scales_rows(reader, near.hw)
    return rows and isinstance(reader, Scale) and scaled_over_channels(reader, near)


def _in_chain(node: Scale, near: Neighbours) -> Plan | None:
    """The plan of a scale by constants along the channels that goes on a chain of a convolution and a kernel, which
    must have been placed just before it: plans of a chain run in step."""
    value = node.inputs[0]
    kernel = near.sliced.get(value.storage)
    conv = near.sliced.get(kernel.inputs[0].storage) if kernel is not None and kernel.chain >= 0 else None
    along = value.memory_order[-1:] == (node.axis,)
    if kernel is None or conv is None or kernel is not near.latest or not along:
        return None
    if kernel.chain != conv.chain_number:
        return None
    constant = all(v.constant for v in node.inputs[1:])
    return plan_scaled(node, near.hw, kernel, conv) if constant and near.sole_reader(value) else None


def scale_by_activation(node: Eltwise, axis: int, near: Neighbours, fresh: Fresh) -> list[Plan | Node]:
    """A product as a depth-wise 1x1 convolution whose weights are computed: the factor is one more load."""
    factor = min(node.inputs, key=lambda v: v.elements)
    value = max(node.inputs, key=lambda v: v.elements)
    if axis == 1 and CHANNELS_LAST in (value.order, node.output.order):
        *before, scaled = scale_image(node, value, near, fresh)
        return [*before, _with_factor(scaled, factor, near.hw)]
    operands = (value, factor)
    as_scale = Scale(
        node.name, node.type, operands, node.output, node.fused, node.post, region=node.region, axis=axis
    )
    steps = list(scale(as_scale, near, fresh))
    scales = [i for i, step in enumerate(steps) if isinstance(step, Plan) and isinstance(step.node, Scale)]
    last = steps[scales[-1]]
    assert isinstance(last, Plan)
    steps[scales[-1]] = _with_factor(last, factor, near.hw)
    return steps


def widened_sum(node: Eltwise, near: Neighbours, fresh: Fresh) -> list[Plan]:
    """What widens the channels of a sum of images for a reader that scales them; what a convolution makes is wide
    already, and the sum has the real ones alone: it folds them to 16."""
    value = node.output
    channels = value.shape[1] if value.order == CHANNELS_LAST else CHANNELS
    scaled = any(isinstance(n, Eltwise) and n.scaled for n in near.read_by(value))
    if not scaled or channels % CHANNELS == 0:
        return []
    wide = (1, round_up(channels, CHANNELS), *value.shape[2:])
    near.widened[value.storage] = replace(fresh(value), shape=wide)
    return [plan_widen_channels(node, near.hw, value, near.widened[value.storage])]


def scale_image(node: Eltwise, value: Value, near: Neighbours, fresh: Fresh) -> list[Plan]:
    """An image whose channels are scaled, channels last: planes are brought into that order before it, their channels
    widened to a multiple of 16. Only the real ones of what is scaled reach a sum, through DDR, for it folds them."""
    hw, out = near.hw, node.output
    _, channels, height, width = out.shape
    before, source = channels_last(node, hw, near.widened.get(value.storage, value), POINT, fresh)
    wide = round_up(channels, CHANNELS)
    as_scale = Scale(node.name, node.type, (source,), out, node.fused, node.post, region=node.region, axis=1)
    planes = channels if out.plain else 0
    plan = plan_channelwise(as_scale, hw, source, out, Image(height, width, wide), planes=planes)
    folded = wide > channels and any(n.runs("add") for n in near.read_by(out))
    apart = folded and not hw.software.real_channels
    return [*before, replace(plan, out_dist=None) if apart else plan]


def _with_factor(plan: Plan, factor: Value, hw: Hardware) -> Plan:
    """The plan of a scale whose factor is computed: each tile that has channels of its own reads theirs."""
    operand = len(plan.inputs)
    key = (operand,) if len(plan.slices) > 1 else ()

    def loads(part: Slice) -> list[Load]:
        cuts = [(x.tile, x.cmx_bytes // _ROW_BYTES) for x in part.loads if _are_weights(x)]
        shares = cuts or [(ALL_TILES, factor.elements)]
        factors = [Load(operand, t, load_value(factor, n, hw), n * factor.bits // 8, key) for t, n in shares]
        return [*(x for old in part.loads for x in _apart(old, hw)), *factors]

    plan = plan.changed(lambda part: replace(part, loads=loads(part)))
    return replace(plan, inputs=[*plan.inputs, factor], in_dists=[*plan.in_dists, None])


#: Bytes of the weights of one channel: 16 values, of which the first is the factor.
_ROW_BYTES = CHANNELS * 2


def _are_weights(load: Load) -> bool:
    """Whether a load brings one tile's own weights, apart from their table."""
    return load.operand == CONSTANT and load.tile != ALL_TILES and load.key[:1] == (1,)


def _apart(load: Load, hw: Hardware) -> list[Load]:
    """The constant part of the weights of a computed factor: the first of the 16 values of each channel is computed,
    and only the zeros behind it are constant. Weights and weight table are two transfers where they came in one."""
    if _are_weights(load):
        zeros = load.cmx_bytes // _ROW_BYTES * (CHANNELS - 1)
        return [replace(load, work=transfer("ddr", "cmx", zeros, 16, hw))]
    if load.operand != CONSTANT or load.tile != ALL_TILES:
        return [load]
    channels = load.cmx_bytes // (_ROW_BYTES + TABLE_BYTES)
    sizes = ((channels * (CHANNELS - 1), 16), (channels * TABLE_BYTES // 4, 32))
    works = [transfer("ddr", "cmx", elements, bits, hw) for elements, bits in sizes]
    keys = [(*load.key, i) if load.key else () for i in range(len(works))]
    return [Load(CONSTANT, ALL_TILES, work, work.bytes, key) for work, key in zip(works, keys, strict=True)]


def scale_rows(node: Eltwise, near: Neighbours, fresh: Fresh) -> list[Plan | Node]:
    """[M, K] scaled by [M, 1]: M becomes the channels, and the result is stored with them last, as its readers
    permute it anyway (PermuteQuantize and as_scaleshift of Mul_7)."""
    factor, value = sorted(node.inputs, key=lambda v: v.elements)
    rows, width = factor.elements, value.elements // factor.elements
    turned = replace(fresh(value), shape=(1, width, rows), order=())
    before = plan_reorder(node, near.hw, value, turned, (rows, 1, width), fresh)
    small = replace(factor, shape=(1, 1, rows), order=())
    scaled = replace(node, inputs=(turned, small), output=replace(node.output, shape=turned.shape, order=()))
    *others, last = scale_by_activation(scaled, 2, near, fresh)
    assert isinstance(last, Plan)
    return [*before, *others, replace(last, node=node, output=node.output, out_dist=None)]
