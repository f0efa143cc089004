"""Which engine an operator keeps longest, layer by layer, as a profile of the NPU attributes time.

A profile counts a layer for the engine that computes it: its transfers are not counted beside its DPU or SHAVE tasks.
Only layers that compute nothing (copies, Concat) count as DMA.
"""

from __future__ import annotations

import numpy as np

from npusim import api
from npusim.analysis.intervals import length, union

ENGINES = ("dpu", "dma", "shave")


def layer_shares(result: api.Result) -> dict[str, float]:
    """Percent of the time of all layers that each engine computes."""
    program, timeline = result.program, result.timeline
    engine = np.array([queue.engine for queue in program.queues])[program.tasks.queue]
    op = program.tasks.op
    computed = np.isin(op, op[engine != "dma"])
    busy = {}
    for name in ENGINES:
        mine = engine == name
        if name == "dma":
            mine &= ~computed
        busy[name] = length(union(timeline.start_us[mine], timeline.end_us[mine]))
    whole = sum(busy.values())
    return {name: 100 * us / whole if whole else 0.0 for name, us in busy.items()}
