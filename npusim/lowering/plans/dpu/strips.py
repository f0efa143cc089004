"""Convolutions of an image cut into strips that follow one another: some rows, or columns, of each tile's rows."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Literal

from npusim.hardware.schema import Hardware
from npusim.lowering.ir.convolution import TABLE_BYTES, channel_bytes, is_stem, table_load
from npusim.lowering.ir.nodes import POINT, Conv
from npusim.lowering.ir.plan import ALL_TILES, CONSTANT, Load, Plan, Slice
from npusim.lowering.ir.shapes import CHANNELS
from npusim.lowering.ir.values import Value, even, round_up, row_dist
from npusim.lowering.plans.dpu.conv import Builder
from npusim.lowering.plans.dpu.surroundings import ALONE
from npusim.lowering.tile.slices import Cut
from npusim.program.work import DmaWork


@dataclass(frozen=True, slots=True)
class Strips:
    """Into how many strips each tile cuts its rows of an image, and along which axis."""

    axis: Literal["rows", "columns"]
    count: int

    def strategy(self, hw: Hardware) -> str:
        """What a plan in such strips says of itself, and no other does."""
        return f"split over rows (SOH) on {hw.tiles} tiles, {self.count} strips of {self.axis}"


class _Strip(Builder):
    """A convolution whose rows the tiles share, as slices of so many rows."""

    def __init__(self, node: Conv, hw: Hardware, count: int) -> None:
        super().__init__(node, hw, "rows", ALONE)
        self.from_whole, self.whole, self.cut = False, False, Cut(rows=count)

    def part(self, r: int) -> Slice:
        return self._slice(r, 0)


def strip_parts(node: Conv, hw: Hardware, strips: Strips) -> list[Slice]:
    """The slices of a convolution whose rows the tiles share, one a strip; its weights stay, tables come with each."""
    if strips.axis == "rows":
        rows = _Strip(node, hw, strips.count)
        parts = [rows.part(r) for r in range(strips.count)]
    else:
        parts = [_Strip(narrow, hw, 1).part(0) for narrow in _columns(node, strips.count)]
    if is_stem(node) or node.zeros:
        return parts
    return [_loaded(part, node, hw, i, strips.count) for i, part in enumerate(parts)]


def plan_strips(node: Conv, hw: Hardware, strips: Strips, chain: int = -1) -> Plan:
    """The plan of a convolution in strips, which come from DDR or, where it is not the first of ``chain``, from CMX.
    Its results may lie side by side there, but for planes."""
    act, parts = node.inputs[0], strip_parts(node, hw, strips)
    if chain >= 0:
        parts = [replace(part, loads=[x for x in part.loads if x.operand == CONSTANT]) for part in parts]
    return Plan(
        node, [act], [None], node.output,
        row_dist(node.output, node.output.shape[2], hw.tiles), parts, strips.strategy(hw),
        gathered=not node.output.plain,
        chain=chain,
    )  # fmt: skip


def _loaded(part: Slice, node: Conv, hw: Hardware, number: int, count: int) -> Slice:
    """A strip with its own activation and table, and the weights that all strips keep."""
    n16 = round_up(node.n, CHANNELS)
    size = n16 * (channel_bytes(node) - TABLE_BYTES)
    weights = Load(CONSTANT, ALL_TILES, DmaWork("ddr", "cmx", size, size), size, key=(3, 0))
    acts = [replace(load, key=(*load.key, number)) for load in part.loads if load.operand == 0]
    table = table_load(ALL_TILES, n16, hw, (number,))
    return replace(part, loads=[*acts, weights, table], detail=f"slice {number + 1}/{count}")


def _columns(node: Conv, count: int) -> Iterator[Conv]:
    """The convolution of each strip of columns: of a narrower image, halo included."""
    window, first = node.window or POINT, 0
    act, out = node.inputs[0], node.output
    for columns in even(out.shape[3], count):
        left = first * window.stride[1] - window.pads[1]
        right = left + (columns - 1) * window.stride[1] + window.kernel[1]
        narrow = _narrowed(act, min(act.shape[3], right) - max(0, left))
        yield replace(node, inputs=(narrow, *node.inputs[1:]), output=_narrowed(out, columns))
        first += columns


def _narrowed(value: Value, columns: int) -> Value:
    return replace(value, shape=(*value.shape[:3], columns))
