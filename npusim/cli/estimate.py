"""What a long prompt will take, told before it is begun: tasks and minutes, and how many layers would do."""

from __future__ import annotations

import sys
import time
from typing import TYPE_CHECKING

from npusim.source import DEFAULT_TOKENS

if TYPE_CHECKING:
    from npusim.hardware import Hardware
    from npusim.source import ModelSource

#: Tokens of the prompt that one layer is lowered with: a second or two. Tasks grow with tokens, chunk by chunk.
_PROBED = 4 * DEFAULT_TOKENS
#: Tasks above which something is said: from here on it is minutes.
MANY = 1_000_000


def warning_of_size(source: ModelSource, hardware: Hardware) -> str:
    """A remark where ``source`` will make more than MANY tasks; nothing where it will not, or is no prefill
    of a model of equal layers."""
    from npusim import workloads

    try:
        layers = source.layers or workloads.layer_count(source.workload)
    except workloads.UnknownWorkload:  # building it says so
        return ""
    tokens = source.batch * (source.tokens or DEFAULT_TOKENS)
    if source.file is not None or source.phase != "prefill" or layers is None or tokens <= _PROBED:
        return ""
    layer, seconds = _layer(source, hardware)
    scale = tokens / _PROBED
    tasks = layer * scale * layers
    if tasks <= MANY:
        return ""
    few = max(1, int(layers * MANY / tasks))
    minutes = seconds * scale * layers / 60
    return (
        f"note: about {tasks / 1e6:.1f} million tasks, which take {minutes:.0f} minutes or more to lower; layers are "
        f"alike, and --layers {few} of {layers} says as much of them in {max(1, round(minutes * few / layers))}"
    )


def _layer(source: ModelSource, hardware: Hardware) -> tuple[int, float]:
    """Tasks of one layer over _PROBED tokens, and the seconds that lowering it takes."""
    from npusim import api

    graph = source.at(layers=1, batch=1, tokens=_PROBED).graph()
    began = time.perf_counter()
    program = api.lower(graph, hardware)
    seconds = time.perf_counter() - began
    per_op = program.tasks.op.tolist()
    inside = sum(bool(program.ops[op].layer) for op in per_op)
    return inside, seconds * inside / max(1, len(per_op))


def warn_of_size(source: ModelSource, hardware: Hardware) -> None:
    """Say so on standard error where ``source`` will take long."""
    if remark := warning_of_size(source, hardware):
        print(remark, file=sys.stderr)
