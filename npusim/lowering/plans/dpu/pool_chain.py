"""Reductions as chains of average or max pools, each as large as the DPU's window allows."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace

from npusim.hardware.schema import Hardware
from npusim.lowering.ir.nodes import Node
from npusim.lowering.ir.plan import Plan, cmx_capacity, output_stores
from npusim.lowering.ir.shapes import CHANNELS, pooling_kernels
from npusim.lowering.ir.values import WHOLE, Dist, Fresh, Value, ceil_div, even
from npusim.lowering.plans.dpu.images import assemble, fit, fit_chain, row_split, workload_channels
from npusim.program.work import DpuKind, DpuWork, Work

#: Rows a tile below which a chain along W is split over channels instead (24 rows on 4 tiles are, 12 a tile are not).
FEW_ROWS = 8
#: Share of CMX that rows and what all tiles get of their stages may take on 3720 (0.99 is refused: 24 planes of 256 x
#: 256, 3 cases; 0.50 is taken).
GATHERED_SHARE = 0.95


@dataclass(frozen=True, slots=True)
class Chain:
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

    def kernels(self, length: int) -> list[int]:
        """The kernels that reduce a length."""
        return pooling_kernels(length, self.hw.software.pooled_window)

    def work(self, rows: int, columns: int, channels: int, kernel: int) -> DpuWork:
        """One workload with so many outputs."""
        k = (1, kernel) if self.across else (kernel, 1)
        return DpuWork(self.kind, rows, columns, channels, 1, k[0], k[1], kernel,
                       variant_channels=workload_channels(channels))  # fmt: skip


def by_channels(chain: Chain) -> bool:
    """Whether the tiles split the channels: few rows a tile, or at most one that a first kernel leaves."""
    tiles = chain.hw.tiles
    rows = chain.height if chain.across else chain.height // chain.kernels(chain.height)[0]
    few = rows < FEW_ROWS * tiles if chain.across else rows <= tiles
    return chain.channels >= CHANNELS * tiles and few


def plan_across(chain: Chain, source: Value, out: Value) -> list[Plan]:
    """A chain along W: every tile its rows; where they are sliced along W, the slices' results stay until the last."""
    hw, node, tiles = chain.hw, chain.node, chain.hw.tiles
    in_dist = row_split(source, chain.height, tiles)
    rows = even(chain.height, tiles) if not in_dist.whole else (chain.height,) * tiles
    kernels = chain.kernels(chain.width)
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
    out_dist = WHOLE if in_dist.whole or out.elements % chain.height else Dist(planes, rows)
    strategy = f"{chain.kind} chain {kernels}"
    plan = assemble(node, hw, [source], [in_dist], out, out_dist, slices, works, strategy)
    if local < len(kernels):
        *others, last = plan.slices
        parts = [replace(part, stores=[]) for part in others]
        leaves = replace(last, stores=output_stores(out, out_dist, tiles, hw))
        plan = replace(plan, slices=[*parts, leaves])
    return [plan]


def plan_expanded(chain: Chain, value: Value, out: Value) -> Plan:
    """A single row, repeated on every tile: the one transfer that brings it from DDR widens it to 16 channels."""
    kernels = chain.kernels(chain.width)

    def works(tile: int, index: int) -> Iterable[Work]:
        columns = chain.width
        for k in kernels:
            columns = ceil_div(columns, k)
            yield chain.work(1, columns, chain.channels, k)

    strategy = f"{chain.kind} chain {kernels} of a row widened as it is loaded"
    plan = assemble(chain.node, chain.hw, [value], [WHOLE], out, WHOLE, 1, works, strategy)
    first = plan.slices[0]
    wide = [replace(load, cmx_bytes=load.cmx_bytes * chain.channels) for load in first.loads]
    return replace(plan, in_dists=[None], slices=[replace(first, loads=wide)])


def plan_channel_chain(
    chain: Chain, source: Value, out: Value, fresh: Fresh, *, whole: bool = False
) -> list[Plan]:
    """A chain whose tiles split the channels, of which all have all (``whole``) or their own. Along W it stays in CMX
    and leaves whole; down H each stage's result is multicast, and so goes through DDR to a next stage that wants its
    own channels."""
    hw, tiles, node = chain.hw, chain.hw.tiles, chain.node
    cuts = even(chain.channels, tiles, CHANNELS)
    kernels = chain.kernels(chain.length)
    in_dist = WHOLE if whole else Dist(source.elements // chain.channels, cuts)
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
        real = last and target.elements % chain.channels == 0  # padded channels are no part of the result
        out_dist = Dist(target.elements // chain.channels, cuts) if real else WHOLE
        held = (in_dist.elements(0, source.elements) * 2, out_dist.elements(0, target.elements) * 2)
        slices = fit(hw, *held, chain.width)

        def stage(
            tile: int, index: int, rows: int = rows, k: int = k, slices: int = slices
        ) -> Iterable[Work]:
            yield chain.work(rows, ceil_div(chain.width, slices), cuts[tile], k)

        plans.append(assemble(node, hw, [source], [in_dist], target, out_dist, slices, stage, strategy))
        source, in_dist = target, Dist(target.elements // chain.channels, cuts)
    return plans


def split_stages(height: int, kernels: list[int], tiles: int) -> tuple[int, int]:
    """How many stages of a chain down the rows leave each tile a row, and the rows that they leave."""
    split = 0
    while split < len(kernels) and height // kernels[split] >= tiles:
        height //= kernels[split]
        split += 1
    return split, height


def plan_down(chain: Chain, source: Value, out: Value, fresh: Fresh) -> list[Plan]:
    """A chain down the rows: cut over the tiles as long as each tile has a row of the result, then that result is
    multicast (through DDR where it does not fit) and the other stages are repeated on every tile, or split over the
    channels where each tile gets 16."""
    hw, tiles = chain.hw, chain.hw.tiles
    kernels = chain.kernels(chain.height)
    row = chain.width * chain.channels
    split, rows = split_stages(chain.height, kernels, tiles)
    strategy = f"{chain.kind} chain {kernels}"
    in_dist = row_split(source, chain.height, tiles) if split else WHOLE
    in_bytes = in_dist.elements(0, source.elements) * 2
    gathered = rows * row * 2
    stages = Stages(chain, kernels, split)
    room = 1.0 if split == 0 or split == len(kernels) or hw.software.broadcast_output else GATHERED_SHARE
    unsliced = in_bytes + gathered <= room * cmx_capacity(hw)
    first = Stages(chain, kernels[:split], split)
    apart = not hw.software.broadcast_output or in_bytes + gathered // tiles <= cmx_capacity(hw)
    if 0 < split < len(kernels) and not unsliced and apart:
        middle = replace(fresh(source), shape=(rows, chain.width, chain.channels), order=())
        slices = fit(hw, in_bytes, first.results(gathered=False), chain.width)
        one = stages_plan(first, source, in_dist, middle, row_split(middle, rows, tiles), slices, strategy)
        rest = Stages(replace(chain, height=rows), kernels[split:], 0)
        slices = fit(hw, gathered, rest.results(), chain.width)
        return [one, stages_plan(rest, middle, WHOLE, out, rest.out_dist(out), slices, strategy)]
    slices = 1 if unsliced else fit_chain(hw, in_bytes + stages.results(), chain.width)
    out_dist = row_split(out, rows, tiles) if split == len(kernels) else stages.out_dist(out)
    return [stages_plan(stages, source, in_dist, out, out_dist, slices, strategy)]


@dataclass(frozen=True, slots=True)
class Stages:
    """The first ``split`` of some kernels run with rows over tiles, the others on every tile."""

    chain: Chain
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
        if not self.last_over_channels or out.elements % channels:
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


def stages_plan(
    stages: Stages, source: Value, in_dist: Dist, out: Value, out_dist: Dist, slices: int, strategy: str
) -> Plan:
    """The plan that runs ``stages`` one after the other on the rows of a slice."""
    chain = stages.chain

    def works(tile: int, index: int) -> Iterable[Work]:
        return stages.works(tile, slices)

    return assemble(chain.node, chain.hw, [source], [in_dist], out, out_dist, slices, works, strategy)
