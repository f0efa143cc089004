"""A convolution, a kernel and a convolution of single pixels, strip by strip where Intel's compiler schedules them so
(4000)."""

from __future__ import annotations

import numpy as np
import openvino as ov
import pytest
from openvino import opset15 as op

import npusim
from npusim.graph import from_openvino
from npusim.lowering import lower
from npusim.program.work import ShaveWork
from npusim.validation.schedules.predict import hardware_of

LUNAR = hardware_of("4000", 4, 2)
TOLERANCE = 0.06


def convolution(x: ov.Node, channels: int, kernel: int) -> ov.Node:
    weights = np.full((channels, x.get_output_shape(0)[1], kernel, kernel), 0.5, np.float16)
    pad = [kernel // 2] * 2
    return op.convolution(x, op.constant(weights), [1, 1], pad, pad, [1, 1])


def image(terms: int, side: int, channels: int, kernel: str, last: int) -> ov.Model:
    """A 3x3 convolution of an image, the kernel and, if it makes any channels, the last convolution."""
    x = op.parameter([1, terms, side, side], np.float16)
    y = convolution(x, channels, 3)
    y = (
        op.swish(y, np.float16(1))
        if kernel == "swish"
        else op.gelu(y, "erf")
        if kernel == "gelu"
        else op.tanh(y)
    )
    return ov.Model([convolution(y, last, 1) if last else y], [x], "image")


#: Channels read, rows and columns, channels made, kernel, channels of the last convolution; what the compiler's
#: schedule takes, us, and calls of the kernel: eight SHAVEs, once or twice.
SEEN = [
    pytest.param(96, 28, 80, "swish", 64, 36.8, 16, id="in columns"),
    pytest.param(16, 80, 96, "swish", 48, 120.3, 16, id="a long kernel"),
    pytest.param(64, 40, 96, "gelu", 32, 54.3, 16, id="large images"),
    pytest.param(96, 28, 80, "swish", 0, 41.5, 8, id="a kernel alone"),
    pytest.param(128, 56, 96, "tanh", 0, 175.2, 8, id="a long kernel alone"),
    pytest.param(96, 40, 32, "tanh", 32, 47.1, 16, id="a wide operand"),
    pytest.param(96, 20, 32, "swish", 80, 24.9, 8, id="what is read costs more than is hidden"),
]


@pytest.mark.parametrize(("terms", "side", "channels", "kernel", "last", "us", "calls"), SEEN)
def test_three_ops_run_strip_by_strip_where_that_takes_less_time(
    terms: int, side: int, channels: int, kernel: str, last: int, us: float, calls: int
) -> None:
    program = lower(from_openvino(image(terms, side, channels, kernel, last)), LUNAR)
    works = [task.work for task in program.tasks]
    assert sum(isinstance(w, ShaveWork) and w.kernel == kernel for w in works) == calls
    assert npusim.simulate(program, LUNAR).latency_us == pytest.approx(us, rel=TOLERANCE)


@pytest.mark.parametrize("tiles", [1, 2])
@pytest.mark.parametrize("last", [32, 64, 128])
def test_the_last_is_cut_in_strips_only_if_the_first_is(last: int, tiles: int) -> None:
    """One that is cut by itself, since it does not fit (3720), carries its kernel along and nothing else."""
    program = lower(from_openvino(image(64, 160, 64, "swish", last)), hardware_of("3720", tiles, 2))
    cuts = [op.strategy for op in program.ops]
    assert any("cut with the op before it" in cut for cut in cuts)
    assert not any("strips" in cut for cut in cuts)
