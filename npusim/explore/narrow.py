"""A model as it would be with 8-bit numbers: what quantisation would make of it, before anybody quantises it.

Weights get arbitrary numbers, so the result says how long it would take, and nothing of its accuracy.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from npusim.explore.probe import constants_of

#: Ops that quantisation makes narrow: products of activations and weights.
_PRODUCTS = ("MatMul", "Convolution", "GroupConvolution", "ConvolutionBackpropData")
#: Fewer numbers are scales and biases, which quantisation leaves alone.
_LEAST_WEIGHTS = 1024
#: Numbers that repeat: none of them zero, as zeros would be stored sparse.
_PATTERN = np.resize(np.array([3, -5, 7, -11, 13, -2, 17, -19], np.int8), 1 << 16)


def with_int8(model: Any, *, activations: bool) -> Any:
    """A copy of an openvino.Model with weights of 8 bits and, if asked for, ``activations`` that are quantised before
    every product, as NNCF places them. None where there is nothing to narrow.
    """
    from openvino import opset15 as op

    copy, changed = model.clone(), False
    constants = constants_of(copy)
    quantised: dict[tuple[str, int], Any] = {}
    for node in copy.get_ordered_ops():
        if node.get_type_name() not in _PRODUCTS:
            continue
        narrow = False
        for port in node.inputs()[:2]:
            source = port.get_source_output()
            producer = source.get_node()
            if producer.get_friendly_name() in constants:
                if _is_wide(producer) and math.prod(source.get_shape()) >= _LEAST_WEIGHTS:
                    port.replace_source_output(
                        _weights(op, source.get_shape(), _channel_axis(node)).output(0)
                    )
                    narrow = changed = True
            elif activations and producer.get_type_name() != "FakeQuantize":
                key = producer.get_friendly_name(), source.get_index()
                if key not in quantised:
                    quantised[key] = _quantiser(op, source)
                port.replace_source_output(quantised[key].output(0))
                changed = True
        if narrow:
            node.validate_and_infer_types()
    return copy if changed else None


def _weights(op: Any, shape: Any, axis: int) -> Any:
    """8-bit weights with a scale a channel, widened."""
    from openvino import Type

    numbers = op.constant(np.resize(_PATTERN, math.prod(shape)).reshape(tuple(shape)), Type.i8)
    scales = np.ones(len(shape), np.int64)
    scales[axis] = shape[axis]
    return op.multiply(op.convert(numbers, "f32"), op.constant(np.full(tuple(scales), 1e-3, np.float32)))


def _channel_axis(node: Any) -> int:
    """The axis of a product's weights that its output channels are along."""
    if node.get_type_name() != "MatMul":
        return 0
    return -2 if node.get_attributes().get("transpose_b") else -1


def _quantiser(op: Any, value: Any) -> Any:
    limits = [op.constant(np.array(limit, np.float32)) for limit in (-4.0, 3.96875, -4.0, 3.96875)]
    made = op.fake_quantize(value, *limits, 256)
    made.set_friendly_name(f"{value.get_node().get_friendly_name()}/quantised.{value.get_index()}")
    return made


def _is_wide(node: Any) -> bool:
    """Whether what a constant sub-graph is made of is stored with more than 8 bits."""
    while node.get_type_name() != "Constant":
        if not node.get_input_size():
            return False
        node = max((value.get_node() for value in node.input_values()), key=_elements)
    return bool(node.get_element_type().bitwidth > 8)


def _elements(node: Any) -> int:
    shape = node.get_output_partial_shape(0)
    return int(math.prod(shape.to_shape())) if shape.is_static else 0
