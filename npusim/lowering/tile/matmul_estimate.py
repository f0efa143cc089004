"""What a MatMul under a split and cut takes, as the compiler estimates it: computing, and what of the transfers is not
hidden behind it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from npusim.costs.dpu import choose_mode, cycles, too_narrow
from npusim.hardware.schema import Hardware
from npusim.lowering.ir.convolution import conv_work, shares_stencil
from npusim.lowering.ir.moves import moves_us
from npusim.lowering.ir.nodes import Product
from npusim.lowering.ir.shapes import CHANNELS
from npusim.lowering.ir.values import ceil_div, even
from npusim.lowering.tile.matmul_fit import Axis, Fit
from npusim.lowering.tile.slices import Cut
from npusim.program.work import DpuWork

#: What a cut costs more whose tasks the compiler's estimator has no price for, µs: it is taken where no other can be.
_UNPRICED_US = 1e9


@dataclass(frozen=True, slots=True)
class Behind:
    """The op just before, if it makes the activation: how long it computes, µs, and what it holds on a tile, bytes.
    ``spill_us``: how much more a split over channels costs because of it than the estimate of the MatMul alone says."""

    us: float = 0.0
    bytes: int = 0
    spill_us: float = 0.0


NOTHING = Behind()


class Estimate:
    """What the cuts of one MatMul cost, µs."""

    def __init__(self, node: Product, hw: Hardware, fit: Fit, behind: Behind) -> None:
        """An activation of which a padded copy is made costs nothing to a MatMul that is not sliced (3720 and 4000),
        nor does a constant one on 3720."""
        self.node, self.hw, self.fit, self.behind = node, hw, fit, behind
        self.rules = hw.software.tiling
        padded = fit.height * fit.width != node.m
        self.fed = padded or (node.inputs[0].constant and hw.software.matmul_ties == "channels")
        self._costs: dict[tuple[Axis, Cut], float] = {}

    def cost(self, split: Axis, cut: Cut) -> float:
        """Computing, and what of the transfers is not hidden behind it, as the compiler adds it up, µs."""
        key = split, cut
        if key not in self._costs:
            unpriced = any(too_narrow(self._work(split, *one), self.hw) for one in set(self.fit.slices(cut)))
            self._costs[key] = self._cost(split, cut) + _UNPRICED_US * unpriced
        return self._costs[key]

    def _cost(self, split: Axis, cut: Cut) -> float:
        slices = self.fit.slices(cut)
        alike = {one: (self.computes(split, *one), self.transfers(split, *one)) for one in set(slices)}
        computes = [alike[one][0] for one in slices]
        acts, weights, outs = zip(*(alike[one][1] for one in slices), strict=True)
        hidden = self.fit.overlaps(split, cut)
        total = sum(computes) - self._hidden_before(weights[0], self.fit.bytes(split, *slices[0])[1])
        nested, channels = cut.rows > 1 and cut.channels > 1, cut.channels
        if nested and not self.fit.rows_first(cut):
            total += _exposed(weights[:channels], computes[:channels], hidden)
        else:
            total += _exposed(weights, computes, hidden) if channels > 1 else weights[0]
        if (
            nested and self.fit.rows_first(cut) and self.rules.nested_overlap
        ):  # some rows come once for all channels
            total += _exposed(acts[::channels], computes[channels - 1 :: channels], hidden)
        elif cut.rows > 1:
            total += _exposed(acts, computes, hidden, shorten=True)
        elif len(slices) > 1 or not self.fed:
            total += acts[0]
        if not self.fit.fits(split, Cut()):
            backwards = outs[::-1], computes[::-1]
            total += _exposed(*backwards, self.fit.overlaps(split, cut, results=True))
        return total

    def _hidden_before(self, transfer_us: float, size: int) -> float:
        """How much of the transfer of the first weights hides behind the op before, where CMX takes them beside it."""
        return min(transfer_us, self.behind.us) if size + self.behind.bytes <= self.fit.capacity else 0.0

    def computes(self, split: Axis, rows: int, channels: int) -> float:
        """How long the tiles compute a slice, µs."""
        return cycles(self._work(split, rows, channels), self.hw) / self.hw.clocks.dpu_mhz

    def _work(self, split: Axis, rows: int, channels: int) -> DpuWork:
        """What the first tile computes of a slice."""
        tiles = self.hw.tiles
        shared, whole = channels, rows
        if split == "rows":
            rows = ceil_div(rows, tiles)
            whole = whole if self.hw.software.whole_stencil else rows
        else:
            channels = ceil_div(channels // CHANNELS, tiles) * CHANNELS
            shared = shared if self.fit.whole and shares_stencil(self.node, self.hw) else channels
        mode = choose_mode(whole, self.fit.width, shared, self.hw)
        return conv_work(rows, self.fit.width, channels, self.fit.reduced, self.node, mode, self.hw)

    def transfers(self, split: Axis, rows: int, channels: int) -> tuple[float, float, float]:
        """How long the transfers of activation, weights and result of a slice take, µs."""
        tiles = self.hw.tiles
        if split == "rows":
            shares = [share for share in even(rows, tiles) if share]
            acts = [self.fit.act_bytes(share) for share in shares]
            weights = [channels * self.fit.weight_bytes]
            outs = [share * channels * self.fit.out_bytes for share in shares]
        else:
            acts = [self.fit.act_bytes(rows)]
            weights = [own * self.fit.weight_bytes for own in even(channels, tiles, CHANNELS)]
            outs = [rows * channels * self.fit.out_bytes]
        line = channels if split == "rows" else ceil_div(channels // CHANNELS, tiles) * CHANNELS
        strided = self.rules.short_line_bytes / (line * self.node.output.bits // 8)
        factor = max(1.0, strided) if channels < self.fit.channels else 1.0
        return moves_us(acts, self.hw), moves_us(weights, self.hw), factor * moves_us(outs, self.hw)


def _exposed(transfers: Sequence[float], computes: list[float], hidden: bool, shorten: bool = False) -> float:
    """What is seen of the transfers of all slices where those of one run while the slice before computes: the first,
    and of the others what is longer. ``shorten``: what they hide behind hides nothing else."""
    if not hidden:
        return sum(transfers)
    total = transfers[0]
    for i, (transfer, compute) in enumerate(zip(transfers[1:], list(computes), strict=False)):
        total += max(0.0, transfer - compute)
        if shorten:
            computes[i] = max(0.0, compute - transfer)
    return total
