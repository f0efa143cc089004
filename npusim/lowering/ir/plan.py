"""Plans: one node made into slices of loads, computes and stores over the tiles, before anything is scheduled."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import lru_cache
from typing import TypeVar

from npusim.hardware.schema import Hardware
from npusim.lowering.ir.nodes import Node
from npusim.lowering.ir.values import WHOLE, Dist, Value, ceil_div
from npusim.program.work import DmaKind, DmaWork, DpuWork, Memory, ShaveWork, Work

#: Tile number of a transfer that reaches all tiles at once.
ALL_TILES = -1
#: Operand number of a load that belongs to the plan itself (weights, weight table).
CONSTANT = -1


@dataclass(frozen=True, slots=True)
class Load:
    """One transfer into CMX. ``operand`` is the plan's input that it brings, or CONSTANT; ``key`` names what is brought
    (loads of one plan with equal keys are done once and kept for all slices)."""

    operand: int
    tile: int
    work: DmaWork
    cmx_bytes: int
    key: tuple[int, ...] = ()


@dataclass(frozen=True, slots=True)
class Store:
    """One transfer from a tile's CMX (ALL_TILES: from any, the value is whole on each) to DDR."""

    tile: int
    work: DmaWork


_Transfer = TypeVar("_Transfer", bound=Load | Store)


@dataclass(frozen=True, slots=True)
class Slice:
    """A part of a plan that fits CMX: ``loads``, then ``computes`` as (tile, work), then ``stores``.

    ``out_bytes`` is what the result takes on each tile (index: tile).
    """

    loads: Sequence[Load]
    computes: Sequence[tuple[int, Work]]
    stores: Sequence[Store]
    out_bytes: tuple[int, ...]
    detail: str = ""


@dataclass(frozen=True, slots=True)
class Plan:
    """How one node runs. ``in_dists`` says how each activation input must lie in CMX (None: it is always read from
    DDR), ``out_dist`` how the output will lie; ``strategy`` is for people."""

    node: Node
    inputs: Sequence[Value]
    in_dists: Sequence[Dist | None]
    output: Value
    out_dist: Dist | None
    slices: Sequence[Slice]
    strategy: str
    in_place: bool = False
    refolded: bool = False
    """Only a conversion of its result may find it in CMX; the readers that see other dimensions load it."""
    images: int = 1
    """How many images its slices are, one each."""
    gathered: bool = False
    """The results of its slices may lie side by side in CMX (resnet50: a sliced convolution, then an Add)."""
    handed_on: bool = False
    """Its result lies in one tile's CMX, and may be copied from there to where its reader wants it."""
    ahead: int = 0
    """How many of its slices are loaded ahead of the one that computes; 0: as ``software.prefetch_slices`` says."""
    chain: int = -1
    """Plans of one number, the storage that the first makes, run slice by slice together (vertical fusion,
    evidence/lowering.md#4.3)."""
    ddr_moves: Sequence[tuple[int, DmaWork]] = ()
    """DDR to DDR copies: (operand, transfer)."""

    @property
    def function(self) -> str:
        """The function of the model that it belongs to: what lies between two changes of this name is compiled apart
        from the rest, so that nothing is prefetched or stays in CMX across (``attention.PerHead``)."""
        return self.node.region

    @property
    def tasks(self) -> int:
        """How many tasks it is, where no load is left out because what it brings is there already."""
        return sum(len(part.loads) + len(part.computes) + len(part.stores) for part in self.slices)

    def changed(self, change: Callable[[Slice], Slice]) -> Plan:
        """The plan with every slice changed."""
        return replace(self, slices=[change(part) for part in self.slices])

    @property
    def chain_number(self) -> int:
        """The number of the chain that it is of, or begins if another plan is chained to it."""
        return self.chain if self.chain >= 0 else self.output.storage

    def fits_whole(self, hw: Hardware) -> bool:
        """Whether all of the output may lie in CMX at once."""
        return self.out_dist is not None and max(held(self.output, self.out_dist, hw.tiles)) <= cmx_capacity(
            hw
        )

    @property
    def resident_output(self) -> bool:
        """The whole output is in CMX at once when the plan has run."""
        return (len(self.slices) == 1 or self.gathered) and self.out_dist is not None


def cmx_capacity(hw: Hardware) -> int:
    """Bytes of one tile's CMX that the compiler may use."""
    return int(hw.cmx.kib_per_tile * 1024)


def counted(elements: int, bits: int, hw: Hardware) -> int:
    """Bytes that a transfer of so many elements is charged for.

    Intel's estimator takes 2 bytes for every element that is not of 8 bits (evidence/costs.md#2).
    """
    if hw.dma.counting == "elements" and not (hw.dma.narrow_bytes and 1 < bits < 8):
        return elements * (1 if bits == 8 else 2)
    return ceil_div(elements * bits, 8)


def transfer(
    src: Memory, dst: Memory, elements: int, bits: int, hw: Hardware, kind: DmaKind = "copy"
) -> DmaWork:
    """A transfer of ``elements`` of ``bits`` each."""
    size = counted(elements, bits, hw)
    if kind == "convert" and hw.dma.counting == "elements":
        size = elements * hw.dma.convert_bytes
    return _transfer(src, dst, ceil_div(elements * bits, 8), size, kind)


#: Equal transfers are one object: a large model has tens of thousands, of a few hundred kinds.
_transfer = lru_cache(maxsize=4096)(DmaWork)


def load_value(value: Value, elements: int, hw: Hardware) -> DmaWork:
    """A read of ``elements`` of a value from DDR into CMX, converted on the way where its stored type is wider."""
    kind: DmaKind = "convert" if value.stored_bits != value.bits and not value.constant else "copy"
    return transfer("ddr", "cmx", elements, value.stored_bits, hw, kind)


def operand_loads(
    operand: int, value: Value, dist: Dist, tiles: int, hw: Hardware, slices: int = 1, index: int = 0
) -> list[Load]:
    """Loads of one slice of an activation operand: one a tile, or one to all tiles where each needs the whole."""
    if dist.whole:
        part = slice_part(value.elements, slices, index)
        return [Load(operand, ALL_TILES, load_value(value, part, hw), ceil_div(part * value.bits, 8))]
    loads = []
    for tile in range(min(tiles, len(dist.cuts))):
        part = slice_part(dist.elements(tile, value.elements), slices, index)
        if part:
            loads.append(Load(operand, tile, load_value(value, part, hw), ceil_div(part * value.bits, 8)))
    return odd_halves(loads, hw)


def odd_halves(items: list[_Transfer], hw: Hardware) -> list[_Transfer]:
    """Transfers of one operand, one a tile: the odd one out is cut over the engines, whatever its size
    (evidence/lowering.md#3.1; every such transfer on 3 tiles of 4000 and 5010, from 8 B on)."""
    engines = hw.dma.engines
    if len(items) < 2 or len(items) % engines != 1 or engines < 2:
        return items
    return [*items[:-1], *(piece(items[-1], engines, i) for i in range(engines))]


def piece(item: _Transfer, count: int, index: int) -> _Transfer:
    """One of ``count`` equal parts of a transfer."""
    whole = item.work
    size, counted_bytes = (slice_part(n, count, index) for n in (whole.bytes, whole.counted_bytes))
    part = replace(item, work=replace(whole, bytes=size, counted_bytes=counted_bytes))
    if isinstance(part, Load):
        key = (*part.key, index) if part.key else ()
        return replace(part, cmx_bytes=slice_part(part.cmx_bytes, count, index), key=key)
    return part


def portion(work: DmaWork, part: int, whole: int) -> DmaWork:
    """A transfer of ``part`` elements out of the ``whole`` that it was for."""
    size, counted_bytes = (ceil_div(n * part, whole) for n in (work.bytes, work.counted_bytes))
    return replace(work, bytes=size, counted_bytes=counted_bytes)


def slice_part(total: int, slices: int, index: int) -> int:
    """Share of slice ``index`` of ``total`` cut evenly in ``slices``."""
    base, extra = divmod(total, slices)
    return base + (index < extra)


def output_stores(
    value: Value, dist: Dist, tiles: int, hw: Hardware, slices: int = 1, index: int = 0
) -> list[Store]:
    """Stores of one slice of an output: one a tile, or one in all where every tile holds the whole."""
    if dist.whole:
        part = slice_part(value.elements, slices, index)
        return [Store(ALL_TILES, transfer("cmx", "ddr", part, value.stored_bits, hw))]
    stores = []
    for tile in range(min(tiles, len(dist.cuts))):
        part = slice_part(dist.elements(tile, value.elements), slices, index)
        if part:
            stores.append(Store(tile, transfer("cmx", "ddr", part, value.stored_bits, hw)))
    return odd_halves(stores, hw)


def held(value: Value, dist: Dist, tiles: int, slices: int = 1) -> tuple[int, ...]:
    """Bytes that (the first slice of) a value takes on each tile."""
    return tuple(
        ceil_div(ceil_div(dist.elements(tile, value.elements), slices) * value.bits, 8)
        if tile < max(len(dist.cuts), tiles if dist.whole else 0)
        else 0
        for tile in range(tiles)
    )


def store(tile: int, elements: int, out: Value, hw: Hardware) -> Store:
    """A transfer of a part of an output to DDR."""
    return Store(tile, transfer("cmx", "ddr", elements, out.stored_bits, hw))


def nth(pieces: tuple[int, ...], i: int) -> int:
    """Piece ``i``, 0 beyond the last."""
    return pieces[i] if i < len(pieces) else 0


def load_bytes(loads: Sequence[Load], tiles: int) -> int:
    """CMX bytes of some loads on the fullest tile."""
    shared = sum(load.cmx_bytes for load in loads if load.tile == ALL_TILES)
    own = [0] * tiles
    for load in loads:
        if load.tile != ALL_TILES:
            own[load.tile] += load.cmx_bytes
    return shared + max(own)


def booked_bytes(loads: Sequence[Load], tiles: int) -> int:
    """CMX bytes that the scheduler books for some loads: operand by operand, each on its fullest tile."""
    by_operand: dict[int, list[Load]] = defaultdict(list)
    for load in loads:
        by_operand[load.operand].append(load)
    return sum(load_bytes(group, tiles) for group in by_operand.values())


def on_shave(plan: Plan) -> bool:
    """Whether SHAVE kernels run (a part of) a plan."""
    return any(isinstance(work, ShaveWork) for part in plan.slices[:1] for _, work in part.computes)


def multicast(plan: Plan, hw: Hardware) -> Plan:
    """The same plan with its result written to every tile (mobilenet-v2: depth-wise over channels, then 1x1)."""
    if len(plan.slices) != 1 or plan.out_dist is None or plan.out_dist.whole:
        return plan
    part = plan.slices[0]
    whole = plan.output.bytes if plan.in_place else sum(part.out_bytes)
    if booked_bytes(part.loads, hw.tiles) + whole > cmx_capacity(hw):
        return plan
    stores = output_stores(plan.output, WHOLE, hw.tiles, hw)
    everywhere = replace(part, stores=stores, out_bytes=(whole,) * hw.tiles)
    return replace(plan, out_dist=WHOLE, slices=[everywhere], in_place=False)


__all__ = [
    "ALL_TILES", "CONSTANT", "WHOLE", "Dist", "DmaWork", "DpuWork", "Load", "Plan", "ShaveWork", "Slice", "Store",
    "cmx_capacity", "counted", "held", "load_value", "multicast", "odd_halves", "on_shave", "operand_loads",
    "output_stores", "slice_part", "transfer",
]  # fmt: skip
