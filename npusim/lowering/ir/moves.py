"""What the compiler counts for transfers where it weighs alternatives: by rates of its own, not its schedule's."""

from __future__ import annotations

from collections.abc import Sequence

from npusim.hardware.schema import Hardware


def moves_us(sizes: Sequence[int], hw: Hardware) -> float:
    """The compiler's estimate of transfers of so many bytes, one a tile, that the engines share, µs."""
    rules, engines = hw.software.tiling, min(hw.dma.engines, hw.tiles)
    if rules.shared_by == "largest":
        return rules.dma_latency_us + max(sizes) / rules.dma_gbps / 1e3
    if len(sizes) == 1:
        return rules.dma_latency_us + sizes[0] / rules.dma_gbps / 1e3
    if rules.shared_by == "mean":
        return sum(rules.dma_latency_us + size / rules.dma_gbps / 1e3 for size in sizes) / engines
    busiest = max(sum(sizes[e::engines]) for e in range(engines))
    return rules.dma_latency_us + busiest / rules.dma_gbps / 1e3
