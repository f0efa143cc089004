"""Norms of images between convolutions, beside what Intel's compiler says they take."""

from __future__ import annotations

import numpy as np
import openvino as ov
import pytest
from openvino import opset15 as op

import npusim
from npusim.graph import from_openvino
from npusim.lowering import lower
from npusim.program.work import DpuWork, ShaveWork
from npusim.validation.schedules.predict import hardware_of

TOLERANCE = 0.08
#: Batch, channels, rows, columns, the channels of every kernel call, and µs by the compiler's schedule.
NORMS = [
    (1, 48, 24, 40, (32, 16), 101.9), (1, 64, 24, 40, (16, 16, 16, 16), 88.6), (1, 96, 24, 40, (48, 48), 191.5),
    (2, 128, 24, 40, (32, 32, 32, 32), 437.3), (3, 96, 24, 40, (48, 48), 542.3), (2, 48, 48, 80, (32, 16), 709.1),
]  # fmt: skip


def encoder(batch: int, channels: int, height: int, width: int) -> ov.Model:
    """Two convolutions of 3 x 3 with an instance normalisation between them."""
    rng = np.random.default_rng(0)

    def convolved(x: ov.Node | ov.Output) -> ov.Node:
        weights = rng.normal(size=(channels, channels, 3, 3)).astype(np.float16)
        return op.convolution(x, weights, [1, 1], [1, 1], [1, 1], [1, 1])

    x = op.parameter([batch, channels, height, width], np.float16)
    y = op.mvn(convolved(x), np.array([2, 3]), True, 1e-5, "INSIDE_SQRT")
    return ov.Model([convolved(op.relu(y))], [x], "encoder")


@pytest.mark.parametrize(("batch", "channels", "height", "width", "shares", "us"), NORMS)
def test_tiles_and_shaves_share_whole_granules_of_channels(
    batch: int, channels: int, height: int, width: int, shares: tuple[int, ...], us: float
) -> None:
    hw = hardware_of("3720", 2, 2)
    program = lower(from_openvino(encoder(batch, channels, height, width)), hw)
    works = [task.work for task in program.tasks if isinstance(task.work, ShaveWork)]
    calls = sorted((w.out_elements for w in works if w.kernel == "mvn"), reverse=True)
    assert calls == [share * batch * height * width for share in shares]
    assert abs(npusim.simulate(program, hw).latency_us / us - 1) < TOLERANCE


#: Images, how many convolutions, whether each has a norm behind, and µs by the compiler's schedule of 3720.
CHAINS = [
    (2, 1, True, 121.6),
    (2, 2, True, 360.2),
    (2, 3, True, 556.9),
    (3, 4, True, 745.1),
    (2, 4, False, 172.2),
]


@pytest.mark.parametrize(("images", "convolutions", "normed", "us"), CHAINS)
def test_each_tile_works_on_an_image_of_its_own(
    images: int, convolutions: int, normed: bool, us: float
) -> None:
    """Two images on two tiles, of a model of at least 12 nodes."""
    y = x = op.parameter([images, 32, 32, 32], np.float16)
    for _ in range(convolutions):
        weights = np.ones((64, y.get_output_shape(0)[1], 3, 3), np.float16)
        y = op.convolution(y, weights, [1, 1], [1, 1], [1, 1], [1, 1])
        y = op.relu(op.mvn(y, np.array([2, 3]), True, 1e-5, "INSIDE_SQRT") if normed else y)
    hw = hardware_of("3720", 2, 2)
    program = lower(from_openvino(ov.Model([y], [x], "chain")), hw)
    heights = {t.work.height for t in program.tasks if isinstance(t.work, DpuWork) and t.work.kind == "conv"}
    each = images == 2 and convolutions > 1
    assert heights == ({32} if each else {16})
    assert not each or abs(npusim.simulate(program, hw).latency_us / us - 1) < TOLERANCE


#: Channels, rows and columns of what is normalised, whether a convolution reads it, whether by planes, and µs by the
#: compiler's schedules of 4000, 5010 and 3720 (0: not compiled).
SINGLE = [
    (48, 40, 40, True, False, 60.0, 35.8, 148.9),  # rows through DDR: too few channels for all tiles of 4000
    (48, 16, 16, False, True, 26.1, 14.1, 21.2),
    (64, 16, 8, True, False, 20.5, 0, 0), (64, 40, 40, True, False, 52.8, 66.8, 107.8),
    (64, 32, 48, False, True, 50.3, 69.2, 92.8),
    (112, 16, 16, True, True, 37.9, 0, 0),
    (128, 32, 16, True, True, 38.9, 0, 0), (128, 16, 32, True, False, 39.1, 0, 0),  # as many channels a SHAVE as rows
    (144, 16, 16, True, False, 34.7, 22.7, 0), (192, 26, 32, True, True, 67.2, 0, 0),
    (320, 32, 16, True, False, 70.2, 59.4, 0),
]  # fmt: skip


@pytest.mark.parametrize(
    ("channels", "height", "width", "read", "planes", "us_4000", "us_5010", "us_3720"), SINGLE
)
def test_an_image_is_normalised_by_planes_or_channels_last(
    channels: int,
    height: int,
    width: int,
    read: bool,
    planes: bool,
    us_4000: float,
    us_5010: float,
    us_3720: float,
) -> None:
    def convolved(x: ov.Node | ov.Output, channels: int) -> ov.Node:
        weights = np.ones((channels, x.get_output_shape(0)[1], 3, 3), np.float16)
        return op.convolution(x, weights, [1, 1], [1, 1], [1, 1], [1, 1])

    x = op.parameter([1, 32, height, width], np.float16)
    y = op.relu(op.mvn(convolved(x, channels), np.array([2, 3]), True, 1e-5, "INSIDE_SQRT"))
    graph = from_openvino(ov.Model([convolved(y, 32) if read else y], [x], "norm"))
    for platform, tiles, us in (("4000", 4, us_4000), ("5010", 3, us_5010), ("3720", 2, us_3720)):
        hw = hardware_of(platform, tiles, 2)
        program = lower(graph, hw)
        convs = [t.work for t in program.tasks if isinstance(t.work, DpuWork) and t.work.kind == "conv"]
        assert platform != "4000" or convs[0].planes is planes
        assert not us or abs(npusim.simulate(program, hw).latency_us / us - 1) < 0.035


def test_what_lies_whole_on_every_tile_is_added_by_rows() -> None:
    """The sum of two activations of norms, as compiled for 4000: every tile computes a part and writes it to all."""
    x = op.parameter([1, 64, 40, 72], np.float16)

    def branch(x: ov.Node | ov.Output) -> ov.Node:
        weights = np.ones((64, 64, 3, 3), np.float16)
        y = op.convolution(x, weights, [1, 1], [1, 1], [1, 1], [1, 1])
        return op.relu(op.mvn(y, np.array([2, 3]), True, 1e-5, "INSIDE_SQRT"))

    first = branch(x)
    model = ov.Model([branch(op.add(first, branch(first)))], [x], "residual")
    program = lower(from_openvino(model), hardware_of("4000", 4, 2))
    sums = [t.work for t in program.tasks if isinstance(t.work, DpuWork) and t.work.kind == "eltwise"]
    assert [work.height for work in sums] == [10] * 4


@pytest.mark.parametrize(
    ("channels", "side", "groups", "us"),
    [
        (64, 48, 64, 48.3),  # 16 planes a tile
        (256, 16, 32, 28.3),
        (320, 32, 32, 92.2),
        (32, 64, 32, 55.5),  # 8 are no granule: through DDR
        (192, 20, 192, 48.1),  # nor are lines of 20
    ],
)
def test_tiles_scale_the_planes_that_they_have_normalised(
    channels: int, side: int, groups: int, us: float
) -> None:
    """Normalised groups of planes, scaled and shifted, as compiled for 4000."""
    x = op.parameter([1, channels, side, side], np.float16)
    grouped = op.reshape(x, np.array([1, groups, channels // groups * side * side]), False)
    normed = op.reshape(
        op.mvn(grouped, np.array([2]), True, 1e-5, "INSIDE_SQRT"), x.get_output_shape(0), False
    )
    factors = np.linspace(0.5, 1.5, channels, dtype=np.float16).reshape(1, channels, 1, 1)
    model = ov.Model([op.add(op.multiply(normed, factors), factors)], [x], "norm")
    hw = hardware_of("4000", 4, 2)
    assert abs(npusim.simulate(lower(from_openvino(model), hw), hw).latency_us / us - 1) < 0.02
