"""Structural pruning of whole layers: what enters one goes past it, and its caches and states go, too.

A layer is what is named after one number (``model.layers.7.mlp.add``). It can go where one value enters it that has the
shape of what it gives: a residual block, or one behind a norm.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

from openvino import Node, Output

from npusim.xamba.maker import Maker
from npusim.xamba.rule import Skip

#: Ops that a layer may end in: a residual sum, the norm behind it, an activation.
ENDS = ("Add", "MVN", "Multiply", "Relu")
#: Ops between the ends of a model and its layers.
_VIEWS = ("Convert", "Reshape", "Transpose", "Squeeze", "Unsqueeze")
_LAYER = re.compile(r"(?:layers?|blocks?|h|b|stages?)[./](\d+)(?=[./_]|$)")


@dataclass
class Layer:
    """One layer that may go: its ``number``, and the value ``enters`` that its result is replaced with."""

    number: int
    enters: Output


def layer_of(node: Node) -> int | None:
    """The number of the layer that a node is named after."""
    match = _LAYER.search(node.get_friendly_name())
    return int(match[1]) if match else None


def layer_ending(node: Node, wanted: tuple[int, ...] | float) -> Layer | None:
    """The layer that ends in a node, if it is one of those that go: those of the numbers ``wanted``, or such a share of
    all, the deepest but the last. None where no layer ends; raises Skip where it cannot go."""
    number = layer_of(node)
    if number is None:
        return None
    readers = [target.get_node() for target in node.output(0).get_target_inputs()]
    if not readers or any(layer_of(one) == number for one in readers):
        return None
    last = max(_numbers(node))  # of those that are left, which the last one always is
    if isinstance(wanted, float):
        wanted = tuple(range(last - max(round((last + 1) * wanted), 1), last))
    if number not in wanted:
        return None
    shape, entering = node.get_output_partial_shape(0), _entering(node, number)
    alike = [value for value in entering if value.get_partial_shape() == shape]
    if len(alike) != 1:
        raise Skip(f"{len(alike)} values of the shape that it gives enter layer {number}")
    return Layer(number, alike[0])


def leave_out(found: Layer, end: Node, make: Maker) -> int:
    """Take the results, inputs and states of a layer, which ends in ``end``, out of the model; how many those are."""
    model, number = make.model, found.number
    results = [one for one in model.get_results() if _comes_from(one, number, end)]
    sinks = [one for one in model.get_sinks() if layer_of(one) == number or _comes_from(one, number, end)]
    inputs = [one for one in model.get_parameters() if _goes_to(one, number)]
    for result in results:
        model.remove_result(result)
    for sink in sinks:
        name = sink.get_variable_id()
        model.remove_sink(sink)
        model.remove_variable(model.get_variable_by_id(name))
    for parameter in inputs:
        model.remove_parameter(parameter)
    return len(results) + len(sinks) + len(inputs)


def _comes_from(end: Node, number: int, but: Node) -> bool:
    """Whether what an end of the model reads is made in a layer, and is not what the layer gives."""
    node = end.input_value(0).get_node()
    while layer_of(node) is None and node.get_type_name() in _VIEWS:
        node = node.input_value(0).get_node()
    return layer_of(node) == number and node.get_name() != but.get_name()


def _goes_to(node: Node, number: int) -> bool:
    """Whether all that reads a value is in a layer."""
    readers = [target.get_node() for target in node.output(0).get_target_inputs()]
    return bool(readers) and all(
        _goes_to(one, number)
        if layer_of(one) is None and one.get_type_name() in _VIEWS
        else layer_of(one) == number
        for one in readers
    )


def _numbers(node: Node) -> set[int]:
    """The numbers of all layers that a node is connected with."""
    seen, left = {node.get_name()}, [node]
    numbers: set[int] = set()
    while left:
        one = left.pop()
        number = layer_of(one)
        if number is not None and one.get_type_name() != "Constant":
            numbers.add(number)
        near = [value.get_node() for value in one.input_values()]
        near += [target.get_node() for output in one.outputs() for target in output.get_target_inputs()]
        for other in near:
            if other.get_name() not in seen:
                seen.add(other.get_name())
                left.append(other)
    return numbers


def _entering(node: Node, number: int) -> list[Output]:
    """Values, of other ops than inputs and constants of the model, that a layer reads on the way to its result."""
    seen, left = {node.get_name()}, [node]
    found: dict[tuple[str, int], Output] = {}
    while left:
        for value in left.pop().input_values():
            source = value.get_node()
            if source.get_type_name() in ("Constant", "Parameter"):
                continue
            if layer_of(source) != number:
                found[source.get_name(), value.get_index()] = value
            elif source.get_name() not in seen:
                seen.add(source.get_name())
                left.append(source)
    return list(found.values())
