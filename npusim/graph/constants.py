"""Constant sub-graphs: what lowering must read (axes, shapes, scalars) is computed, the rest stays abstract."""

from __future__ import annotations

from typing import Any

import numpy as np

#: Constants up to this many elements keep their value; larger ones are weights, of which only the shape matters.
MAX_VALUE_ELEMENTS = 256


def constant_value(node: Any) -> np.ndarray | None:
    """The value of an OpenVINO Constant, if it is small enough to matter; None otherwise."""
    if (
        not node.get_output_size() > 0
        or np.prod(node.get_output_shape(0), dtype=np.int64) > MAX_VALUE_ELEMENTS
    ):
        return None
    try:
        return np.array(node.data)
    except RuntimeError:  # element types that numpy lacks (4-bit)
        return None


def evaluate(node: Any, inputs: list[np.ndarray | None]) -> list[np.ndarray | None]:
    """Outputs of a node whose inputs are all constant, through OpenVINO's own evaluation; None where unknown, and where
    their shape is known by its bounds alone."""
    count = node.get_output_size()
    unknown: list[np.ndarray | None] = [None] * count
    static = all(output.get_partial_shape().is_static for output in node.outputs())
    if not static or any(v is None for v in inputs):
        return unknown
    if any(np.prod(node.get_output_shape(i), dtype=np.int64) > MAX_VALUE_ELEMENTS for i in range(count)):
        return unknown
    from openvino import Tensor

    try:
        outs = [Tensor(node.get_output_element_type(i), node.get_output_shape(i)) for i in range(count)]
        if not node.evaluate(outs, [Tensor(np.array(v, order="C")) for v in inputs]):
            return unknown
        return [np.array(t.data) for t in outs]
    except RuntimeError:
        return unknown


def with_widened_constants(model: Any) -> Any:
    """A model whose shapes are all known; otherwise a copy of it in which small constants are stored in the type that
    they are read in. OpenVINO infers no shape from scales and sizes that a model saved in FP16 widens again (the
    Interpolate of a YOLO).
    """
    from openvino.op import Constant

    if all(output.get_partial_shape().is_static for node in model.get_ops() for output in node.outputs()):
        return model
    copy = model.clone()
    for node in copy.get_ordered_ops():
        source = node.input_value(0).get_node() if node.get_type_name() == "Convert" else None
        if source is not None and source.get_type_name() == "Constant":
            (value,) = evaluate(node, [constant_value(source)])
            if value is not None:
                node.output(0).replace(Constant(value).output(0))
    copy.validate_nodes_and_infer_types()
    return copy
