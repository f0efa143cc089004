"""Plans of DPU ops with constant weights: MatMul and dense Convolution."""

from __future__ import annotations

from collections.abc import Sequence

from npusim.costs.dpu import choose_mode
from npusim.hardware.schema import Hardware
from npusim.lowering.ir.convolution import (
    TABLE_BYTES,
    address_loads,
    channel_bytes,
    column_zeros,
    conv_work,
    fused_load,
    geometry,
    is_line_of_planes,
    row_zeros,
    shares_stencil,
    sparse_load,
    table_load,
    weights_load,
)
from npusim.lowering.ir.nodes import POINT, Product
from npusim.lowering.ir.plan import (
    ALL_TILES,
    CONSTANT,
    Load,
    Plan,
    Slice,
    Store,
    booked_bytes,
    cmx_capacity,
    held,
    load_value,
    odd_halves,
    store,
)
from npusim.lowering.ir.shapes import CHANNELS
from npusim.lowering.ir.values import WHOLE, Dist, Value, ceil_div, even, piece, round_up, row_dist
from npusim.lowering.plans.dpu.surroundings import ALONE, Surroundings
from npusim.lowering.split.dpu import Split, Wanted, choose, choose_alone, slices, weighed
from npusim.lowering.tile.fused import cut_together
from npusim.lowering.tile.matmul import Tiler
from npusim.lowering.tile.slices import Cut
from npusim.program.journal import note, recording
from npusim.program.work import DmaWork, DpuWork, MpeMode, Work
from npusim.size import check_op


def plan_conv(node: Product, hw: Hardware, around: Surroundings = ALONE) -> Plan:
    """MatMul by constant weights, or a dense convolution."""
    rows_before = around.hint is not None and not around.hint.whole
    if around.reordered and node.window is not None:
        split = choose_alone(node, hw, around.behind, rows_before, around.wanted)
    else:
        split = choose(node, hw, rows_before, around.wanted, around.behind, around.spilled_us, around.fuses())
    if recording():
        note("split", node.name, f"{split} of {node.n} channels", weighed(node, hw, around.behind))
    return Builder(node, hw, split, around).build()


class Builder:
    """Makes the slices of one convolution: rows outermost, then output channels."""

    def __init__(self, node: Product, hw: Hardware, split: Split, around: Surroundings) -> None:
        """Decides where the result lies and how the convolution is sliced."""
        self.node, self.hw, self.split, self.around = node, hw, split, around
        self.height, self.width = geometry(node, hw)
        self.act, self.weights, self.out = node.inputs[0], node.inputs[1], node.output
        self.n, self.n16 = node.n, round_up(node.n, CHANNELS)
        self.window = node.window
        kernel = (node.window or POINT).kernel
        self.k16 = round_up(node.k, CHANNELS)
        self.reduced = self.k16 * kernel[0] * kernel[1]
        image = node.window is not None and len(self.act.shape) > 2
        self.in_rows = self.act.shape[2] if image else self.height
        self.from_whole = split != "rows" or (around.hint is not None and around.hint.whole)
        self.whole = self._whole_output(around.wanted)
        apart = is_line_of_planes(node) and (hw.software.broadcast_output or split == "rows")
        followed = "" if apart else around.followed
        self.cut = self._followed_cut() if followed else self._cut()
        if self.whole and split == "rows" and self.cut.slices > 1:
            self.whole = False
            self.cut = self._cut()
        self._make_fit()

    def _cut(self, followed: bool = False) -> Cut:
        sliced, behind = self.around.sliced_producer, self.around.behind
        return slices(self.node, self.hw, self.split, self.whole, sliced, followed, behind)

    def _followed_cut(self) -> Cut:
        """The slices beside an elementwise kernel behind it, for a MatMul that loads its activation the compiler's."""
        if self.window is not None or self.split == "repeated" or not self.around.fuses(self.split):
            return self._cut(followed=True)
        tiler = Tiler.of(self.node, self.hw, self.whole)
        return cut_together(tiler, self.split, self.around.read_us) or self._cut()

    def _make_fit(self) -> None:
        """Where a slice is too large for CMX nevertheless (what is read or written whole was not counted so), give up
        one thing after the other: the activation as it lies, the result on every tile, the size of slices."""
        if not self._fits() and self.split == "rows":
            self.from_whole = False
        if not self._fits() and self.split == "rows" and self.whole:
            self.whole = False
            self.cut = self._cut()
        rows = ceil_div(self.height, self.hw.tiles) if self.split == "rows" else self.height
        while not self._fits() and self.cut != Cut(rows, self.n16 // CHANNELS):
            finer = Cut(min(2 * self.cut.rows, rows), self.cut.channels)
            if finer == self.cut:
                finer = Cut(rows, min(2 * self.cut.channels, self.n16 // CHANNELS))
            self.cut = finer

    def _fits(self) -> bool:
        """Whether the largest slice fits CMX: the first, or the second one of rows, which has more halo; where the
        image is read with zeros between its pixels, any."""
        grown = self.window is not None and self.window.grown > 1
        parts = [self._slice(r, 0) for r in range(self.cut.rows if grown else min(2, self.cut.rows))]
        tiles = self.hw.tiles
        most = max(booked_bytes(part.loads, tiles) + max(part.out_bytes) for part in parts)
        return most <= cmx_capacity(self.hw)

    def _whole_output(self, wanted: Wanted) -> bool:
        if self.split == "rows":
            return wanted is Wanted.WHOLE
        return self.split == "repeated" or wanted not in (Wanted.CUT, Wanted.CHANNELS)

    def build(self) -> Plan:
        """The plan."""
        rows, channels = range(self.cut.rows), range(self.cut.channels)
        check_op(self.node.name, 3 * self.hw.tiles * self.cut.slices)  # loaded, computed, stored
        if self.cut.rows_first:
            parts = [self._slice(r, c) for r in rows for c in channels]
        else:
            parts = [self._slice(r, c) for c in channels for r in rows]
        in_dist = WHOLE if self.from_whole else row_dist(self.act, self.in_rows, self.hw.tiles)
        names = {"rows": "split over rows (SOH)", "channels": "split over output channels (SOK)"}
        used = self.hw.tiles if self.split != "channels" else min(self.hw.tiles, self.n16 // CHANNELS)
        strategy = f"{names.get(self.split, 'repeated')} on {used} tiles"
        if self.cut.slices > 1:
            strategy += f", {self.cut.slices} slices"
        if self.node.zeros:
            strategy += f", weights {self.node.zeros:.0%} zero and stored sparse"
        inputs: list[Value] = [self.act]
        dists: list[Dist | None] = [in_dist]
        if not self.weights.constant:
            inputs, dists = [self.act, self.weights], [in_dist, None if self.split == "channels" else WHOLE]
        out_dist = self._out_dist()
        fits = max(held(self.out, out_dist, self.hw.tiles)) <= cmx_capacity(self.hw)
        gathered = self.cut.slices > 1 and self.window is not None and fits
        return Plan(self.node, inputs, dists, self.out, out_dist, parts, strategy, gathered=gathered)

    def _out_dist(self) -> Dist:
        if self.whole:
            return WHOLE
        planes = self.window is not None and self.out.plain and self.width > 1
        if self.split == "rows" and planes:
            return Dist(self.n, tuple(rows * self.width for rows in even(self.height, self.hw.tiles)))
        if self.split == "rows":
            return row_dist(self.out, self.height, self.hw.tiles)
        cuts = even(self.n16, self.hw.tiles, CHANNELS)
        cuts, pixels = (*cuts[:-1], cuts[-1] - (self.n16 - self.n)), self.height * self.width
        return Dist(1, tuple(c * pixels for c in cuts)) if planes else Dist(pixels, cuts)

    def _slice(self, r: int, c: int) -> Slice:
        """Slice ``r`` of rows and ``c`` of channels."""
        done, channels = (CHANNELS * n for n in piece(self.n16 // CHANNELS, self.cut.channels, c))
        real = min(channels, self.n - done)
        if self.split == "rows":
            tile_rows = tuple(rows for _, rows in self._tile_ranges(r))
            tile_channels = (channels,) * len(tile_rows)
        else:
            count = (
                self.hw.tiles if self.split == "repeated" else len(even(channels, self.hw.tiles, CHANNELS))
            )
            _, rows = piece(self.height, self.cut.rows, r)
            tile_rows = (rows,) * count
            tile_channels = (
                (channels,) * count if self.split == "repeated" else even(channels, self.hw.tiles, CHANNELS)
            )
        computes: list[tuple[int, Work]] = [
            (t, self._work(h, n, self._mode(tile_rows, t, n, channels)))
            for t, (h, n) in enumerate(zip(tile_rows, tile_channels, strict=True))
            if h and n
        ]
        number = r * self.cut.channels + c if self.cut.rows_first else c * self.cut.rows + r
        return Slice(
            [
                *self._addresses(r, c, tile_rows),
                *self._act_loads(r, c, tile_rows),
                *self._constants(r, c, channels, tile_channels),
            ],
            computes,
            self._stores(tile_rows, tile_channels, real),
            self._held(tile_rows, tile_channels, channels),
            f"slice {number + 1}/{self.cut.slices}" if self.cut.slices > 1 else "",
        )

    def _work(self, rows: int, channels: int, mode: MpeMode) -> DpuWork:
        everywhere = self.whole and self.split != "repeated"
        return conv_work(rows, self.width, channels, self.k16, self.node, mode, self.hw, everywhere)

    def _mode(self, tile_rows: Sequence[int], tile: int, own: int, channels: int) -> MpeMode:
        """The stencil of a task, which its output tensor decides: a tile's own rows and channels, but all channels of
        the slice where every tile's result reaches all others, and all its rows where ``software.whole_stencil``."""
        shared = self.split == "channels" and self.whole and shares_stencil(self.node, self.hw)
        whole = self.split == "rows" and self.hw.software.whole_stencil
        rows = sum(tile_rows) if whole else tile_rows[tile]
        return choose_mode(rows, self.width, channels if shared else own, self.hw)

    def _act_loads(self, r: int, c: int, tile_rows: tuple[int, ...]) -> list[Load]:
        """The activation rows of a slice; loaded once for all its slices along channels if those come together."""
        key = (r,) if self.cut.rows_first or self.cut.rows == 1 else (r, c)
        if self.from_whole:
            start = piece(self.height, self.cut.rows, r)[0] if self.split != "rows" else 0
            end = start + tile_rows[0] if self.split != "rows" else self.height
            zeros = row_zeros(self.node, self.hw, key) if self.around.loose else []
            return [self._act_load(ALL_TILES, self._input_rows(start, end), (0, *key)), *zeros]
        loads = []
        for t, (begin, rows) in enumerate(self._tile_ranges(r)):
            if rows:
                loads.append(self._act_load(t, self._input_rows(begin, begin + rows), (0, t, *key)))
        return odd_halves(loads, self.hw)

    def _addresses(self, r: int, c: int, tile_rows: tuple[int, ...]) -> list[Load]:
        rows = list(enumerate(tile_rows)) if self.split == "rows" else [(ALL_TILES, tile_rows[0])]
        return address_loads(self.node, rows, self.width, self.k16, self.hw, r, c)

    def _tile_ranges(self, r: int) -> list[tuple[int, int]]:
        """First output row and number of rows of slice ``r`` on every tile: the tiles share every slice of a MatMul;
        of a convolution with halo, every tile cuts its own rows."""
        cut, tiles = self.cut.rows, self.hw.tiles
        if self.window is None:
            first, rows = piece(self.height, cut, r)
            shares = (piece(rows, tiles, t) for t in range(max(1, min(tiles, rows))))
            return [(first + begin, own) for begin, own in shares]
        return [
            (first + begin, own)
            for first, rows in (piece(self.height, tiles, t) for t in range(min(tiles, self.height)))
            for begin, own in (piece(rows, cut, r),)
        ]

    def _input_rows(self, begin: int, end: int) -> int:
        """Input rows that output rows ``begin`` to ``end`` need, halo included, padding and rows of zeros not; one at
        least, also where all that they see is padding."""
        window = self.window or POINT
        stride, grown, top = window.stride[0], window.grown, window.top
        if self.window is None or (not self.hw.software.halo_copies and end - begin < self.height):
            return min(ceil_div((end - begin) * stride, grown), self.in_rows)
        last = (end - 1) * stride - top + window.kernel[0]
        return max(min(ceil_div(last, grown), self.in_rows) - max(begin * stride - top, 0) // grown, 1)

    def _act_load(self, tile: int, rows: int, key: tuple[int, ...]) -> Load:
        elements = rows * self.act.elements // self.in_rows
        padded = elements // self.node.k * self.k16
        return Load(
            0, tile, load_value(self.act, elements, self.hw), ceil_div(padded * self.act.bits, 8), key
        )

    def _constants(self, r: int, c: int, channels: int, tile_channels: tuple[int, ...]) -> list[Load]:
        """Weights and tables: kept over all slices where they are not cut, else loaded anew for every slice."""
        kept = self.cut.channels == 1 or self.cut.rows == 1 or not self.cut.rows_first
        key = (c,) if kept else (c, r)
        tables = (c, r) if self.window is None else key
        if (
            self.cut.rows > 1
            and kept
            and self.split != "channels"
            and self.weights.constant
            and tables != key
        ):
            k = channel_bytes(self.node) - TABLE_BYTES
            once = DmaWork("ddr", "cmx", channels * k, channels * k)
            return [
                Load(CONSTANT, ALL_TILES, once, channels * k, key=(3, *key)),
                table_load(ALL_TILES, channels, self.hw, tables),
            ]
        if self.split != "channels" and self.weights.constant:
            return [fused_load(channels * channel_bytes(self.node), *key)]
        parts = list(enumerate(tile_channels)) if self.split == "channels" else [(ALL_TILES, channels)]
        operand = CONSTANT if self.weights.constant else 1
        with_tables = [table_load(t, n, self.hw, tables) for t, n in parts]
        if self.node.zeros:
            sparse = [sparse_load(t, n, self.node, self.hw, key) for t, n in parts]
            loads = [*map(list, zip(*sparse, strict=True)), with_tables]
        else:
            whole = [weights_load(operand, t, n, self.reduced, self.weights, self.hw, key) for t, n in parts]
            zeros = column_zeros(self.node, self.hw, key) if self.split != "channels" else []
            loads = [whole, zeros, with_tables]
        return [load for kind in loads for load in odd_halves(kind, self.hw)]

    def _stores(self, tile_rows: tuple[int, ...], tile_channels: tuple[int, ...], real: int) -> list[Store]:
        if self.split == "rows" and not self.whole:
            rows_out = [
                store(t, h * self.width * real, self.out, self.hw) for t, h in enumerate(tile_rows) if h
            ]
            return odd_halves(rows_out, self.hw)
        rows = sum(tile_rows) if self.split == "rows" else tile_rows[0]
        if self.whole:
            return [store(ALL_TILES, rows * self.width * real, self.out, self.hw)]
        padded = sum(tile_channels)
        last = len(tile_channels) - 1
        parts = [
            store(t, rows * self.width * (n - (padded - real) * (t == last)), self.out, self.hw)
            for t, n in enumerate(tile_channels)
        ]
        return odd_halves(parts, self.hw)

    def _held(
        self, tile_rows: tuple[int, ...], tile_channels: tuple[int, ...], channels: int
    ) -> tuple[int, ...]:
        unit = self.width * self.out.bits // 8
        if self.whole:
            rows = sum(tile_rows) if self.split == "rows" else tile_rows[0]
            return (rows * unit * channels,) * self.hw.tiles
        own = tuple(h * unit * n for h, n in zip(tile_rows, tile_channels, strict=True))
        return own + (0,) * (self.hw.tiles - len(own))
