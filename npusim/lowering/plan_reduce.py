"""Plans of reductions as chains of poolings; plan_reduce_conv has the convolutions that they need."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace
from math import gcd

from npusim.costs.dpu import choose_mode
from npusim.costs.work import DpuKind, DpuWork, Work
from npusim.hardware.schema import Hardware
from npusim.lowering.cells import assemble, fit, fit_chain, row_split, workload_channels
from npusim.lowering.conv_parts import CHANNELS, fused_constant
from npusim.lowering.nodes import Node
from npusim.lowering.plan import Load, Plan, cmx_capacity, output_stores, slice_part
from npusim.lowering.plan_permute import Fresh, plan_reorder
from npusim.lowering.plan_reduce_conv import WIDENING_SKIPS, plan_sum_of_planes, plan_widen
from npusim.lowering.plan_reduce_fold import plan_square
from npusim.lowering.values import WHOLE, Dist, Value, canonical4, ceil_div, even, round_up

#: Largest pooling kernel (facts/npu_hardware.md section 1).
MAX_KERNEL = 11
#: Longest stride of a pooling kernel of a chain.
MAX_STRIDE = 8
#: Rows a tile below which a chain along W is split over channels instead (24 rows on 4 tiles are, 12 a tile are not).
FEW_ROWS = 8
#: Pixels that the first convolution of a folded mean averages, and the share of its weights that is zero and saved
#: (0.52, 0.54 and 0.44 on 4000, 3720 and 5010).
FOLDED_KERNEL, FOLDED_SKIPS = 8, 0.5
#: Share of CMX that rows and what all tiles get of their stages may take on 3720 (0.99 is refused: 24 planes of 256 x
#: 256, 3 cases; 0.50 is taken).
GATHERED_SHARE = 0.95
#: Extent of a dimension from which an image is split (facts/npu_hardware.md section 1: max dim 8192).
MAX_EXTENT = 8192


def factor(length: int) -> list[int]:
    """Kernels of a pooling chain that reduces ``length``: as long as more than 11 are left, the largest divisor up to
    the longest stride, 8 (100: 5, 5 and 4); of the next larger length that has one, where at most half a kernel is
    padding (``handle_kernels_utils.cpp`` of Intel's compiler)."""
    kernels: list[int] = []
    while length > MAX_KERNEL:
        k, length = next(
            (k, length + padding)
            for padding in range(length)
            for k in range(MAX_STRIDE, 1, -1)
            if (length + padding) % k == 0 and padding <= k // 2
        )
        kernels.append(k)
        length //= k
    return [*kernels, length] if length > 1 else kernels


@dataclass(frozen=True, slots=True)
class _Chain:
    """A chain of poolings of an image [H,W,C], down its rows or (``across``) along them."""

    node: Node
    hw: Hardware
    kind: DpuKind
    height: int
    width: int
    channels: int
    across: bool

    @property
    def length(self) -> int:
        """What is reduced."""
        return self.width if self.across else self.height

    def work(self, rows: int, columns: int, channels: int, kernel: int) -> DpuWork:
        """One workload with so many outputs."""
        k = (1, kernel) if self.across else (kernel, 1)
        return DpuWork(self.kind, rows, columns, channels, 1, k[0], k[1], kernel,
                       variant_channels=workload_channels(channels))  # fmt: skip


def plan_reduce(node: Node, hw: Hardware, fresh: Fresh) -> list[Plan]:
    """ReduceSum, Mean or Max over one run of memory dimensions (``params["view"]``: before, length, after).

    Over C of [1,C,H,W]: the rest are 16 channels and HW/16 columns. Over H or W: planes become channels last first;
    one plane (the outermost of two, or of more than three dimensions) is widened to 16 channels by a convolution
    (facts 1.2; rsum_*, rmean_*, rmax_*: 26 cases; ReduceSum_2 and _3 of mamba2 on 3720).
    """
    value, out = node.inputs[0], node.output
    before, length, after = node.params["view"]
    sides = [value.shape[a] for a in node.params["axes"] if value.shape[a] > 1]
    if before > 1 and after >= MAX_EXTENT:
        return _plane_by_plane(node, hw, fresh)
    if (
        not value.plain
        and before == 1
        and len(sides) == 2
        and max(sides) <= MAX_KERNEL
        and after % CHANNELS == 0
    ):
        return [_whole_image(node, hw, value, out, sides)]
    kind: DpuKind = "maxpool" if node.params["reduce"] == "max" else "avgpool"
    dims = len(value.memory_order)
    if before == 1 and dims == 3:
        if node.params["reduce"] == "sum" and _sums_with_ones(value, out):
            return plan_sum_of_planes(node, hw, fresh)
        wide = CHANNELS if after % CHANNELS == 0 else round_up(after, CHANNELS)
        chain = _Chain(node, hw, kind, length, ceil_div(after, wide), wide, across=False)
        return _down(chain, value, out, fresh)
    across = after == 1
    flat = across and len(value.shape) < 4 and min(before, length) > 1
    if flat and value.elements * 4 <= cmx_capacity(hw) * hw.tiles:
        return plan_square(node, hw, kind, before, length, factor, fresh)
    if across:
        n, c, height, width = canonical4(tuple(value.shape[d] for d in value.memory_order))
        channels = n * c
    else:
        channels, height, width = before, length, after
    wide = round_up(channels, CHANNELS)
    if across and kind == "avgpool" and channels < wide and _folds(width, channels):
        chain = _Chain(node, hw, kind, height, width, channels, across)
        if channels == 1:
            return _folded(chain, value, out, fresh)
        folded = replace(fresh(value), shape=(height, width, channels), order=())
        plans = plan_reorder(node, hw, value, folded, (channels, height, width), fresh)
        return [*plans, *_folded(chain, folded, out, fresh)]
    target = replace(fresh(value), shape=(height, width, wide), order=())
    chain = _Chain(node, hw, kind, height, width, wide, across)
    by_channels = channels > 1 and _by_channels(chain)
    if channels == 1 and hw.software.fused_widening:
        return [_widened(chain, value, out)]
    if channels == 1:
        plans = [plan_widen(node, hw, value, target)]
    else:
        plans = plan_reorder(
            node, hw, value, target, (channels, height, width), fresh, by_channels=by_channels
        )
    if by_channels:
        return [*plans, *_channel_chain(chain, target, out, fresh)]
    return [*plans, *(_across(chain, target, out) if across else _down(chain, target, out, fresh))]


def _sums_with_ones(value: Value, out: Value) -> bool:
    """Whether planes are added up by a convolution with ones: where their rows are no multiple of 16, and the result
    keeps the dimension (``convert_reduce_sum_to_conv.cpp``; [1,24,256,256] and six smaller ones are pooled)."""
    return len(out.shape) == len(value.shape) == 4 and value.shape[-1] % CHANNELS > 0


def _pixels(channels: int) -> int:
    """How many pixels that a folding convolution makes have a multiple of 16 channels (2 of 24 channels, 16 of 1)."""
    return CHANNELS // gcd(CHANNELS, channels)


def _folds(width: int, channels: int) -> bool:
    """Whether rows can be folded so that a convolution averages 8 pixels each, and more remain to be averaged."""
    return width % (FOLDED_KERNEL * _pixels(channels)) == 0 and width > FOLDED_KERNEL


def _folded(chain: _Chain, source: Value, out: Value, fresh: Fresh) -> list[Plan]:
    """A mean along W of channels that are no multiple of 16: pixels are folded into the channels (16 of 24 channels,
    128 of 1), a convolution averages 8 each, a second one pads the channels, and poolings do the rest; over the
    channels, if the tiles can share them (rmean_1x24x256x256_ax3, [1,1,256,768] and [1,1,256,1536]: 9 of 9)."""
    hw, tiles, channels = chain.hw, chain.hw.tiles, chain.channels
    in_dist = row_split(source, chain.height, tiles)
    rows = even(chain.height, tiles) if not in_dist.whole else (chain.height,) * tiles
    kernels, wide = factor(chain.width)[1:], round_up(channels, CHANNELS)
    pairs = _pixels(channels)
    columns = chain.width // (FOLDED_KERNEL * pairs)
    shapes = ((pairs * channels, FOLDED_KERNEL * pairs * channels), (pairs * wide, pairs * channels))
    in_bytes = in_dist.elements(0, source.elements) * 2
    slices = fit(hw, in_bytes, ceil_div(in_bytes, FOLDED_KERNEL), rows[0], ahead=False)
    apart = wide % (CHANNELS * tiles) == 0

    def works(tile: int, index: int) -> Iterable[Work]:
        own = ceil_div(rows[tile], slices)
        for (n, k), skipped in zip(shapes, (FOLDED_SKIPS, 0.0), strict=True):
            n16, k16 = round_up(n, CHANNELS), round_up(k, CHANNELS)
            mode = choose_mode(chain.height, columns, n16, hw)
            yield DpuWork("conv", own, columns, n16, k16, mpe_mode=mode, skipped=skipped)
        pixels = columns * pairs
        for k in () if apart else kernels:
            pixels = ceil_div(pixels, k)
            yield chain.work(own, pixels, wide, k)

    def constants(index: int) -> list[Load]:
        return [
            fused_constant(round_up(n, CHANNELS), round_up(k, CHANNELS), _weights(n, k), hw, i)
            for i, (n, k) in enumerate(shapes)
        ]

    middle = replace(fresh(source), shape=(chain.height, columns * pairs, wide)) if apart else out
    dist = row_split(middle, chain.height, tiles)
    strategy = "convolutions of folded pixels" + ("" if apart else f" and {chain.kind} chain {kernels}")
    plan = assemble(chain.node, hw, [source], [in_dist], middle, dist, slices, works, strategy, constants)
    rest = replace(chain, width=columns * pairs, channels=wide)
    return [plan, *_channel_chain(rest, middle, out, fresh)] if apart else [plan]


def _weights(n: int, k: int) -> Value:
    return Value(-1, (n, k), constant=True)


def _plane_by_plane(node: Node, hw: Hardware, fresh: Fresh) -> list[Plan]:
    """Planes too wide for one image: each is reduced by itself, after the other
    (``changed/as_avgpool``: ReduceSum_3 of mamba2 on 3720, 24 planes of [256, 8192])."""
    before, length, after = node.params["view"]
    value = replace(node.inputs[0], shape=(length, after), order=())
    out = replace(node.output, shape=(1, after), order=())
    one = replace(
        node, inputs=[value], output=out, params=node.params | {"view": (1, length, after), "axes": (0,)}
    )
    plans = plan_reduce(one, hw, fresh)
    for plan in plans:
        plan.node, plan.out_dist, plan.slices = node, None, plan.slices * before
        plan.in_dists = [None] * len(plan.inputs)
    plans[0].inputs, plans[-1].output = [node.inputs[0]], node.output
    return plans


def _whole_image(node: Node, hw: Hardware, value: Value, out: Value, sides: list[int]) -> Plan:
    """An image that one kernel covers, its channels over the tiles (the global pools of MobileNet and ResNet)."""
    channels = out.elements
    cuts = even(channels, hw.tiles, CHANNELS)
    kind: DpuKind = "maxpool" if node.params["reduce"] == "max" else "avgpool"

    def works(tile: int, index: int) -> Iterable[Work]:
        if tile < len(cuts):
            unit = workload_channels(cuts[tile])
            yield DpuWork(kind, 1, 1, cuts[tile], 1, sides[0], sides[1], sides[0], variant_channels=unit)

    dist = WHOLE if hw.software.broadcast_output else Dist(1, cuts)
    return assemble(node, hw, [value], [WHOLE], out, dist, 1, works, f"{kind} {sides} over channels (SOK)")


def _by_channels(chain: _Chain) -> bool:
    """Whether the tiles split the channels: few rows a tile, or at most one that a first kernel leaves."""
    tiles = chain.hw.tiles
    rows = chain.height if chain.across else chain.height // factor(chain.height)[0]
    few = rows < FEW_ROWS * tiles if chain.across else rows <= tiles
    return chain.channels >= CHANNELS * tiles and few


def _widened(chain: _Chain, value: Value, out: Value) -> Plan:
    """The widening convolution and its poolings in one chain of slices along what stays, rows or columns
    (rmax_1x1x256x768_ax3: 2 of 43 rows a tile, rmax_1x1x256x1536_ax3: 4 of 22); only the plane waits ahead."""
    hw, tiles = chain.hw, chain.hw.tiles
    rows = even(chain.height, tiles) if chain.height >= tiles else (chain.height,) * tiles
    in_dist = row_split(value, chain.height, tiles)
    in_bytes = in_dist.elements(0, value.elements) * 2
    kernels = factor(chain.length)
    split = 0 if chain.across else _split_stages(chain.height, kernels, tiles)[0]
    stages = _Stages(chain, kernels, split)
    results = ceil_div(in_bytes * CHANNELS, kernels[0]) if chain.across else stages.results()
    units = rows[0] if chain.across else ceil_div(chain.width, CHANNELS)
    slices = fit(hw, in_bytes, in_bytes * CHANNELS + results, units, equal=not chain.across)
    columns = ceil_div(chain.width, CHANNELS * (1 if chain.across else slices))
    mode = choose_mode(chain.height, columns, CHANNELS * CHANNELS, hw)
    sparse = Value(-1, (CHANNELS * CHANNELS, CHANNELS // 2), constant=True)  # 8,448 B a slice in the traces

    def works(tile: int, index: int) -> Iterable[Work]:
        own = slice_part(rows[tile], slices, index) if chain.across else rows[tile]
        yield DpuWork("conv", own, columns, CHANNELS * CHANNELS, CHANNELS, mpe_mode=mode,
                      skipped=WIDENING_SKIPS)  # fmt: skip
        if not chain.across:
            yield from stages.works(tile, slices)
            return
        pixels = columns * CHANNELS
        for k in kernels:
            pixels = ceil_div(pixels, k)
            yield chain.work(own, pixels, chain.channels, k)

    def constants(index: int) -> list[Load]:
        return [fused_constant(CHANNELS * CHANNELS, CHANNELS // 2, sparse, hw, index)]

    out_dist = row_split(out, chain.height, tiles) if chain.across else stages.out_dist(out)
    strategy = f"widening and {chain.kind} chain {kernels}"
    return assemble(chain.node, hw, [value], [in_dist], out, out_dist, slices, works, strategy, constants)


def _across(chain: _Chain, source: Value, out: Value) -> list[Plan]:
    """A chain along W: every tile its rows; where they are sliced along W, the slices' results stay until the last."""
    hw, node, tiles = chain.hw, chain.node, chain.hw.tiles
    in_dist = row_split(source, chain.height, tiles)
    rows = even(chain.height, tiles) if not in_dist.whole else (chain.height,) * tiles
    kernels = factor(chain.width)
    in_bytes = in_dist.elements(0, source.elements) * 2
    slices = fit_chain(hw, ceil_div(in_bytes * (kernels[0] + 1), kernels[0]), chain.width)
    by_rows = rows[0] % slices == 0 or (chain.width // slices) % kernels[0] > 0
    reduced, local = 1, 0
    for k in kernels:
        if not by_rows and (chain.width // slices) % (reduced * k):
            break
        reduced, local = reduced * k, local + 1

    def works(tile: int, index: int) -> Iterable[Work]:
        own = ceil_div(rows[tile], slices) if by_rows else rows[tile]
        columns = chain.width if by_rows else chain.width // slices
        for k in kernels[:local]:
            columns = ceil_div(columns, k)
            yield chain.work(own, columns, chain.channels, k)
        columns *= slices
        for k in kernels[local:] if index == slices - 1 else ():
            columns = ceil_div(columns, k)
            yield chain.work(own, columns, chain.channels, k)

    planes = out.elements // chain.height
    out_dist = WHOLE if in_dist.whole else Dist(planes, rows)
    strategy = f"{chain.kind} chain {kernels}"
    plan = assemble(node, hw, [source], [in_dist], out, out_dist, slices, works, strategy)
    if local < len(kernels):
        for part in plan.slices:
            part.stores = []
        plan.slices[-1].stores = output_stores(out, out_dist, tiles, hw)
    return [plan]


def _channel_chain(chain: _Chain, source: Value, out: Value, fresh: Fresh) -> list[Plan]:
    """A chain whose tiles split the channels. Along W it stays in CMX and leaves whole; down H each stage's result is
    multicast, and so goes through DDR to a next stage that wants its own channels (rmean_1x256x24x128_ax2)."""
    hw, tiles, node = chain.hw, chain.hw.tiles, chain.node
    cuts = even(chain.channels, tiles, CHANNELS)
    kernels = factor(chain.length)
    in_dist = Dist(source.elements // chain.channels, cuts)
    strategy = f"{chain.kind} chain {kernels}"
    if chain.across:
        slices = fit(hw, in_dist.elements(0, source.elements) * 2, 0, chain.height)

        def works(tile: int, index: int) -> Iterable[Work]:
            columns = chain.width
            for k in kernels:
                columns = ceil_div(columns, k)
                yield chain.work(ceil_div(chain.height, slices), columns, cuts[tile], k)

        return [assemble(node, hw, [source], [in_dist], out, WHOLE, slices, works, strategy)]
    plans = []
    rows = chain.height
    for i, k in enumerate(kernels):
        rows = ceil_div(rows, k)
        last = i == len(kernels) - 1
        target = out if last else replace(fresh(source), shape=(rows, chain.width, chain.channels), order=())
        out_dist = Dist(target.elements // chain.channels, cuts) if last else WHOLE
        held = (in_dist.elements(0, source.elements) * 2, out_dist.elements(0, target.elements) * 2)
        slices = fit(hw, *held, chain.width)

        def stage(
            tile: int, index: int, rows: int = rows, k: int = k, slices: int = slices
        ) -> Iterable[Work]:
            yield chain.work(rows, ceil_div(chain.width, slices), cuts[tile], k)

        plans.append(assemble(node, hw, [source], [in_dist], target, out_dist, slices, stage, strategy))
        source, in_dist = target, Dist(target.elements // chain.channels, cuts)
    return plans


def _split_stages(height: int, kernels: list[int], tiles: int) -> tuple[int, int]:
    """How many stages of a chain down the rows leave each tile a row, and the rows that they leave."""
    split = 0
    while split < len(kernels) and height // kernels[split] >= tiles:
        height //= kernels[split]
        split += 1
    return split, height


def _down(chain: _Chain, source: Value, out: Value, fresh: Fresh) -> list[Plan]:
    """A chain down the rows: cut over the tiles as long as each tile has a row of the result, then that result is
    multicast (through DDR where it does not fit) and the other stages are repeated on every tile, or split over the
    channels where each tile gets 16."""
    hw, tiles = chain.hw, chain.hw.tiles
    kernels = factor(chain.height)
    row = chain.width * chain.channels
    split, rows = _split_stages(chain.height, kernels, tiles)
    strategy = f"{chain.kind} chain {kernels}"
    in_dist = row_split(source, chain.height, tiles) if split else WHOLE
    in_bytes = in_dist.elements(0, source.elements) * 2
    gathered = rows * row * 2
    stages = _Stages(chain, kernels, split)
    room = 1.0 if split == 0 or split == len(kernels) or hw.software.broadcast_output else GATHERED_SHARE
    unsliced = in_bytes + gathered <= room * cmx_capacity(hw)
    first = _Stages(chain, kernels[:split], split)
    apart = not hw.software.broadcast_output or in_bytes + gathered // tiles <= cmx_capacity(hw)
    if 0 < split < len(kernels) and not unsliced and apart:
        middle = replace(fresh(source), shape=(rows, chain.width, chain.channels), order=())
        slices = fit(hw, in_bytes, first.results(gathered=False), chain.width)
        one = _stages_plan(first, source, in_dist, middle, row_split(middle, rows, tiles), slices, strategy)
        rest = _Stages(replace(chain, height=rows), kernels[split:], 0)
        slices = fit(hw, gathered, rest.results(), chain.width)
        return [one, _stages_plan(rest, middle, WHOLE, out, rest.out_dist(out), slices, strategy)]
    slices = 1 if unsliced else fit_chain(hw, in_bytes + stages.results(), chain.width)
    out_dist = row_split(out, rows, tiles) if split == len(kernels) else stages.out_dist(out)
    return [_stages_plan(stages, source, in_dist, out, out_dist, slices, strategy)]


@dataclass(frozen=True, slots=True)
class _Stages:
    """The first ``split`` of some kernels run with rows over tiles, the others on every tile."""

    chain: _Chain
    kernels: list[int]
    split: int

    @property
    def last_over_channels(self) -> bool:
        """The last stage's tiles split the channels."""
        granules = CHANNELS * self.chain.hw.tiles
        return self.split < len(self.kernels) and self.chain.channels % granules == 0

    def results(self, gathered: bool = True) -> int:
        """Bytes of all stages' results on one tile; the last that is split is multicast if ``gathered``."""
        chain = self.chain
        rows, total = chain.height, 0
        for i, k in enumerate(self.kernels):
            rows //= k
            cut = i < self.split - gathered
            total += rows * chain.width * chain.channels * 2 // (chain.hw.tiles if cut else 1)
        return total

    def out_dist(self, out: Value) -> Dist:
        """How the result of stages that end on every tile lies."""
        channels = self.chain.channels
        if not self.last_over_channels:
            return WHOLE
        return Dist(out.elements // channels, even(channels, self.chain.hw.tiles, CHANNELS))

    def works(self, tile: int, slices: int) -> Iterable[Work]:
        """The workloads of one tile and slice."""
        chain, tiles = self.chain, self.chain.hw.tiles
        rows, columns = chain.height, ceil_div(chain.width, slices)
        for i, k in enumerate(self.kernels):
            rows //= k
            own = even(rows, tiles)[tile] if i < self.split else rows
            channels = chain.channels
            if i == len(self.kernels) - 1 and self.last_over_channels:
                channels = even(channels, tiles, CHANNELS)[tile]
            yield chain.work(own, columns, channels, k)


def _stages_plan(
    stages: _Stages, source: Value, in_dist: Dist, out: Value, out_dist: Dist, slices: int, strategy: str
) -> Plan:
    chain = stages.chain

    def works(tile: int, index: int) -> Iterable[Work]:
        return stages.works(tile, slices)

    return assemble(chain.node, chain.hw, [source], [in_dist], out, out_dist, slices, works, strategy)
