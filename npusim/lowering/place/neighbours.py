"""What the neighbours of a node hold and want: who makes its operands and where they lie, who reads its result."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from copy import copy
from dataclasses import replace
from math import prod

from npusim.costs.price import work_us
from npusim.hardware.schema import Hardware
from npusim.lowering.ir.convolution import fold_rows, geometry
from npusim.lowering.ir.images import CHANNELS_LAST, is_image
from npusim.lowering.ir.nodes import (
    ChannelsLast,
    Concat,
    Conv,
    Convert,
    DepthToSpace,
    Depthwise,
    Eltwise,
    Node,
    Pool,
    Reduce,
    Transpose,
    Unary,
    axis_of,
)
from npusim.lowering.ir.plan import Plan, cmx_capacity, transfer
from npusim.lowering.ir.shapes import CHANNELS
from npusim.lowering.ir.values import Dist, Value, even
from npusim.lowering.place.gated import is_gated, is_product
from npusim.lowering.place.kernels import counted, has_padded_planes, read_in_channels
from npusim.lowering.plans.dpu.channel_share import depthwise_split, shares_channels
from npusim.lowering.plans.dpu.eltwise import is_row
from npusim.lowering.plans.dpu.images import is_refolded
from npusim.lowering.split.dpu import Wanted, choose, through_ddr_us
from npusim.lowering.split.shave import is_image_norm
from npusim.lowering.tile.matmul_estimate import NOTHING, Behind
from npusim.program.work import DpuWork

#: Granule in which the channels of an outer product are cut over the tiles.
VECTOR = 8


class Neighbours:
    """What is known of the nodes, and of the plans of those that are placed already.

    ``readers`` are the nodes that read a storage, ``makers`` those that make one, ``outputs`` the storages that the
    model returns, ``homes`` those that are written into others. ``hints`` are the Dists in which values lie in CMX,
    ``image_hints`` those of one image of a batch, ``sliced`` the plans with several slices, and ``on_dpu`` what the DPU
    made, all by storage; ``widened`` are the same values with more channels; ``latest`` is the plan just made.
    ``batched``: what is placed is one image of a batch.
    """

    def __init__(
        self,
        hw: Hardware,
        readers: Mapping[int, Sequence[Node]],
        makers: Mapping[int, Node],
        outputs: set[int],
        homes: Mapping[int, int],
    ) -> None:
        """Start with nothing placed."""
        self.hw = hw
        self.readers, self.makers = readers, makers
        self.outputs, self.homes = outputs, homes
        self.hints: dict[int, Dist] = {}
        self.image_hints: dict[int, Dist] = {}
        self.sliced: dict[int, Plan] = {}
        self.on_dpu: set[int] = set()
        self.widened: dict[int, Value] = {}
        self.latest: Plan | None = None
        self.batched = False

    def remember(self, plan: Plan) -> None:
        """Take note of what the nodes behind a plan may ask of it, which hangs on the plan alone."""
        storage = plan.output.storage
        if plan.out_dist is not None and (plan.resident_output or isinstance(plan.node, Concat)):
            self.hints[storage] = plan.out_dist
        if len(plan.slices) > 1:
            self.sliced[storage] = plan
        if any(isinstance(work, DpuWork) for part in plan.slices[:1] for _, work in part.computes):
            self.on_dpu.add(storage)
        self.latest = plan

    def remember_as(self, storages: Mapping[int, int]) -> None:
        """Take note of values what is known, besides, of those that they correspond to (the keys)."""
        hints, widened = self.image_hints, self.widened
        for old, new in storages.items():
            if old in hints:
                hints[new] = hints[old]
            if old in widened:
                widened[new] = replace(widened[old], storage=storages[widened[old].storage])

    def of_one_image(self) -> Neighbours:
        """The same for one image of a batch: what lies in CMX are the values of an image."""
        one = copy(self)
        one.hints = self.image_hints
        one.batched = True
        return one

    # -- who makes it ---------------------------------------------------------------------------------------------

    def hint(self, value: Value) -> Dist | None:
        """How a value lies in CMX, if all of it does, and nothing else beside it."""
        beside = has_padded_planes(self.makers.get(value.storage), self.hw)
        return None if value.partial or value.constant or beside else self.hints.get(value.storage)

    def whole_hint(self, value: Value) -> Dist | None:
        """How a value lies in CMX, if that is all of what makes it: rows that were padded are cut off through DDR."""
        maker = self.makers.get(value.storage)
        padded = isinstance(maker, Conv) and maker.window is None and prod(geometry(maker, self.hw)) > maker.m
        return None if padded else self.hint(value)

    def common_hint(self, node: Node) -> Dist | None:
        """How the first operand that is not broadcast, and lies cut over the tiles, does."""
        for value in node.inputs:
            if value.elements == node.output.elements:
                hint = self.hint(value)
                if hint is not None and not hint.whole:
                    return hint
        return None

    def written_as_planes(self, value: Value) -> bool:
        """Whether a convolution or pooling writes an image as planes, or an image is turned to them."""
        maker = self.makers.get(value.storage)
        slides = isinstance(maker, Conv | Depthwise | Pool) and maker.window is not None
        turned = isinstance(maker, Transpose) and maker.inputs[0].order == CHANNELS_LAST
        return (slides or turned) and value.plain and is_image(value.shape)

    def outer_hint(self, node: Node) -> Dist | None:
        """A channels-last product [1, C, H, W] is cut over channels as the MatMul and the kernel before it are, in
        granules of 8 (Mul_2 of Mamba with 2 to 6 tokens: 2,048 channels on 3 tiles as 688, 680 and 680). Rows that the
        MatMul has folded are unfolded through DDR, and the product is cut by itself, over tokens where it can (8 to 32
        tokens)."""
        channels, tokens = node.output.shape[1:3]
        if fold_rows(tokens, self.hw.software.row_fold)[1] == 1:
            return Dist(node.output.elements // channels, even(channels, self.hw.tiles, VECTOR))
        return self.common_hint(node)

    def granule(self, node: Node) -> int:
        """A product with itself or with what it broadcasts, one operand of which the DPU has made, is cut over whole
        granules of channels (Mul_4 of Mamba-2's single token and Mul_10: 80 heads on 4 tiles as 32, 16, 16 and 16, 64
        on 3 as 32, 16 and 16; Mul_1: 256 rows on 3 as 96, 80 and 80; not Mul_7, whose rows and heads are one
        dimension)."""
        outer = any(v.elements < node.output.elements for v in node.inputs)
        square = node.runs("multiply") and len({v.storage for v in node.inputs}) == 1
        return CHANNELS if (outer or square) and any(self._is_of_dpu(v) for v in node.inputs) else 1

    def _is_of_dpu(self, value: Value) -> bool:
        """Whether the DPU has made a value, or what a transpose has brought to another order."""
        maker = self.makers.get(value.storage)
        moved = isinstance(maker, Transpose) and maker.inputs[0].storage in self.on_dpu
        return moved or value.storage in self.on_dpu

    def channel_cut(self, value: Value) -> Dist | None:
        """How a sliced convolution over output channels has cut what a kernel reads: it keeps to that, although it
        finds the value in DDR (the Gelu of bert: 3,072 channels on 6 tiles, 512 each)."""
        producer = self.sliced.get(value.storage)
        conv = producer is not None and isinstance(producer.node, Conv)
        dist = producer.out_dist if producer is not None and conv else None
        return dist if dist is not None and dist.outer > 1 else None

    def behind(self, value: Value) -> Behind:
        """How long the plan just before computes, and what it holds, if it makes a value. The first weights of its
        reader come meanwhile (3,072 x 768 behind a Gelu on 6 tiles, and on 4, where they do not fit beside it, not:
        bert-base)."""
        plan = self.latest
        if plan is None or plan.output.storage != value.storage:
            return NOTHING
        return counted(plan, self.hw)

    def is_turned(self, value: Value) -> bool:
        """Whether an image has been brought to channels last for several readers."""
        return isinstance(self.makers.get(value.storage), ChannelsLast)

    # -- who reads it ---------------------------------------------------------------------------------------------

    def read_by(self, value: Value) -> Sequence[Node]:
        """The nodes that read a storage."""
        return self.readers.get(value.storage, ())

    def sole_reader(self, value: Value) -> Node | None:
        """The node that reads a storage, if one does."""
        readers = self.read_by(value)
        return readers[0] if len(readers) == 1 else None

    def wanted(self, node: Conv, behind: Behind) -> Wanted:
        """How the readers of a convolution's result, or of the Concat of channels that it is a piece of, want it to
        lie."""
        readers = self._readers(node.output)
        if self._normalised(node, readers):
            return Wanted.CHANNELS
        if read_in_channels(node.output, readers, self.hw) or self._gate_others(readers):
            return Wanted.CUT
        rows = choose(node, self.hw, behind=behind) == "rows"
        splits = {choose(n, self.hw, rows) for n in readers if isinstance(n, Conv)}
        spilled = (
            0.0 if self.hw.software.broadcast_output or not rows else through_ddr_us(node.output, self.hw)
        )
        deep = [n for n in readers if isinstance(n, Depthwise)]
        splits |= {depthwise_split(n, self.hw, spilled, self.between_kernels(n)) for n in deep}
        pooled = any(isinstance(n, Reduce) and len(n.inputs[0].shape) == 4 for n in readers)
        if splits - {"rows"} or pooled:
            return Wanted.WHOLE
        images = [n for n in readers if isinstance(n, Eltwise | Pool) and len(n.output.shape) == 4]
        spread = any(isinstance(n, DepthToSpace) for n in readers)
        if spread or any(
            isinstance(n, Pool) or not self._fits_whole(n) or self._adds_loaded(n, node) for n in images
        ):
            return Wanted.ROWS
        if splits:
            return Wanted.POINTS if self._reads_points(node.output) else Wanted.ROWS
        return Wanted.EITHER if images else Wanted.ANY

    def _normalised(self, node: Conv, readers: Sequence[Node]) -> bool:
        """Whether a norm alone reads a single image in the channels that the tiles would make of it: of planes, which
        what is behind it takes in even parts, only where those are the same."""
        norm = isinstance(readers[0], Unary) and is_image_norm(readers[0]) if len(readers) == 1 else False
        even_parts = node.n % (CHANNELS * self.hw.tiles) == 0
        one = node.window is not None and not self.batched
        return norm and one and (even_parts or not node.output.plain)

    def _gate_others(self, readers: Sequence[Node]) -> bool:
        """Whether products by kernels alone read what a convolution makes, with what lies cut over the tiles."""
        products = [n for n in readers if is_product(n) and not self.is_dpu_product(n)]
        return bool(readers) and len(products) == len(readers) and all(map(self.common_hint, products))

    def read_by_rows(self, value: Value) -> bool:
        """Whether convolutions read a value, or what activations make of it, and all are split over rows."""
        convs = [n for n in self._readers(value) if isinstance(n, Conv)]
        for unary in (n for n in self._readers(value) if isinstance(n, Unary) and n.axis is None):
            convs += [n for n in self._readers(unary.output) if isinstance(n, Conv)]
        return bool(convs) and all(choose(n, self.hw, True) == "rows" for n in convs)

    def between_kernels(self, node: Depthwise) -> bool:
        """Whether a depth-wise convolution stands between kernels for which a tile keeps the channels that it has."""
        maker, readers = self.makers.get(node.inputs[0].storage), self.read_by(node.output)
        return bool(readers) and all(map(shares_channels, (maker, *readers)))

    def _adds_loaded(self, node: Node, maker: Conv) -> bool:
        """Whether a sum has another operand than what ``maker`` makes, which it finds in DDR and loads in rows."""
        others = [v for v in node.inputs if v.storage != maker.output.storage]
        loaded = [v for v in others if not isinstance(self.makers.get(v.storage), Conv | Depthwise | Pool)]
        return node.runs("add") and any(self.hint(v) is None for v in loaded)

    def _reads_points(self, value: Value) -> bool:
        """Whether all that reads a value, itself and not joined with others, are convolutions of windows of one pixel,
        which take their rows from a value that lies whole on every tile."""
        windows = [n.window if isinstance(n, Conv) else None for n in self.read_by(value)]
        return self.hw.software.broadcast_output and all(
            w is not None and w.kernel == (1, 1) for w in windows
        )

    def spilled_us(self, node: Conv) -> float:
        """What it costs, µs, if the activation and the result of a MatMul can't stay in CMX in rows, between kernels
        that convert FP32: the activation is written and read whole by every tile, the result written and read in
        parts."""
        act, out, tiles = node.inputs[0], node.output, self.hw.tiles
        hint, reader = self.hint(act), self.sole_reader(out)
        narrowed = isinstance(self.makers.get(act.storage), Convert)
        widened = reader is not None and reader.runs("convert")
        uneven = geometry(node, self.hw)[0] % tiles
        if self.hw.software.dma_convert or uneven or hint is None or hint.whole or not (narrowed or widened):
            return 0.0
        written, read = [act.elements // tiles], [act.elements]
        if widened:
            written.append(out.elements // tiles)
            read.append(out.elements // tiles)
        works = [transfer("cmx", "ddr", elements, out.bits, self.hw) for elements in written]
        works += [transfer("ddr", "cmx", elements, out.bits, self.hw) for elements in read]
        return sum(work_us(work, self.hw, True) for work in works)

    def gathers(self, node: Conv, plan: Plan) -> bool:
        """Whether the readers of a sliced MatMul find its slices side by side in CMX: the residual sum of a single
        token does, and what the DPU runs where all of the result fits."""
        readers, reader = self.read_by(node.output), self.sole_reader(node.output)
        if len(plan.slices) == 1 or not readers:
            return False
        if reader is not None and reader.runs("add") and is_row(reader.output):
            return True
        return all(self._on_dpu(n) for n in readers) and plan.fits_whole(self.hw)

    def turned_planes(self, node: Node) -> bool:
        """Whether a kernel has a row of each plane for one operand, and an image that the DPU has turned to planes, row
        by row, for the other."""
        row, planes = sorted(node.inputs, key=lambda v: v.elements)[:: len(node.inputs) - 1]
        hint = self.hint(planes)
        broadcast = row.elements < planes.elements and len(row.shape) == 4 and row.shape[2] == 1
        return broadcast and hint is not None and hint.outer > 1 and self.written_as_planes(planes)

    def is_dpu_product(self, node: Node) -> bool:
        """Whether the DPU makes the product of a gated unit (5010)."""
        return self.hw.software.eltwise_multiply_on_dpu and is_gated(node, self.makers)

    def refolds(self, value: Value) -> bool:
        """Whether all readers of a value are sums that fold it anew, for which it goes through DDR."""
        folded = {n.runs("add") and is_refolded(n.output) for n in self.read_by(value)} == {True}
        return folded and self.hw.tiles > 1 and not self.hw.software.refold_in_cmx

    def _on_dpu(self, node: Node) -> bool:
        """Whether a node is a convolution, or a product of two that the DPU makes: those find the slices of a MatMul
        side by side in CMX (5010)."""
        return isinstance(node, Conv) or self.is_dpu_product(node)

    def gates(self, node: Conv) -> bool:
        """Whether a product of a gated unit finds in CMX what a kernel makes of a MatMul, as it finds the other's."""
        reader = self.sole_reader(node.output)
        return reader is not None and any(map(is_product, self.read_by(reader.output)))

    def _readers(self, value: Value) -> list[Node]:
        """The nodes that read a value, those of a Concat of channels in its stead."""
        found: list[Node] = []
        for node in self.read_by(value):
            joins = isinstance(node, Concat) and node.type == "Concat"
            along = joins and node.output.memory_order[-1:] == (axis_of(node),)
            found.extend(self._readers(node.output) if along else [node])
        return found

    def _fits_whole(self, node: Node) -> bool:
        """Whether every tile can hold all operands of a sum, which then takes them as they come (512 x 28 x 28 on 6
        tiles in 8 bits, not in FP16)."""
        return sum(value.bytes for value in node.inputs) <= cmx_capacity(self.hw)
