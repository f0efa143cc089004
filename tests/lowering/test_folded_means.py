"""Means along the rows of few planes: 8 pixels are averaged by a convolution, whose terms are padded if they must."""

from __future__ import annotations

import numpy as np
import openvino as ov
import pytest
from openvino import opset15 as op

import npusim
from npusim.graph import from_openvino
from npusim.lowering import lower
from npusim.program.work import DpuWork
from npusim.validation.schedules.predict import hardware_of

#: Platform with its tiles and DMA engines, planes, rows and columns of a mean along the rows; the first convolution's
#: input and output channels and the latency, µs (OpenVINO 2026.4.1). Odd planes have their 8 pixels padded by copies
#: (one or three by another convolution); two numbers of rows stand on either side of what one tile holds.
SEEN = [
    (("4000", 4, 2), (77, 24, 128), (624, 80), 36.8), (("4000", 4, 2), (21, 24, 128), (176, 32), 17.9),
    (("4000", 4, 2), (13, 24, 128), (112, 16), 15.2), (("4000", 4, 2), (10, 24, 128), (80, 16), 9.3),
    (("4000", 4, 2), (42, 24, 128), (336, 48), 13.6), (("4000", 4, 2), (3, 24, 128), (48, 64), 9.0),
    (("4000", 4, 2), (1, 8, 128), (16, 32), 8.4), (("4000", 4, 2), (20, 192, 128), (160, 32), 30.5),
    (("4000", 4, 2), (20, 288, 128), (640, 80), 44.9), (("5010", 3, 2), (21, 24, 128), (176, 32), 8.2),
    (("5010", 3, 2), (42, 24, 128), (336, 48), 7.1), (("3720", 2, 2), (42, 24, 128), (336, 48), 14.0),
]  # fmt: skip


@pytest.mark.parametrize(("machine", "shape", "channels", "seen_us"), SEEN)
def test_eight_pixels_are_averaged_by_a_convolution(
    machine: tuple[str, int, int], shape: tuple[int, int, int], channels: tuple[int, int], seen_us: float
) -> None:
    x = op.parameter([1, *shape], np.float16, name="x")
    mean = op.reduce_mean(x, op.constant(np.array([3])), True)
    hw = hardware_of(*machine)
    result = npusim.simulate(lower(from_openvino(ov.Model([op.result(mean)], [x], "mean")), hw), hw, "fast")
    works = (work for work in result.program.tasks.works if isinstance(work, DpuWork))
    first = next(work for work in works if work.kind == "conv")
    assert (first.in_channels, first.out_channels) == channels
    assert result.latency_us == pytest.approx(seen_us, rel=0.09)
