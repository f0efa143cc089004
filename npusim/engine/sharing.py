"""How transfers in flight share DDR: max-min fairness, each flow capped by its own engine."""

from __future__ import annotations

import math
from collections.abc import Sequence

#: Bytes per microsecond in one GB/s (1e9 bytes/s).
BYTES_PER_US_PER_GBPS = 1e3


def fair_rates(caps: Sequence[float], capacity: float) -> list[float]:
    """Max-min fair rates of flows with own ``caps`` that share ``capacity`` (all in the same unit).

    Water-filling: no flow can get more without taking from one that has no more than it. Flows below the water level
    run at exactly their cap, all others at exactly the same level, so that equal flows stay equal in floats.
    """
    if sum(caps) <= capacity:
        return list(caps)
    left, waiting = capacity, len(caps)
    level = math.inf
    for cap in sorted(caps):
        share = left / waiting
        if cap > share:
            level = share
            break
        left -= cap
        waiting -= 1
    return [cap if cap < level else level for cap in caps]


def own_cap(ddr_bytes: float, duration_us: float, latency_us: float) -> float:
    """Bytes/µs at which a transfer flows when alone; infinite where the price leaves no time for moving bytes."""
    moving_us = duration_us - latency_us
    return ddr_bytes / moving_us if moving_us > 0 else math.inf
