"""A GEMM as OpenVINO IR for npusim and as ONNX for the others: python inputs.py FOLDER M K N."""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
import onnx
import openvino as ov
from onnx import TensorProto, helper
from openvino import opset15


def write(folder: Path, m: int, k: int, n: int) -> None:
    """gemm.xml and gemm.onnx: (m, k) times constant (k, n)."""
    x = opset15.parameter([m, k], ov.Type.f16, name="x")
    weights = np.zeros((k, n), np.float16)
    ov.save_model(ov.Model([opset15.matmul(x, weights, False, False)], [x], "gemm"), folder / "gemm.xml")
    shapes = {"x": [m, k], "y": [m, n]}
    x_info, y_info = (helper.make_tensor_value_info(t, TensorProto.FLOAT, s) for t, s in shapes.items())
    constant = onnx.numpy_helper.from_array(weights.astype(np.float32), "w")
    node = helper.make_node("Gemm", ["x", "w"], ["y"], name="gemm")
    graph = helper.make_graph([node], "gemm", [x_info], [y_info], [constant])
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=9)
    onnx.save(onnx.shape_inference.infer_shapes(model), folder / "gemm.onnx")


if __name__ == "__main__":
    write(Path(sys.argv[1]), *map(int, sys.argv[2:]))
