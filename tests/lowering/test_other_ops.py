"""Ops beyond those of the reference schedules: lowered to what they consist of, or refused in one line."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import openvino as ov
import pytest
from openvino import opset13 as op

from npusim.costs.price import price
from npusim.engine.event import simulate
from npusim.graph import from_openvino, load_model
from npusim.hardware import load_hardware
from npusim.lowering import lower
from npusim.program import Program
from npusim.program.work import DpuWork

F = np.float32


def _x(*shape: int) -> ov.Node:
    return op.parameter(list(shape), F)


def _c(*shape: int) -> ov.Node:
    return op.constant(np.ones(shape, F))


def _einsum() -> tuple[list[ov.Output], list[ov.Node]]:
    a, b = _x(1, 8, 16, 64), _x(1, 8, 24, 64)
    return op.einsum([a, b], "bhqd,bhkd->bhqk").outputs(), [a, b]


def _gru() -> tuple[list[ov.Output], list[ov.Node]]:
    x, h = _x(1, 10, 64), _x(1, 1, 32)
    lengths = op.constant(np.array([10], np.int32))
    return op.gru_sequence(x, h, lengths, _c(1, 96, 64), _c(1, 96, 32), _c(1, 96), 32, "forward").outputs()[
        :1
    ], [x, h]


def _one(
    make: Callable[[ov.Node], ov.Node], *shape: int
) -> Callable[[], tuple[list[ov.Output], list[ov.Node]]]:
    def build() -> tuple[list[ov.Output], list[ov.Node]]:
        x = _x(*shape)
        return make(x).outputs(), [x]

    return build


MODELS = {
    "Einsum": _einsum,
    "GRUSequence": _gru,
    "DepthToSpace": _one(lambda x: op.depth_to_space(x, "blocks_first", 2), 1, 64, 16, 16),
    "SpaceToDepth": _one(lambda x: op.space_to_depth(x, "blocks_first", 2), 1, 16, 32, 32),
    "ShuffleChannels": _one(lambda x: op.shuffle_channels(x, 1, 4), 1, 64, 16, 16),
    "GroupNormalization": _one(lambda x: op.group_normalization(x, _c(64), _c(64), 8, 1e-5), 1, 64, 16, 16),
    "TopK": _one(lambda x: op.topk(x, op.constant(np.int64(5)), 1, "max", "value"), 1, 1000),
    "ConvolutionBackpropData": _one(
        lambda x: op.convolution_backprop_data(
            x, _c(64, 32, 4, 4), [2, 2], pads_begin=[1, 1], pads_end=[1, 1], dilations=[1, 1]
        ),
        1, 64, 16, 16,
    ),
    "GroupConvolutionBackpropData": _one(
        lambda x: op.group_convolution_backprop_data(x, _c(64, 1, 1, 4, 4), [2, 2], None, [1, 1], [1, 1], [1, 1]),
        1, 64, 16, 16,
    ),
    "one-dimensional Convolution of a wave": _one(
        lambda x: op.relu(op.convolution(x, _c(64, 1, 10), [5], [0], [0], [1])), 1, 1, 16000
    ),
    "GatherElements": _one(lambda x: op.gather_elements(x, op.constant(np.zeros((8, 4), np.int64)), 1), 8, 16),
}  # fmt: skip


def _lower(tmp_path: Path, name: str) -> Program:
    outputs, inputs = MODELS[name]()
    path = tmp_path / "m.xml"
    ov.save_model(ov.Model(outputs, inputs, name), path)
    return lower(load_model(str(path)), load_hardware("lunarlake-vpunn.yaml"))


@pytest.mark.parametrize("name", MODELS)
def test_runs_to_its_end(tmp_path: Path, name: str) -> None:
    program = _lower(tmp_path, name)
    hardware = load_hardware("lunarlake-vpunn.yaml")
    timeline = simulate(program, price(program, hardware, allow_guess=True))
    assert 0 < max(timeline.end_us) < 1e4


def test_einsum_is_a_batched_matmul(tmp_path: Path) -> None:
    macs = sum(t.work.macs for t in _lower(tmp_path, "Einsum").tasks if isinstance(t.work, DpuWork))
    assert macs >= 8 * 16 * 24 * 64


def test_a_slice_of_more_tasks_than_fetches_cover_does_not_wait_for_itself(tmp_path: Path) -> None:
    """128 groups on one tile are four fetch groups of one slice."""
    a, b = _x(1, 128, 100, 16), _x(1, 128, 16, 16)
    path = tmp_path / "m.xml"
    ov.save_model(ov.Model([op.matmul(a, b, False, False)], [a, b], "m"), path)
    hardware = load_hardware("lunarlake-vpunn.yaml", ["tiles=1"])
    program = lower(load_model(str(path)), hardware)
    fetches = sum(t.detail == "fetch" for t in program.tasks)
    tasks = sum(isinstance(t.work, DpuWork) for t in program.tasks)
    assert fetches >= -(-tasks // 32) > 4
    assert max(simulate(program, price(program, hardware)).end_us) > 0


@pytest.mark.parametrize("mode", ["nearest", "linear_onnx"])
@pytest.mark.parametrize(
    "shape", [(24,), (251, 24), (16, 64, 40), (2, 16, 8, 40), (1, 16, 1, 8, 40), (2, 3, 4, 8, 8)]
)
def test_images_of_any_rank_are_interpolated(shape: tuple[int, ...], mode: str) -> None:
    """Each of them as a plane of its own: the laws of work hold, and so does the shape for what reads the result."""
    x = op.parameter(shape, np.float16)
    axes = np.array(range(len(shape))[-2:])
    node = op.interpolate(op.abs(x), np.full(len(axes), 2, np.float32), mode, "scales", axes=axes)
    model = ov.Model([op.result(op.softmax(node, -1))], [x], "m")
    assert len(lower(from_openvino(model), load_hardware("lunarlake-vpunn.yaml")).tasks)


@pytest.mark.parametrize("make", [lambda x: op.cum_sum(x, np.array(0)), lambda x: op.log_softmax(x, 0)])
def test_a_number_has_no_axis(make: Callable[[ov.Node], ov.Node]) -> None:
    x = op.parameter([], np.float16)
    model = ov.Model([op.result(make(x))], [x], "m")
    assert len(lower(from_openvino(model), load_hardware("lunarlake-vpunn.yaml")).tasks)


@pytest.mark.parametrize(("rows", "width", "count", "us"), [(40000, 384, 16, 12.4), (32000, 512, 1, 2.74)])
def test_rows_that_a_kernel_picks_take_as_long_as_the_compiler_says(
    rows: int, width: int, count: int, us: float
) -> None:
    """From a table of 8 bits, on 3720: 16 of them for a product, to whose tiles they are copied when its weights have
    come, by two SHAVEs; one by one SHAVE."""
    index = op.parameter([1, count], np.int64)
    table = op.convert(op.constant(np.ones((rows, width), np.int8)), "f16")
    scale = op.constant(np.full((rows, 1), 0.01, np.float16))
    made = op.gather(op.multiply(table, scale), index, op.constant(0))
    if count > 1:
        made = op.matmul(made, op.constant(np.eye(width, dtype=np.float16) + np.float16(1)), False, True)
    hw = load_hardware("meteorlake-vpunn.yaml")
    program = lower(from_openvino(ov.Model([made], [index], "m")), hw)
    assert simulate(program, price(program, hw)).latency_us == pytest.approx(us, rel=0.02)
