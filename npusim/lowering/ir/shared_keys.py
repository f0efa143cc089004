"""Attention all of whose heads share one head of keys and values: the rows of all heads are one product, which the
compiler may cut into slices of rows, so that the DPU multiplies while the SHAVEs weigh the slice before (vertical
fusion of product, softmax and product; npu_compiler: VPU/utils/vertical_fusion/v2, 2026)."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import count

from npusim.costs.dpu import choose_mode, cycles
from npusim.costs.price import work_us
from npusim.hardware.schema import Hardware
from npusim.lowering.ir.convolution import TABLE_BYTES, conv_work, fold_rows
from npusim.lowering.ir.moves import moves_us
from npusim.lowering.ir.nodes import Bmm
from npusim.lowering.ir.plan import cmx_capacity
from npusim.lowering.ir.shapes import CHANNELS
from npusim.lowering.ir.values import Value, ceil_div, even, round_up
from npusim.program.work import ShaveWork

#: Share of CMX that the two halves of what would fit whole may take, each alone, and that two slices may take side by
#: side where the whole does not fit.
HALF_SHARE, PIPELINED_SHARE = 0.37, 0.95
#: DPU cycles that a softmax counts at least, slice by slice.
LEAST_CYCLES = 12_000
#: Bytes of an element.
FLOAT = 2


@dataclass(frozen=True, slots=True)
class SharedKeys:
    """``rows`` of all heads, of ``depth`` elements, over the ``columns`` of the keys, and the ``width`` of the values.
    ``made``: an op makes the queries; ``read``: one reads the result."""

    rows: int
    columns: int
    depth: int
    width: int
    made: bool
    read: bool

    def slices(self, hw: Hardware) -> int:
        """Into how many slices of rows the compiler cuts this attention: two where all of it fits CMX and halves cost
        less, else the fewest of which two fit side by side."""
        whole = 2 * self._share(1, hw) * self._padded * FLOAT
        if whole > cmx_capacity(hw):
            return next(n for n in count(2) if n >= self.rows or self._fits_twice(n, hw))
        room = HALF_SHARE * cmx_capacity(hw)
        return 2 if self._bytes(2, hw) + self._key_bytes <= room and self._pays(hw) else 1

    @property
    def _padded(self) -> int:
        return round_up(self.columns, CHANNELS)

    @property
    def _key_bytes(self) -> int:
        return self._padded * (round_up(self.depth, CHANNELS) * FLOAT + TABLE_BYTES)

    def _share(self, slices: int, hw: Hardware) -> int:
        """Rows of the fullest tile in the first of so many slices."""
        height, width = fold_rows(self.rows, hw.software.row_fold)
        return even(even(height, slices)[0], hw.tiles)[0] * width

    def _bytes(self, slices: int, hw: Hardware) -> int:
        """What a tile holds of one slice: queries, scores, weights and results."""
        return self._share(slices, hw) * (self.depth + 2 * self._padded + self.width) * FLOAT

    def _fits_twice(self, slices: int, hw: Hardware) -> bool:
        return 2 * self._bytes(slices, hw) + self._key_bytes <= PIPELINED_SHARE * cmx_capacity(hw)

    def _pays(self, hw: Hardware) -> bool:
        """Whether halves cost less: half of the products is hidden behind the softmax, but what else would have stayed
        in CMX is written and read, and every half of the softmax takes its start."""
        products = self._product_us(self.depth, self.columns, hw) + self._product_us(
            self.columns, self.width, hw
        )
        queries, results = (
            [rows * n * FLOAT for rows in even(self.rows, hw.tiles)] for n in (self.depth, self.width)
        )
        lost = 2 * self._softmax_us(2, hw) - self._softmax_us(1, hw) + moves_us([n // 2 for n in queries], hw)
        lost += moves_us(queries, hw) * (1 if self.made else -1)
        lost += 2 * moves_us(results, hw) * self.read
        return lost < products / 2

    def _product_us(self, terms: int, channels: int, hw: Hardware) -> float:
        """How long the tiles compute a product of all rows."""
        height, width = fold_rows(self.rows, hw.software.row_fold)
        operands = Value(0, (self.rows, terms)), Value(1, (channels, terms))
        node = Bmm("", "", operands, Value(2, (self.rows, channels)), m=self.rows, n=channels, k=terms)
        n16, k16 = round_up(channels, CHANNELS), round_up(terms, CHANNELS)
        tall = ceil_div(height, hw.tiles)
        work = conv_work(tall, width, n16, k16, node, choose_mode(tall, width, n16, hw), hw)
        return cycles(work, hw) / hw.clocks.dpu_mhz

    def _softmax_us(self, slices: int, hw: Hardware) -> float:
        """What the compiler counts for the softmax of a slice: that of one SHAVE, which all of them share."""
        elements = self.rows * self.columns // slices
        size = elements * FLOAT
        alone = work_us(ShaveWork("softmax", elements, size, 2 * size), hw, True)
        return max(LEAST_CYCLES / hw.clocks.dpu_mhz, alone / (hw.tiles * hw.shave.per_tile))
