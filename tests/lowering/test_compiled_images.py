"""Networks of images against schedules of Intel's compiler (OpenVINO 2026.4.1): stems, and what tiles share."""

from __future__ import annotations

import numpy as np
import openvino as ov
import pytest
from openvino import opset15 as op

from npusim.costs.price import price
from npusim.engine.event import simulate
from npusim.graph import from_openvino
from npusim.hardware import Hardware, load_hardware
from npusim.lowering import lower
from npusim.program import Program
from npusim.program.work import DpuWork

HARDWARE = {"3720": "meteorlake-vpunn", "4000": "lunarlake-vpunn", "5010": "pantherlake-vpunn"}


def convolution(x: ov.Node, channels: int, kernel: int, stride: int = 1) -> ov.Output:
    weights = np.full((channels, x.get_output_shape(0)[1], kernel, kernel), 0.1, np.float16)
    return op.convolution(x, weights, [stride] * 2, [kernel // 2] * 2, [kernel // 2] * 2, [1, 1]).output(0)


def lowered(result: ov.Node, x: ov.Node, platform: str) -> tuple[Program, Hardware]:
    hw = load_hardware(HARDWARE[platform])
    return lower(from_openvino(ov.Model([result], [x], "m")), hw), hw


#: Platform, side, output channels and kernel of a stem of stride 2 over 3 channels, whether groups of pixels
#: become its channels, and the latency with a 1x1 convolution behind it, µs. On 4000 one of 160 rows and its result fit
#: one tile's scratchpad with 16 channels, of 176 they do not.
STEMS = [
    ("4000", 64, 32, 3, False, 10.7), ("4000", 160, 32, 3, False, 23.2), ("4000", 176, 32, 3, True, 27.9),
    ("4000", 224, 32, 3, True, 39.8), ("4000", 64, 64, 7, False, 14.7), ("4000", 144, 64, 7, False, 38.6),
    ("4000", 112, 128, 3, False, 20.8), ("4000", 144, 128, 3, True, 37.1), ("3720", 96, 32, 3, False, 13.7),
    ("3720", 160, 32, 3, False, 32.6), ("3720", 144, 64, 7, False, 76.0),
]  # fmt: skip


@pytest.mark.parametrize(("platform", "side", "channels", "kernel", "folds", "us"), STEMS)
def test_a_stem_is_folded_where_it_does_not_fit_padded(
    platform: str, side: int, channels: int, kernel: int, folds: bool, us: float
) -> None:
    x = op.parameter([1, 3, side, side], np.float16)
    stem = op.relu(convolution(x, channels, kernel, 2))
    program, hw = lowered(convolution(stem, 32, 1), x, platform)
    first = next(t.work for t in program.tasks if isinstance(t.work, DpuWork) and t.work.kind == "conv")
    assert (first.in_channels == 48) == folds
    assert simulate(program, price(program, hw)).latency_us == pytest.approx(us, rel=0.07)


#: Platform, height and width, channels in and out of a 3x3 convolution behind another one, and what the tiles share.
SPLITS = [
    ("4000", 56, 64, 64, "rows"), ("4000", 28, 64, 64, "rows"), ("4000", 28, 128, 128, "channels"),
    ("4000", 28, 64, 128, "channels"), ("4000", 32, 96, 96, "rows"), ("4000", 14, 256, 256, "channels"),
    ("4000", 14, 128, 128, "channels"), ("3720", 56, 64, 64, "rows"),
    ("5010", 48, 64, 64, "rows"), ("5010", 20, 128, 64, "rows"),
    ("5010", 14, 128, 128, "channels"),
]  # fmt: skip


@pytest.mark.parametrize(("platform", "side", "channels", "made", "shared"), SPLITS)
def test_tiles_share_what_takes_less_long(
    platform: str, side: int, channels: int, made: int, shared: str
) -> None:
    x = op.parameter([1, channels, side, side], np.float16)
    second = convolution(op.relu(convolution(x, channels, 1)), made, 3)
    program, _ = lowered(convolution(op.relu(second), 32, 1), x, platform)
    strategy = next(one.strategy for one in program.ops if one.name == second.get_node().get_friendly_name())
    assert f"split over {'output ' * (shared == 'channels')}{shared}" in strategy


#: Platform, rows and length of a ReduceMax over the last of three dimensions, and its latency, µs: rows are channels
#: of a near square image (whole granules or not), or planes where they are more than a tensor's channels.
REDUCED = [
    ("4000", 1344, 20, 26.0), ("4000", 2100, 80, 79.4), ("4000", 1600, 80, 42.2), ("4000", 500, 100, 25.0),
    ("4000", 2000, 91, 66.3), ("4000", 8000, 80, 174.5), ("4000", 8400, 80, 54.3), ("4000", 9000, 32, 31.4),
    ("4000", 96, 1536, 17.8), ("3720", 1344, 20, 26.6), ("3720", 2100, 80, 134.5),
    ("3720", 8400, 80, 104.9), ("5010", 1344, 20, 14.3), ("5010", 2100, 80, 43.9), ("5010", 8400, 80, 32.4),
]  # fmt: skip


@pytest.mark.parametrize(("platform", "rows", "length", "us"), REDUCED)
def test_maxima_of_rows_take_as_long_as_compiled(platform: str, rows: int, length: int, us: float) -> None:
    x = op.parameter([1, rows, length], np.float16)
    program, hw = lowered(op.reduce_max(x, op.constant(np.array([2])), False), x, platform)
    assert simulate(program, price(program, hw)).latency_us == pytest.approx(us, rel=0.08)


#: Platform, columns of an image of 24 planes and 20 rows, and the latency of a 2x2 pool, µs: so many planes are no
#: whole granules, and so its rows are padded, by a convolution or by copies.
PADDED = [
    ("4000", 8, 16.4), ("4000", 12, 16.7), ("4000", 14, 12.9), ("4000", 28, 18.5), ("4000", 36, 15.0),
    ("3720", 12, 9.5), ("3720", 36, 9.8), ("5010", 12, 6.6), ("5010", 36, 6.5),
]  # fmt: skip


@pytest.mark.parametrize(("platform", "columns", "us"), PADDED)
def test_rows_of_images_whose_planes_are_widened_are_padded(platform: str, columns: int, us: float) -> None:
    x = op.parameter([1, 24, 20, columns], np.float16)
    pool = op.max_pool(x, [2, 2], [1, 1], [0, 0], [0, 0], [2, 2], "floor").output(0)
    program, hw = lowered(pool, x, platform)
    assert simulate(program, price(program, hw)).latency_us == pytest.approx(us, rel=0.05)


#: Platform, shape of a Softmax of four dimensions, its axis, and its latency, µs: an outer axis is brought innermost in
#: front of the kernel, and the result back.
OUTER = [
    ("4000", (21, 96, 96), 1, 80.9), ("4000", (64, 32, 32), 1, 31.9), ("4000", (16, 128, 64), 2, 47.9),
    ("4000", (8, 64, 64), 2, 24.6), ("4000", (1, 128, 3000), 2, 136.0), ("3720", (64, 32, 32), 1, 49.1),
    ("3720", (16, 128, 64), 2, 88.0), ("5010", (64, 32, 32), 1, 29.6), ("5010", (16, 128, 64), 2, 58.6),
]  # fmt: skip


@pytest.mark.parametrize(("platform", "shape", "axis", "us"), OUTER)
def test_a_softmax_over_an_outer_axis_runs_between_permutes(
    platform: str, shape: tuple[int, ...], axis: int, us: float
) -> None:
    x = op.parameter([1, *shape], np.float16)
    program, hw = lowered(op.softmax(x, axis), x, platform)
    assert simulate(program, price(program, hw)).latency_us == pytest.approx(us, rel=0.03)


#: Platform, shape of an image, and the latency of its mean over rows and columns, µs: planes that are no channels yet.
MEANS = [
    ("4000", (64, 7, 7), 10.9), ("4000", (128, 14, 14), 14.9), ("4000", (256, 28, 28), 31.6),
    ("4000", (32, 32, 64), 10.6), ("3720", (64, 7, 7), 6.5), ("3720", (128, 14, 14), 12.0),
    ("3720", (32, 32, 64), 9.0),
    pytest.param("3720", (48, 20, 20), 8.9, marks=pytest.mark.xfail(reason="pools of 32 of 48 channels cost little")),
]  # fmt: skip


@pytest.mark.parametrize(("platform", "shape", "us"), MEANS)
def test_the_mean_of_an_image_is_poolings_both_ways(platform: str, shape: tuple[int, ...], us: float) -> None:
    x = op.parameter([1, *shape], np.float16)
    program, hw = lowered(op.reduce_mean(x, op.constant(np.array([2, 3])), True), x, platform)
    assert simulate(program, price(program, hw)).latency_us == pytest.approx(us, rel=0.05)


@pytest.mark.parametrize(
    ("shape", "axes"), [((2, 192, 20, 56), [2, 3]), ((1, 100, 8, 7), [1]), ((1, 1, 20, 4), [2, 3])]
)
def test_every_mean_is_written(
    monkeypatch: pytest.MonkeyPatch, shape: tuple[int, ...], axes: list[int]
) -> None:
    monkeypatch.setenv("NPUSIM_CHECK", "1")
    x = op.parameter(list(shape), np.float16)
    for platform in HARDWARE:
        lowered(op.reduce_mean(x, op.constant(np.array(axes)), True), x, platform)


#: One-dimensional convolutions: platform, channels in and out, positions, taps and stride, whether an activation
#: follows, and what the compiler estimates, µs. Rows that the pass before leaves in CMX stay (4096 on 3720); kernels of
#: planes are cut over channels and run behind all of a convolution over rows (80 and 384 channels on 4000).
SIGNALS = [
    ("3720", 64, 128, 4096, 5, 2, False, 170.5), ("5010", 64, 128, 4096, 5, 2, False, 46.2),
    ("5010", 32, 256, 3000, 5, 1, False, 57.4), ("5010", 512, 512, 750, 5, 1, False, 254.8),
    ("4000", 80, 384, 1500, 3, 1, True, 228.0), ("4000", 384, 384, 1500, 3, 2, True, 326.8),
    ("4000", 80, 512, 3000, 3, 1, True, 517.5), ("3720", 80, 512, 3000, 3, 1, True, 827.6),
]  # fmt: skip


@pytest.mark.parametrize(
    ("platform", "channels", "made", "length", "taps", "stride", "active", "us"), SIGNALS
)
def test_signals_take_as_long_as_compiled(
    platform: str, channels: int, made: int, length: int, taps: int, stride: int, active: bool, us: float
) -> None:
    x = op.parameter([1, channels, length], np.float16)
    weights, pads = np.ones((made, channels, taps), np.float16), [taps // 2]
    y = op.add(op.convolution(x, weights, [stride], pads, pads, [1]), np.ones((1, made, 1), np.float16))
    program, hw = lowered(op.gelu(y, "erf") if active else op.relu(y), x, platform)
    assert simulate(program, price(program, hw)).latency_us == pytest.approx(us, rel=0.09)
