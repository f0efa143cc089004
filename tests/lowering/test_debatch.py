"""Batches run image by image: which models are, as Intel's compiler (2026.4.1) took them apart or left them whole, and
what holds of those that are."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import openvino as ov
import pytest
from openvino import opset15 as op

from npusim.graph.load import graph_of
from npusim.hardware import load_hardware
from npusim.lowering import lower
from npusim.lowering.rewrite.debatch import debatch
from npusim.program import Program
from npusim.program.work import DmaWork, DpuWork


def mlp(node: ov.Node, layers: int, width: int = 64) -> ov.Node:
    for _ in range(layers):
        node = op.relu(op.matmul(node, np.ones((width, width), np.float16), False, True))
    return node


def weighted(node: ov.Node, matrices: int) -> ov.Node:
    return op.matmul(node, np.ones((matrices, 64, 64), np.float16), False, True)


def ints(*values: int) -> np.ndarray:
    return np.array(values, np.int64)


def one(*shape: int) -> Callable[[Callable[[ov.Node], ov.Node]], ov.Model]:
    """Models of one input of a shape."""

    def model(body: Callable[[ov.Node], ov.Node]) -> ov.Model:
        x = op.parameter(list(shape), np.float16)
        return ov.Model([body(x)], [x], "m")

    return model


def two(apart: bool) -> ov.Model:
    x, y = (op.parameter([4, 64], np.float16) for _ in range(2))
    results = [mlp(x, 3), mlp(y, 3)] if apart else [mlp(op.add(mlp(x, 3), mlp(y, 2)), 2)]
    return ov.Model(results, [x, y], "m")


UNROLLED = {
    "rank 1": one(4)(lambda x: mlp(op.add(op.unsqueeze(x, ints(1)), np.ones((1, 64), np.float16)), 4)),
    "rank 2": one(4, 64)(lambda x: op.exp(mlp(x, 3))),
    "rank 3": one(4, 3, 64)(lambda x: mlp(x, 4)),
    "ten": one(10, 64)(lambda x: mlp(x, 4)),
    "no size in the reshape": one(4, 8, 8)(lambda x: mlp(op.reshape(x, ints(0, -1), True), 4)),
    "two inputs apart": two(apart=True),
    "as many rows of weights": one(4, 4)(lambda x: mlp(x, 4, 4)),
    "weights of one in front": one(4, 3, 64)(lambda x: mlp(weighted(mlp(x, 3), 1), 1)),
    "matrices that meet": one(4, 3, 64)(lambda x: op.matmul(mlp(x, 3), mlp(x, 2), False, True)),
}
WHOLE = {
    "eleven nodes": one(4, 64)(lambda x: mlp(x, 3)),
    "eleven rows": one(11, 64)(lambda x: mlp(x, 4)),
    "one row": one(1, 64)(lambda x: mlp(x, 4)),
    "the size in a reshape": one(4, 64)(lambda x: mlp(op.reshape(mlp(x, 3), ints(4, -1), False), 2)),
    "the size in a constant": one(4, 64)(lambda x: mlp(op.add(mlp(x, 3), np.ones((4, 64), np.float16)), 2)),
    "no batch in between": one(4, 64)(
        lambda x: op.reshape(mlp(op.reshape(mlp(x, 3), ints(1, 4, 64), False), 2), ints(4, 64), False)
    ),
    "a mean over it": one(4, 64)(lambda x: op.subtract(mlp(x, 4), op.reduce_mean(mlp(x, 1), ints(0), True))),
    "rows change places": one(4, 4)(lambda x: mlp(op.transpose(mlp(x, 4, 4), ints(1, 0)), 2, 4)),
    "rows that take turns": one(4, 64)(lambda x: mlp(op.shuffle_channels(mlp(x, 3), 0, 2), 2)),
    "two inputs met": two(apart=False),
    "weights for each": one(4, 3, 64)(lambda x: mlp(weighted(mlp(x, 3), 4), 1)),
    "rows that meet": one(4, 64)(lambda x: op.matmul(mlp(x, 3), mlp(x, 2), False, True)),
}


@pytest.mark.parametrize("name", UNROLLED)
def test_a_small_batch_runs_image_by_image(name: str) -> None:
    graph = graph_of(UNROLLED[name], "m", "m")
    images = graph.tensors[graph.inputs[0]].shape[0]
    unrolled = debatch(graph)
    assert len(unrolled.ops) == images * len(graph.ops) + len(graph.inputs) + len(graph.outputs)
    assert unrolled.inputs == graph.inputs and unrolled.outputs == graph.outputs
    assert "one by one" in unrolled.notes[-1]
    assert debatch(unrolled) is unrolled


@pytest.mark.parametrize("name", WHOLE)
def test_other_models_stay_whole(name: str) -> None:
    graph = graph_of(WHOLE[name], "m", "m")
    assert debatch(graph) is graph


def sums(program: Program) -> tuple[int, int]:
    """Multiply-accumulates of the DPU, and bytes read from DDR into CMX."""
    works = [task.work for task in program.tasks]
    macs = sum(w.macs for w in works if isinstance(w, DpuWork))
    read = sum(w.bytes for w in works if isinstance(w, DmaWork) and (w.src, w.dst) == ("ddr", "cmx"))
    return macs, read


@pytest.mark.parametrize("platform", ["lunarlake-vpunn", "pantherlake-vpunn"])
def test_each_image_is_what_one_image_alone_is(platform: str) -> None:
    """Its computes, and its weights read again; copies that cut and join the batch come on top."""
    hw = load_hardware(platform)
    (macs, read), (macs_of_one, read_by_one) = (
        sums(lower(graph_of(one(n, 64)(lambda x: mlp(x, 5)), "m", "m"), hw)) for n in (6, 1)
    )
    assert macs == 6 * macs_of_one
    assert read == pytest.approx(6 * read_by_one)


def test_3720_keeps_a_batch() -> None:
    hw = load_hardware("meteorlake-vpunn")
    graph = graph_of(UNROLLED["rank 2"], "m", "m")
    assert not any("one by one" in note for note in lower(graph, hw).notes)
