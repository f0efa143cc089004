"""Dynamic dimensions: their names as an ONNX file has them, sizes by name, and errors that can be pasted."""

from __future__ import annotations

import shlex
from pathlib import Path

import numpy as np
import onnx
import openvino as ov
import pytest
from hypothesis import given
from hypothesis import strategies as st
from openvino import opset15 as ops

from npusim.errors import UserError
from npusim.graph.dynamic import Input, missing_sizes
from npusim.graph.load import graph_of, read_model
from npusim.graph.onnx_dims import dimension_names, outside_files
from npusim.source import ModelSource
from tests.cli.test_cli import npusim

Dims = list[int | str]


def save_onnx(path: Path, shapes: dict[str, Dims], types: dict[str, int] | None = None) -> None:
    """A model that negates every input."""
    h, float32 = onnx.helper, onnx.TensorProto.FLOAT
    kinds = {name: (types or {}).get(name, float32) for name in shapes}
    inputs = [h.make_tensor_value_info(name, kinds[name], dims) for name, dims in shapes.items()]
    outputs = [h.make_tensor_value_info(f"{name}_", kinds[name], None) for name in shapes]
    nodes = [h.make_node("Neg", [name], [f"{name}_"]) for name in shapes]
    onnx.save(h.make_model(h.make_graph(nodes, "g", inputs, outputs)), path)


NAMES = st.text(st.characters(categories=["L", "N"]), min_size=1, max_size=8)


@given(st.dictionaries(NAMES, st.lists(st.integers(1, 1 << 40) | NAMES, min_size=1, max_size=5), min_size=1))
def test_names_are_those_that_onnx_reads(
    tmp_path_factory: pytest.TempPathFactory, shapes: dict[str, Dims]
) -> None:
    path = tmp_path_factory.mktemp("onnx") / "m.onnx"
    save_onnx(path, shapes)
    named = {name: [dim if isinstance(dim, str) else "" for dim in dims] for name, dims in shapes.items()}
    assert dimension_names(path) == named


@given(st.binary(max_size=200))
def test_no_bytes_are_too_strange(tmp_path_factory: pytest.TempPathFactory, data: bytes) -> None:
    path = tmp_path_factory.mktemp("onnx") / "m.onnx"
    path.write_bytes(data)
    assert isinstance(dimension_names(path), dict)
    assert isinstance(outside_files(path), set)
    assert dimension_names(path.with_name("none.onnx")) == {}


def test_weights_in_other_files_are_counted(tmp_path: Path) -> None:
    weights = onnx.numpy_helper.from_array(np.ones((64, 64), np.float32), "w")
    graph = onnx.helper.make_graph([], "g", [], [], [weights])
    onnx.save(
        onnx.helper.make_model(graph),
        tmp_path / "m.onnx",
        save_as_external_data=True,
        location="w.data",
        size_threshold=0,
    )
    assert outside_files(tmp_path / "m.onnx") == {tmp_path / "w.data"}


def language_model(path: Path) -> None:
    tokens: Dims = ["batch", "sequence"]
    kinds = dict.fromkeys(("ids", "mask"), onnx.TensorProto.INT64)
    save_onnx(path, {"ids": tokens, "mask": tokens, "pixels": ["batch", 3, "height", 224]}, kinds)


def test_one_name_sizes_every_input(tmp_path: Path) -> None:
    language_model(path := tmp_path / "lm.onnx")
    model, _ = read_model(path, dims={"batch": 2, "sequence": 16, "height": 32})
    shapes = {port.any_name: list(port.shape) for port in model.inputs}
    assert shapes == {"ids": [2, 16], "mask": [2, 16], "pixels": [2, 3, 32, 224]}


def test_the_error_names_all_inputs_and_can_be_pasted(tmp_path: Path) -> None:
    language_model(path := tmp_path / "lm.onnx")
    with pytest.raises(UserError) as told:
        ModelSource(file=path).graph()
    said = str(told.value)
    assert "--dim batch=1 --dim sequence=128 --dim height=224" in said
    assert "--shape ids=[1,128] --shape mask=[1,128] --shape pixels=[1,3,224,224]" in said
    dims = shlex.split(said[said.index("--dim") : said.index(" (or")])[1::2]
    sizes = {name: int(size) for name, _, size in (dim.partition("=") for dim in dims)}
    assert ModelSource(file=path, dims=sizes).graph().inputs


def test_where_a_name_says_nothing_the_place_does() -> None:
    inputs = [Input("image", ("N", 3, "h", "w")), Input("rows", ("unk__610", "t", 8)), Input("flat", ("n",))]
    said = missing_sizes(inputs)
    assert said.startswith("--dim N=1 --dim h=224 --dim w=224 --dim unk__610=1 --dim t=128 --dim n=128 (or ")
    assert "--shape image=[1,3,224,224] --shape rows=[1,128,8] --shape flat=[128])" in said


def test_an_ir_has_the_usual_names() -> None:
    image = ops.parameter([-1, 3, -1, -1], np.float32, name="pixels")
    ids = ops.parameter([-1, -1], np.int64, name="ids")
    state = ops.parameter([-1, -1, 8], np.float32, name="state")
    model = ov.Model([ops.relu(image), ops.relu(ids), ops.relu(state)], [image, ids, state])
    with pytest.raises(
        UserError, match=r"--dim batch=1 --dim height=224 --dim width=224 --dim sequence=128"
    ) as told:
        graph_of(model, "m", "m.xml")
    assert "--dim state.1=128" in str(told.value)


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("--dim", "bath=1"), "it has batch, sequence, height"),
        (("--dim", "batch"), "NAME=128"),
        (("--dim", "batch=0"), "at least 1"),
        (("--dim", "batch=1", "--dim", "batch=2"), "given twice"),
        (("--dim", "batch=1"), "--dim sequence=128 --dim height=224"),
    ],
)
def test_mistakes_are_told_in_one_line(tmp_path: Path, arguments: tuple[str, ...], said: str) -> None:
    language_model(tmp_path / "lm.onnx")
    done = npusim(
        "run", "--hw", "lunarlake.yaml", "--model", "lm.onnx", *arguments, "--no-report", cwd=tmp_path
    )
    assert (done.returncode, done.stderr.count("\n")) == (2, 1)
    assert said in done.stderr


def test_sizes_are_in_the_folder_and_the_command(tmp_path: Path) -> None:
    language_model(tmp_path / "lm.onnx")
    sizes = ("--dim", "batch=1", "--dim", "sequence=8", "--dim", "height=16")
    done = npusim("run", "--hw", "lunarlake.yaml", "--model", "lm.onnx", *sizes, cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    page = tmp_path / "npusim-out" / "lm-batch1-sequence8-height16-lunarlake" / "report.html"
    assert "--dim sequence=8" in page.read_text()
