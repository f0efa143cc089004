"""Batches of images, each of which passes through convolutions and pools before the next one does."""

from __future__ import annotations

import numpy as np
import openvino as ov
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from openvino import opset15 as op

from npusim.costs.price import price
from npusim.engine.event import simulate
from npusim.errors import UserError
from npusim.graph import from_openvino
from npusim.hardware import load_hardware
from npusim.lowering import lower
from npusim.program import Program
from npusim.program.work import DmaWork, DpuWork
from tests.lowering.laws import check_barriers, check_cmx

MACHINES = {
    name: [load_hardware(name, [f"cmx.kib_per_tile={kib}"]) for kib in (300, 700, 1440)]
    for name in ("meteorlake-vpunn", "lunarlake-vpunn", "pantherlake-vpunn")
}


def _weights(*shape: int) -> ov.Node:
    return op.constant(np.full(shape, 0.5, np.float16))


def _conv(x: ov.Output, channels: int, taps: int, stride: int = 1) -> ov.Output:
    pads = [taps // 2] * 2
    weights = _weights(channels, x.get_shape()[1], taps, taps)
    return op.relu(op.convolution(x, weights, [stride] * 2, pads, pads, [1, 1])).output(0)


def _depthwise(x: ov.Output, stride: int) -> ov.Output:
    weights = _weights(x.get_shape()[1], 1, 1, 3, 3)
    return op.relu(op.group_convolution(x, weights, [stride] * 2, [1, 1], [1, 1], [1, 1])).output(0)


@st.composite
def networks(draw: st.DrawFn) -> ov.Model:
    """Three to ten layers of images, 2 to 12 of them."""
    side = draw(st.sampled_from((14, 28, 56, 75, 112)))
    start = op.parameter(
        [draw(st.integers(2, 12)), draw(st.sampled_from((16, 32, 48))), side, side], np.float16
    )
    x = start.output(0)
    for _ in range(draw(st.integers(3, 10))):
        stride, channels = draw(st.sampled_from((1, 1, 2))), draw(st.sampled_from((16, 32, 64, 128, 256)))
        match draw(st.sampled_from(("1x1", "3x3", "1x1", "depthwise", "depthwise", "sum", "pool"))):
            case "1x1":
                x = _conv(x, channels, 1)
            case "3x3":
                x = _conv(x, channels, 3, stride)
            case "depthwise":
                x = _depthwise(x, stride)
            case "sum":
                x = op.add(x, _conv(x, x.get_shape()[1], 1)).output(0)
            case "pool" if x.get_shape()[2] > 1:
                x = op.max_pool(x, [2, 2], [1, 1], [0, 0], [0, 0], [2, 2]).output(0)
    return ov.Model([op.result(x)], [start], "images")


@settings(max_examples=50, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(networks(), st.sampled_from([hw for machines in MACHINES.values() for hw in machines]))
def test_a_batch_fits_or_what_lacks_is_told(model: ov.Model, hw: object) -> None:
    """What residency accounts for is what the scheduler takes: else a step that fits would find no room."""
    try:
        program = lower(from_openvino(model), hw)
    except UserError as error:
        assert "does not fit the scratchpad" in str(error)
        assert "gap 0.0 KiB" not in str(error)
        return
    check_barriers(program)
    check_cmx(program, simulate(program, price(program, hw, allow_guess=True)))


@pytest.mark.parametrize(("layers", "times"), [(2, 1), (6, 12)])
def test_images_load_weights_anew_where_those_of_all_layers_do_not_fit(layers: int, times: int) -> None:
    """Each tile of 4000 has 128 KiB of the weights of every 1x1 convolution of 512 channels, and images of 180 KiB."""
    start = op.parameter([12, 512, 19, 19], np.float16)
    x = start.output(0)
    for _ in range(layers):
        x = _conv(_depthwise(x, 1), 512, 1)
    model = ov.Model([op.result(x)], [start], "deep")
    program = lower(from_openvino(model), load_hardware("lunarlake-vpunn", ["cmx.kib_per_tile=1000"]))
    works = [task.work for task in program.tasks]
    weights = [work for work in works if isinstance(work, DmaWork) and work.bytes == 512 * 512 * 2 / 4]
    assert len(weights) == 4 * layers * times


def _mobile(images: int, side: int, channels: int) -> Program:
    """Three pairs of a depth-wise and a 1x1 convolution on 3720, whose network is never called once an image."""
    start = op.parameter([images, channels, side, side], np.float16)
    x = start.output(0)
    for _ in range(3):
        x = _conv(_depthwise(x, 1), channels, 1)
    return lower(from_openvino(ov.Model([op.result(x)], [start], "mobile")), MACHINES["meteorlake-vpunn"][-1])


def _order(program: Program) -> list[str]:
    """The ops of the first tile's DPU tasks, one name for those of a kind that follow each other."""
    names: list[str] = []
    for task in program.tasks:
        if isinstance(task.work, DpuWork) and program.queues[task.queue].unit == 0:
            name = program.ops[task.op].name
            names += [name] if names[-1:] != [name] else []
    return names


def test_an_image_passes_through_all_layers_before_the_next_one() -> None:
    """As in schedules of chains without sums of the whole batch (`npusim validate --set layers`: image_batches)."""
    order = _order(_mobile(images=5, side=56, channels=64))
    layers = list(dict.fromkeys(order))
    assert order == layers * 5


def test_activations_of_a_batch_stay_in_cmx_while_one_image_fits() -> None:
    """What goes to DDR is the result alone, however many the layers."""
    program = _mobile(images=5, side=56, channels=64)
    written = sum(
        task.work.bytes for task in program.tasks if isinstance(task.work, DmaWork) and task.work.dst == "ddr"
    )
    assert written == 5 * 64 * 56 * 56 * 2


def test_3720_turns_images_on_the_way_to_the_tiles() -> None:
    """Of each image a copy in DDR, and from there a transfer an engine to every tile (q30_f16 of image_batches)."""
    start = op.parameter([8, 32, 30, 30], np.float16)
    x = start.output(0)
    for _ in range(4):
        x = _conv(x, 64, 1)
    program = lower(from_openvino(ov.Model([op.result(x)], [start], "odd")), MACHINES["meteorlake-vpunn"][-1])
    moved = [task.work for task in program.tasks if isinstance(task.work, DmaWork)]
    copies = [work for work in moved if work.src == work.dst == "ddr"]
    parts = [
        work
        for work in moved
        if (work.src, work.dst) == ("ddr", "cmx") and work.bytes == 32 * 30 * 30 * 2 / 4
    ]
    assert (len(copies), len(parts)) == (8, 8 * 4)
    assert sum(work.bytes for work in copies) == 8 * 32 * 30 * 30 * 2


def test_images_that_a_sum_reads_too_are_turned_for_both() -> None:
    """By transfers within one tile's CMX, and no copies in DDR (bconv_b6_14x14_128-128-128_k3s1_bias_res of kinds)."""
    start = op.parameter([6, 128, 14, 14], np.float16)
    x = start.output(0)
    model = ov.Model([op.result(op.add(x, _conv(x, 128, 3)))], [start], "both")
    program = lower(from_openvino(model), MACHINES["meteorlake-vpunn"][-1])
    moved = [(task.work.src, task.work.dst) for task in program.tasks if isinstance(task.work, DmaWork)]
    assert ("ddr", "ddr") not in moved
    assert ("cmx", "cmx") in moved
