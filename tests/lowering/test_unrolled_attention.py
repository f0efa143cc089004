"""Attention with the projections that make its operands: what the compiler cuts per head, and the order of that."""

from __future__ import annotations

from itertools import pairwise

import numpy as np
import openvino as ov
import pytest
from openvino import opset15 as op

from npusim.graph import from_openvino
from npusim.graph.ir import Graph
from npusim.hardware import load_hardware
from npusim.lowering import lower
from npusim.lowering.rewrite.attention import share_heads
from npusim.program.work import DmaWork, DpuWork

FILES = {4000: "lunarlake-vpunn.yaml", 3720: "meteorlake-vpunn.yaml", 5010: "pantherlake-vpunn.yaml"}


def projected(
    rows: int, heads: int, depth: int, *, bias: bool = False, mask: bool = False, inputs: int = 1
) -> Graph:
    """Self-attention, written out, of so many inputs: query, key and value are products with weights."""
    width = heads * depth
    x = [op.parameter([1, rows, width], np.float16, name=f"x{i}") for i in range(inputs)]

    def heads_of(source: ov.Node, name: str) -> ov.Node:
        made = op.matmul(source, op.constant(np.ones((width, width), np.float16)), False, True)
        if bias:
            made = op.add(made, op.constant(np.ones((1, 1, width), np.float16)))
        split = op.reshape(made, np.array([1, rows, heads, depth]), False)
        return op.transpose(split, np.array([0, 2, 1, 3]), name=name)

    query, key, value = heads_of(x[0], "q"), heads_of(x[-1], "k"), heads_of(x[-1], "v")
    scores = op.multiply(op.matmul(query, key, False, True), np.float16(depth**-0.5))
    if mask:
        scores = op.add(scores, op.constant(np.ones((1, 1, rows, rows), np.float16)))
    out = op.matmul(op.softmax(scores, -1), value, False, False)
    return from_openvino(ov.Model([op.result(out)], x, "projected"))


#: (rows, heads, depth, whether it is cut), as compiled for 4000 and 5010 with weights that differ; 3720 cuts none.
CUT = [
    (64, 4, 64, True),
    (96, 3, 64, True),
    (384, 6, 64, True),
    (1024, 6, 64, True),
    (50, 8, 64, False),
    (77, 8, 64, False),
    (197, 6, 64, False),
    (16, 8, 64, False),
    (32, 2, 128, False),
    (40, 4, 64, False),
]


@pytest.mark.parametrize(("rows", "heads", "depth", "cut"), CUT)
def test_attention_is_cut_per_head_where_the_compiler_does(
    rows: int, heads: int, depth: int, cut: bool
) -> None:
    for platform, wanted in ((4000, cut), (5010, cut), (3720, False)):
        graph = share_heads(projected(rows, heads, depth), load_hardware(FILES[platform]))
        assert any(one.attrs.get("per_head") for one in graph.ops) is wanted, platform


@pytest.mark.parametrize("how", [{"mask": True}, {"inputs": 2}])
def test_masks_and_other_inputs_keep_heads_together(how: dict[str, int]) -> None:
    graph = share_heads(projected(128, 8, 64, **how), load_hardware(FILES[4000]))
    assert not any(one.attrs.get("per_head") for one in graph.ops)


def _dpu_ops(graph: Graph, platform: int) -> list[str]:
    """The last parts of the names of what the DPU runs, in its order, each once where it comes several times."""
    program = lower(graph, load_hardware(FILES[platform]))
    names = [
        program.ops[task.op].name.rpartition("/")[2]
        for task in program.tasks
        if isinstance(task.work, DpuWork)
    ]
    return [names[0], *(after for before, after in pairwise(names) if after != before)]


def test_scaled_queries_come_before_the_keys() -> None:
    """With a bias the scale is a task of its own, without it is part of the weights."""
    alone, scaled = (_dpu_ops(projected(64, 4, 32, bias=bias), 4000) for bias in (False, True))
    assert "scale_query" not in alone
    assert scaled.count("scale_query") == 4
    assert scaled.index("QK") > max(i for i, name in enumerate(scaled) if name == "scale_query")


@pytest.mark.parametrize(("platform", "rows"), [(3720, 384), (3720, 64), (4000, 197)])
def test_values_are_projected_when_all_weights_wait_for_them(platform: int, rows: int) -> None:
    """As compiled: all Q K^T before the last projection, all P V behind it."""
    names = _dpu_ops(projected(rows, 3, 64), platform)
    last_scores = max(i for i, name in enumerate(names) if name == "QK")
    assert names.index("PV") > last_scores + 1


def test_every_head_loads_weights_of_its_own() -> None:
    """384 x 64 numbers of FP16 and their tables for each head of query, key and value."""
    heads, width, depth = 6, 384, 64
    program = lower(projected(64, heads, depth, bias=True), load_hardware(FILES[4000]))
    loaded = sum(
        task.work.bytes
        for task in program.tasks
        if isinstance(task.work, DmaWork) and (task.work.src, task.work.dst) == ("ddr", "cmx")
    )
    assert loaded >= 3 * heads * (width * depth * 2 + depth * 16)
