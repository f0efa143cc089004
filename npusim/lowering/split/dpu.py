"""How a convolution is split over the tiles: by rows (SOH), by output channels (SOK), or repeated on every tile.

The compiler compares what its cost network says for each; here the hardware file's own DPU cost stands for the
network.
Evidence: 62 distinct convolutions of the reference traces (evidence/lowering.md#2.2).
"""

from __future__ import annotations

from dataclasses import replace
from enum import Enum
from typing import Literal

from npusim.costs.dpu import STENCIL_PIXELS, choose_mode, cycles
from npusim.hardware.schema import Hardware
from npusim.lowering.ir.convolution import TABLE_BYTES, channel_bytes, conv_work, geometry
from npusim.lowering.ir.nodes import POINT, Product
from npusim.lowering.ir.plan import cmx_capacity
from npusim.lowering.ir.shapes import CHANNELS
from npusim.lowering.ir.values import Value, ceil_div, even, round_up
from npusim.lowering.tile.matmul import Tiler
from npusim.lowering.tile.matmul_estimate import NOTHING, Behind
from npusim.lowering.tile.matmul_fit import is_windowed
from npusim.lowering.tile.slices import Cut, Demand, cut

Split = Literal["rows", "channels", "repeated"]
#: Those of which every tile does a part.
SPLITS: tuple[Split, Split] = ("rows", "channels")


class Wanted(Enum):
    """How the readers of a convolution want its result to lie over the tiles."""

    ANY = "as it comes"
    CUT = "cut, however: a SHAVE kernel takes over any cut"
    CHANNELS = "cut over channels: a norm of an image"
    WHOLE = "whole on every tile"
    ROWS = "in rows"
    POINTS = "in rows, or whole on every tile as good: windows of one pixel"
    EITHER = "whole on every tile or in rows"


#: Share of the time of its weights' transfer that counts where the times of both splits are compared.
#: Of those of a window whose activation a pass has brought to channels last: nothing else is computed before it.
WEIGHTS_COUNTED, WEIGHTS_ALONE = 0.35, 0.5
#: How much longer rows may take than channels then: with a kernel window; without one where rows stay in CMX behind
#: the pass to channels last, and where they do not.
WINDOW_TOLERANCE, STAYING_TOLERANCE, SPILLED_TOLERANCE = 0.97, 1.2, 1.15
#: Rows a tile from which the split of an image with sparse weights is estimated so.
SPARSE_ROWS = 3


def demand(node: Product, hw: Hardware, split: Split, whole_output: bool) -> Demand:
    """What one tile holds of a convolution under a split."""
    height, width = geometry(node, hw)
    n16 = round_up(node.n, CHANNELS)
    act, out = node.inputs[0], node.output
    row = width * out.bits // 8
    in_rows = act.shape[2] if node.window is not None and len(act.shape) > 2 else height
    per_row = _padded_act(node) // in_rows
    stride = (node.window or POINT).stride[0]
    halo = max(0, _input_rows(node, 1) - stride) * per_row
    k16 = round_up(node.k, CHANNELS)

    def computes(rows: int, granules: int) -> float:
        channels = granules * CHANNELS
        mode = choose_mode(rows * (hw.tiles if split == "rows" else 1), width, channels, hw)
        return cycles(conv_work(rows, width, channels, k16, node, mode, hw), hw) / hw.clocks.dpu_mhz

    if split == "channels":
        granules = ceil_div(n16 // CHANNELS, hw.tiles)
        held = n16 if whole_output else granules * CHANNELS
        channels = granules * CHANNELS
        weights, tables = channels * channel_bytes(node), channels * TABLE_BYTES
        return Demand(
            _padded_act(node), weights, height * row * held, height, n16 // CHANNELS, tables, halo, hw.tiles,
            computes,
        )  # fmt: skip
    rows = height if split == "repeated" else ceil_div(height, hw.tiles)
    act_rows = min(act.shape[2] if node.window is not None else height, _input_rows(node, rows))
    held = height if whole_output else rows
    weights, tables, units = n16 * channel_bytes(node), n16 * TABLE_BYTES, n16 // CHANNELS
    return Demand(act_rows * per_row, weights, held * row * n16, rows, units, tables, halo, 1, computes)


def _padded_act(node: Product) -> int:
    """Bytes of the activation with its channels padded."""
    act, k = node.inputs[0], node.k
    return act.elements // k * round_up(k, CHANNELS) * act.bits // 8


def _input_rows(node: Product, rows: int) -> int:
    """Input rows that so many output rows need, halo included."""
    window = node.window
    if window is None:
        return rows
    return ceil_div((rows - 1) * window.stride[0] + window.kernel[0], window.grown)


def slices(
    node: Product,
    hw: Hardware,
    split: Split,
    whole_output: bool,
    sliced_producer: bool,
    followed: bool = False,
    behind: Behind = NOTHING,
) -> Cut:
    """The slices of a convolution under a split: those that the compiler estimates to be cheapest but for convolutions
    of lines, those that every tile repeats and those with a kernel behind them (``tile.slices.cut``)."""
    if (node.window is None or is_windowed(node)) and split != "repeated" and not followed:
        return Tiler.of(node, hw, whole_output, behind).cut(split)
    by_channels = split == "channels"
    return cut(demand(node, hw, split, whole_output), hw, by_channels, sliced_producer, followed)


def choose(
    node: Product,
    hw: Hardware,
    rows_before: bool = False,
    wanted: Wanted = Wanted.ANY,
    behind: Behind = NOTHING,
    spilled_us: float = 0.0,
    followed: bool = False,
) -> Split:
    """The split of a convolution. That of a MatMul is the one that costs least with all its transfers (``tiling``); of
    one head's projection, whose activation is loaded once for all heads, too, but over channels where both operands
    have 8 bits, every tile gets some, and attention is no function of its own. Of products of two activations that
    share one, and of other convolutions, computing decides.
    ``rows_before``: its activation lies in rows already; ``wanted``: how its readers want the result; ``spilled_us``:
    what a MatMul's neighbours cost that can't stay in rows; ``followed``: a kernel alone reads it, for which each tile
    may keep its own channels, and of two splits one that fits CMX whole is taken before one that does not."""
    height, width = geometry(node, hw)
    n16 = round_up(node.n, CHANNELS)
    granules = n16 // CHANNELS
    if height < hw.tiles:
        return "repeated" if granules < hw.tiles else "channels"
    narrow = node.inputs[0].bits == node.inputs[1].stored_bits == 8
    if node.shared and narrow and not node.region and granules % hw.tiles == 0:
        return "channels"
    if node.window is None and (not node.shared or node.inputs[1].constant):
        alone = _alone_fits(node, hw) if followed else None
        before = NOTHING if followed else behind
        return alone or Tiler.of(_dense(node), hw, behind=before).choose(spilled_us)
    if _weighed_sparse(node, hw):
        tiler = Tiler.of(node, hw, behind=behind)
        return "rows" if tiler.cut("rows").slices == 1 else tiler.choose()
    if wanted is Wanted.CHANNELS:
        return _shorter(node, hw, WINDOW_TOLERANCE, _for_norm_us(node, hw, rows_before), kept=True)
    if (node.window or POINT).kernel != (1, 1):
        return _shorter(
            node, hw, WINDOW_TOLERANCE, through_ddr_us(node.output, hw) if wanted is Wanted.ROWS else 0.0
        )
    k16 = round_up(node.k, CHANNELS)
    mode = choose_mode(height, width, n16, hw)
    over_channels = cycles(
        conv_work(height, width, even(n16, hw.tiles, CHANNELS)[0], k16, node, mode, hw), hw
    )
    over_rows = cycles(conv_work(even(height, hw.tiles)[0], width, n16, k16, node, mode, hw), hw)
    ratio = over_rows / over_channels if over_channels else 1.0  # results of a type that is not priced
    beside = (rows_before or wanted in (Wanted.ROWS, Wanted.POINTS)) and node.window is not None
    if ratio > (hw.software.neighbour_tolerance if beside else hw.software.rows_tolerance):
        return "channels"
    by_channels = slices(node, hw, "channels", True, True, behind=behind)
    by_rows = slices(node, hw, "rows", False, True, behind=behind)
    patience = (
        2 if wanted in (Wanted.ROWS, Wanted.POINTS, Wanted.EITHER) or (rows_before and ratio < 1) else 1
    )
    if by_channels.channels == 1 and by_channels.slices * patience < by_rows.slices:
        return "channels"
    return "rows"


def _alone_fits(node: Product, hw: Hardware) -> Split | None:
    """The split of a MatMul under which alone all of it fits CMX, if each tile keeps its own channels."""
    fit = Tiler.of(_dense(node), hw, whole=False).fit
    rows, channels = fit.fits("rows", Cut()), fit.fits("channels", Cut())
    return None if rows == channels else "rows" if rows else "channels"


def weighed(node: Product, hw: Hardware, behind: Behind = NOTHING) -> dict[str, float]:
    """The splits that a convolution or MatMul could take, in words, and what the compiler's estimate says of each, µs:
    of MatMuls with transfers, of images computing alone."""
    if node.window is None:
        return Tiler.of(_dense(node), hw, behind=behind).weighed()
    height, width = geometry(node, hw)
    n16, k16 = round_up(node.n, CHANNELS), round_up(node.k, CHANNELS)
    mode = choose_mode(height, width, n16, hw)
    shares = {
        "rows over the tiles": (even(height, hw.tiles)[0], n16),
        "channels over the tiles": (height, even(n16, hw.tiles, CHANNELS)[0]),
        "the whole on every tile": (height, n16),
    }
    return {
        name: cycles(conv_work(rows, width, channels, k16, node, mode, hw), hw) / hw.clocks.dpu_mhz
        for name, (rows, channels) in shares.items()
    }


def _dense(node: Product) -> Product:
    """A MatMul as its splits are compared: zeros among its weights change how many slices it takes, not its split."""
    return replace(node, zeros=0.0)


def _weighed_sparse(node: Product, hw: Hardware) -> bool:
    """Whether an image's weights are stored sparse, so that its split is the one whose estimate is least with all
    transfers. Where tiles keep their own channels (3720) zeros change nothing."""
    enough = geometry(node, hw)[0] >= SPARSE_ROWS * hw.tiles
    return bool(node.zeros) and node.window is not None and enough and hw.software.broadcast_output


def choose_alone(
    node: Product,
    hw: Hardware,
    behind: Behind = NOTHING,
    rows_before: bool = False,
    wanted: Wanted = Wanted.ANY,
) -> Split:
    """The split of a convolution whose activation was brought to channels last for it. A pass that works on the image
    itself, whose rows are multiples of 16 pixels, leaves rows in CMX, and so may one that folds each tile's own; where
    it has (``rows_before``), channels take the activation through DDR."""
    act, point = node.inputs[0], (node.window or POINT).kernel == (1, 1)
    few = geometry(node, hw)[0] < hw.tiles or round_up(node.n, CHANNELS) < CHANNELS * hw.tiles
    if few or _weighed_sparse(node, hw):
        return choose(node, hw, behind=behind)
    if wanted is Wanted.CHANNELS:
        moved_us = _for_norm_us(node, hw, rows_before)
        return _shorter(node, hw, WINDOW_TOLERANCE, moved_us, WEIGHTS_ALONE, kept=True)
    after_us = through_ddr_us(node.output, hw) if wanted is Wanted.ROWS else 0.0
    if not point:
        moved_us = after_us + (through_ddr_us(act, hw) if rows_before else 0.0)
        return _shorter(node, hw, WINDOW_TOLERANCE, moved_us, WEIGHTS_ALONE)
    columns = act.shape[3] if len(act.shape) > 3 else 1
    if act.shape[2] >= hw.tiles and columns % CHANNELS == 0:
        return "rows"
    pixels, rest = divmod(act.shape[2] * columns, hw.tiles * CHANNELS)
    stays = not rest and pixels * CHANNELS % columns == 0
    return _shorter(node, hw, STAYING_TOLERANCE if stays else SPILLED_TOLERANCE, after_us)


def through_ddr_us(value: Value, hw: Hardware) -> float:
    """What it takes to bring a value through DDR to readers that want it otherwise than it lies, µs: the compiler
    counts all of it where it lies whole on every tile, and a part for each engine where it lies in rows."""
    return value.bytes * (1 + 1 / hw.dma.engines) / hw.ddr.bandwidth_gbps / 1e3


def _for_norm_us(node: Product, hw: Hardware, rows_before: bool) -> float:
    """What channels cost more than rows, or less, where a norm reads the result by its channels, µs: that brings rows
    through DDR, in parts, and channels the activation, if that lies in rows (``rows_before``)."""
    out, engines = node.output, hw.dma.engines
    after_us = 2 / engines * out.bytes / hw.ddr.bandwidth_gbps / 1e3
    return (through_ddr_us(node.inputs[0], hw) if rows_before else 0.0) - after_us


def _shorter(
    node: Product,
    hw: Hardware,
    tolerance: float,
    moved_us: float = 0.0,
    counted: float = WEIGHTS_COUNTED,
    kept: bool = False,
) -> Split:
    """The split that fits CMX, or the one that takes less long with a part of its weights' transfer (``counted``),
    which rows need whole on every tile, and with what channels cost the neighbours (``moved_us``); rows up to
    ``tolerance`` times the time of channels. ``kept``: each tile keeps its own channels of the result."""
    height, width = geometry(node, hw)
    n16, k16 = round_up(node.n, CHANNELS), round_up(node.k, CHANNELS)
    if hw.tiles == 1 or n16 < CHANNELS * hw.tiles:
        return "rows"
    whole: dict[Split, bool] = {"rows": False, "channels": not kept}
    room = {split: demand(node, hw, split, whole[split]).total for split in SPLITS}
    capacity = cmx_capacity(hw)
    if (room["rows"] <= capacity) != (room["channels"] <= capacity):
        return "rows" if room["rows"] <= capacity else "channels"

    def time(split: Split) -> float:
        parts = slices(node, hw, split, whole[split], True)
        rows, channels = even(height, parts.rows)[0], even(n16, parts.channels, CHANNELS)[0]
        if split == "rows":
            rows = ceil_div(rows, hw.tiles)
        else:
            channels = even(channels, hw.tiles, CHANNELS)[0]
        works = (conv_work(rows, width, channels, k16, node, mode, hw) for mode in STENCIL_PIXELS)
        return parts.slices * min(cycles(work, hw) for work in works) / hw.clocks.dpu_mhz

    weights = counted * n16 * channel_bytes(node) / hw.ddr.bandwidth_gbps / 1e3
    rows_us, channels_us = time("rows") + weights, time("channels") + weights / 2 + moved_us
    return "rows" if rows_us <= channels_us * tolerance else "channels"


def holds_whole(
    hw: Hardware, image: tuple[int, int], kernel: tuple[int, int], act: Value, out: Value
) -> bool:
    """Whether a tile can hold all of an activation and its padding, and the result or its part of it: of an ``image``
    of so many channels and columns."""
    channels, columns = image
    copies = 1 if hw.software.broadcast_output else hw.tiles
    taps = round_up(kernel[0] * kernel[1], CHANNELS)
    constants = channels // hw.tiles * (taps * 2 + TABLE_BYTES)
    padding = (kernel[0] - 1) * columns * channels * act.bits // 8
    return act.bytes + padding + out.bytes // copies + constants <= cmx_capacity(hw)
