"""Sums and means of images channels last: as Intel's compiler (2026.4.1, 4000) makes residual blocks and heads."""

from __future__ import annotations

from collections import Counter

import numpy as np
import openvino as ov
import pytest
from openvino import opset15 as op

from npusim.graph.load import graph_of
from npusim.hardware import load_hardware
from npusim.lowering import lower
from npusim.program import Program
from npusim.program.work import DmaWork, DpuWork


def conv(x: ov.Node, channels: int) -> ov.Node:
    weights = np.ones((channels, x.get_output_shape(0)[1], 3, 3), np.float16)
    return op.convolution(x, weights, [1, 1], [1, 1], [1, 1], [1, 1])


def program(body: str, size: int, channels: int, platform: str = "lunarlake-vpunn") -> Program:
    x = op.parameter([1, channels, size, size], np.float16)
    first = op.relu(conv(x, channels))
    second = conv(first, channels)
    results = {
        "sum": op.add(first, second),
        "sum, conv": conv(op.relu(op.add(first, second)), channels),
        "mean": op.reduce_mean(second, np.array([2, 3]), False),
        "sum, mean": op.reduce_mean(op.add(first, second), np.array([2, 3]), False),
    }
    return lower(graph_of(ov.Model([results[body]], [x], "m"), "m", "m"), load_hardware(platform))


def computed(result: Program) -> Counter[str]:
    return Counter(t.work.kind for t in result.tasks if isinstance(t.work, DpuWork))


def test_a_sum_at_the_end_writes_planes_itself() -> None:
    with_sum, without = (computed(program(body, 28, 64)) for body in ("sum", "sum, conv"))
    assert with_sum["eltwise"] == without["eltwise"] == 4
    assert with_sum["permute"] == without["permute"] and "maxpool" not in with_sum


def test_a_convolution_split_over_channels_finds_a_sum_whole_on_every_tile() -> None:
    result = program("sum, conv", 14, 128)
    last = max(t.op for t in result.tasks)
    reads = [t for t in result.tasks if t.op == last and isinstance(t.work, DmaWork) and t.work.src == "ddr"]
    weights, table = 128 // 4 * 128 * 9 * 2, 128 // 4 * 16
    assert sorted(t.work.bytes for t in reads) == [table] * 4 + [weights] * 4


@pytest.mark.parametrize(("size", "stages"), [(7, 1), (11, 1), (14, 2), (24, 2), (28, 2)])
@pytest.mark.parametrize("platform", ["lunarlake-vpunn", "meteorlake-vpunn"])
def test_the_mean_of_an_image_is_a_chain_of_poolings_in_place(size: int, stages: int, platform: str) -> None:
    result = program("mean", size, 96, platform)
    tiles = load_hardware(platform).tiles
    works = [t.work for t in result.tasks if isinstance(t.work, DpuWork) and t.work.kind == "avgpool"]
    assert len(works) == stages * tiles
    assert {(w.height, w.width) for w in works[stages - 1 :: stages]} == {(1, 1)}


@pytest.mark.parametrize("platform", ["lunarlake-vpunn", "meteorlake-vpunn", "pantherlake-vpunn"])
def test_the_mean_of_a_sum_finds_it_on_every_tile(platform: str) -> None:
    """Of 96 channels, 28 x 28, as compiled for the three platforms: the sum and what is averaged never leave CMX."""
    result = program("sum, mean", 28, 96, platform)
    last = max(t.op for t in result.tasks)
    moves = [t.work for t in result.tasks if t.op >= last - 1 and isinstance(t.work, DmaWork)]
    assert [w.dst for w in moves] == ["ddr"] * len(moves) and sum(w.bytes for w in moves) == 96 * 2
