"""Running sums behind a scale, as in gated linear attention, beside what Intel's compiler says they take."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import openvino as ov
import pytest
from openvino import opset15 as op

import npusim
from npusim.graph import from_openvino
from npusim.lowering import lower
from npusim.validation.schedules.predict import hardware_of

SHAPE = (1, 8, 128, 64)
MACHINES = {"3720": (2, 2), "4000": (4, 2), "5010": (3, 2)}
TOLERANCE = 0.06


def _scaled(x: ov.Output) -> ov.Node:
    return op.multiply(x, np.float16(0.1))


def _sum(x: ov.Node | ov.Output, axis: int = 2) -> ov.Node:
    return op.cum_sum(x, np.int32(axis), False, False)


#: What is computed, and µs by the compiler's schedules.
FORMS: dict[str, tuple[Callable[[ov.Output], ov.Node], dict[str, float]]] = {
    "a result at once": (lambda x: _sum(_scaled(x)), {"4000": 24.3}),
    "a kernel": (lambda x: op.exp(_sum(_scaled(x))), {"3720": 97.0, "4000": 80.3, "5010": 48.5}),
    "a kernel, along columns": (lambda x: op.exp(_sum(_scaled(x), 3)), {"4000": 66.0}),
    "a kernel, along channels": (lambda x: op.exp(_sum(_scaled(x), 1)), {"4000": 66.0}),
    "no scale": (lambda x: op.exp(op.negative(_sum(x))), {"4000": 40.2}),
    "no scale, a kernel": (lambda x: op.exp(_sum(x)), {"3720": 50.5, "4000": 32.3, "5010": 39.3}),
    "no scale, another kernel": (lambda x: op.swish(_sum(x), np.float16(1)), {"4000": 19.7}),
}
CASES = [(form, platform, us) for form, (_, all_us) in FORMS.items() for platform, us in all_us.items()]


@pytest.mark.parametrize(("form", "platform", "us"), CASES)
def test_what_follows_a_scale_lies_channels_last(form: str, platform: str, us: float) -> None:
    x = op.parameter(list(SHAPE), np.float16)
    model = ov.Model([FORMS[form][0](x.output(0))], [x], "running")
    hw = hardware_of(platform, *MACHINES[platform])
    program = lower(from_openvino(model), hw)
    assert abs(npusim.simulate(program, hw).latency_us / us - 1) < TOLERANCE
