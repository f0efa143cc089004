"""Reductions of few channels, whose pixels are folded into channels and summed by a convolution."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace
from math import gcd

from npusim.costs.dpu import choose_mode
from npusim.hardware.schema import Hardware
from npusim.lowering.ir.convolution import TABLE_BYTES, fused_load
from npusim.lowering.ir.plan import CONSTANT, Load, Plan, cmx_capacity, transfer
from npusim.lowering.ir.shapes import CHANNELS
from npusim.lowering.ir.values import WHOLE, Fresh, Value, ceil_div, even, round_up
from npusim.lowering.plans.dpu.images import assemble, fit, row_split
from npusim.lowering.plans.dpu.padding import padded_by_convolution
from npusim.lowering.plans.dpu.pool_chain import Chain, plan_channel_chain
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


def padded_channels(hw: Hardware, height: int, width: int, channels: int) -> int:
    """Channels that the pixels of a mean are turned with: one more where 8 pixels are no multiple of 16 elements and
    are padded to one by copies."""
    terms = FOLDED_KERNEL * channels
    padded = terms % CHANNELS > 0 and not padded_by_convolution(width // FOLDED_KERNEL * height, terms)
    return channels + 1 if padded and _fits_padded(hw, height, width, channels) else channels


def _fits_padded(hw: Hardware, height: int, width: int, channels: int) -> bool:
    """Whether one tile could hold what the averaging convolution reads and writes with padded channels."""
    terms, wide = round_up(FOLDED_KERNEL * channels, CHANNELS), round_up(channels, CHANNELS)
    pixels = height * width // FOLDED_KERNEL
    return 2 * (pixels * (terms + wide) + terms * wide) <= cmx_capacity(hw)


@dataclass(frozen=True, slots=True)
class _Stage:
    """A convolution of a folded mean: its outputs, inputs and columns, how many outputs are no zeros, and the share of
    its weights that is saved."""

    n: int
    k: int
    columns: int
    real: int
    skipped: float

    def load(self, index: int) -> Load:
        """Its table, and its weights, stored sparse: at most 8 an output."""
        mask = round_up(ceil_div(self.k, 8), 16)
        return fused_load(self.n * (TABLE_BYTES + mask) + self.real * 16, index)


def _stages(hw: Hardware, height: int, width: int, channels: int) -> list[_Stage]:
    """Where one tile could hold it, a convolution from 8 pixels to one of padded channels, behind one that pads what
    it reads if few channels need it; else pixels are folded into the channels until these are multiples of 16 (16
    pixels of 24 channels), a convolution averages 8 each, and a second one pads the channels."""
    wide, columns = round_up(channels, CHANNELS), width // FOLDED_KERNEL
    if not _fits_padded(hw, height, width, channels):
        pairs = _pixels(channels)
        few, columns = pairs * channels, columns // pairs
        return [
            _Stage(few, FOLDED_KERNEL * few, columns, few, FOLDED_SKIPS),
            _Stage(pairs * wide, few, columns, few, 0.0),
        ]
    terms = FOLDED_KERNEL * channels
    k16 = round_up(terms, CHANNELS)
    mean = _Stage(wide, k16, columns, channels, FOLDED_SKIPS)
    if terms == k16 or not padded_by_convolution(columns * height, terms):
        return [mean]
    return [_Stage(2 * k16, 2 * terms, columns // 2, 2 * terms, 1 - 1 / (2 * terms)), mean]


def plan_folded(chain: Chain, source: Value, out: Value, fresh: Fresh) -> list[Plan]:
    """A mean along W of channels that are no multiple of 16: convolutions average 8 pixels each and pad the channels,
    and poolings do the rest; over the channels, if each tile gets some, which finds all of them in CMX where one
    convolution made them."""
    hw, tiles, channels = chain.hw, chain.hw.tiles, chain.channels
    in_dist = row_split(source, chain.height, tiles)
    rows = even(chain.height, tiles) if not in_dist.whole else (chain.height,) * tiles
    kernels, wide = chain.kernels(chain.width)[1:], round_up(channels, CHANNELS)
    stages = _stages(hw, chain.height, chain.width, channels)
    columns = chain.width // FOLDED_KERNEL
    in_bytes = in_dist.elements(0, source.elements) * 2
    slices = fit(hw, in_bytes, ceil_div(in_bytes, FOLDED_KERNEL), rows[0], ahead=False)
    apart = wide >= CHANNELS * tiles

    def works(tile: int, index: int) -> Iterable[Work]:
        own = ceil_div(rows[tile], slices)
        for stage in stages:
            mode = choose_mode(chain.height, stage.columns, stage.n, hw)
            yield DpuWork("conv", own, stage.columns, stage.n, stage.k, mpe_mode=mode, skipped=stage.skipped)
        pixels = columns
        for k in () if apart else kernels:
            pixels = ceil_div(pixels, k)
            yield chain.work(own, pixels, wide, k)

    zeros = source.elements - chain.height * chain.width * channels

    def constants(index: int) -> list[Load]:
        loads = [stage.load(i) for i, stage in enumerate(stages)]
        if zeros <= 0 or channels == 1:
            return loads
        return [*loads, Load(CONSTANT, 0, transfer("ddr", "ddr", zeros // slices, source.bits, hw), 0)]

    middle = replace(fresh(source), shape=(chain.height, columns, wide)) if apart else out
    multicast = apart and len(stages) == 1
    dist = WHOLE if multicast else row_split(middle, chain.height, tiles)
    strategy = "convolutions of folded pixels" + ("" if apart else f" and {chain.kind} chain {kernels}")
    plan = assemble(chain.node, hw, [source], [in_dist], middle, dist, slices, works, strategy, constants)
    rest = replace(chain, width=columns, channels=wide)
    return [plan, *plan_channel_chain(rest, middle, out, fresh, whole=multicast)] if apart else [plan]
