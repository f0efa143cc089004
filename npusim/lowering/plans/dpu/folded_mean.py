"""Reductions of few channels, whose pixels are folded into channels and summed by a convolution."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace
from math import gcd

from npusim.costs.dpu import choose_mode
from npusim.lowering.ir.convolution import fused_constant
from npusim.lowering.ir.plan import Load, Plan
from npusim.lowering.ir.shapes import CHANNELS
from npusim.lowering.ir.values import ADDED_CONSTANT, Fresh, Value, ceil_div, even, round_up
from npusim.lowering.plans.dpu.images import assemble, fit, row_split
from npusim.lowering.plans.dpu.pool_chain import Chain, factor, plan_channel_chain
from npusim.program.work import DpuWork, Work

#: Pixels that the first convolution of a folded mean averages, and the share of its weights that is zero and saved
#: (0.52, 0.54 and 0.44 on 4000, 3720 and 5010).
FOLDED_KERNEL, FOLDED_SKIPS = 8, 0.5


def _pixels(channels: int) -> int:
    """How many pixels that a folding convolution makes have a multiple of 16 channels (two pixels of 24 channels,
    sixteen of one)."""
    return CHANNELS // gcd(CHANNELS, channels)


def folds(width: int, channels: int) -> bool:
    """Whether rows can be folded so that a convolution averages 8 pixels each, and more remain to be averaged."""
    return width % (FOLDED_KERNEL * _pixels(channels)) == 0 and width > FOLDED_KERNEL


def plan_folded(chain: Chain, source: Value, out: Value, fresh: Fresh) -> list[Plan]:
    """A mean along W of channels that are no multiple of 16: pixels are folded into the channels (16 pixels of 24
    channels, 128 pixels of one), a convolution averages 8 each, a second one pads the channels, and poolings do the
    rest; over the channels, if the tiles can share them."""
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
    return [plan, *plan_channel_chain(rest, middle, out, fresh)] if apart else [plan]


def _weights(n: int, k: int) -> Value:
    return Value(ADDED_CONSTANT, (n, k), constant=True)
