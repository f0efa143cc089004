"""A model cut to one layer of each kind: what is decided there holds for all the layers that are like it."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from npusim.program.names import layer_of

_NUMBER = re.compile(r"\d+")


def probe_of(model: Any) -> Any:
    """The first layer of every kind of an openvino.Model, as a model of its own; the model itself where no layers
    are found in the ops' names.

    Layers are of a kind if their ops are the same but for the layer's number: names, types and shapes. What a layer
    reads of other parts becomes an input, what others read of it an output.
    """
    first = _first_of_kind(_layers(model))
    return _cut(model, set(first.values())) if first else model


def layers_per_kind(model: Any) -> float:
    """How many layers a kind has, on average; 1 where no layers are found."""
    layers = _layers(model)
    return len(layers) / len(_first_of_kind(layers)) if layers else 1.0


def _layers(model: Any) -> dict[str, list[Any]]:
    layers: dict[str, list[Any]] = {}
    for node in model.get_ordered_ops():
        if node.get_type_name() not in ("Constant", "Parameter", "Result"):
            layers.setdefault(layer_of(node.get_friendly_name()), []).append(node)
    layers.pop("", None)
    return layers


def _first_of_kind(layers: Mapping[str, list[Any]]) -> dict[object, str]:
    first: dict[object, str] = {}
    for layer, nodes in layers.items():
        first.setdefault(tuple(sorted(map(_kind, nodes))), layer)
    return first


def without_number(name: str) -> str:
    """The name of an op without the number of its layer, the same for all layers."""
    layer = layer_of(name).rpartition(".")[0]
    return re.sub(rf"({re.escape(layer)}[./])\d+", r"\1*", name, count=1) if layer else name


def _kind(node: Any) -> tuple[str, str, str]:
    shapes = [str(port.get_partial_shape()) for port in (*node.inputs(), *node.outputs())]
    return without_number(node.get_friendly_name()), node.get_type_name(), " ".join(shapes)


def _cut(model: Any, layers: set[str]) -> Any:
    """The ops of some layers, with the constants they read."""
    from openvino import Model
    from openvino import opset15 as op

    copy = model.clone()
    constants = constants_of(copy)
    inside = [
        node
        for node in copy.get_ordered_ops()
        if layer_of(node.get_friendly_name()) in layers
        and node.get_type_name() not in ("Parameter", "Result")
        and node.get_friendly_name() not in constants
    ]
    names = {node.get_friendly_name() for node in inside}
    inputs: dict[tuple[str, int], Any] = {}
    for node in inside:
        for port in node.inputs():
            source = port.get_source_output()
            name = source.get_node().get_friendly_name()
            if name in names or name in constants:
                continue
            made = inputs.get((name, source.get_index()))
            if made is None:
                shape, kind = source.get_partial_shape(), source.get_element_type()
                made = inputs[name, source.get_index()] = op.parameter(shape, kind, name=f"cut.{len(inputs)}")
            port.replace_source_output(made.output(0))
    outputs = [
        op.result(port)
        for node in inside
        for port in node.outputs()
        if any(reader.get_node().get_friendly_name() not in names for reader in port.get_target_inputs())
    ]
    return Model(outputs, list(inputs.values()), "probe")


def constants_of(model: Any) -> set[str]:
    """Names of constants and of what is computed from them alone."""
    found: set[str] = set()
    for node in model.get_ordered_ops():
        sources = [value.get_node().get_friendly_name() for value in node.input_values()]
        if node.get_type_name() == "Constant" or (sources and all(name in found for name in sources)):
            found.add(node.get_friendly_name())
    return found
