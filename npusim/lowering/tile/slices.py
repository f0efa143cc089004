"""Into how many slices a convolution is cut, and along which axes (evidence/lowering.md#3.2).

Evidence: the 60 sliced convolutions of the reference traces on 4000 and 23 on 3720 and 5010, and the 24
examples of evidence/lowering.md#3.2. The compiler cuts an op that does not fit CMX, or whose weights are large, so that
two slices are resident at once and the transfers of one hide behind the computes of the other.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Callable
from dataclasses import dataclass, replace
from itertools import product
from math import inf

from npusim.hardware.schema import Hardware
from npusim.lowering.ir.plan import cmx_capacity
from npusim.lowering.ir.values import ceil_div, divisors, fewest_parts

#: Share of CMX that constant weights may take before an op is cut although all fits (C26: tiling.hpp; 300 KiB do not,
#: 400 do).
LARGE_WEIGHTS = 0.25
#: Share of CMX that the weights of two resident slices may take (1030 KiB of 1439 are taken, 1152 refused).
WEIGHTS_SHARE = 0.75
#: Room for a second activation is made at the cost of up to so many times the slices: rows split over the tiles
#: (4 times taken on 5010, 6 times refused on 3720), channels split (1.25 taken, 2 refused: evidence/lowering.md#3.2).
ROOM_PATIENCE = {"rows": 5.0, "channels": 1.5}
#: Equal slices are taken unless they are more than so many times the fewest that fit (3143 granules of a vocabulary of
#: 50,280 have the divisors 1, 7 and 449; 661 granules are cut in 221 slices of three: evidence/lowering.md#3.2).
UNEQUAL_PATIENCE = 2
#: Most slices that an op is cut into for the sake of pipelining alone, although it fits in one.
PIPELINE_LIMIT = 3
#: Rows of pixels that the DPU works on at once: slices of fewer leave a part of it idle, and weights that come in parts
#: for slices of as many cost less. All row slices of the reference have 8 rows or more (evidence/lowering.md#3.2).
GRID_ROWS = 4


@dataclass(frozen=True, slots=True)
class Demand:
    """What one tile holds of an op that is not sliced, bytes: activation, weights with their ``tables``, and output.

    ``rows`` and ``units`` are the output rows and the channel granules of the whole op, along which it can be cut;
    ``halo`` is the activation that every slice of rows needs besides its share, bytes; ``tiles`` share the granules.
    ``computes`` says how long a tile computes so many rows of so many granules, µs.
    """

    act: int
    weights: int
    out: int
    rows: int
    units: int
    tables: int = 0
    halo: int = 0
    tiles: int = 1
    computes: Callable[[int, int], float] = lambda rows, granules: rows * granules

    @property
    def total(self) -> int:
        """All of it."""
        return self.act + self.weights + self.out


@dataclass(frozen=True, slots=True)
class Cut:
    """Slices along rows and along output channels. ``rows_first``: all channels of some rows come before the next
    rows, so that those are loaded once; else all rows of some channels, whose weights are."""

    rows: int = 1
    channels: int = 1
    rows_first: bool = True

    @property
    def slices(self) -> int:
        """Slices in all."""
        return self.rows * self.channels


def first_fit(
    demand: Demand, budget: float, activations: int, weights: float = inf, copies: int = 2
) -> int | None:
    """Fewest slices along channels of which ``copies`` fit beside ``activations`` copies of the activation, their
    weights alone within ``weights``: equal ones if it can be, or two (1,008 channels become 512 and 496)."""

    def fits(n: int) -> bool:
        share = ceil_div(demand.units, n) / demand.units
        needed = activations * demand.act + copies * share * (demand.weights + demand.out)
        return needed <= budget and copies * share * demand.weights <= weights

    counts = sorted({2, *divisors(demand.units)} & set(range(copies, demand.units + 1)))
    equal = next(filter(fits, counts), None)
    if equal is None:
        return None
    least = bisect_left(range(copies, equal), True, key=fits) + copies
    return equal if equal <= UNEQUAL_PATIENCE * least else least


def cut(
    demand: Demand, hw: Hardware, by_channels: bool, sliced_producer: bool, followed: bool = False
) -> Cut:
    """The slices of a convolution.

    ``by_channels``: the tiles split the output channels (SOK), else the rows. ``sliced_producer``: the activation
    comes from an op that is sliced itself; otherwise the compiler leaves room for a second copy of it. ``followed``:
    an elementwise kernel is cut together with it, so that its result takes room too.
    """
    capacity = cmx_capacity(hw)
    if demand.total <= capacity and demand.weights <= LARGE_WEIGHTS * capacity:
        return Cut()
    budget = hw.software.pipeline_share * capacity
    isolated = first_fit(demand, capacity, 1, copies=1)
    if followed:
        demand = replace(demand, out=2 * demand.out)
    limit = WEIGHTS_SHARE * capacity
    channels = first_fit(demand, budget, 1, limit)
    roomy = None if sliced_producer or followed else first_fit(demand, budget, 2, limit)
    patience = ROOM_PATIENCE["channels" if by_channels else "rows"]
    if roomy is not None and (channels is None or roomy <= patience * channels):
        channels = roomy
    heavy = demand.act >= demand.weights - demand.tables
    rows = _by_rows(demand, budget) if heavy or followed else None
    if rows is not None and (channels is None or rows < channels + heavy):
        thin = demand.rows >= 2 * GRID_ROWS and ceil_div(demand.rows, rows) < GRID_ROWS
        return (_nested(demand, hw) if thin else None) or Cut(rows=rows)
    if isolated == 1 and channels is not None and channels > PIPELINE_LIMIT:
        return Cut()
    if channels is not None:
        return Cut(channels=channels)
    return _nested(demand, hw) or Cut(demand.rows, demand.units)


def _by_rows(demand: Demand, budget: float) -> int | None:
    """Fewest slices of rows beside all weights, which stay, equal or not (32 rows in 5, 256 in 11)."""

    def fits(n: int) -> bool:
        share = ceil_div(demand.rows, n) / demand.rows
        return demand.weights + 2 * share * (demand.act + demand.out) <= budget

    counts = range(2, demand.rows + 1)
    least = bisect_left(counts, True, key=fits)
    return counts[least] if least < len(counts) else None


def _nested(demand: Demand, hw: Hardware) -> Cut | None:
    """Slices along both axes: those that take the shortest time, and of these the fewest. Two fit CMX, but for their
    activation, so that weights come while the DPU computes, or one does. Weights that are cut come again for every
    slice of rows."""
    found: list[tuple[float, int, Cut]] = []
    whole = ceil_div(demand.units, demand.tiles)
    capacity = cmx_capacity(hw)
    for rows, copies in product(fewest_parts(demand.rows), (1, 2)):
        each = ceil_div(demand.rows, rows)
        share = each / demand.rows
        budget = capacity if copies == 1 else hw.software.pipeline_share * capacity
        room = budget - demand.act * share - (demand.halo if rows > 1 else 0)
        granules = int(room / (copies * (demand.weights + demand.out * share)) * whole)
        if granules > 0:
            channels = ceil_div(demand.units, min(granules, whole) * demand.tiles)
            if channels == 1 and demand.weights > WEIGHTS_SHARE * capacity:
                continue
            computed = rows * channels * demand.computes(each, ceil_div(whole, channels))
            moved = (
                demand.weights * demand.tiles / hw.ddr.bandwidth_gbps / 1e3 * (rows if channels > 1 else 1)
            )
            total = computed + moved if copies == 1 else max(computed, moved)
            found.append((total, rows * channels, Cut(rows, channels)))
    return min(found, default=(0.0, 0, None), key=lambda one: one[:2])[2]
