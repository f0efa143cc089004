"""Which engine an operator keeps longest, layer by layer, as a profile of the NPU attributes time.

A profile counts a layer for the engine that computes it: its transfers are not counted beside its DPU or SHAVE tasks.
Only layers that compute nothing (copies, Concat) count as DMA.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from npusim import api
from npusim.analysis.intervals import length, union
from npusim.hardware.schema import Hardware
from npusim.hints import compiled_for
from npusim.source import ModelSource
from npusim.validation.silicon.measurements import operator_shares
from npusim.validation.silicon.scores import Bottleneck

ENGINES = ("dpu", "dma", "shave")
#: Platform on which the operators were measured.
MEASURED_ON = "3720"


def bottlenecks(hw: Hardware, progress: Callable[[int], None] = lambda _: None) -> list[Bottleneck]:
    """The measured operators, compiled for latency on ``hw``. ``progress`` hears how many are done.

    Raises UserError as `api.lower` does.
    """
    part = compiled_for(hw, "latency")
    found = []
    for done, measured in enumerate(operator_shares(), 1):
        graph = ModelSource(measured.workload, tokens=measured.tokens).graph()
        shares = layer_shares(api.simulate(api.lower(graph, part), part, "fast", allow_guess=True))
        found.append(Bottleneck(measured, max(ENGINES, key=lambda engine: shares[engine]), shares))
        progress(done)
    return found


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
