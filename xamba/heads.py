"""Structural pruning of attention: heads go, with what makes them, what reads them, and caches and states."""

from __future__ import annotations

from math import ceil

import numpy as np
from openvino import Node
from openvino.op import Constant
from openvino.op.util import VariableInfo

from npusim.xamba.channels import GRANULE, taken
from npusim.xamba.labels import Attention, Labels
from npusim.xamba.maker import Maker, constant_integers
from npusim.xamba.rule import Skip
from npusim.xamba.weights import Weights


def kept_groups(found: Attention, share: float) -> Labels:
    """The groups of heads that stay when about ``share`` of them go: those of the largest weights, so many that widths
    are whole granules. Raises Skip where those are all."""
    widths = [len(labels) // found.groups for _, _, labels in found.producers.values()]
    count = max(1, ceil(found.groups * (1 - share) - 1e-9))
    while count < found.groups and any(count * width % GRANULE for width in widths):
        count += 1
    if count >= found.groups:
        raise Skip(
            f"{found.groups} heads less {share:.0%}, in whole granules of {GRANULE} channels, are as many"
        )
    sizes = np.zeros(found.groups)
    for _, weights, labels in found.producers.values():
        np.add.at(sizes, labels, np.square(weights.rows()).sum(axis=(1, 2)))
    return np.sort(np.argsort(-sizes, kind="stable")[:count])


def largest(weights: Weights, labels: Labels, kept: Labels) -> float:
    """The largest of the weights whose outputs go."""
    return float(np.abs(weights.rows()[~np.isin(labels, kept)]).max())


def drop(found: Attention, kept: Labels, make: Maker) -> tuple[Node, Node]:
    """Leave the groups ``kept`` of an attention alone; returns the last constant to replace, and what replaces it."""

    def places(labels: Labels) -> Labels:
        return np.flatnonzero(np.isin(labels, kept))

    for target, axis, labels in found.carried.values():
        value = target.get_source_output().get_node()
        target.replace_source_output(taken(value, places(labels), axis, "").output(0))
    for node, value in found.shapes:
        _, axis, labels = found.seen[value.get_node().get_name(), value.get_index()]
        _narrow_shape(node, axis, len(labels), len(places(labels)), make)
    for node, parts in found.splits.values():
        lengths = [len(places(part)) for part in parts if part is not None]
        if node.get_type_name() == "VariadicSplit":
            node.input(2).replace_source_output(Constant(np.array(lengths, np.int64)).output(0))
        elif len(set(lengths)) > 1:
            raise Skip(f"'{node.get_friendly_name()}' splits evenly")
    for node, axis, labels in found.inputs:
        shape = node.get_partial_shape()
        shape[axis] = len(places(labels))
        node.set_partial_shape(shape)
    for name, (axis, labels, shape) in found.states.items():
        variable = make.model.get_variable_by_id(name)
        shape[axis] = len(places(labels))
        info = VariableInfo()
        info.data_shape, info.data_type, info.variable_id = shape, variable.info.data_type, name
        variable.update(info)
    pairs = []
    for node, weights, labels in found.producers.values():
        value = node.input_value(1).get_node()
        pairs.append((node, value, taken(value, places(labels), weights.order[0], "")))
    for node, _, made in pairs[:-1]:
        node.input(1).replace_source_output(made.output(0))
    return pairs[-1][1], pairs[-1][2]


def _narrow_shape(node: Node, axis: int, was: int, now: int, make: Maker) -> None:
    """Give a Reshape or Broadcast the length of fewer heads, where a constant says it."""
    target = node.input(1)
    source = target.get_source_output().get_node()
    if source.get_type_name() == "Concat":  # of single numbers, as exports write it
        target = source.input(axis) if source.get_input_size() > axis else target
    values = constant_integers(target.get_source_output())
    place = 0 if target.get_node().get_name() == source.get_name() else axis
    if values is None or place >= len(values):
        raise Skip(f"the shape of '{node.get_friendly_name()}' is computed")
    if values[place] == was:
        made = Constant(np.array([*values[:place], now, *values[place + 1 :]], np.int64))
        target.replace_source_output(made.output(0))
