"""Steps of a recurrence: state = A state + B x, with A and B constants, against what Intel's compiler makes of them."""

import numpy as np
import openvino as ov
import pytest
from openvino import opset15 as op

from npusim import api
from npusim.graph import from_openvino
from npusim.program import Program
from npusim.program.work import DmaWork, DpuWork

_FILES = {"3720": "meteorlake-vpunn", "4000": "lunarlake-vpunn", "5010": "pantherlake-vpunn"}
#: Latency of B x, and of B x + state, of so many channels and states, µs: compiled by 2026.4.1.
_COMPILED = [
    ("3720", 256, 16, 6.0, 9.5), ("3720", 384, 16, 6.6, 10.3), ("4000", 256, 16, 12.1, 15.9),
    ("4000", 384, 16, 12.4, 16.4), ("5010", 256, 16, 5.1, 6.4), ("5010", 384, 16, 5.2, 6.7),
]  # fmt: skip


def update(channels: int, states: int, *, added: bool) -> ov.Model:
    x = op.parameter((1, channels, 1), np.float16, name="x")
    weights = np.linspace(-1, 1, channels * states, dtype=np.float16).reshape(1, channels, states)
    scaled = op.multiply(x, op.constant(weights), name="scaled")
    if not added:
        return ov.Model([op.result(scaled)], [x])
    state = op.parameter((1, channels, states), np.float16, name="state")
    return ov.Model([op.result(op.add(scaled, state, name="sum"))], [x, state])


def lowered(model: ov.Model, platform: str) -> Program:
    return api.lower(from_openvino(model), api.load_hardware(_FILES[platform]))


@pytest.mark.parametrize(("platform", "channels", "states", "scaled_us", "added_us"), _COMPILED)
def test_an_update_of_a_state_takes_as_long_as_compiled(
    platform: str, channels: int, states: int, scaled_us: float, added_us: float
) -> None:
    for added, compiled_us in ((False, scaled_us), (True, added_us)):
        program = lowered(update(channels, states, added=added), platform)
        ours = api.simulate(program, api.load_hardware(_FILES[platform])).metrics.latency_us
        assert ours == pytest.approx(compiled_us, rel=0.06)


def test_the_dpu_writes_the_product_as_its_sum_reads_it() -> None:
    """No pass of its own changes the order of B x, and each tile reads the factors of its own channels."""
    program = lowered(update(256, 16, added=True), "4000")
    kinds = [t.work.kind for t in program.tasks if isinstance(t.work, DpuWork)]
    factors = [t for t in program.tasks if isinstance(t.work, DmaWork) and t.work.bytes == 2 * 64]
    assert kinds.count("maxpool") == 0 and len(factors) == 4
