"""Convolutions along one row that is longer than the DPU's tensors."""

from __future__ import annotations

import numpy as np
import openvino as ov
import pytest
from openvino import opset15 as op

from npusim.graph.load import graph_of
from npusim.hardware import load_hardware
from npusim.lowering import lower
from npusim.lowering.rewrite.long_rows import turn_long_rows
from npusim.program.work import DpuWork


def model(width: int, kernel: int, stride: int = 1, height: int = 1) -> ov.Model:
    x = op.parameter([1, 16, height, width], np.float16)
    weights = np.ones((32, 16, 1, kernel), np.float16)
    return ov.Model([op.convolution(x, weights, [1, stride], [0, 0], [0, 0], [1, 1])], [x], "m")


@pytest.mark.parametrize("platform", ["lunarlake-vpunn", "meteorlake-vpunn", "pantherlake-vpunn"])
def test_a_long_row_is_cut_and_all_of_it_computed(platform: str) -> None:
    """A window of 1 x 9 over 40,000 samples; a row of them is more than CMX holds."""
    result = lower(graph_of(model(40_000, 9, 2), "m", "m"), load_hardware(platform))
    macs = sum(t.work.macs for t in result.tasks if isinstance(t.work, DpuWork) and t.work.kind == "conv")
    assert macs >= 19_996 * 9 * 16 * 32


def test_short_rows_and_images_stay() -> None:
    for one in (model(8192, 9), model(10_000, 9, height=2)):
        graph = graph_of(one, "m", "m")
        assert turn_long_rows(graph) is graph
    turned = turn_long_rows(graph_of(model(10_000, 9), "m", "m"))
    assert [o.type for o in turned.ops] == ["Squeeze", "Convolution", "Unsqueeze"]
    assert turned.tensors[turned.outputs[0]].shape == (1, 32, 1, 9_992)
