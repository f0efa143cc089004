"""ONNX Runtime's GroupQueryAttention in OpenVINO's own ops, as its plugins take it apart when they compile.

What com.microsoft.GroupQueryAttention does is said in ONNX Runtime's list of contrib operators: rotate queries and keys
(optional), put keys and values at their place in a cache of fixed length, attend to all that came before.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from npusim.errors import UserError

KIND = "GroupQueryAttention"
_INPUTS = ("query", "key", "value", "past_key", "past_value", "lengths", "total", "cos", "sin", "positions")
#: What a mask adds to scores that do not count: the least that FP16 has.
_NEVER = -65504.0
#: Attributes that would ask for more than is written out here, and their harmless values.
_PLAIN = {
    "kv_cache_bit_width": (0, None),
    "local_window_size": (-1, 0, None),
    "smooth_softmax": (False, None),
}


def without_grouped_queries(model: Any) -> Any:
    """The model, or a copy of it in which every GroupQueryAttention is written out. Raises UserError for one with
    attributes that are not known here."""
    if not any(node.get_type_name() == KIND for node in model.get_ops()):
        return model
    copy = model.clone()
    for node in copy.get_ordered_ops():
        if node.get_type_name() == KIND:
            for port, made in zip(node.outputs(), _written_out(node), strict=True):
                port.replace(made.output(0))
    copy.validate_nodes_and_infer_types()
    return copy


def _written_out(node: Any) -> tuple[Any, Any, Any]:
    """What gives a node's three outputs: the attention, and the caches of keys and values."""
    from openvino import opset15 as op

    attributes, name = node.get_attributes(), node.get_friendly_name()
    for key, plain in _PLAIN.items():
        if attributes.get(key) not in plain:
            raise UserError(f"op '{name}': {KIND} with {key}={attributes[key]} is not known")
    given = {
        key: port.get_source_output()
        for key, port in zip(_INPUTS, node.inputs(), strict=False)
        if 0 not in port.get_shape() or port.get_element_type().get_type_name() != "dynamic"
    }
    query, key, value = (given[name] for name in _INPUTS[:3])
    batch, heads, rows, size = query.get_shape()
    groups, capacity = given["past_key"].get_shape()[1:3]

    lengths = op.reshape(op.convert(given["lengths"], "i32"), np.array([-1]), False)
    first = op.subtract(lengths, np.array([rows - 1], np.int32))  # ``lengths`` counts all tokens but one
    places = op.add(first, np.arange(rows, dtype=np.int32))
    if attributes["do_rotary"]:
        at = op.reshape(given["positions"], np.array([-1]), False) if "positions" in given else places
        waves = [op.gather(given[table], at, 0) for table in ("cos", "sin")]
        query, key = (
            _rotated(x, waves[0], waves[1], not attributes["rotary_interleaved"]) for x in (query, key)
        )
    caches = [
        op.scatter_update(past, places, new, np.int64(2))
        for past, new in ((given["past_key"], key), (given["past_value"], value))
    ]
    wide = [
        op.reshape(
            op.broadcast(
                op.unsqueeze(cache, np.array([2])), np.array([batch, groups, heads // groups, capacity, size])
            ),
            np.array([batch, heads, capacity, size]), False,
        )
        for cache in caches
    ]  # fmt: skip
    seen = op.less_equal(np.arange(capacity, dtype=np.int32)[None], op.unsqueeze(places, np.array([1])))
    kind = given["query"].get_element_type().to_dtype()
    mask = op.select(seen, kind.type(0), kind.type(_NEVER))
    scale = [op.constant(kind.type(attributes["scale"]))] if attributes["scale"] else []
    attended = op.scaled_dot_product_attention(query, *wide, mask, *scale)
    turned = op.reshape(
        op.transpose(attended, np.array([0, 2, 1, 3])), np.array([batch, rows, heads * size]), False
    )
    turned.set_friendly_name(name)
    return turned, *caches


def _rotated(x: Any, cos: Any, sin: Any, apart: bool) -> Any:
    """Pairs of elements rotated: those half a head ``apart``, or neighbours."""
    from openvino import opset15 as op

    shape = list(x.get_shape())
    half = shape[-1] // 2
    pairs = op.reshape(x, np.array([*shape[:-1], *((2, half) if apart else (half, 2))]), False)
    axis = 3 if apart else 4
    one, other = (op.squeeze(part, np.array([axis])) for part in op.split(pairs, axis, 2).outputs())
    turned = (
        op.subtract(op.multiply(one, cos), op.multiply(other, sin)),
        op.add(op.multiply(other, cos), op.multiply(one, sin)),
    )
    joined = op.concat([op.unsqueeze(part, np.array([axis])) for part in turned], axis)
    return op.reshape(joined, np.array(shape), False)
