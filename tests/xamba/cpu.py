"""Running models on OpenVINO's CPU plugin in FP32."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import openvino as ov
from openvino import opset15 as op

from npusim.xamba.runner import FP32

#: Largest relative error that a rewrite may have in FP32.
TOLERANCE = 1e-3


def run(model: ov.Model, inputs: Sequence[np.ndarray]) -> list[np.ndarray]:
    compiled = ov.Core().compile_model(model, "CPU", FP32)
    results = compiled(list(inputs))
    return [np.array(results[port]) for port in compiled.outputs]


def inputs_of(model: ov.Model, seed: int = 0) -> list[np.ndarray]:
    rng = np.random.default_rng(seed)
    return [
        rng.integers(0, 40, port.get_shape())
        if port.get_element_type().is_integral()
        else rng.standard_normal(port.get_shape()).astype(port.get_element_type().to_dtype())
        for port in model.inputs
    ]


def assert_same(stock: ov.Model, rewritten: ov.Model, tolerance: float = TOLERANCE) -> None:
    """Names and shapes of inputs and outputs, and what is computed."""
    for ours, theirs in ((stock.inputs, rewritten.inputs), (stock.outputs, rewritten.outputs)):
        assert [p.get_names() for p in ours] == [p.get_names() for p in theirs]
        assert [p.get_partial_shape() for p in ours] == [p.get_partial_shape() for p in theirs]
    inputs = inputs_of(stock)
    for x, y in zip(run(stock, inputs), run(rewritten, inputs), strict=True):
        assert np.isfinite(x).all()
        assert np.abs(x - y).max(initial=0) <= tolerance * np.abs(x).max(initial=0)


def types(model: ov.Model) -> list[str]:
    return [node.get_type_name() for node in model.get_ordered_ops()]


def single(node: ov.Node, *parameters: ov.Node) -> ov.Model:
    node.set_friendly_name("site")
    node.output(0).get_tensor().set_names({"y"})
    return ov.Model([op.result(node)], list(parameters), "single")
