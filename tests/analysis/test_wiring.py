"""Which op of a Program reads which."""

from __future__ import annotations

import numpy as np
import openvino as ov
import pytest
from openvino import opset15 as ops

from npusim.analysis.wiring import wiring
from npusim.api import build_workload, load_hardware, lower
from npusim.graph.frontend import from_openvino
from npusim.graph.ir import Graph

HW = load_hardware("lunarlake.yaml")


def named(graph: Graph) -> set[tuple[str, str]]:
    program = lower(graph, HW)
    return {(program.ops[a].name, program.ops[b].name) for a, b in wiring(graph, program)}


def test_fused_ops_and_views_hand_on_what_they_read() -> None:
    image = ops.parameter([1, 16, 32, 32], np.float32, name="image")
    numbers = np.random.default_rng(0).standard_normal((16, 16, 3, 3)).astype(np.float32)

    def conv(value: ov.Node, name: str) -> ov.Node:
        made = ops.convolution(value, numbers, [1, 1], [1, 1], [1, 1], [1, 1])
        made.set_friendly_name(name)
        return made

    first = ops.relu(conv(image, "first"))
    second = conv(first, "second")
    both = ops.add(second, first)
    both.set_friendly_name("both")
    mean = ops.reduce_mean(both, np.array([2, 3]), keep_dims=True)
    mean.set_friendly_name("mean")
    flat = ops.reshape(mean, np.array([1, -1]), False)
    last = ops.matmul(flat, np.ones((16, 64), np.float32), False, False)
    last.set_friendly_name("last")
    graph = from_openvino(ov.Model([last], [image], "net"))
    both_ways = {("first", "second"), ("first", "both"), ("second", "both")}
    assert named(graph) == {*both_ways, ("both", "mean"), ("mean", "last")}


def test_an_op_that_runs_in_parts_is_a_chain() -> None:
    edges = named(build_workload("bert-base"))
    attention = "layers.0.attention"
    assert {(f"{attention}/QK", f"{attention}/softmax"), (f"{attention}/softmax", f"{attention}/PV")} <= edges


@pytest.mark.parametrize(
    ("workload", "sized"), [("mamba2-130m", {"layers": 2, "tokens": 64}), ("resnet-50", {}), ("yolo11n", {})]
)
def test_every_op_is_linked_and_edges_lead_forward(workload: str, sized: dict[str, int]) -> None:
    graph = build_workload(workload, **sized)
    program = lower(graph, HW)
    edges = wiring(graph, program)
    assert {number for edge in edges for number in edge} == set(range(len(program.ops)))
    assert all(source < reader for source, reader in edges)
    assert list(edges) == sorted(set(edges))
