"""What plans of DPU ops without dense weights share: geometry, slices that fit CMX, and the plan made of them."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from math import gcd, isqrt

from npusim.hardware.schema import Hardware
from npusim.lowering.ir.nodes import Node
from npusim.lowering.ir.plan import Load, Plan, Slice, cmx_capacity, held, operand_loads, output_stores
from npusim.lowering.ir.shapes import CHANNELS, segments
from npusim.lowering.ir.values import WHOLE, Dist, Value, canonical4, ceil_div, even, round_up, row_dist
from npusim.program.work import DpuKind, DpuWork, Work
from npusim.size import check_op

#: Share of CMX that a chain of DPU ops may take with two slices resident: 6 slices for 24x256x256 reduced on 4 tiles,
#: where 5 would take 0.97 of it.
CHAIN_SHARE = 0.9
#: Share of CMX within which two slices lie with their results, so that one is stored while the next is computed (output
#: pipelining: C26 tiling.hpp; 0.834 is taken and 0.8515 refused on 3720).
OUTPUTS_SHARE = 0.85
#: Most channels of one depth-wise or pooling workload.
WORKLOAD = 64


def workload_channels(channels: int) -> int:
    """Channels of one depth-wise or pooling workload: 64, 32 or 16, of which the last one may be as small as 32 or 16
    (608 are nine of 64 and one of 32; 1,712 have 48 beyond 64s, so that they are 53 times 32 and one of 16)."""
    wide = round_up(channels, CHANNELS)
    units = (unit for unit in (WORKLOAD, 32) if wide >= unit and wide % unit in (0, 16, 32))
    return next(units, CHANNELS)


def workload_slices(channels: int, hw: Hardware) -> int:
    """Into how many equal slices along channels a depth-wise or pooling op over rows is cut for the number of its
    workloads alone: not for half of what a barrier counts on a tile, else to fewer than that on all tiles together (64
    on 4000 and 5010: 2,304 to 5,376 channels; 1,536 and 1,792 are not cut)."""

    def workloads(share: int) -> int:
        return ceil_div(share, workload_channels(share))

    slots, units = hw.software.barrier_workloads, channels // CHANNELS
    if 2 * workloads(channels) <= slots:
        return 1
    divisors = (n for n in range(2, units + 1) if units % n == 0)
    return next((n for n in divisors if workloads(channels // n) * hw.tiles < slots), units)


def square(size: int) -> tuple[int, int]:
    """The most square factor pair (h, w), h >= w."""
    for w in range(isqrt(size), 0, -1):
        if size % w == 0:
            return size // w, w
    return size, 1


@dataclass(frozen=True, slots=True)
class Image:
    """Height, width and channels of a DPU op's view of a tensor, the channels innermost in memory.

    ``flat``: the pixels are one row as long as ``height`` (H = 1), cut over the tiles along W.
    """

    height: int
    width: int
    channels: int
    flat: bool = False

    def work(self, kind: DpuKind, rows: int, columns: int, channels: int, **more: int) -> DpuWork:
        """A workload of so many rows and columns of this image."""
        if self.flat:
            rows, columns = columns, rows
        return DpuWork(kind, rows, columns, channels, **more)  # type: ignore[arg-type]


def refold(shape: tuple[int, ...]) -> Image:
    """A row-major shape for a shape-free DPU op (evidence/lowering.md#1.1): [C,H,W] with W as channels; a single
    plane, or a width that is no multiple of 16, as 16 channels and a near square image."""
    n, c, h, w = canonical4(shape)
    total = n * c * h * w
    if w % CHANNELS == 0 and n * c > 1:
        return Image(n * c, h, w)
    if total % CHANNELS == 0:
        return near_square(total)
    return Image(n * c if n * c > 1 else h, h if n * c > 1 else 1, round_up(w, CHANNELS))


def near_square(elements: int) -> Image:
    """So many elements, a multiple of 16, as 16 channels of a near square image."""
    height, width = square(elements // CHANNELS)
    return Image(height, width, CHANNELS)


def is_refolded(value: Value) -> bool:
    """Whether a shape-free DPU op sees a value in other dimensions than those it has in memory."""
    n, c, _, w = canonical4(value.physical)
    return w % CHANNELS > 0 or n * c == 1


def is_reshaped(value: Value) -> bool:
    """Whether it sees other rows than those that lie one behind the other in memory."""
    n, c, *_ = canonical4(value.physical)
    return is_refolded(value) and refold(value.physical).height != n * c


def image_split(value: Value, tiles: int) -> Dist | None:
    """How a clamp cuts a value that it sees as an image of 16 channels with fewer rows than tiles: over the channels
    (Clip of Mamba-2, 4 x 24 on 4, 5 and 6 tiles)."""
    if not is_refolded(value) or value.elements % CHANNELS:
        return None
    height, width = square(value.elements // CHANNELS)
    return Dist(height * width, segments(CHANNELS, tiles)) if height < tiles <= CHANNELS else None


def borrow_channels(shape: tuple[int, ...], tiles: int) -> Image | None:
    """[C,H,W] with channels made a multiple of 16 by factors of W (24 x 256 -> 48 x 128; 1 x 1536 -> 16 x 96), where
    the result need not be in the order of the original: a scale by a scalar."""
    n, c, h, w = canonical4(shape)
    channels = n * c * CHANNELS // gcd(n * c, CHANNELS)
    factor = channels // (n * c)
    if w % factor == 0 and (h >= tiles or h * (w // factor) < tiles):
        return Image(h, w // factor, channels)
    if n * c * h * w % CHANNELS == 0:
        height, width = square(n * c * h * w // CHANNELS)
        return Image(height, width, CHANNELS)
    return None


def fit(
    hw: Hardware,
    in_bytes: int,
    out_bytes: int,
    units: int,
    *,
    fixed: int = 0,
    ahead: bool = True,
    equal: bool = False,
    least: int = 1,
) -> int:
    """Into how many slices an op is cut so that each fits one tile's CMX.

    ``ahead``: with the next slice's input beside it (pools and depth-wise ops; eltwise and permute ops do without).
    ``equal``: only counts that divide ``units`` (channels: [1024,2560] is scaled in 4 slices of 640). Their constants
    (``fixed``) need room beside one slice alone (the same on 3720, where then no load runs ahead). ``least`` slices it
    has in any case. Where no unit fits, it is cut within units.
    """
    capacity = cmx_capacity(hw)
    if in_bytes + out_bytes + fixed <= capacity and least == 1:
        return 1
    for n in range(max(2, least), units + 1):
        if equal and units % n:
            continue
        share = ceil_div(units, n) / units
        alone = share * (in_bytes + out_bytes) + fixed
        both = share * ((2 if ahead else 1) * in_bytes + out_bytes) + (0 if equal else fixed)
        if max(alone, both) <= capacity:
            return n
    return max(units, ceil_div(in_bytes + out_bytes, max(capacity - fixed, 1))) if fixed < capacity else units


def fit_chain(hw: Hardware, bytes_held: int, units: int, share: float = CHAIN_SHARE, fixed: int = 0) -> int:
    """Slices of a chain whose inputs and results, twice, take at most a ``share`` of CMX, with the ``fixed`` bytes of
    constants that each brings."""
    if bytes_held + fixed <= cmx_capacity(hw):
        return 1
    budget = share * cmx_capacity(hw) - 2 * fixed
    fewest = (n for n in range(2, units + 1) if 2 * ceil_div(units, n) / units * bytes_held <= budget)
    return next(fewest, max(units, ceil_div(bytes_held, int(budget))))


def row_cuts(height: int, tiles: int) -> tuple[int, ...]:
    """Rows a tile; all of them on every tile where there are fewer rows than tiles."""
    cuts = even(height, tiles)
    return cuts if len(cuts) == tiles else (height,) * tiles


def row_split(value: Value, height: int, tiles: int) -> Dist:
    """A value of ``height`` outermost rows over the tiles; whole where there are fewer rows than tiles, or where they
    have been reduced to less than one element each."""
    few = min(height, value.elements) < tiles or value.elements < height
    return WHOLE if few else row_dist(value, height, tiles)


Works = Callable[[int, int], Iterable[Work]]


def assemble(
    node: Node, hw: Hardware, inputs: Sequence[Value], in_dists: list[Dist], out: Value, out_dist: Dist, slices: int,
    works: Works, strategy: str, constants: Callable[[int], list[Load]] | None = None, in_place: bool = False,
) -> Plan:  # fmt: skip
    """The plan whose slice i runs ``works(tile, i)`` after its shares of the inputs and its ``constants(i)``."""
    tiles = hw.tiles
    parts = []
    for i in range(slices):
        loads = [
            x
            for k, (v, d) in enumerate(zip(inputs, in_dists, strict=True))
            for x in operand_loads(k, v, d, tiles, hw, slices, i)
        ]
        loads.extend(constants(i) if constants else [])
        computes = [(t, w) for t in range(tiles) for w in works(t, i)]
        check_op(node.name, len(computes) * slices)
        used = (0,) * tiles if in_place else held(out, out_dist, tiles, slices)
        parts.append(Slice(loads, computes, output_stores(out, out_dist, tiles, hw, slices, i), used))
    if slices > 1:
        strategy = f"{strategy}, {slices} slices"
    return Plan(node, list(inputs), list(in_dists), out, out_dist, parts, strategy, in_place=in_place)


def padded(value: Value, channels: int, real: int) -> Value:
    """A value with its innermost ``real`` channels padded to ``channels``."""
    if channels == real:
        return value
    elements = value.elements // real * channels
    return replace(value, shape=(elements,), order=())


def depthwise_tasks(
    image: Image, rows: int, columns: int, channels: int, hw: Hardware, **more: int
) -> list[Work]:
    """The depth-wise tasks of one tile: one for each ``software.task_workloads`` workloads."""
    unit = workload_channels(channels)
    limit = unit * hw.software.task_workloads
    return [
        image.work("dwconv", rows, columns, min(limit, channels - done), variant_channels=unit, **more)
        for done in range(0, channels, limit)
    ]
