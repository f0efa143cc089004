"""Edges: whether one operand of a plan finds in CMX what another plan has made."""

from __future__ import annotations

from collections import defaultdict

from npusim.lowering.ir.images import CHANNELS_LAST, is_image
from npusim.lowering.ir.nodes import Bmm, Conv, Eltwise, Transpose
from npusim.lowering.ir.plan import Plan, held, on_shave
from npusim.lowering.ir.values import WHOLE
from npusim.lowering.schedule.steps import Residency


def stays(found: Residency, source: int, reader: int, operand: int) -> bool:
    """Decide one edge; where it stays in CMX, account for it."""
    made, plan = found.plans[source], found.plans[reader]
    value = plan.inputs[operand]
    if (reader, operand) in found.resident:
        return True
    if (_converted_by_slice(made, plan) or _images_alike(made, plan, operand)) and not value.partial:
        return slices_stay(found, source, reader, operand)
    if why_apart(made, plan, operand):
        return False
    size = found.output_bytes(made, source, made.slices[0])
    if made.in_place or made.gathered:
        size = max(held(made.output, made.out_dist or WHOLE, found.tiles))
    makers, reading = found.steps_of[source], found.steps_of[reader]
    begin = found.keep_until.get(source, makers[-1])
    more = dict.fromkeys(
        range(begin + 1, reading[-1] + 1), size
    )  # with the steps of others of the reader's chain
    for step in reading:
        more[step] = max(0, size - found.load_bytes(step, operand))
    host = found.hosts.get(source, _host(found, source, size) if made.in_place else None)
    widens = (made.in_place or made.gathered) and source not in found.widened and host is None
    if widens:
        extra = size - found.output_bytes(made, source, made.slices[-1]) if made.gathered else size
        more |= dict.fromkeys(range(makers[0], makers[-1] + 1), extra)
    if not found.take(more):
        return False
    if widens:
        found.widened[source] = size
    found.keep_until[source] = max(begin, reading[-1])
    if host is not None:
        found.hosts[source] = host
        found.keep_until[host] = found.keep_until[source]
    found.resident[reader, operand] = (source,)
    return True


def why_apart(made: Plan, plan: Plan, operand: int) -> str:
    """Why a plan can't read what another has made as it lies in CMX; empty where it can."""
    value = plan.inputs[operand]
    if value.partial:
        return "only a part of it is read"
    if not made.resident_output:
        return "it is never whole in CMX"
    if plan.in_dists[operand] != made.out_dist:
        return "the tiles share it otherwise than they make it"
    if made.refolded and not plan.node.runs("convert"):
        return "it was made in other dimensions"
    if isinstance(plan.node, Bmm) and plan.node.batch > 1 and isinstance(made.node, Conv):
        return "its rows are no groups yet"
    if made.function != plan.function:
        return "it belongs to another function of the model"
    if _permutes(plan) and on_shave(made) and not made.node.runs("softmax"):
        return "a permuting pool reads what a SHAVE kernel made from DDR"
    loads = [x for part in plan.slices for x in part.loads if x.operand == operand]
    if not plan.slices or (len(plan.slices) > 1 and not all(x.key for x in loads)):
        return "it is read in slices"
    return "" if made.output.elements == value.elements else "it is read in another size"


def _permutes(plan: Plan) -> bool:
    """Whether a plan is a permuting pool, which reads what a SHAVE kernel has made from DDR (evidence/lowering.md#4.2;
    Mul_1 and Mul_7 of Mamba-2). A channels-last product is found in CMX by the change of its layout, and so is an image
    that is turned to planes, or a softmax whose axis was brought innermost."""
    node = plan.node
    image = is_image(node.output.shape) and node.inputs[0].order == CHANNELS_LAST and node.output.plain
    return isinstance(node, Transpose) and not node.reorder and not image


def _host(found: Residency, number: int, size: int) -> int | None:
    """The plan in whose room the in-place result of a plan stays: one whose output it alone reads last, as large as its
    own (the sums of resnet50's first stage on 3720)."""
    (step,) = found.steps_of[number]
    for operand in range(len(found.plans[number].inputs)):
        for source in found.resident.get((number, operand), ()):
            made = found.plans[source]
            own = max(made.slices[0].out_bytes)
            if own == size and len(made.slices) == 1 and found.keep_until.get(source) == step:
                return source
    return None


def _converted_by_slice(made: Plan, plan: Plan) -> bool:
    """Whether a sliced kernel of several operands (a comparison) is read by a conversion in just the parts that it
    would store; not one whose SHAVEs' parts lie apart."""
    widened = isinstance(made.node, Eltwise) and plan.node.runs("convert")
    if not widened or len(made.slices) == 1:
        return False
    stored = [sorted((x.tile, x.work.bytes) for x in part.stores) for part in made.slices]
    return stored == [sorted((x.tile, x.work.bytes) for x in part.loads) for part in plan.slices]


def _images_alike(made: Plan, plan: Plan, operand: int) -> bool:
    """Whether each slice of both plans is an image, which lies over the tiles as it is made."""
    images = made.images == plan.images > 1 and made.function == plan.function
    return images and operand == 0 and made.out_dist is not None and plan.in_dists[0] == made.out_dist


def slices_stay(found: Residency, source: int, reader: int, operand: int) -> bool:
    """Decide whether the slices of a result wait in CMX, each for the slice of the reader that takes it."""
    more: dict[int, int] = defaultdict(int)
    steps = zip(found.plans[source].slices, found.steps_of[source], found.steps_of[reader], strict=True)
    for part, begin, end in steps:
        size = 0 if found.chained.get(source) == reader else max(part.out_bytes)
        for step in range(begin + 1, end):
            more[step] += size
        more[end] += max(0, size - found.load_bytes(end, operand))
    if not found.take(more):
        return False
    found.resident[reader, operand] = (source,)
    found.chained[source] = reader
    return True
