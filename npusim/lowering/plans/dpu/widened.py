"""Reductions over rows whose columns are widened to the granule of the channels."""

from __future__ import annotations

from collections.abc import Iterable

from npusim.costs.dpu import choose_mode
from npusim.lowering.ir.plan import Load, Plan, slice_part
from npusim.lowering.ir.shapes import CHANNELS
from npusim.lowering.ir.values import Value, ceil_div, even
from npusim.lowering.plans.dpu.images import assemble, fit, row_split
from npusim.lowering.plans.dpu.pool_chain import Chain, Stages, split_stages
from npusim.lowering.plans.dpu.reduce_conv import WIDENING_SKIPS, widening_weights
from npusim.program.work import DpuWork, Work


def plan_widened(chain: Chain, value: Value, out: Value) -> Plan:
    """The widening convolution and its poolings in one chain of slices along what stays, rows or columns; only the
    plane waits ahead."""
    hw, tiles = chain.hw, chain.hw.tiles
    rows = even(chain.height, tiles) if chain.height >= tiles else (chain.height,) * tiles
    in_dist = row_split(value, chain.height, tiles)
    in_bytes = in_dist.elements(0, value.elements) * 2
    kernels = chain.kernels(chain.length)
    split = 0 if chain.across else split_stages(chain.height, kernels, tiles)[0]
    stages = Stages(chain, kernels, split)
    results = ceil_div(in_bytes * CHANNELS, kernels[0]) if chain.across else stages.results()
    units = rows[0] if chain.across else ceil_div(chain.width, CHANNELS)
    slices = fit(hw, in_bytes, in_bytes * CHANNELS + results, units, equal=not chain.across)
    columns = ceil_div(chain.width, CHANNELS * (1 if chain.across else slices))
    mode = choose_mode(chain.height, columns, CHANNELS * CHANNELS, hw)

    def works(tile: int, index: int) -> Iterable[Work]:
        own = slice_part(rows[tile], slices, index) if chain.across else rows[tile]
        yield DpuWork("conv", own, columns, CHANNELS * CHANNELS, CHANNELS, mpe_mode=mode,
                      skipped=WIDENING_SKIPS)  # fmt: skip
        if not chain.across:
            yield from stages.works(tile, slices)
            return
        pixels = columns * CHANNELS
        for k in kernels:
            pixels = ceil_div(pixels, k)
            yield chain.work(own, pixels, chain.channels, k)

    def constants(index: int) -> list[Load]:
        return [widening_weights(hw, index)]

    out_dist = row_split(out, chain.height, tiles) if chain.across else stages.out_dist(out)
    strategy = f"widening and {chain.kind} chain {kernels}"
    return assemble(chain.node, hw, [value], [in_dist], out, out_dist, slices, works, strategy, constants)
