"""Transposed convolutions and depths spread over pixels: as convolutions, or by transfers."""

from __future__ import annotations

import numpy as np
import openvino as ov
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from openvino import opset15 as op

from npusim.graph import Graph, from_openvino
from npusim.hardware import load_hardware
from npusim.lowering import lower
from npusim.lowering.conservation import macs_of_op
from npusim.lowering.rewrite.transposed import split_transposed
from npusim.program import Program
from npusim.program.work import DmaWork, DpuWork


def transposed(before: int, behind: int, side: int, kernel: int, stride: int, pad: int) -> Graph:
    x = op.parameter([1, before, side, side], np.float16, name="x")
    weights = op.constant(np.ones((before, behind, kernel, kernel), np.float16))
    places = {"pads_begin": [pad] * 2, "pads_end": [pad] * 2, "output_padding": [0, 0]}
    made = op.convolution_backprop_data(x, weights, [stride] * 2, **places)
    biased = op.relu(op.add(made, op.constant(np.ones((1, behind, 1, 1), np.float16))))
    return from_openvino(ov.Model([op.result(biased)], [x], "m"))


def spread(channels: int, side: int, block: int, mode: str) -> Graph:
    x = op.parameter([1, channels, side, side], np.float16, name="x")
    return from_openvino(ov.Model([op.result(op.depth_to_space(x, mode, block))], [x], "m"))


def of_type(program: Program, kind: type) -> list[DmaWork | DpuWork]:
    return [t.work for t in program.tasks if isinstance(t.work, kind)]


@given(st.sampled_from([3, 16, 48, 96]), st.sampled_from([8, 32, 64]), st.integers(4, 40))
@settings(max_examples=20, deadline=None)
def test_quarters_of_a_kernel_do_every_product_that_meets_a_pixel_once(
    before: int, behind: int, side: int
) -> None:
    """Four of 16 taps meet a pixel of the doubled image, wherever it lies, and the four results are all of it."""
    graph = split_transposed(
        transposed(before, behind, side, 4, 2, 1), load_hardware("lunarlake.yaml").software
    )
    convolutions = [o for o in graph.ops if o.type == "Convolution"]
    assert sum(macs_of_op(graph, o) for o in convolutions) == (2 * side) ** 2 * behind * before * 4
    assert [o.type for o in graph.ops if o.outputs[0] in graph.outputs] == ["DepthToSpace"]


@pytest.mark.parametrize(
    ("hw", "channels", "cut"),
    [("lunarlake", 32, False), ("lunarlake", 33, True), ("meteorlake", 16, False), ("pantherlake", 16, True)],
)
def test_few_channels_that_stay_as_many_are_transposed_whole_but_on_the_latest(
    hw: str, channels: int, cut: bool
) -> None:
    graph = transposed(channels, channels, 20, 4, 2, 1)
    ops = split_transposed(graph, load_hardware(f"{hw}.yaml").software).ops
    assert any(o.type == "Convolution" for o in ops) == cut


@pytest.mark.parametrize(("kernel", "stride", "pad"), [(2, 2, 0), (3, 2, 1), (4, 4, 0), (4, 2, 0)])
def test_other_transposed_convolutions_stay(kernel: int, stride: int, pad: int) -> None:
    graph = transposed(64, 32, 20, kernel, stride, pad)
    assert split_transposed(graph, load_hardware("lunarlake.yaml").software) is graph


@pytest.mark.parametrize("hw", ["meteorlake", "lunarlake", "pantherlake"])
@pytest.mark.parametrize(("channels", "side", "block"), [(64, 20, 2), (48, 45, 4), (256, 200, 2)])
def test_depths_are_spread_on_the_tile_that_holds_them(hw: str, channels: int, side: int, block: int) -> None:
    """Every byte is moved once within CMX, whatever is sliced."""
    program = lower(spread(channels, side, block, "blocks_first"), load_hardware(f"{hw}.yaml"))
    within = [w for w in of_type(program, DmaWork) if (w.src, w.dst, w.kind) == ("cmx", "cmx", "copy")]
    first = sum(w.bytes for w in within)
    size = 2 * channels * side * side
    assert first in (size, 2 * size)  # a second time where the planes are permuted by transfers


def test_few_depths_that_lie_side_by_side_are_picked_by_a_convolution() -> None:
    program = lower(spread(128, 20, 2, "depth_first"), load_hardware("lunarlake.yaml"))
    assert any(w.kind == "conv" and w.kernel_h == 2 for w in of_type(program, DpuWork))
    wide = lower(spread(512, 20, 2, "depth_first"), load_hardware("lunarlake.yaml"))
    assert not any(w.kind == "conv" for w in of_type(wide, DpuWork))


def test_without_addresses_pixels_are_written_between_zeros() -> None:
    """The image grown four times is stored, and read by the change of layout in front of the convolution."""
    program = lower(transposed(64, 32, 28, 2, 2, 0), load_hardware("meteorlake.yaml"))
    grown = 4 * 2 * 64 * 28 * 28
    sizes = [w.bytes for w in of_type(program, DmaWork) if (w.src, w.dst) == ("cmx", "ddr")]
    assert grown in sizes
    read = sum(w.bytes for w in of_type(program, DmaWork) if w.kind == "resize")
    assert read == grown // 4


@pytest.mark.parametrize("hw", ["lunarlake", "pantherlake"])
def test_an_activation_behind_another_view_of_an_image_leaves_its_rows_as_they_are(hw: str) -> None:
    """What is spread from one column is the same memory: the rectifier is done by the convolution in front."""
    x = op.parameter([1, 16, 14, 1], np.float16)
    weights = op.constant(np.ones((256, 16, 1, 1), np.float16))
    deep = op.convolution(x, weights, [1, 1], [0, 0], [0, 0], [1, 1])
    model = ov.Model([op.result(op.relu(op.depth_to_space(deep, "blocks_first", 4)))], [x], "column")
    program = lower(from_openvino(model), load_hardware(f"{hw}.yaml"))
    assert all(w.bytes >= 0 for w in of_type(program, DmaWork) if isinstance(w, DmaWork))
    rows = [w.height for w in of_type(program, DpuWork) if isinstance(w, DpuWork) and w.kind == "conv"]
    assert sum(rows) in (14, 14 * len(rows))
