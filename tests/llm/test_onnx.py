"""ONNX models with past keys and values, as exporters write them, are language models like any other."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import TensorProto as Type
from onnx import helper, numpy_helper

from npusim.cli.main import main
from npusim.graph.load import read_as_it_is
from npusim.llm.static import make_static

WIDTH, HEADS, HEAD, VOCABULARY, LAYERS = 32, 4, 8, 61, 2


def exported(file: Path) -> None:
    """A decoder of two layers: attention over what was before and now, and a product; dynamic batch and lengths."""
    rng = np.random.default_rng(0)
    nodes, held = [], []

    def constant(name: str, value: np.ndarray) -> str:
        held.append(numpy_helper.from_array(value, name))
        return name

    def op(kind: str, name: str, *inputs: str, **attributes: object) -> str:
        nodes.append(helper.make_node(kind, list(inputs), [name], name=name, **attributes))
        return name

    def weight(name: str, *shape: int) -> str:
        return constant(name, (rng.standard_normal(shape) / 8).astype(np.float32))

    by_head = constant("by_head", np.array([0, 0, HEADS, HEAD], np.int64))
    joined = constant("joined", np.array([0, 0, WIDTH], np.int64))
    hidden = op("Gather", "/model/embed_tokens/Gather", weight("embed", VOCABULARY, WIDTH), "input_ids")
    inputs = [("input_ids", Type.INT64, ["batch", "rows"]), ("attention_mask", Type.INT64, ["batch", "all"])]
    outputs = [("logits", Type.FLOAT, ["batch", "rows", VOCABULARY])]
    for layer in range(LAYERS):
        at = f"/model/layers.{layer}/self_attn"
        found = {}
        for kind in ("q", "k", "v"):
            made = op("MatMul", f"{at}/{kind}_proj/MatMul", hidden, weight(f"{kind}{layer}", WIDTH, WIDTH))
            heads = op("Reshape", f"{at}/{kind}/Reshape", made, by_head)
            found[kind] = op("Transpose", f"{at}/{kind}/Transpose", heads, perm=[0, 2, 1, 3])
        for kind, name in (("k", "key"), ("v", "value")):
            past, present = f"past_key_values.{layer}.{name}", f"present.{layer}.{name}"
            inputs.append((past, Type.FLOAT, ["batch", HEADS, "past", HEAD]))
            outputs.append((present, Type.FLOAT, ["batch", HEADS, "all", HEAD]))
            found[kind] = op("Concat", present, past, found[kind], axis=2)
        keys = op("Transpose", f"{at}/keys/Transpose", found["k"], perm=[0, 1, 3, 2])
        scores = op("MatMul", f"{at}/MatMul", found["q"], keys)
        context = op("MatMul", f"{at}/MatMul_1", op("Softmax", f"{at}/Softmax", scores, axis=-1), found["v"])
        context = op("Transpose", f"{at}/context/Transpose", context, perm=[0, 2, 1, 3])
        context = op("Reshape", f"{at}/context/Reshape", context, joined)
        made = op("MatMul", f"{at}/o_proj/MatMul", context, weight(f"o{layer}", WIDTH, WIDTH))
        hidden = op("Add", f"/model/layers.{layer}/Add", hidden, made)
    op("MatMul", "logits", hidden, weight("head", WIDTH, VOCABULARY))
    ports = [[helper.make_tensor_value_info(*one) for one in side] for side in (inputs, outputs)]
    graph = helper.make_graph(nodes, "decoder", *ports, held)
    onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8), file)


@pytest.fixture(scope="module")
def file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("onnx") / "decoder.onnx"
    exported(path)
    return path


def test_both_graphs_are_static_and_remember_every_layer(file: Path) -> None:
    made = make_static(read_as_it_is(file)[0], prompt=16, response=8)
    assert len(made.remembered) == 2 * LAYERS
    assert all(one.grows for one in made.remembered)
    assert not made.prefill.is_dynamic()
    assert not made.generate.is_dynamic()
    assert list(made.generate.input("past_key_values.0.key").shape) == [1, HEADS, 23, HEAD]


def test_the_command_answers(file: Path, capsys: pytest.CaptureFixture[str]) -> None:
    asked = ["llm", str(file), "--hw", "lunarlake.yaml", "--prompt", "16", "--json", "--no-report"]
    with pytest.raises(SystemExit) as left:
        main(asked)
    told = capsys.readouterr()
    assert (left.value.code or 0, told.err) == (0, "")
    found = json.loads(told.out)
    assert (found["model"], found["layers"]) == ("decoder", LAYERS)
    assert found["prompts"][0]["tokens_per_s"] > 0
