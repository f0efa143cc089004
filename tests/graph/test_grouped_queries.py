"""GroupQueryAttention of ONNX Runtime: written out, it gives what OpenVINO's own CPU plugin makes of it."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx
import openvino as ov
import pytest
from onnx import TensorProto, helper, numpy_helper

import npusim
from npusim.graph import load_model
from npusim.graph.grouped_queries import KIND, without_grouped_queries

HEADS, GROUPS, SIZE, CAPACITY = 4, 2, 16, 32


def attention(folder: Path, rows: int, rotary: bool, interleaved: bool = False) -> Path:
    """An ONNX file of one attention over a cache of fixed length, of which all but ``rows`` tokens are filled."""
    shapes = {
        "q": [1, rows, HEADS * SIZE], "k": [1, rows, GROUPS * SIZE], "v": [1, rows, GROUPS * SIZE],
        "pk": [1, GROUPS, CAPACITY, SIZE], "pv": [1, GROUPS, CAPACITY, SIZE],
    }  # fmt: skip
    angles = np.outer(np.arange(CAPACITY), 1.0 / 10 ** np.linspace(0, 2, SIZE // 2))
    known = {
        "lengths": np.array([20], np.int32), "total": np.array(21, np.int32),
        **({"cos": np.cos(angles).astype(np.float32), "sin": np.sin(angles).astype(np.float32)} if rotary else {}),
    }  # fmt: skip
    names = ["q", "k", "v", "pk", "pv", *known]
    node = helper.make_node(
        KIND, names, ["o", "nk", "nv"], domain="com.microsoft", num_heads=HEADS, kv_num_heads=GROUPS,
        do_rotary=int(rotary), rotary_interleaved=int(interleaved),
    )  # fmt: skip
    made = {"o": shapes["q"], "nk": shapes["pk"], "nv": shapes["pv"]}

    def infos(of: dict[str, list[int]]) -> list[onnx.ValueInfoProto]:
        return [helper.make_tensor_value_info(name, TensorProto.FLOAT, shape) for name, shape in of.items()]

    graph = helper.make_graph(
        [node], "attention", infos(shapes), infos(made),
        [numpy_helper.from_array(value, name) for name, value in known.items()],
    )  # fmt: skip
    domains = [helper.make_opsetid("", 17), helper.make_opsetid("com.microsoft", 1)]
    path = folder / "attention.onnx"
    onnx.save(helper.make_model(graph, opset_imports=domains, ir_version=10), path)
    return path


@pytest.mark.parametrize(
    ("rows", "rotary", "interleaved"),
    [(1, False, False), (1, True, False), (3, True, False), (1, True, True)],
)
def test_it_gives_what_the_plugin_makes_of_it(
    tmp_path: Path, rows: int, rotary: bool, interleaved: bool
) -> None:
    core = ov.Core()
    model = core.read_model(attention(tmp_path, rows, rotary, interleaved))
    written = without_grouped_queries(model)
    assert KIND not in {node.get_type_name() for node in written.get_ops()}
    random = np.random.default_rng(0)
    data = {
        port.get_any_name(): random.standard_normal(port.get_shape()).astype(np.float32)
        for port in model.inputs
    }
    exact = {"INFERENCE_PRECISION_HINT": "f32"}
    expected, found = (core.compile_model(m, "CPU", exact)(data) for m in (model, written))
    for name in ("o", "nk", "nv"):
        np.testing.assert_allclose(found[name], expected[name], atol=2e-3)


@pytest.mark.parametrize("machine", ["meteorlake", "lunarlake", "pantherlake-vpunn"])
def test_it_is_lowered(tmp_path: Path, machine: str) -> None:
    hw = npusim.load_hardware(machine)
    result = npusim.simulate(npusim.lower(load_model(attention(tmp_path, 1, True)), hw), hw)
    assert result.latency_us > 0


def test_weights_that_are_not_there_are_named(tmp_path: Path) -> None:
    weights = numpy_helper.from_array(np.ones((64, 64), np.float32), "w")
    ends = [helper.make_tensor_value_info(name, TensorProto.FLOAT, [4, 64]) for name in "xy"]
    graph = helper.make_graph(
        [helper.make_node("MatMul", ["x", "w"], ["y"])], "g", ends[:1], ends[1:], [weights]
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=10)
    path = tmp_path / "m.onnx"
    onnx.save_model(model, path, save_as_external_data=True, location="m.data", size_threshold=0)
    (tmp_path / "m.data").unlink()
    with pytest.raises(npusim.UserError, match=r"its weights are in .*m\.data, which is not beside it"):
        load_model(path)
