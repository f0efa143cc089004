"""Model files that are valid, or were before a number of theirs was changed: operators of ONNX as its standard lists
them, bytes of their files, and attributes of an IR."""

from __future__ import annotations

import re
import tempfile
from functools import cache
from pathlib import Path
from typing import Any

import openvino as ov
from hypothesis import reject
from hypothesis import strategies as st

from benchmarks.fuzzing.case import Case
from benchmarks.fuzzing.documents import mended
from benchmarks.fuzzing.graphs import models

_SMALL = (0, 1, 1, 1, -1, 2, 2, 3, 7, 64)
_VAST = ((1 << 20) + 7, (1 << 31) - 1, 1 << 40, (1 << 63) - 1)
_NUMBERS = (*_SMALL, *_VAST, -(1 << 31), -(1 << 63))
_TEXTS = (
    "",
    "1,1",
    "0,0",
    "-1,-1",
    "true",
    "f16",
    "i64",
    "nan",
    "1e309",
    "same_upper",
    "SAME_UPPER",
    "linear",
    "9" * 30,
)
_SHAPES = ((), (1,), (4,), (2, 3), (3, 2), (1, 4, 8), (1, 4, 8, 8), (0, 3), (1, 1, 1, 1, 1))
#: Types of tensors that operators take; most take floats.
_TYPES = ("float", "float", "float16", "double", "int64", "int32", "int8", "uint8", "bool", "string")
_ATTRIBUTE = re.compile(rb'(?<= )\w+="([^"]*)"')
_RUN = ("run", "--hw", "lunarlake", "--allow-guess", "--no-report", "--json", "--model")


@st.composite
def operators(draw: st.DrawFn) -> Case:
    """One operator of ONNX, with operands and attributes of its types and of any size."""
    data = draw(_operator()).SerializeToString()
    return Case((*_RUN, "m.onnx"), {"m.onnx": data})


@st.composite
def protobufs(draw: st.DrawFn) -> Case:
    """The same with some bytes changed."""
    data = draw(_operator()).SerializeToString()
    return Case((*_RUN, "m.onnx"), {"m.onnx": draw(mended(data))})


@st.composite
def attributes(draw: st.DrawFn) -> Case:
    """An IR of which one to three values between quotes are others."""
    files = _ir(draw(models()))
    for _ in range(draw(st.integers(1, 3))):
        begin, end = draw(st.sampled_from([found.span(1) for found in _ATTRIBUTE.finditer(files["m.xml"])]))
        new = draw(st.sampled_from(_TEXTS) | st.sampled_from(_NUMBERS).map(str)).encode()
        files["m.xml"] = files["m.xml"][:begin] + new + files["m.xml"][end:]
    return Case((*_RUN, "m.xml"), files)


def _ir(model: ov.Model) -> dict[str, bytes]:
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "m.xml"
        try:
            ov.save_model(model, path, compress_to_fp16=False)
        except RuntimeError:  # a few OpenVINO cannot write
            reject()
        return {"m.xml": path.read_bytes(), "m.bin": path.with_suffix(".bin").read_bytes()}


@cache
def _schemas() -> tuple[Any, ...]:
    """The operators that hold no graph, each in all its versions."""
    from onnx import defs

    kinds = defs.OpSchema.AttrType
    found = [one for one in defs.get_all_schemas_with_history() if one.domain == "" and not one.deprecated]
    return tuple(
        one
        for one in found
        if all(a.type not in (kinds.GRAPH, kinds.GRAPHS) for a in one.attributes.values())
    )


@st.composite
def _operator(draw: st.DrawFn) -> Any:
    """A model of one operator; its first operand is the input, others are constants, or inputs too."""
    from onnx import TensorProto, helper

    schema = draw(st.sampled_from(_schemas()))
    allowed = {one.type_param_str: one.allowed_type_strs for one in schema.type_constraints}
    picked: dict[str, str] = {}
    inputs, constants = [], []
    for number, formal in enumerate(schema.inputs[: draw(st.integers(schema.min_input, 9))]):
        name, text = f"i{number}", formal.type_str
        if text not in picked:
            types = [one for one in _TYPES if f"tensor({one})" in allowed.get(text, (text,))]
            picked[text] = draw(st.sampled_from(types or ["float"]))
        kind = getattr(TensorProto, picked[text].upper())
        shape = draw(st.sampled_from(_SHAPES))
        if number and draw(st.integers(0, 3)):
            values = draw(
                st.lists(st.sampled_from(_NUMBERS if kind == TensorProto.INT64 else (0, 1, 2)), max_size=8)
            )
            text_ = kind == TensorProto.STRING
            constants.append(
                helper.make_tensor(name, kind, [len(values)], [b"x"] * len(values) if text_ else values)
            )
        else:
            inputs.append(helper.make_tensor_value_info(name, kind, shape))
    node = helper.make_node(
        schema.name,
        [f"i{n}" for n in range(len(inputs) + len(constants))],
        [f"o{n}" for n in range(max(1, schema.min_output))],
    )
    for name, attribute in schema.attributes.items():
        if attribute.required or not draw(st.integers(0, 2)):
            value = draw(_value(str(attribute.type).rpartition(".")[2]))
            if value is not None:
                node.attribute.append(helper.make_attribute(name, value))
    made = [helper.make_tensor_value_info(name, TensorProto.FLOAT, None) for name in node.output]
    graph = helper.make_graph([node], "g", inputs, made, constants)
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", schema.since_version)])


def _value(kind: str) -> st.SearchStrategy[Any]:
    """A value of an attribute of a type; None for types that operators rarely have."""
    number, small = st.sampled_from(_NUMBERS), st.sampled_from(_SMALL)
    one: dict[str, st.SearchStrategy[Any]] = {
        "INT": number,
        "FLOAT": st.sampled_from((0.0, 1.0, -1.0, 0.5, 1e30, float("inf"), float("nan"))),
        "STRING": st.sampled_from(_TEXTS),
        "INTS": st.lists(small, min_size=1, max_size=4) | st.lists(number, min_size=1, max_size=4),
        "FLOATS": st.lists(st.sampled_from((0.0, 1.0, -1.0, 2.0)), min_size=1, max_size=4),
    }
    return one.get(kind, st.none())
