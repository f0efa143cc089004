"""A sum cut together with the kernel along rows behind it, as the mask of attention and its softmax are
(evidence/lowering.md#4.3).

While the kernel works on some rows, the DPU adds the next ones, and those after them are loaded.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TypeGuard

from npusim.hardware.schema import Hardware
from npusim.lowering.ir.groups import grouped
from npusim.lowering.ir.images import CHANNELS_LAST
from npusim.lowering.ir.kernels import KERNELS
from npusim.lowering.ir.nodes import Bmm, Conv, Depthwise, Eltwise, Node, Pool, Transpose, Unary
from npusim.lowering.ir.plan import Plan, Slice, multicast
from npusim.lowering.ir.shapes import CHANNELS, four
from npusim.lowering.ir.values import WHOLE, Dist, Fresh, Value
from npusim.lowering.place.gated import is_product
from npusim.lowering.place.neighbours import Neighbours
from npusim.lowering.place.settle import wanted_whole
from npusim.lowering.plans.dpu.bmm import expanded, is_grouped
from npusim.lowering.plans.dpu.eltwise import adds_planes, is_row, plan_add
from npusim.lowering.plans.dpu.images import is_refolded, is_reshaped, refold, row_split
from npusim.lowering.plans.shave.kernel import plan_shave
from npusim.lowering.split.shave import seen_by_rows
from npusim.program.work import DpuWork, Work

#: Share of CMX that a slice of the kernel and its operand may take: next to the sum's other operand and two of the next
#: slice, five equal buffers in 0.9 of it.
ROOM = 0.9 * 2 / 5


def plan_alike(node: Eltwise, near: Neighbours) -> Plan:
    """The plan of a sum of operands of one size. One of planes and a constant that nothing else reads is folded anew:
    a constant that others read too keeps its shape. Products that read a refolded one see it alike, and find it in CMX
    on 3720 too, where readers of several kinds do not."""
    hw, row, readers = near.hw, is_row(node.output), near.read_by(node.output)
    folded = any(adds_planes(node, v) and near.sole_reader(v) is not None for v in node.inputs)
    hint = WHOLE if row else _sum_hint(node, near)
    plan = plan_add(node, hw, hint, ends=not row and not readers, folded=folded)
    if wanted_whole(node, near):
        plan = multicast(plan, hw)
    if not row and is_reshaped(node.output) and not all(_cut_alike(plan, n, near) for n in readers):
        plan = replace(plan, out_dist=None)
    unlike = len(readers) > 1 and not all(isinstance(n, Eltwise) for n in readers)
    shared = unlike and is_reshaped(node.output) and not hw.software.shared_refolds_in_cmx
    dists = [
        None if _uneven_rows(v, node, near) or _met_by_loaded(v, node, near) else dist
        for v, dist in zip(plan.inputs, plan.in_dists, strict=True)
    ]
    return replace(plan, refolded=folded or shared, in_dists=dists)


def _sum_hint(node: Node, near: Neighbours) -> Dist | None:
    """How the first operand of a sum lies in CMX; whole on every tile only if the others lie so too (the residual
    sums of ResNet's last stages stay, that of bert's attention with an operand in DDR is split). On 5010 a sum is
    cut by itself where an operand lies so (the new states of Mamba and Mamba-2), as is one of planes that lie cut
    over their rows, and one of images of few channels that no convolution has padded, whose rows are not those that
    it is folded to. Folded to other rows than lie in memory, it is cut over those, however its operands were cut."""
    makers = [near.makers.get(v.storage) for v in node.inputs]
    padded = any(isinstance(maker, Conv | Depthwise | Pool) for maker in makers)
    if node.output.order == CHANNELS_LAST and is_reshaped(node.output) and not padded:
        return None
    hints = [near.hint(v) for v in node.inputs]
    first = hints[0]
    if first is not None and first.outer > 1 and near.written_as_planes(node.inputs[0]):
        return None
    natural = row_split(node.output, refold(node.output.physical).height, near.hw.tiles)
    if near.hw.software.refold_in_cmx and natural in hints:
        return None
    if first is not None and not first.whole and is_reshaped(node.output) and not padded:
        return None
    return None if first is not None and first.whole and any(h != first for h in hints) else first


def _cut_alike(total: Plan, reader: Node, near: Neighbours) -> bool:
    """Whether a product by kernels would cut a sum, which is folded to other rows than lie in memory, as that is cut
    over those: else it goes through DDR, to all who read it, as where it is scaled, which sees other rows again."""
    if not isinstance(reader, Eltwise) or not reader.runs("multiply") or near.is_dpu_product(reader):
        return True
    if not is_product(reader):
        return near.hw.software.scaled_refolds_in_cmx
    plan = plan_shave(reader, near.hw, reader.kernel, granule=near.granule(reader))
    return any(
        dist == total.out_dist
        for value, dist in zip(plan.inputs, plan.in_dists, strict=True)
        if value.storage == total.output.storage
    )


def _met_by_loaded(value: Value, node: Eltwise, near: Neighbours) -> bool:
    """Whether a scale by a computed column makes an operand that another one, which lies elsewhere, is added to: it is
    read from DDR as that is."""
    maker = near.makers.get(value.storage)
    scaled = isinstance(maker, Eltwise) and maker.scaled and near.hw.software.even_planes_in_cmx
    return scaled and any(near.hint(v) != near.hint(value) for v in node.inputs)


def _uneven_rows(value: Value, node: Eltwise, near: Neighbours) -> bool:
    """Whether a MatMul makes an operand whose rows the tiles do not share evenly: a sum that sees other dimensions than
    those does not find it in CMX."""
    maker, hint = near.makers.get(value.storage), near.hint(value)
    product = isinstance(maker, Conv) and maker.window is None and not near.hw.software.uneven_refolds_in_cmx
    return product and hint is not None and len(set(hint.cuts)) > 1 and is_refolded(node.output)


def along_rows(node: Node | None) -> TypeGuard[Unary]:
    """Whether a kernel needs whole rows."""
    return isinstance(node, Unary) and node.axis == len(node.output.shape) - 1 and node.output.plain


def shares_rows(node: Bmm, near: Neighbours) -> bool:
    """Whether a kernel along rows makes the left side of a product, or reads its result or a sum of that."""
    reader = near.sole_reader(node.output)
    if reader is not None and reader.runs("add"):
        reader = near.sole_reader(reader.output)
    return along_rows(reader) or along_rows(near.makers.get(node.inputs[0].storage))


def padded_groups(plan: Plan, node: Bmm, near: Neighbours) -> Plan:
    """A grouped product whose terms or columns are no multiple of 16: what is padded or cut to size lies in DDR, but
    for the scores of a softmax that needs no mask, where the tiles share their groups evenly."""
    if node.batch == 1:
        return plan
    even = node.batch % near.hw.tiles == 0
    maker = near.makers.get(node.inputs[0].storage)
    masked = along_rows(maker) and isinstance(near.makers.get(maker.inputs[0].storage), Eltwise)
    if node.k % CHANNELS:
        kept = plan.in_dists[0] if even and along_rows(maker) and not masked else None
        plan = replace(plan, in_dists=[kept, None])
    if node.n % CHANNELS and not (even and along_rows(near.sole_reader(node.output))):
        plan = replace(plan, out_dist=None)
    return plan


def expanded_inputs(node: Bmm, near: Neighbours, fresh: Fresh) -> tuple[list[Plan], Bmm]:
    """The copies that expand what a product reads of a model's inputs, and the product of what they make: of groups the
    right side as it is, of single products both, the right one transposed or not. What an op makes it writes there."""
    left, right = (near.makers.get(v.storage) for v in node.inputs)
    turned = isinstance(right, Transpose) and right.inputs[0].storage not in near.makers
    given = right is None if is_grouped(node, near.hw) else left is None and (right is None or turned)
    return expanded(node, near.hw, fresh) if given else ([], node)


def cut_to_size(node: Unary, near: Neighbours) -> bool:
    """Whether a kernel along rows reads rows of no multiple of 16 that a grouped product has left in DDR, and finds
    them of all groups under each other."""
    value = node.inputs[0]
    maker = near.makers.get(value.storage)
    made = isinstance(maker, Bmm) and maker.batch % near.hw.tiles != 0
    return (
        made
        and along_rows(node)
        and value.plain
        and value.shape[-1] % CHANNELS > 0
        and near.hint(value) is None
    )


def plan_summed(node: Eltwise, near: Neighbours) -> Plan | None:
    """A sum that only a kernel along rows reads, cut in the slices of that and written over its first operand; None
    where the two of them fit whole, the kernel sees other rows than the sum makes (6 heads on 8 SHAVEs), or rows of no
    multiple of 16, but those of groups that the tiles share evenly, are padded in DDR."""
    reader, out = near.sole_reader(node.output), node.output
    if not node.runs("add") or not along_rows(reader) or out.storage in near.outputs:
        return None
    if out.shape[-1] % CHANNELS and not _even_groups(near.makers.get(node.inputs[0].storage), near.hw):
        return None
    shape, _ = four(out, [], reader.axis)
    other_rows = seen_by_rows(shape, KERNELS[reader.kernel], near.hw.tiles * near.hw.shave.per_tile) != shape
    kernel = _plan_kernel(reader, near.hw)
    if other_rows or len(kernel.slices) == 1:
        return None
    operands, parts = node.inputs[:2], []
    for part in kernel.slices:
        loads = [replace(x, operand=k) for k in range(len(operands)) for x in part.loads if x.operand == 0]
        computes: list[tuple[int, Work]] = []
        for tile, held in enumerate(part.out_bytes):
            rows = held * 8 // out.bits // out.shape[-1]
            if rows:
                image = refold((rows, out.shape[-1]))
                work = DpuWork("eltwise", image.height, image.width, image.channels, in_bits=operands[0].bits,
                               out_bits=out.bits, mpe_mode="8x16")  # fmt: skip
                computes.append((tile, work))
        parts.append(Slice(loads, computes, part.stores, (0,) * len(part.out_bytes), part.detail))
    strategy = f"eltwise, cut with the kernel behind it in {len(parts)} slices"
    return Plan(node, operands, [None] * len(operands), out, None, parts, strategy, in_place=True)


def _even_groups(maker: Node | None, hw: Hardware) -> bool:
    """Whether a grouped product made a value, as many groups on every tile."""
    if not isinstance(maker, Bmm) or maker.batch % hw.tiles:
        return False
    return grouped(maker.batch, maker.m, maker.k, maker.n, hw)


def plan_behind_sum(node: Unary, hw: Hardware, total: Plan) -> Plan | None:
    """The kernel of such a sum, which makes its operand slice by slice; None behind another plan."""
    if not along_rows(node) or not isinstance(total.node, Eltwise) or total.out_dist is not None:
        return None
    kernel = _plan_kernel(node, hw)
    parts = [replace(part, loads=[x for x in part.loads if x.operand != 0]) for part in kernel.slices]
    strategy = f"{kernel.strategy}, cut with the op before it"
    return replace(kernel, in_dists=[None], slices=parts, strategy=strategy, chain=total.chain_number)


def _plan_kernel(node: Unary, hw: Hardware) -> Plan:
    """A kernel along rows in as many rows at a time as leave room for the sum before it; one that is cut so that two
    slices fit, as it is by itself."""
    alone = plan_shave(node, hw, node.kernel)
    enough = len(alone.slices) > 1 and node.kernel in hw.software.pipelined_kernels
    return alone if enough else plan_shave(node, hw, node.kernel, room=ROOM)
