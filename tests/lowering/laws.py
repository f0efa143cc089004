"""Laws that every Program obeys, whatever made it."""

from __future__ import annotations

import numpy as np

from npusim.engine.timeline import Timeline
from npusim.program import Program


def check_barriers(program: Program) -> None:
    """Every barrier has a producer, and tasks in issue order never wait on what only later tasks release."""
    producers: dict[int, list[int]] = {}
    for i, task in enumerate(program.tasks):
        for barrier in task.updates:
            producers.setdefault(barrier, []).append(i)
    for i, task in enumerate(program.tasks):
        for barrier in task.waits:
            assert 0 <= barrier < program.barriers
            assert max(producers[barrier]) < i, f"task {i} waits on barrier {barrier} of later tasks"


def check_cmx(program: Program, timeline: Timeline) -> None:
    """What is live in CMX never exceeds its capacity."""
    events = []
    for buffer in program.buffers:
        users = np.array((*buffer.writers, *buffer.readers))
        events.append((float(timeline.start_us[np.array(buffer.writers)].min()), 1, buffer.bytes))
        events.append((float(timeline.end_us[users].max()), 0, -buffer.bytes))
    live = 0
    for _, _, change in sorted(events):
        live += change
        assert live <= program.cmx_bytes_per_tile
