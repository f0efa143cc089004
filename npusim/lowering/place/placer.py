"""Placement: which engine runs a node, and with which plan (evidence/lowering.md#1.2)."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from itertools import count, pairwise
from math import prod
from typing import Any

from npusim.costs.price import work_us
from npusim.hardware.schema import Hardware
from npusim.lowering.fuse.reduce import WORTH_CONVOLVING
from npusim.lowering.ir.convolution import flattened, fold_rows, folded, is_stem
from npusim.lowering.ir.nodes import (
    POINT,
    Bmm,
    Broadcast,
    Concat,
    Conv,
    Convert,
    Copy,
    Depthwise,
    Eltwise,
    Gather,
    Node,
    Pool,
    Reduce,
    Scale,
    Transpose,
    Unary,
    axis_of,
)
from npusim.lowering.ir.plan import ALL_TILES, Load, Plan, cmx_capacity, load_bytes, load_value, portion
from npusim.lowering.ir.shapes import CHANNELS
from npusim.lowering.ir.values import ADDED_CONSTANT, WHOLE, Dist, Value, canonical4, even
from npusim.lowering.place.batch import all_images, images, in_step, one_image
from npusim.lowering.place.chain import joins, plan_joined, plan_scaled
from npusim.lowering.place.factors import (
    channel_factor,
    divides_by_smaller,
    has_row_factor,
    is_channel_vector,
    is_row_product,
)
from npusim.lowering.place.spread import plan_spread, spread_factor
from npusim.lowering.plans.dma.moves import (
    joined,
    plan_broadcast,
    plan_convert,
    plan_copy,
    plan_expand,
    plan_gather,
)
from npusim.lowering.plans.dpu.bmm import plan_bmm
from npusim.lowering.plans.dpu.channels_last import channels_last
from npusim.lowering.plans.dpu.conv import Surroundings, multicast, plan_conv
from npusim.lowering.plans.dpu.depthwise import plan_activation, plan_depthwise, plan_pool, plan_scale
from npusim.lowering.plans.dpu.eltwise import (
    is_row,
    is_runtime_scale,
    plan_add,
    plan_quantize,
    plan_runtime_scale,
)
from npusim.lowering.plans.dpu.images import image_split, is_refolded, refold, row_split
from npusim.lowering.plans.dpu.permute import is_two_pass, plan_permute, plan_two_passes
from npusim.lowering.plans.dpu.reduce import plan_reduce
from npusim.lowering.plans.dpu.reduce_conv import plan_one_term, plan_reduce_conv
from npusim.lowering.plans.dpu.reorder import plan_reorder
from npusim.lowering.plans.shave.dot import plan_dot
from npusim.lowering.plans.shave.kernel import plan_shave
from npusim.lowering.split.dpu import choose, depthwise_split
from npusim.lowering.tile.matmul import NOTHING, Behind
from npusim.program.journal import note, recording
from npusim.program.work import DpuWork, ShaveWork

#: Granule in which the channels of an outer product are cut over the tiles.
VECTOR = 8


def placed(plan: Plan) -> str:
    """In words: which engine runs a plan, and how it is split and cut."""
    works = [work for part in plan.slices[:1] for _, work in part.computes]
    shave = next((work.kernel for work in works if isinstance(work, ShaveWork)), None)
    engine = "by transfers alone" if not works else f"SHAVE kernel {shave}" if shave else "on the DPU"
    kept = "whole in CMX when it is made" if plan.resident_output else "never whole in CMX"
    return f"{engine}: {plan.strategy or 'one task'}; the result is {kept}"


class Placer:
    """Makes plans of nodes in order. ``hints`` are the Dists in which values lie in CMX already, by storage."""

    def __init__(
        self,
        hw: Hardware,
        storages: int,
        readers: dict[int, list[Node]],
        makers: dict[int, Node],
        outputs: set[int],
        homes: Mapping[int, int],
    ) -> None:
        """Start with nothing in CMX (``image_hints``: of one image of a batch). ``readers`` are the nodes that read a
        storage, ``makers`` those that make one, ``outputs`` the storages that the model returns, ``homes`` those that
        are written into others."""
        self.hw = hw
        self.outputs = outputs
        self.homes = homes
        self.storages = storages
        self.readers = readers
        self.makers = makers
        self.hints: dict[int, Dist] = {}
        self.image_hints: dict[int, Dist] = {}
        self.sliced: dict[int, Plan] = {}
        self.on_dpu: set[int] = set()
        self.latest: Plan | None = None
        self.chains = count()

    def fresh(self, value: Value) -> Value:
        """The same kind of value in a storage of its own."""
        self.storages += 1
        return replace(value, storage=self.storages - 1, partial=False)

    def place(self, node: Node) -> list[Plan]:
        """The plans of one node, in order."""
        count = images(node)
        plans = self._images(node, count) if count > 1 else self._alone(node)
        for plan in plans:
            if not plan.node.region:
                plan.node = replace(plan.node, region=node.region)
            if recording():
                note("place", node.name, placed(plan))
        self._remember(plans)
        return plans

    def _alone(self, node: Node) -> list[Plan]:
        place: Callable[[Any], list[Plan]] = getattr(self, f"_{type(node).__name__.lower()}")
        return place(node)

    def _images(self, node: Node, count: int) -> list[Plan]:
        """The plans of a batch, image by image; those that find in CMX what the one before makes run in step."""
        known, self.hints = self.hints, self.image_hints
        of_one = self._alone(one_image(node, count))
        for plan in of_one:
            self._overlap(plan)
            if len(plan.slices) == 1 and plan.out_dist is not None:
                self.hints[plan.output.storage] = plan.out_dist
        self.hints = known
        plans = [all_images(plan, count) for plan in of_one]
        for before, plan in pairwise([*([self.latest] if self.latest else []), *plans]):
            if len(plan.slices) == len(before.slices) == count and in_step(before, plan, self.hw):
                before.chain = before.chain if before.chain >= 0 else next(self.chains)
                plan.chain = before.chain
        return plans

    def _remember(self, plans: list[Plan]) -> None:
        for plan in plans:
            self._overlap(plan)
            self._trim(plan)
            self.note(plan)

    def note(self, plan: Plan) -> None:
        """What the nodes behind a plan may ask of it, which hangs on the plan alone (so copies of it are noted too)."""
        storage = plan.output.storage
        if plan.out_dist is not None and (plan.resident_output or isinstance(plan.node, Concat)):
            self.hints[storage] = plan.out_dist
        if len(plan.slices) > 1:
            self.sliced[storage] = plan
        if any(isinstance(work, DpuWork) for part in plan.slices[:1] for _, work in part.computes):
            self.on_dpu.add(storage)
        self.latest = plan

    def _overlap(self, plan: Plan) -> None:
        """An image cut into rows feeds a reader that needs other rows too: the producer writes those to both tiles
        (resnet50: 14 rows computed, 15 or 16 written; mobilenet-v2 on 6 tiles: strides)."""
        image = isinstance(plan.node, Conv | Depthwise | Pool) and plan.node.window is not None
        if not image or len(plan.inputs) != 1 or plan.in_dists[0] is None:
            return
        hint, wanted = self.hint(plan.inputs[0]), plan.in_dists[0]
        if hint is not None and hint.outer == wanted.outer == 1 and len(hint.cuts) == len(wanted.cuts) > 1:
            plan.in_dists[0] = hint

    def _trim(self, plan: Plan) -> None:
        """A result that is in CMX at once, and of which one Slice is all that is read, leaves it as that Slice
        (conv1d, ReduceSum_2 and Mul_10 of Mamba-2: 3,072 B a tile of 196,608)."""
        whole = plan.output
        parts = [
            v for n in self.readers.get(whole.storage, ()) for v in n.inputs if v.storage == whole.storage
        ]
        if len(parts) != 1 or not parts[0].partial or len(plan.slices) != 1 or whole.storage in self.outputs:
            return
        plan.slices[0].stores = [
            replace(store, work=portion(store.work, parts[0].elements, whole.elements))
            for store in plan.slices[0].stores
        ]

    def hint(self, value: Value) -> Dist | None:
        """How a value lies in CMX, if all of it does."""
        return None if value.partial or value.constant else self.hints.get(value.storage)

    # -- DPU ----------------------------------------------------------------------------------------------------

    def _conv(self, node: Conv) -> list[Plan]:
        before: list[Plan] = []
        if node.window is not None:
            if self.readers.get(node.output.storage) and is_stem(node) and node.inputs[0].bits > 8:
                node = folded(node, node.window)
            window = node.window or POINT
            before, source = channels_last(node, self.hw, node.inputs[0], window, self.fresh)
            if before:
                self._remember(before)
                node = replace(node, inputs=(source, *node.inputs[1:]), k=max(node.k, source.shape[1]))
            node = flattened(node, window, self.hw.tiles)
        source = node.inputs[0]
        matrix = node.window is None and node.inputs[1].constant
        behind = self._behind(source) if matrix else NOTHING
        wants = self._wants(node, behind)
        readers = self.readers.get(node.output.storage, [])
        reader = readers[0] if len(readers) == 1 else None
        alone = wants == "segments" and isinstance(reader, Unary) and reader.axis is None
        followed = (
            reader.kernel if isinstance(reader, Unary) and alone and not self._quantised(reader) else ""
        )
        sliced = source.storage in self.sliced
        around = Surroundings(self.hint(source), sliced, wants, followed, bool(before), behind)
        plan = plan_conv(node, self.hw, around)
        if len(plan.slices) > 1 and reader is not None and reader.runs("add"):
            # The residual sum of a single token finds out_proj in CMX (8 of 8 decodes).
            plan.gathered |= is_row(reader.output)
        if len(plan.slices) > 1 and readers and all(self._on_dpu(n) for n in readers):
            plan.gathered |= plan.fits_whole(self.hw)
        return [*before, plan]

    def _on_dpu(self, node: Node) -> bool:
        """Whether a node is a convolution, or a product of two that the DPU makes: those find the slices of a MatMul
        side by side in CMX (mlp_*, ffn_relu_* and glu_* of 5010)."""
        return isinstance(node, Conv) or self._is_dpu_product(node)

    def _is_dpu_product(self, node: Node) -> bool:
        """A product of what two MatMuls make, whose channels lie innermost: 5010 multiplies them on the DPU (glu_*, 24
        of 24; of two inputs it stays with the SHAVEs)."""
        if not node.runs("multiply") or not self.hw.software.eltwise_multiply_on_dpu:
            return False
        made = [self.makers.get(v.storage) for v in node.inputs]
        alike = all(v.elements == node.output.elements for v in node.inputs)
        return alike and len(made) == 2 and all(isinstance(maker, Conv) for maker in made)

    def _behind(self, value: Value) -> Behind:
        """How long the plan just before computes, µs, and what it holds on a tile, bytes, if it makes a value. The
        first weights of its reader come meanwhile (3,072 x 768 behind a Gelu on 6 tiles, and on 4, where they do not
        fit beside it, not: bert-base)."""
        plan = self.latest
        if plan is None or plan.output.storage != value.storage:
            return NOTHING
        us = sum(
            max((work_us(work, self.hw, True) for _, work in part.computes), default=0.0)
            for part in plan.slices
        )
        held = max(
            (load_bytes(part.loads, self.hw.tiles) + max(part.out_bytes) for part in plan.slices), default=0
        )
        return Behind(us, held)

    def _wants(self, node: Conv, behind: Behind) -> str:
        """How the readers of a convolution's result, or of the Concat of channels that it is a piece of, want it to lie
        (``Surroundings.wants``)."""
        readers = self._readers(node.output)
        if readers and all(isinstance(n, Unary) and not n.runs("convert") for n in readers):
            return "segments"
        rows = choose(node, self.hw, behind=behind) == "rows"
        splits = {choose(n, self.hw, rows) for n in readers if isinstance(n, Conv)}
        splits |= {depthwise_split(n, self.hw) for n in readers if isinstance(n, Depthwise)}
        if splits - {"rows"}:
            return "whole"
        images = [n for n in readers if isinstance(n, Eltwise | Pool) and len(n.output.shape) == 4]
        if splits or any(isinstance(n, Pool) or not self._fits_whole(n) for n in images):
            return "rows"
        return "either" if images else ""

    def _quantised(self, node: Node) -> bool:
        """Whether a kernel's result is changed to 8 bits, which finds it in CMX: such a convolution is not cut together
        with its kernel (none of the 57 of yolov8n-int8 on 4000)."""
        return any(isinstance(n, Convert) and n.quantize for n in self.readers.get(node.output.storage, ()))

    def _readers(self, value: Value) -> list[Node]:
        """The nodes that read a value, those of a Concat of channels in its stead."""
        found: list[Node] = []
        for node in self.readers.get(value.storage, []):
            joins = isinstance(node, Concat) and node.type == "Concat"
            along = joins and node.output.memory_order[-1:] == (axis_of(node),)
            found.extend(self._readers(node.output) if along else [node])
        return found

    def _fits_whole(self, node: Node) -> bool:
        """Whether every tile can hold all operands of a sum, which then takes them as they come (6 tiles, 512 x 28 x
        28: resnet50_int8 is split over channels before such a sum, resnet50 over rows)."""
        return sum(value.bytes for value in node.inputs) <= cmx_capacity(self.hw)

    def _depthwise(self, node: Depthwise) -> list[Plan]:
        value, weights = node.inputs[:2]
        single = value.elements == node.output.elements == node.output.shape[1]
        if single and len(node.inputs) == 2 and not node.post:
            # One pixel meets one tap: a product of channels (dwconv1d_*_t1: 5 of 5 on 3720, 4000 and 5010).
            factors = replace(weights, shape=node.output.shape, order=())
            return [plan_shave(replace(node, inputs=(value, factors)), self.hw, "multiply", self.hint(value))]
        plans = plan_depthwise(node, self.hw, self.fresh)
        readers = self.readers.get(node.output.storage, [])
        if depthwise_split(node, self.hw) == "channels" and any(
            isinstance(n, Conv | Depthwise) for n in readers
        ):
            multicast(plans[-1], self.hw)
        return plans

    def _scale(self, node: Scale) -> list[Plan]:
        value = node.inputs[0]
        axis = node.axis
        movable = value.plain and (axis is None or prod(value.shape[:axis]) == 1)
        if axis is not None and not movable and value.memory_order[-1:] != (axis,) and value.shape[axis] > 1:
            order = tuple(d for d in (value.order or range(len(value.shape))) if d != axis) + (axis,)
            moved = replace(self.fresh(value), order=order)
            permute = Transpose(node.name, node.type, (value,), moved, node.fused, region=node.region)
            scaled = replace(
                node, inputs=(moved, node.inputs[1]), output=replace(self.fresh(node.output), order=order)
            )
            back = replace(permute, inputs=(scaled.output,), output=node.output)
            return [*self.place(permute), *plan_scale(scaled, self.hw, self.fresh), *self.place(back)]
        chained = self._scaled_in_chain(node)
        if chained is not None:
            return [chained]
        plans = plan_scale(node, self.hw, self.fresh, node.any_order)
        hint = self.hint(value)
        if len(plans) == 1 and plans[0].in_dists[0] == WHOLE and hint is not None and hint.outer > 1:
            plans[0].in_dists[0] = hint  # a tile scales its own channels (the smoothing behind bert's Gelu)
        return plans

    def _scaled_in_chain(self, node: Scale) -> Plan | None:
        """The plan of a scale by constants along the channels that goes on a chain of a convolution and a kernel, which
        must have been placed just before it: plans of a chain run in step."""
        value = node.inputs[0]
        kernel = self.sliced.get(value.storage)
        conv = self.sliced.get(kernel.inputs[0].storage) if kernel is not None and kernel.chain >= 0 else None
        along = value.memory_order[-1:] == (node.axis,)
        if kernel is None or conv is None or kernel is not self.latest or not along:
            return None
        if len(self.readers.get(value.storage, ())) != 1 or not all(v.constant for v in node.inputs[1:]):
            return None
        return plan_scaled(node, self.hw, kernel, conv) if conv.chain == kernel.chain else None

    def _bmm(self, node: Bmm) -> list[Plan]:
        return [plan_dot(node, self.hw) if node.on == "shave" else plan_bmm(node, self.hw)]

    def _pool(self, node: Pool) -> list[Plan]:
        return plan_pool(node, self.hw, self.fresh)

    def _transpose(self, node: Transpose) -> list[Plan]:
        if node.reorder and is_two_pass(node):
            return plan_two_passes(node, self.hw, self.fresh)
        return [self._apart(plan_permute(node, self.hw, self.hint(node.inputs[0])))]

    def _reduce(self, node: Reduce) -> list[Plan]:
        value = node.inputs[0]
        if not node.axes:
            return plan_one_term(node, self.hw, self.fresh)
        if node.by == "sum" and self.hw.software.reduce_sum_engine == "shave":
            return [self._sum_on_shave(node)]
        if node.by == "min":
            return self._reduce_min(node)
        if node.by == "sum" and node.view[2] == 1 and value.elements >= WORTH_CONVOLVING:
            return [plan_reduce_conv(node, self.hw)]
        return plan_reduce(node, self.hw, self.fresh)

    def _sum_on_shave(self, node: Reduce) -> Plan:
        """A sum as a SHAVE kernel over its results, each of which reads its terms wherever they lie."""
        before, length, after = node.view
        terms = replace(node.inputs[0], shape=(before * after, length), order=())
        sums = replace(node.output, shape=(before * after, 1), order=())
        plan = plan_shave(replace(node, inputs=(terms,), output=sums), self.hw, "reducesum")
        in_dists: list[Dist | None] = plan.in_dists if after == 1 else [None]
        return replace(plan, node=node, inputs=[node.inputs[0]], in_dists=in_dists, output=node.output)

    def _reduce_min(self, node: Reduce) -> list[Plan]:
        """Negation on SHAVE, a chain of max-pools, negation (evidence/lowering.md#1.2.26)."""
        negated = replace(node, output=self.fresh(node.inputs[0]))
        largest = replace(node, inputs=(negated.output,), output=self.fresh(node.output), by="max")
        back = replace(node, inputs=(largest.output,))
        return [
            plan_shave(negated, self.hw, "negative"),
            *plan_reduce(largest, self.hw, self.fresh),
            plan_shave(back, self.hw, "negative"),
        ]

    # -- elementwise --------------------------------------------------------------------------------------------

    def _unary(self, node: Unary) -> list[Plan]:
        kernel = node.kernel
        hw = self.hw
        value = node.inputs[0]
        if kernel == "negative":
            return plan_scale(node, hw, self.fresh)
        if kernel in ("relu", "leakyrelu") or (
            kernel == "clamp" and (node.low == 0.0 or "ClampAny" in hw.software.fused_activations)
        ):
            return plan_activation(node, hw, self.fresh)
        if kernel == "clamp" and value.plain and prod(canonical4(value.shape)[:2]) > 1:
            pooled = replace(node, output=self.fresh(node.output))
            pools = plan_activation(pooled, hw, self.fresh)
            kept = pools[-1].resident_output and prod(canonical4(value.shape)[:2]) % CHANNELS == 0
            hint = pools[-1].out_dist if kept else None
            return [*pools, plan_shave(replace(node, inputs=(pooled.output,)), hw, kernel, hint)]
        image = image_split(value, hw.tiles) if kernel == "clamp" else None
        if image is not None:
            seen = [replace(v, shape=(image.outer, CHANNELS), order=()) for v in (value, node.output)]
            plan = plan_shave(replace(node, inputs=(seen[0],), output=seen[1]), hw, kernel, image)
            return [replace(plan, node=node, inputs=[value], output=node.output)]
        if kernel == "convert" and self._is_column(value):
            column = [replace(v, shape=(1, v.elements, 1, 1), order=()) for v in (value, node.output)]
            plan = plan_shave(
                replace(node, inputs=(column[0],), output=column[1]), hw, kernel, self.hint(value)
            )
            return [replace(plan, node=node, inputs=[value], output=node.output)]
        producer = self.sliced.get(value.storage)
        alone = len(self.readers.get(value.storage, ())) == 1 and producer is self.latest
        spread = kernel not in hw.software.single_tile_kernels
        if producer is not None and spread and joins(node, hw, producer, alone):
            return [plan_joined(node, hw, kernel, producer, self.chains)]
        return [plan_shave(node, hw, kernel, self.hint(value) or _channel_cut(producer))]

    def _is_column(self, value: Value) -> bool:
        """Whether a row is what the DPU has just made, with its elements as channels (93 of Mamba's decode)."""
        plan = self.latest
        made = plan is not None and plan.output.storage == value.storage and isinstance(plan.node, Eltwise)
        return made and is_row(value)

    def _eltwise(self, node: Eltwise) -> list[Plan]:
        kernel = node.kernel
        same = all(v.elements == node.output.elements for v in node.inputs)
        if kernel == "add" and same:
            plan = plan_add(node, self.hw, WHOLE if is_row(node.output) else self._sum_hint(node))
            shared = len(self.readers.get(node.output.storage, ())) > 1 and is_refolded(node.output)
            return [replace(plan, refolded=shared and not self.hw.software.shared_refolds_in_cmx)]
        if kernel == "subtract" and same:
            negated = replace(node, inputs=(node.inputs[1],), output=self.fresh(node.inputs[1]))
            total = replace(node, inputs=(node.inputs[0], negated.output))
            return [*plan_scale(negated, self.hw, self.fresh, any_order=True), plan_add(total, self.hw)]
        if kernel == "add":
            return self._broadcast_add(node)
        if kernel == "divide" and divides_by_smaller(node, self.hw):
            return self._reciprocal(node)
        if kernel in ("multiply", "square"):
            return self._multiply(node, kernel)
        return [plan_shave(node, self.hw, kernel, self._common_hint(node))]

    def _sum_hint(self, node: Node) -> Dist | None:
        """How the first operand of a sum lies in CMX; whole on every tile only if the others lie so too (the residual
        sums of ResNet's last stages stay, that of bert's attention with an operand in DDR is split). On 5010 a sum is
        cut by itself where an operand lies so (the new states of Mamba and Mamba-2)."""
        hints = [self.hint(v) for v in node.inputs]
        first = hints[0]
        natural = row_split(node.output, refold(node.output.physical).height, self.hw.tiles)
        if self.hw.software.refold_in_cmx and natural in hints:
            return None
        return None if first is not None and first.whole and any(h != first for h in hints) else first

    def _multiply(self, node: Eltwise, kernel: str) -> list[Plan]:
        if self._is_dpu_product(node):
            first, *others = [self.hint(v) for v in node.inputs]
            return [plan_add(node, self.hw, first if all(h == first for h in others) else None)]
        if is_runtime_scale(node) or is_row_product(node):
            return [plan_runtime_scale(node, self.hw)]
        axis = channel_factor(node, self.hw)
        if axis is not None:
            return self._scale_by_activation(node, axis)
        if has_row_factor(node, self.hw):
            return self._scale_rows(node)
        outer = node.outer
        hint = self._outer_hint(node) if outer else self._common_hint(node)
        small = spread_factor(node)
        if small is not None:
            return plan_spread(node, self.hw, kernel, small, self.fresh, self._granule(node))
        granule = 1 if outer or len(node.output.shape) > 4 else self._granule(node)
        return [self._apart(plan_shave(node, self.hw, kernel, hint, granule))]

    def _apart(self, plan: Plan) -> Plan:
        """A plan whose result goes through DDR where all its readers are sums that fold it anew."""
        readers = self.readers.get(plan.output.storage, [])
        folded = all(n.runs("add") and is_refolded(n.output) for n in readers)
        if readers and folded and self.hw.tiles > 1 and not self.hw.software.refold_in_cmx:
            plan.out_dist = None
        return plan

    def _outer_hint(self, node: Node) -> Dist | None:
        """A channels-last product [1, C, H, W] is cut over channels as the MatMul and the kernel before it are, in
        granules of 8 (Mul_2 of Mamba with 2 to 6 tokens: 2,048 channels on 3 tiles as 688, 680 and 680). Rows that the
        MatMul has folded are unfolded through DDR, and the product is cut by itself, over tokens where it can (8 to 32
        tokens): 33 of 33 on all platforms."""
        channels, tokens = node.output.shape[1:3]
        if fold_rows(tokens, self.hw.software.row_fold)[1] == 1:
            return Dist(node.output.elements // channels, even(channels, self.hw.tiles, VECTOR))
        return self._common_hint(node)

    def _granule(self, node: Node) -> int:
        """A product with what it broadcasts, one operand of which the DPU has made, is cut over whole granules of
        channels (Mul_4 of Mamba-2's single token and Mul_10: 80 heads on 4 tiles as 32, 16, 16 and 16, 64 on 3 as 32,
        16 and 16; Mul_1: 256 rows on 3 as 96, 80 and 80: 7 of 7; not Mul_7, whose rows and heads are one dimension)."""
        outer = any(v.elements < node.output.elements for v in node.inputs)
        return CHANNELS if outer and any(v.storage in self.on_dpu for v in node.inputs) else 1

    def _scale_rows(self, node: Node) -> list[Plan]:
        """[M, K] scaled by [M, 1]: M becomes the channels, and the result is stored with them last, as its readers
        permute it anyway (PermuteQuantize and as_scaleshift of Mul_7)."""
        factor, value = sorted(node.inputs, key=lambda v: v.elements)
        rows, width = factor.elements, value.elements // factor.elements
        turned = replace(self.fresh(value), shape=(1, width, rows), order=())
        before = plan_reorder(node, self.hw, value, turned, (rows, 1, width), self.fresh)
        small = replace(factor, shape=(1, 1, rows), order=())
        scaled = replace(
            node, inputs=(turned, small), output=replace(node.output, shape=turned.shape, order=())
        )
        plans = self._scale_by_activation(scaled, 2)
        return [*before, *plans[:-1], replace(plans[-1], node=node, output=node.output, out_dist=None)]

    def _scale_by_activation(self, node: Node, axis: int) -> list[Plan]:
        """A depth-wise 1x1 convolution whose weights are computed: the factor is one more load."""
        factor = min(node.inputs, key=lambda v: v.elements)
        value = max(node.inputs, key=lambda v: v.elements)
        scale = Scale(
            node.name,
            node.type,
            (value, factor),
            node.output,
            node.fused,
            node.post,
            region=node.region,
            axis=axis,
        )
        plans = self._scale(scale)
        plan = next(p for p in reversed(plans) if p.slices and isinstance(p.node, Scale))
        load = Load(len(plan.inputs), ALL_TILES, load_value(factor, factor.elements, self.hw), factor.bytes)
        plan.inputs.append(factor)
        plan.in_dists.append(None)
        for part in plan.slices:
            part.loads.append(replace(load, key=(load.operand,)) if len(plan.slices) > 1 else load)
        return plans

    def _reciprocal(self, node: Eltwise) -> list[Plan]:
        """x / y with y broadcast: 1 / y on the small operand, then a Multiply (evidence/lowering.md#1.2.18)."""
        dividend, divisor = node.inputs
        ones = replace(divisor, storage=ADDED_CONSTANT, constant=True, partial=False, bits=16, stored_bits=16)
        inverse = self.fresh(divisor)
        reciprocal = replace(node, inputs=(ones, divisor), output=inverse)
        product = replace(node, inputs=(dividend, inverse), kernel="multiply")
        return [*self.place(reciprocal), *self.place(product)]

    def _common_hint(self, node: Node) -> Dist | None:
        for value in node.inputs:
            if value.elements == node.output.elements:
                hint = self.hint(value)
                if hint is not None and not hint.whole:
                    return hint
        return None

    def _broadcast_add(self, node: Node) -> list[Plan]:
        small = [v for v in node.inputs if v.elements != node.output.elements and not v.constant]
        if not small or any(is_channel_vector(v, node.output) for v in node.inputs):
            return [plan_shave(node, self.hw, "add", self._common_hint(node))]
        inputs = [v if v.elements == node.output.elements else self.fresh(node.output) for v in node.inputs]
        total = plan_add(replace(node, inputs=tuple(inputs)), self.hw)
        plans = []
        for value, full, dist in zip(node.inputs, inputs, total.in_dists, strict=True):
            if value is not full:
                expand = replace(node, inputs=(value,), output=full)
                alone = len(total.slices) == 1 and dist is not None
                within = plan_expand(expand, self.hw, dist) if alone and dist is not None else None
                plans.append(within or plan_broadcast(expand, self.hw))
        return [*plans, total]

    # -- movement -----------------------------------------------------------------------------------------------

    def _concat(self, node: Concat) -> list[Plan]:
        written = [v.storage for v in node.inputs if self.homes.get(v.storage) == node.output.storage]
        plan = plan_copy(node, self.hw, written)
        plan.out_dist = joined([self.hint(value) for value in node.inputs], node)
        return [plan]

    def _copy(self, node: Copy) -> list[Plan]:
        return [plan_copy(node, self.hw)]

    def _broadcast(self, node: Broadcast) -> list[Plan]:
        return [plan_broadcast(node, self.hw)]

    def _gather(self, node: Gather) -> list[Plan]:
        return [plan_gather(node, self.hw)]

    def _convert(self, node: Convert) -> list[Plan]:
        if node.quantize:
            value, out = node.inputs[0], node.output
            if out.order != value.order:
                _, *planes = value.shape
                return plan_reorder(node, self.hw, value, out, (planes[0], planes[1], planes[2]), self.fresh)
            return [plan_quantize(node, self.hw, self.hint(value))]
        if not self.hw.software.dma_convert:
            return [plan_shave(node, self.hw, "convert", self.hint(node.inputs[0]))]
        return [plan_convert(node, self.hw)]


def _channel_cut(producer: Plan | None) -> Dist | None:
    """How a sliced convolution over output channels has cut what a kernel reads: it keeps to that, although it finds
    the value in DDR (the Gelu of bert: 512 of 3,072 channels a tile on 6 tiles, 48 of 48)."""
    conv = producer is not None and isinstance(producer.node, Conv)
    dist = producer.out_dist if producer is not None and conv else None
    return dist if dist is not None and dist.outer > 1 else None
