"""Residual blocks, joins and INT8 blocks on an input: in which order Intel's compiler (2026.4.1, 4000, 4 tiles) lets
images lie, where it permutes them, and what it estimates of the whole, µs."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
import openvino as ov
import pytest
from openvino import opset15 as op

from npusim import api
from npusim.graph import Graph, from_openvino
from npusim.lowering.ir.images import readers_channels_last
from npusim.lowering.rewrite.quantisers import merge_quantisers
from npusim.program.work import DpuWork
from npusim.validation.schedules.predict import hardware_of

Build = Callable[[ov.Node, ov.Node], ov.Node]


def conv(
    x: ov.Node | ov.Output, channels: int, kernel: int = 3, stride: int = 1, narrow: bool = False
) -> ov.Node:
    before = x.get_output_shape(0)[1]
    weights: ov.Node = op.constant(
        np.random.default_rng(0).normal(size=(channels, before, kernel, kernel)).astype(np.float16)
    )
    pads = [kernel // 2] * 2
    return op.convolution(x, quantised(weights) if narrow else weights, [stride] * 2, pads, pads, [1, 1])


def quantised(x: ov.Node | ov.Output) -> ov.Node:
    low, high = (op.constant(np.full((1, 1, 1, 1), v, np.float16)) for v in (-2, 2))
    return op.fake_quantize(x, low, high, low, high, 256)


def graph(build: Build, shape: Sequence[int]) -> Graph:
    x, y = (op.parameter([1, *shape], np.float16, name=name) for name in "xy")
    result = build(x, y)
    used = [p for p in (x, y) if p.output(0).get_target_inputs()]
    return from_openvino(ov.Model([op.result(result)], used, "images"))


def residual(x: ov.Node, y: ov.Node) -> ov.Node:
    return op.add(conv(x, 64), x)


def read_again(x: ov.Node, y: ov.Node) -> ov.Node:
    return conv(residual(x, y), 64, 1)


def twice(x: ov.Node, y: ov.Node) -> ov.Node:
    first = residual(x, y)
    return op.add(conv(first, 64, 1), first)


def summed_again(x: ov.Node, y: ov.Node) -> ov.Node:
    return op.add(residual(x, y), conv(x, 64, 1))


def joined(x: ov.Node, y: ov.Node) -> ov.Node:
    return conv(op.concat([x, conv(x, 64)], 1), 64, 1)


def int8(x: ov.Node, y: ov.Node) -> ov.Node:
    """Its input quantised for the convolution and again for the sum, as tools do."""
    inner = quantised(conv(quantised(x), 64, narrow=True))
    return op.add(inner, quantised(x))


def bottleneck(x: ov.Node, y: ov.Node) -> ov.Node:
    """The result of the second kernel is turned to planes where it lies, and goes through DDR to the sum."""
    return op.add(swish(conv(swish(conv(x, 32)), 32)), x)


def swish(x: ov.Node) -> ov.Node:
    return op.swish(x, op.constant(np.float16(1)))


#: How it is built, channels and side, DPU passes that permute, and the compiler's latency.
CASES: dict[str, tuple[Build, tuple[int, int, int], int, float]] = {
    "planes, since nobody reads the sum": (residual, (64, 32, 32), 4, 27.8),
    "planes of another input": (lambda x, y: op.add(conv(x, 64), y), (64, 28, 28), 4, 29.6),
    "channels last for a convolution": (read_again, (64, 28, 28), 4, 24.2),
    "two blocks": (twice, (64, 28, 28), 4, 24.8),
    "a sum of a sum": (summed_again, (64, 28, 28), 4, 24.8),
    "a join": (joined, (64, 28, 28), 4, 32.2),
    "one change for two": (
        lambda x, y: op.add(conv(x, 128, 3, 2), conv(x, 128, 1, 2)),
        (64, 28, 28),
        4,
        26.5,
    ),
    "planes behind a kernel": (lambda x, y: op.sigmoid(conv(x, 128, 1)), (64, 28, 28), 4, 29.4),
    "a kernel's rows for a window": (lambda x, y: conv(op.mish(conv(x, 64, 1)), 64), (64, 32, 32), 4, 63.9),
    "planes of a kernel's rows": (bottleneck, (32, 20, 20), 8, 30.9),
    "8 bits": (int8, (64, 32, 32), 4, 16.2),
    "a result is not quantised": (lambda x, y: quantised(op.mish(x)), (64, 32, 32), 0, 44.8),
}


@pytest.mark.parametrize("name", CASES)
def test_images_lie_as_the_compiler_lets_them(name: str) -> None:
    build, shape, permuted, latency_us = CASES[name]
    hw = hardware_of("4000", 4, 2)
    program = api.lower(graph(build, shape), hw)
    works = [task.work for task in program.tasks if isinstance(task.work, DpuWork)]
    assert sum(work.kind in ("permute", "maxpool") for work in works) == permuted
    found = api.simulate(program, hw, engine="fast", allow_guess=True).metrics.statistics["total_us"]
    assert found == pytest.approx(latency_us, rel=0.08)


@pytest.mark.parametrize(
    ("build", "readers"), [(residual, 1), (read_again, 2), (twice, 2), (summed_again, 3), (joined, 2)]
)
def test_a_sum_takes_its_operands_as_its_readers_take_the_result(build: Build, readers: int) -> None:
    made = graph(build, (64, 16, 16))
    assert readers_channels_last(made)[made.inputs[0]] == readers


def test_equal_quantisers_of_a_tensor_are_one() -> None:
    made = graph(int8, (64, 16, 16))
    kept = merge_quantisers(made)
    counts = [
        sum(o.type == "FakeQuantize" and o.inputs[0] == g.inputs[0] for o in g.ops) for g in (made, kept)
    ]
    assert counts == [2, 1]
    assert merge_quantisers(kept) is kept
