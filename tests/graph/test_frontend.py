"""The front end: what becomes of types, constants, control flow and files."""

from __future__ import annotations

import os
import re
import resource
from collections.abc import Callable
from pathlib import Path

import numpy as np
import openvino as ov
import pytest
from openvino import opset15 as op

from npusim import api
from npusim.errors import UserError
from npusim.graph import Graph, from_openvino, load_model
from npusim.hardware import load_hardware


def types(graph: Graph) -> list[str]:
    return [o.type for o in graph.ops]


def small() -> ov.Model:
    x = op.parameter([1, 4, 32], np.float32, name="x")
    w = op.convert(op.constant(np.ones((16, 32), np.float16)), "f32")
    return ov.Model([op.result(op.relu(op.matmul(x, w, False, True)))], [x], "small")


@pytest.mark.parametrize("kind", ["dynamic", "string"])
def test_elements_without_a_size_are_refused_in_one_line(kind: str) -> None:
    x = op.parameter([4], getattr(ov.Type, kind), name="x")
    with pytest.raises(UserError, match=f"op 'x' .* of the type '{kind}', whose size is not known"):
        from_openvino(ov.Model([op.result(x)], [x], "m"))


def _empty(make: Callable[[ov.Node], ov.Node], *shape: int) -> Graph:
    x = op.parameter(list(shape), np.float16, name="x")
    return from_openvino(ov.Model([op.result(make(x))], [x], "m"))


@pytest.mark.parametrize("file", ["lunarlake.yaml", "meteorlake-vpunn.yaml", "pantherlake-vpunn.yaml"])
def test_what_makes_no_elements_is_no_work_and_a_cache_may_be_empty(file: str) -> None:
    row = op.constant(np.ones((1, 16), np.float16))
    hw = load_hardware(file)
    for make in (
        lambda x: op.matmul(x, np.ones((16, 8), np.float16), False, False),
        lambda x: op.softmax(op.concat([x, x], 0), 1),
        lambda x: op.reduce_sum(x, np.array([1]), False),
        lambda x: op.mvn(x, np.array([1]), True, 1e-5, "inside_sqrt"),
    ):
        assert types(_empty(make, 0, 16)) == []
    cache = _empty(lambda x: op.relu(op.concat([x, op.add(row, row), x], 0)), 0, 16)
    assert types(cache) == ["Identity", "Relu"]
    assert len(api.lower(cache, hw).tasks) > 0
    both = _empty(lambda x: op.matmul(op.concat([x, row], 0), op.concat([x, row], 0), False, True), 0, 16)
    assert "MatMul" in types(both)


@pytest.mark.parametrize(
    "make",
    [
        lambda x: op.matmul(x, x, True, False),
        lambda x: op.reduce_max(x, np.array([0]), True),
        lambda x: op.pad(x, [1, 0], [0, 0], "constant", np.float16(0)),
    ],
)
def test_a_result_of_nothing_is_refused(make: Callable[[ov.Node], ov.Node]) -> None:
    with pytest.raises(
        UserError, match=r"nothing to make its result of: 'x' is of \[0, 16\]: give .* --shape"
    ):
        _empty(make, 0, 16)


@pytest.mark.parametrize("size", [1 << 37, 1 << 62])
def test_tensors_larger_than_any_memory_are_refused(size: int) -> None:
    with pytest.raises(UserError, match=r"'x' .* more than the 128 GiB .*: give .* --shape"):
        _empty(op.relu, 1, size)


def test_constants_whose_shape_has_but_a_bound_are_taken_at_their_largest() -> None:
    boxes, scores = op.parameter([1, 20, 4], np.float32), op.parameter([1, 1, 20], np.float32)
    kept = op.non_max_suppression(boxes, scores, np.int64(5)).output(0)
    ones = op.broadcast(op.constant(np.float32(1)), op.gather(op.shape_of(kept), np.array([0]), np.array(0)))
    graph = from_openvino(ov.Model([op.result(op.relu(ones)), op.result(kept)], [boxes, scores], "m"))
    assert graph.tensors[graph.outputs[0]].shape == (5,)


def test_what_nothing_but_the_shape_is_asked_of_is_not_computed() -> None:
    x = op.parameter([4, 8], np.float16, name="x")
    shape = op.shape_of(op.topk(op.relu(x), np.int64(3), 1, "max", "value").output(0))
    graph = from_openvino(
        ov.Model([op.broadcast(op.reduce_sum(x, np.array([0, 1]), False), shape)], [x], "m")
    )
    assert types(graph) == ["ReduceSum", "Broadcast"]
    assert len(api.lower(graph, load_hardware("lunarlake.yaml")).tasks) > 0


def test_fp32_models_run_as_fp16() -> None:
    graph = from_openvino(small())
    x = graph.tensors[graph.inputs[0]]
    assert (x.dtype, x.stored_dtype, x.bytes) == ("f16", "f32", 4 * 32 * 2)
    assert types(graph) == ["MatMul", "Relu"]


@pytest.mark.parametrize(("dtype", "bits"), [("f16", 16), ("i8", 8), ("u8", 8), ("i4", 4), ("u4", 4)])
def test_decompressed_constants_count_at_their_stored_size(dtype: str, bits: int) -> None:
    x = op.parameter([4, 64], np.float32, name="x")
    data = ov.Tensor(getattr(ov.Type, dtype), ov.Shape([32, 64]))
    stored = op.convert(op.constant(data), "f32")
    scaled = op.multiply(stored, np.full((32, 1), 0.1, np.float32))
    graph = from_openvino(ov.Model([op.result(op.matmul(x, scaled, False, True))], [x], "m"))
    assert types(graph) == ["MatMul"]
    weights = graph.tensors[graph.ops[0].inputs[1]]
    assert weights.constant
    assert weights.bytes == 32 * 64 * bits // 8


def test_shape_arithmetic_and_masks_are_folded() -> None:
    x = op.parameter([1, 8, 24], np.float32, name="x")
    length = op.gather(op.shape_of(x), np.int64(1), np.int64(0))
    steps = op.range(np.int64(0), length, np.int64(1), "i64")
    mask = op.less_equal(op.unsqueeze(steps, np.int64(0)), op.unsqueeze(steps, np.int64(1)))
    node = op.select(mask, np.float32(1), np.float32(0))
    total = op.add(x, op.reshape(op.reduce_sum(node, np.int64(1)), np.array([1, 8, 1]), False))
    graph = from_openvino(ov.Model([op.result(total)], [x], "m"))
    assert types(graph) == ["Add"]
    assert graph.tensors[graph.ops[0].inputs[1]].shape == (1, 8, 1)


def branch(condition: bool) -> ov.Model:
    x = op.parameter([2, 16], np.float32, name="x")
    chosen = op.if_op(op.constant(np.array(condition)))
    then_in, else_in = (op.parameter([2, 16], np.float32) for _ in range(2))
    yes = ov.Model([op.result(op.exp(then_in))], [then_in], "then")
    no = ov.Model([op.result(op.tanh(else_in))], [else_in], "else")
    chosen.set_then_body(yes)
    chosen.set_else_body(no)
    chosen.set_input(x.output(0), then_in, else_in)
    out = chosen.set_output(yes.results[0], no.results[0])
    return ov.Model([op.result(out)], [x], "branch")


@pytest.mark.parametrize(("condition", "expected"), [(True, ["Exp"]), (False, ["Tanh"])])
def test_a_constant_if_is_the_branch_it_takes(condition: bool, expected: list[str]) -> None:
    assert types(from_openvino(branch(condition))) == expected


def test_dynamic_shapes_are_the_users_to_give(tmp_path: Path) -> None:
    x = op.parameter([1, -1], np.float32, name="ids")
    x.output(0).get_tensor().set_names({"ids"})
    node = op.matmul(x, np.ones((256, 16), np.float32), False, False)
    ov.save_model(ov.Model([op.result(node)], [x], "m"), tmp_path / "m.xml")
    with pytest.raises(UserError, match=r"input 'ids' has the dynamic shape .*--shape ids=\[1,128\]"):
        load_model(tmp_path / "m.xml")
    graph = load_model(tmp_path / "m.xml", {"ids": [1, 256]})
    assert graph.tensors[graph.inputs[0]].shape == (1, 256)
    with pytest.raises(UserError, match="no input 'idz'; it has ids"):
        load_model(tmp_path / "m.xml", {"idz": [1, 256]})
    with pytest.raises(UserError, match="does not take these shapes"):
        load_model(tmp_path / "m.xml", {"ids": [1, 255]})


def test_a_model_saved_in_fp16_keeps_its_shapes(tmp_path: Path) -> None:
    """The scales of an Interpolate are narrowed, too, and OpenVINO infers no shape from what widens them again."""
    x = op.parameter([1, 16, 20, 20], np.float32, name="x")
    scales, axes = op.constant(np.array([2.0, 2.0], np.float32)), op.constant(np.array([2, 3]))
    wide = op.interpolate(op.relu(x), scales, "nearest", "scales", axes=axes)
    model = ov.Model([op.result(wide)], [x], "wide")
    ov.save_model(model, tmp_path / "wide.xml", compress_to_fp16=True)
    loaded = load_model(tmp_path / "wide.xml")
    assert [loaded.tensors[i].shape for i in loaded.outputs] == [(1, 16, 40, 40)]
    assert [one.type for one in loaded.ops] == [one.type for one in from_openvino(model).ops]


def test_shapes_that_depend_on_data_are_taken_at_their_largest() -> None:
    """A detector's end: at most 100 boxes of each of 8 classes are kept, and the rest of the model runs over them."""
    boxes, scores = op.parameter([1, 500, 4], np.float32), op.parameter([1, 8, 500], np.float32)
    limits = [
        op.constant(np.array(value, kind))
        for value, kind in ((100, np.int64), (0.5, np.float32), (0.1, np.float32))
    ]
    kept = op.non_max_suppression(boxes, scores, *limits)
    kept.set_friendly_name("nms")
    graph = from_openvino(ov.Model([op.relu(kept.output(1))], [boxes, scores], "detector"))
    assert types(graph) == ["NonMaxSuppression", "Relu"]
    assert graph.tensors[graph.outputs[0]].shape == (800, 3)
    assert [
        "op 'nms' (NonMaxSuppression) makes [..800,3], which depends on data" in note for note in graph.notes
    ] == [True]
    hw = load_hardware("lunarlake.yaml")
    assert hw.shave.kernels["nonmaxsuppression"].provenance == "guess"
    assert api.simulate(api.lower(graph, hw), hw).latency_us > 0


def test_a_kernel_that_nothing_is_known_of_is_named() -> None:
    x = op.parameter([1, 64, 64, 2], np.float32)
    graph = from_openvino(ov.Model([op.dft(x, np.array([1, 2]))], [x], "fourier"))
    hw = load_hardware("lunarlake.yaml")
    known = {name: row for name, row in hw.shave.kernels.items() if name != "dft"}
    hw = hw.model_copy(update={"shave": hw.shave.model_copy(update={"kernels": known})})
    with pytest.raises(UserError, match="no cost for SHAVE kernel 'dft'"):
        api.simulate(api.lower(graph, hw), hw)
    assert api.simulate(api.lower(graph, hw), hw, allow_guess=True).latency_us > 0


@pytest.mark.parametrize("keep", [0, 100, None])
def test_an_ir_without_its_weights_is_read_for_its_structure(tmp_path: Path, keep: int | None) -> None:
    x = op.parameter([4, 64], np.float32, name="x")
    w = np.arange(64 * 64, dtype=np.float32).reshape(64, 64)
    ov.save_model(ov.Model([op.result(op.matmul(x, w, False, True))], [x], "m"), tmp_path / "m.xml")
    whole = load_model(tmp_path / "m.xml")
    weights = tmp_path / "m.bin"
    if keep is None:
        weights.unlink()
    else:
        weights.write_bytes(weights.read_bytes()[:keep])
    graph = load_model(tmp_path / "m.xml")
    assert re.search("m.bin is (missing|short)", graph.notes[0])
    assert not whole.notes
    assert [(o.type, o.inputs, o.outputs) for o in graph.ops] == [
        (o.type, o.inputs, o.outputs) for o in whole.ops
    ]
    assert [t.shape for t in graph.tensors] == [t.shape for t in whole.tensors]


@pytest.mark.parametrize("keep", [1, None])
def test_a_shape_that_cannot_be_told_without_the_weights_is_laid_to_them(
    tmp_path: Path, keep: int | None
) -> None:
    x = op.parameter([4, 64], np.float32, name="x")
    to = op.constant(np.array([8, 32], np.int64))
    w = op.constant(np.ones((32, 16), np.float32))
    product = op.matmul(op.reshape(x, to, False), w, False, False)
    ov.save_model(ov.Model([op.result(product)], [x], "m"), tmp_path / "m.xml")
    weights = tmp_path / "m.bin"
    if keep is None:
        weights.unlink()
    else:
        weights.write_bytes(weights.read_bytes()[:keep])
    with pytest.raises(UserError, match=rf"m.xml: m.bin is {'short' if keep else 'missing'}, and shapes"):
        load_model(tmp_path / "m.xml")


@pytest.mark.parametrize(
    ("name", "content", "said"),
    [
        ("none.xml", None, "no such model file"),
        ("bad.xml", b"<net", "not a model that OpenVINO reads"),
        ("bad.onnx", b"\x00\x01", "not a model that OpenVINO reads"),
        ("notes.txt", b"hello", "known endings"),
    ],
)
def test_files_that_are_no_models(tmp_path: Path, name: str, content: bytes | None, said: str) -> None:
    if content is not None:
        (tmp_path / name).write_bytes(content)
    with pytest.raises(UserError, match=said) as caught:
        load_model(tmp_path / name)
    assert "\n" not in str(caught.value)
    assert name in str(caught.value)


@pytest.mark.parametrize("name", ["pipe.xml", "pipe.onnx"])
def test_a_pipe_is_no_model(tmp_path: Path, name: str) -> None:
    os.mkfifo(tmp_path / name)
    with pytest.raises(UserError, match=f"{name}: a device or a pipe"):
        load_model(tmp_path / name)


@pytest.mark.parametrize(
    ("op", "domain", "said"),
    [
        ("MatMul", "", r"MatMul y: Incompatible MatMul matrix dimension"),
        ("MyOwnOp", "com.mine", r"No conversion rule found for operations: com\.mine\.MyOwnOp"),
    ],
)
def test_what_is_wrong_with_a_model_is_said_and_no_librarys_log(
    op: str, domain: str, said: str, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    onnx = pytest.importorskip("onnx")
    helper, kind = onnx.helper, onnx.TensorProto.FLOAT
    node = helper.make_node(op, ["x", "w"], ["y"], domain=domain)
    weights = helper.make_tensor("w", kind, [4, 5], [0.0] * 20)
    values = [
        helper.make_tensor_value_info("x", kind, [2, 3]),
        helper.make_tensor_value_info("y", kind, None),
    ]
    graph = helper.make_graph([node], "net", values[:1], values[1:], [weights])
    sets = [helper.make_opsetid(name, version) for name, version in (("", 17), ("com.mine", 1))]
    onnx.save(helper.make_model(graph, opset_imports=sets), tmp_path / "bad.onnx")
    with pytest.raises(UserError, match=said):
        load_model(tmp_path / "bad.onnx")
    assert capfd.readouterr() == ("", "")


def test_a_file_that_ends_whoever_reads_it_is_refused(tmp_path: Path) -> None:
    onnx = pytest.importorskip("onnx")
    helper, kind = onnx.helper, onnx.TensorProto.FLOAT
    nodes = [
        helper.make_node("Mine", ["x"], ["a"], domain="com.mine"),
        helper.make_node("Clip", ["a"], ["y"]),
    ]
    values = [
        helper.make_tensor_value_info("x", kind, [2, 3]),
        helper.make_tensor_value_info("y", kind, None),
    ]
    sets = [helper.make_opsetid(name, version) for name, version in (("", 17), ("com.mine", 1))]
    onnx.save(
        helper.make_model(helper.make_graph(nodes, "net", values[:1], values[1:]), opset_imports=sets),
        tmp_path / "m.onnx",
    )
    with pytest.raises(UserError, match=r"m\.onnx: OpenVINO ends with SIGSEGV when it reads this file"):
        load_model(tmp_path / "m.onnx")


def test_onnx_files_are_read(tmp_path: Path) -> None:
    """As an IR made of them: a division by a constant is a product, a batch norm goes into its convolution."""
    onnx = pytest.importorskip("onnx")
    helper, nodes = onnx.helper, []
    nodes.append(helper.make_node("Conv", ["x", "w"], ["c"]))
    nodes.append(helper.make_node("BatchNormalization", ["c", "one", "one", "one", "one"], ["b"]))
    nodes.append(helper.make_node("Exp", ["b"], ["e"]))
    nodes.append(helper.make_node("Div", ["e", "six"], ["y"]))
    value = [helper.make_tensor_value_info(n, onnx.TensorProto.FLOAT, [1, 4, 8, 8]) for n in ("x", "y")]
    constants = {"w": np.ones((4, 4, 1, 1)), "one": np.ones(4), "six": np.full((), 6.0)}
    stored = [
        onnx.numpy_helper.from_array(array.astype(np.float32), name) for name, array in constants.items()
    ]
    graph = helper.make_graph(nodes, "g", value[:1], value[1:], stored)
    onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)]), tmp_path / "m.onnx")
    assert types(load_model(tmp_path / "m.onnx")) == ["Convolution", "Add", "Exp", "Multiply"]


@pytest.mark.parametrize(
    ("ops", "sizes", "said"),
    [
        (("ConstantOfShape",), (10**6, 10**6), "constants of .* elements would be computed"),
        (
            ("ConstantOfShape", "Exp", "Exp", "Exp"),
            (10**4, 10**4),
            "constants of .* elements would be computed",
        ),
        (("ConstantOfShape", "MatMul"), (10**4, 10**4), "constants of .* elements would be computed"),
        (("ConstantOfShape", "Exp"), (10, 10), ""),
    ],
)
def test_a_small_file_cannot_ask_for_much_memory_or_time(
    ops: tuple[str, ...], sizes: tuple[int, int], said: str, tmp_path: Path
) -> None:
    onnx = pytest.importorskip("onnx")
    helper, kind = onnx.helper, onnx.TensorProto.FLOAT
    nodes = [
        helper.make_node(op, [str(i)] * (2 if op == "MatMul" else 1), [str(i + 1)])
        for i, op in enumerate(ops)
    ]
    nodes += [
        helper.make_node("ReduceSum", [str(len(ops))], ["sum"], keepdims=0),
        helper.make_node("Add", ["x", "sum"], ["y"]),
    ]
    values = [
        helper.make_tensor_value_info("x", kind, [2, 3]),
        helper.make_tensor_value_info("y", kind, None),
    ]
    shape = helper.make_tensor("0", onnx.TensorProto.INT64, [2], sizes)
    graph = helper.make_graph(nodes, "net", values[:1], values[1:], [shape])
    onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)]), tmp_path / "m.onnx")
    if said:
        with pytest.raises(UserError, match=f"m.onnx: {said}"):
            load_model(tmp_path / "m.onnx")
    else:
        assert types(load_model(tmp_path / "m.onnx")) == ["Add"]


def test_a_constant_that_is_unpacked_beyond_memory_is_refused_in_one_line(tmp_path: Path) -> None:
    onnx = pytest.importorskip("onnx")
    helper, kind = onnx.helper, onnx.TensorProto.FLOAT
    one = helper.make_tensor("", kind, [1], [1.0]), helper.make_tensor("", onnx.TensorProto.INT64, [1], [5])
    node = helper.make_node(
        "Constant", [], ["y"], sparse_value=helper.make_sparse_tensor(*one, [10**6, 10**6])
    )
    graph = helper.make_graph([node], "net", [], [helper.make_tensor_value_info("y", kind, None)])
    onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)]), tmp_path / "m.onnx")
    before = resource.getrlimit(resource.RLIMIT_DATA)
    with pytest.raises(UserError, match=r"m\.onnx: reading it takes more than 1\.0 GiB"):
        load_model(tmp_path / "m.onnx")
    assert resource.getrlimit(resource.RLIMIT_DATA) == before
