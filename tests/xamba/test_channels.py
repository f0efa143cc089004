"""prune{channels=...}: what is narrowed together, and that nothing changes where the channels that go are zero."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import openvino as ov
import pytest
from openvino import opset15 as op
from openvino.op import Constant

import npusim
from npusim import xamba
from npusim.graph.load import graph_of
from tests.xamba.cpu import assert_same, run

GONE = np.arange(0, 64, 2)  # every other of 64 channels


def weights(*shape: int, gone: bool = True, seed: int = 0) -> ov.Node:
    """Random weights, of which half of the outputs are zero."""
    values = np.random.default_rng((seed, *shape)).standard_normal(shape).astype(np.float16)
    if gone:
        values[GONE] = 0
    return op.convert(Constant(values), "f32")


def conv(x: ov.Node, kernel: ov.Node, pad: int = 1) -> ov.Node:
    return op.convolution(x, kernel, [1, 1], [pad, pad], [pad, pad], [1, 1])


def named(name: str, node: ov.Node) -> ov.Node:
    node.set_friendly_name(name)
    return node


def gated() -> tuple[ov.Node, ov.Node]:
    """Gate and up projections, whose product goes down."""
    x = op.parameter([4, 32], np.float32, name="x")
    gate = named("gate", op.matmul(x, weights(64, 32), False, True))
    up = named("up", op.matmul(x, weights(64, 32, seed=1), False, True))
    bias = np.ones((1, 64), np.float32)
    bias[:, GONE] = 0
    product = op.multiply(op.swish(gate), op.add(up, op.constant(bias)))
    return x, named("down", op.matmul(product, weights(48, 64, gone=False), False, True))


def separable() -> tuple[ov.Node, ov.Node]:
    """Expansion, depth-wise convolution with a squeeze, and projection."""
    x = op.parameter([1, 32, 8, 8], np.float32, name="x")
    wide = op.relu(named("expand", conv(x, weights(64, 32, 1, 1), 0)))
    kernel = op.convert(
        Constant(np.random.default_rng(3).standard_normal((64, 1, 1, 3, 3)).astype(np.float16)), "f32"
    )
    deep = op.relu(op.group_convolution(wide, kernel, [1, 1], [1, 1], [1, 1], [1, 1]))
    mean = op.reduce_mean(deep, op.constant(np.array([2, 3])), True)
    small = named("squeeze", conv(mean, weights(16, 64, 1, 1, gone=False), 0))
    gates = op.sigmoid(named("excite", conv(op.relu(small), weights(64, 16, 1, 1), 0)))
    return x, named("project", conv(op.multiply(deep, gates), weights(32, 64, 1, 1, gone=False), 0))


def residual() -> tuple[ov.Node, ov.Node]:
    """A block whose sum is of two convolutions, with a pooling behind it."""
    x = op.parameter([1, 32, 8, 8], np.float32, name="x")
    first = op.relu(named("first", conv(x, weights(64, 32, 3, 3))))
    summed = op.add(named("second", conv(first, weights(64, 64, 3, 3))), first)
    pooled = op.max_pool(summed, [2, 2], [1, 1], [0, 0], [0, 0], [2, 2])
    return x, named("last", conv(op.relu(pooled.output(0)), weights(32, 64, 1, 1, gone=False), 0))


@pytest.mark.parametrize(
    ("block", "taken"), [(gated, {"gate"}), (separable, {"expand"}), (residual, {"first"})]
)
def test_what_goes_together_is_narrowed_together(
    block: Callable[[], tuple[ov.Node, ov.Node]], taken: set[str], tmp_path: Path
) -> None:
    x, y = block()
    model = ov.Model([op.result(y)], [x], "block")
    narrow, sites = xamba.apply(model, "prune{channels=0.5}")
    assert {site.op for site in sites if site.taken} == taken
    assert_same(model, narrow)
    assert all(site.error_bound == 0 for site in sites if site.taken)
    sizes = {node.get_friendly_name(): node.get_output_shape(0) for node in narrow.get_ordered_ops()}
    assert 32 in sizes[next(iter(taken))]
    ov.save_model(narrow, tmp_path / "narrow.xml")
    inputs = [
        np.random.default_rng(0).standard_normal(port.get_shape()).astype(np.float32) for port in model.inputs
    ]
    read = ov.Core().read_model(tmp_path / "narrow.xml")
    assert np.allclose(run(read, inputs)[0], run(narrow, inputs)[0], atol=1e-2)


def test_what_needs_all_channels_keeps_them_with_a_sentence() -> None:
    x = op.parameter([1, 64], np.float32, name="x")
    a = named("in", op.matmul(x, weights(64, 64), False, True))
    b = named("wide", op.matmul(op.add(a, x), weights(64, 64), False, True))
    c = named("tail", op.matmul(op.softmax(b, 1), weights(64, 64), False, True))
    notes = {s.op: s.note for s in xamba.apply(ov.Model([op.result(c)], [x], "m"), "prune{channels=0.5}")[1]}
    assert "'x' (Parameter), which is no product" in notes["in"]
    assert "(Softmax) needs all of its channels" in notes["wide"]
    assert "an output of the model" in notes["tail"]
    x, y = gated()
    [few, *_] = xamba.apply(ov.Model([op.result(y)], [x], "m"), "prune{channels=0.1}")[1]
    assert "rounded up to a multiple of 16, are as many" in few.note
    with pytest.raises(xamba.PipelineError, match="pruning by itself"):
        xamba.apply(ov.Model([op.result(y)], [x], "m"), "prune{channels=0.5,pattern=2:4}")


def test_weights_over_ddr_are_in_proportion_to_the_channels_that_stay() -> None:
    """Of up and down projections every byte of weights belongs to one channel."""
    x = op.parameter([1, 1024], np.float32, name="x")
    rng = np.random.default_rng(0)
    up, down = (
        op.convert(Constant(rng.standard_normal(shape).astype(np.float16)), "f32")
        for shape in ((4096, 1024), (1024, 4096))
    )
    y = op.matmul(op.relu(op.matmul(x, up, False, True)), down, False, True)
    model, machine = ov.Model([op.result(y)], [x], "mlp"), npusim.load_hardware("lunarlake.yaml")

    def read(asked: ov.Model) -> int:
        graph = graph_of(asked, "m", "m")
        used = {i for one in graph.ops for i in one.inputs}
        return sum(t.bytes for t in graph.tensors if t.id in used and t.constant and t.elements > 4096)

    def over_ddr(asked: ov.Model) -> int:
        done = npusim.simulate(npusim.lower(graph_of(asked, "m", "m"), machine), machine)
        return done.metrics.ddr_bytes["read"]

    narrow, _ = xamba.apply(model, "prune{channels=0.5}")
    assert read(narrow) * 2 == read(model) == 2 * 2 * 4096 * 1024
    rows = 16  # bytes beside the weights: a table entry a channel, the input, the conversion
    assert abs((over_ddr(model) - over_ddr(narrow)) - read(narrow)) <= rows * 2048
