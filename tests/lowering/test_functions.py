"""An attention of floats that is cut per head is compiled apart from the rest of its layer (``attention.PerHead``)."""

from __future__ import annotations

from itertools import pairwise

import numpy as np
import pytest

import npusim
from npusim.program.work import DmaWork

ATTENTION = ("query", "key", "value", "attention", "attention/QK", "attention/softmax", "attention/PV")


def overlaps_us(workload: str) -> list[float]:
    """How long before the end of a stage of the network (an attention with its projections, or what lies between two)
    the next one has its first task, layer by layer. Task descriptors and copies in DDR belong to no stage."""
    hw = npusim.load_hardware("lunarlake.yaml", ["tiles=4"])
    program = npusim.lower(npusim.build_workload(workload), hw)
    line = npusim.simulate(program, hw, engine="fast").timeline
    times: dict[tuple[int, bool], tuple[float, float]] = {}
    for start, end, task in zip(line.start_us, line.end_us, program.tasks, strict=True):
        layer, _, part = program.ops[task.op].name.removeprefix("layers.").partition(".")
        copied = isinstance(task.work, DmaWork) and task.work.src == task.work.dst == "ddr"
        if layer.isdigit() and not copied and task.detail != "fetch":
            stage = int(layer), part not in ATTENTION
            first, last = times.get(stage, (np.inf, 0.0))
            times[stage] = min(first, start), max(last, end)
    stages = [times[stage] for stage in sorted(times)]
    return [before[1] - after[0] for before, after in pairwise(stages)]


def test_nothing_crosses_the_border_of_a_function() -> None:
    found = overlaps_us("bert-base")
    assert len(found) == 23
    assert max(found) == pytest.approx(0, abs=1e-6) or max(found) < 0


def test_a_quantised_attention_is_no_function() -> None:
    """Weights of what comes next are prefetched, as in all of bert-base_s128_int8 on 4000."""
    assert min(overlaps_us("bert-base-int8")) > 0
