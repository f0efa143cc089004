"""What a model is: counted here again, by hand or from the file."""

from __future__ import annotations

import numpy as np
import openvino as ov
from openvino import opset15 as ops

import npusim
from npusim import workloads
from npusim.analysis.footprint import Footprint, footprint
from npusim.graph.load import graph_of

HW = npusim.load_hardware("lunarlake.yaml")


def print_of(model: ov.Model) -> Footprint:
    graph = graph_of(model, "m", "m")
    return footprint(graph, npusim.lower(graph, HW))


def two_products(kind: type[np.floating]) -> ov.Model:
    data = ops.parameter([16, 64], kind, name="data")
    first = ops.relu(ops.matmul(data, np.ones((64, 128), kind), False, False))
    return ov.Model([ops.matmul(first, np.ones((128, 32), kind), False, False)], [data])


def test_two_products_counted_by_hand() -> None:
    found = print_of(two_products(np.float16))
    assert found.parameters == 64 * 128 + 128 * 32
    assert found.weight_bytes == 2 * found.parameters
    assert found.macs == 16 * 64 * 128 + 16 * 128 * 32
    assert found.activation_bytes == 2 * (
        16 * 128 + 16 * 128
    )  # the product and its Relu, the input already read
    assert found.precision_text == "FP16"


def test_a_file_of_fp32_is_costed_as_fp16_and_says_so() -> None:
    half, full = print_of(two_products(np.float16)), print_of(two_products(np.float32))
    assert full.precision_text == "FP16 (weights in the file: FP32)"
    assert (full.parameters, full.weight_bytes) == (half.parameters, half.weight_bytes)


def test_published_parameter_counts() -> None:
    """Within a per cent of what the papers say, the batch norms of ResNet-50 folded away."""
    for name, millions in (("resnet-50", 25.6), ("mamba2-130m", 129)):
        found = footprint(graph := npusim.build_workload(name, **_tokens(name)), npusim.lower(graph, HW))
        assert abs(found.parameters / 1e6 / millions - 1) < 0.01


def _tokens(name: str) -> dict[str, int]:
    return {} if workloads.layer_count(name) is None else {"tokens": 4}


def test_int8_weights_are_a_byte_each() -> None:
    graph = npusim.build_workload("resnet-50-int8")
    found = footprint(graph, npusim.lower(graph, HW))
    assert found.computed[0][0] == found.stored[0][0] == "INT8"
    assert found.parameters <= found.weight_bytes < 1.01 * found.parameters
