"""Whether the tiles share the channels or the rows of what works channel by channel: what the DPU takes decides, with
what neighbours cost that want their values otherwise."""

from __future__ import annotations

from typing import Literal

from npusim.costs.price import work_us
from npusim.hardware.schema import Hardware
from npusim.lowering.ir.convolution import geometry
from npusim.lowering.ir.kernels import CH, KERNELS
from npusim.lowering.ir.nodes import Depthwise, Eltwise, Node, Unary, Window
from npusim.lowering.ir.shapes import CHANNELS
from npusim.lowering.ir.values import Value, even, round_up
from npusim.lowering.plans.dpu.images import Image, depthwise_tasks, workload_channels
from npusim.lowering.split.dpu import Split, holds_whole
from npusim.program.work import Work

#: Share of the time of reading an activation, at the bandwidth of DDR, that counts where splits are compared (up to
#: 0.44 on 4000 and 0.52 on 5010 leave rows, 0.73 and 0.84 and more do not).
READ_SHARE = 0.62
#: Taps a pixel up to which a pool whose windows do not overlap is split over channels for a clear gain alone, and the
#: share of the time of rows that is one: its result, which such a split multicasts, is large beside what it computes
#: (2x2; 3x3 take the shorter split).
FEW_TAPS, CLEAR_GAIN = 4, 0.75
#: What a channel-wise op computes: a depth-wise convolution, or a pooling.
Kind = Literal["dwconv", "avgpool", "maxpool"]


def depthwise_split(node: Depthwise, hw: Hardware, moved_us: float = 0.0, kept: bool = False) -> Split:
    """The split of a depth-wise convolution of an image: over channels where every tile gets some and can hold all of
    the image, and that takes less long, with what neighbours cost that lie in rows then (``moved_us``); or where there
    are too few rows.

    The compiler doubles the cost of few channels a tile (``software.narrow_channels``) whose result reaches every tile,
    which that of one that kernels read does not (``kept``): a tile keeps its channels for those."""
    image, window = image_of(node, hw), node.window
    tiles = hw.tiles
    if image.channels < CHANNELS * tiles:
        return "rows"
    if image.height < tiles:
        return "channels"
    if not holds_whole(hw, (image.channels, image.width), window.kernel, node.inputs[0], node.output):
        return "rows"
    rows_us, channels_us = _times_us(hw, image, "dwconv", window, node.inputs[0], node.output)
    narrow = node.output.shape[1] <= hw.software.narrow_channels * tiles and not kept
    return "channels" if (2 if narrow else 1) * channels_us + moved_us < rows_us else "rows"


def shares_channels(node: Node | None) -> bool:
    """Whether a node is a kernel whose tiles may share channels or rows alone, of one activation or of a product of two
    that are alike: the compiler lets it have the channels of the convolution beside it."""
    if isinstance(node, Eltwise):
        return node.runs("multiply") and all(v.elements == node.output.elements for v in node.inputs)
    return isinstance(node, Unary) and node.axis is None and KERNELS[node.kernel].axes == CH


def image_of(node: Depthwise, hw: Hardware) -> Image:
    """What a depth-wise convolution makes, its channels padded."""
    height, width = geometry(node, hw)
    return Image(height, width, round_up(node.output.shape[1], CHANNELS))


def over_channels_alone(hw: Hardware, image: Image, kernel: tuple[int, int], act: Value, out: Value) -> bool:
    """Whether what is no convolution of an image, or one of single pixels, is split over channels (SOK): where every
    tile gets equal many granules and both tensors fit each tile's CMX whole; single pixels only where there are few
    rows (evidence/lowering.md#2.2)."""
    tiles = hw.tiles
    if kernel == (1, 1) and image.height > max(tiles, hw.software.row_fold):
        return False
    if image.channels % (CHANNELS * tiles):
        return image.height < tiles and image.channels >= CHANNELS * tiles
    return image.height < tiles or holds_whole(hw, (image.channels, image.width), kernel, act, out)


def channels_are_cheaper(
    hw: Hardware, image: Image, kind: Kind, window: Window, act: Value, out: Value, spilled_us: float = 0.0
) -> bool:
    """Whether an image that a pass before it brings to channels last is split over channels (SOK): where that takes the
    DPU less long than rows do, with what it costs (``spilled_us``) that neighbours in rows find or leave their values
    in DDR then, and both tensors fit each tile's CMX whole.

    Rows need not leave CMX where that pass works on the image itself, which it does where rows are multiples of 16
    pixels: then rows it is. Data of one dimension, which come from DDR with their padding, are read by one engine for
    all tiles or by all engines in parts.
    """
    tiles, kernel = hw.tiles, window.kernel
    if image.channels < CHANNELS * tiles or not holds_whole(
        hw, (image.channels, image.width), kernel, act, out
    ):
        return False
    if image.height < tiles:
        return True
    flat = image.width == 1
    if not flat and kernel[0] > 1 and act.shape[2] >= tiles and act.shape[3] % CHANNELS == 0:
        return False
    rows_us, channels_us = _times_us(hw, image, kind, window, act, out)
    read = READ_SHARE * act.bytes / hw.ddr.bandwidth_gbps / 1e3 if flat else 0.0
    by_channels, by_rows = channels_us + read + spilled_us, rows_us + read / hw.dma.engines
    few = kind != "dwconv" and kernel == window.stride and kernel[0] * kernel[1] <= FEW_TAPS
    plain = few and hw.software.broadcast_output
    return by_channels < (CLEAR_GAIN if plain else hw.software.channel_patience) * by_rows


def _times_us(
    hw: Hardware, image: Image, kind: Kind, window: Window, act: Value, out: Value
) -> tuple[float, float]:
    """How long the fullest tile computes where the tiles share rows, and where they share channels, µs."""
    more = {"kernel_h": window.kernel[0], "kernel_w": window.kernel[1], "stride": window.stride[0],
            "in_bits": act.bits, "out_bits": out.bits}  # fmt: skip

    def time(rows: int, channels: int) -> float:
        works: list[Work]
        if kind == "dwconv":
            works = depthwise_tasks(image, rows, image.width, channels, hw, **more)
        else:
            unit = workload_channels(channels)
            works = [image.work(kind, rows, image.width, channels, variant_channels=unit, **more)]
        return sum(work_us(work, hw) for work in works)

    rows, channels = even(image.height, hw.tiles)[0], even(image.channels, hw.tiles, CHANNELS)[0]
    return time(rows, image.channels), time(image.height, channels)
