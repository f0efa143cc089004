"""Sub-graphs of control flow in place of the op that holds them: the branch that an If takes, the steps of a loop."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np

from npusim.errors import UserError
from npusim.graph.ir import Op
from npusim.size import check_ops

if TYPE_CHECKING:
    from npusim.graph.frontend import Builder

#: Steps of one loop at most: as many as a recurrence over the longest prompts has.
MOST_STEPS = 1 << 16


def branch(build: Builder, node: Any, sources: tuple[int, ...]) -> tuple[int, ...]:
    """The branch of an If that its constant condition selects, in place of the If.

    Raises UserError where the condition depends on the input.
    """
    condition = build.tensors[sources[0]].value
    if condition is None:
        raise UserError(
            f"op '{node.get_friendly_name()}' (If) has a condition that depends on the input: "
            "npusim needs one schedule for all inputs"
        )
    body = 0 if bool(np.all(condition)) else 1
    model = node.get_function(body)
    parameters = [-1] * len(model.get_parameters())
    for description in node.get_input_descriptions(body):
        parameters[description.body_parameter_index] = sources[description.input_index]
    results = build.walk(model, parameters)
    picked = {d.output_index: results[d.body_value_index] for d in node.get_output_descriptions(body)}
    return tuple(picked[p] for p in range(node.get_output_size()))


def unroll(build: Builder, node: Any, sources: tuple[int, ...]) -> tuple[int, ...]:
    """The steps of a Loop or TensorIterator one after the other, as the compiler unrolls it.

    Raises UserError where their number depends on the input, and where there are more than ``MOST_STEPS``.
    """
    return _Unrolled(build, node, sources).outputs()


@dataclass(frozen=True, slots=True)
class _Step:
    """What one step read, its ops in the Graph, the tensors of its results, and what names of it begin with."""

    parameters: list[int]
    ops: range
    results: list[int]
    scope: str


class _Unrolled:
    """One loop on its way into the Graph. ``steps``: the tensors of the body's results, step by step."""

    def __init__(self, build: Builder, node: Any, sources: tuple[int, ...]) -> None:
        self.build, self.node, self.sources = build, node, sources
        self.body = node.get_function()
        self.name = build.scope + node.get_friendly_name()
        self.steps: list[list[int]] = []
        known = node.get_type_name() != "Loop" or build.tensors[sources[0]].constant
        count = node.get_num_iterations() if known else -1
        if not 0 < count <= MOST_STEPS:
            said = "depends on the input" if count <= 0 else f"is {count:,}, more than {MOST_STEPS:,}"
            raise UserError(
                f"op '{self.name}' ({node.get_type_name()}) has a number of steps that {said}: npusim unrolls loops, "
                "so give the model's inputs static shapes, or cut the model before it"
            )
        scope = build.scope
        last: _Step | None = None
        begin = len(build.ops)
        for number in range(count):
            build.scope = f"{self.name}/{number}/"
            last = self._step(number, count, last)
            self.steps.append(last.results)
            if not number:
                check_ops(begin + count * (len(build.ops) - begin))
        build.scope = scope

    def outputs(self) -> tuple[int, ...]:
        """The tensors of the loop's outputs."""
        found: dict[int, int] = {}
        for description in self.node.get_output_descriptions():
            values = [step[description.body_value_index] for step in self.steps]
            if hasattr(description, "axis"):
                found[description.output_index] = self._side_by_side(values, description)
            else:
                found[description.output_index] = values[description.iteration]
        return tuple(found[port] for port in range(self.node.get_output_size()))

    def _side_by_side(self, values: list[int], description: Any) -> int:
        if len(values) == 1:
            return values[0]
        if description.stride < 0:
            values = values[::-1]
        first, port = self.build.tensors[values[0]], description.output_index
        axis = description.axis % len(first.shape)
        shape = list(first.shape)
        shape[axis] = sum(self.build.tensors[value].shape[axis] for value in values)
        name = f"{self.name}/concat.{port}"
        fields = {"stored_dtype": first.stored_dtype, "constant": first.constant}
        made = self.build.add_tensor(name, tuple(shape), first.dtype, **fields)
        if not first.constant:
            self.build.ops.append(Op(name, "Concat", tuple(values), (made,), {"axis": axis}))
        return made

    def _step(self, number: int, count: int, last: _Step | None) -> _Step:
        """One step: that before it again where nothing but the data differs, else walked afresh."""
        parameters = self._parameters(number, count)
        begin = len(self.build.ops)
        if last is not None and self._alike(last.parameters, parameters):
            results = self._again(last, parameters)
        else:
            results = self.build.walk(self.body, parameters)
        return _Step(parameters, range(begin, len(self.build.ops)), results, self.build.scope)

    def _parameters(self, number: int, count: int) -> list[int]:
        """The tensors that the body reads in one step."""
        found = [-1] * len(self.body.get_parameters())
        for description in self.node.get_input_descriptions():
            source = self.sources[description.input_index]
            if hasattr(description, "axis"):
                source = self._part(source, description, number)
            elif hasattr(description, "body_value_index") and number:
                source = self.steps[-1][description.body_value_index]
            found[description.body_parameter_index] = source
        if self.node.get_type_name() == "Loop":
            counter = self.node.get_special_body_ports()[0]
            if counter >= 0:
                parameter = self.body.get_parameters()[counter]
                shape = tuple(parameter.get_output_shape(0))
                value = np.full(shape, number, np.int64)
                found[counter] = self.build.add(parameter, 0, constant=True, value=value)
        return found

    def _part(self, source: int, description: Any, number: int) -> int:
        """The part of an input that one step reads."""
        whole = self.build.tensors[source]
        axis, part = description.axis % len(whole.shape), description.part_size
        shape = (*whole.shape[:axis], part, *whole.shape[axis + 1 :])
        size = whole.shape[axis]
        start = description.start + (size + 1 if description.start < 0 else 0)
        begin = start + number * description.stride - (part if description.stride < 0 else 0)
        name = f"{self.build.scope}part.{description.input_index}"
        value = (
            None if whole.value is None else np.asarray(whole.value).take(range(begin, begin + part), axis)
        )
        fields = {"stored_dtype": whole.stored_dtype, "constant": whole.constant, "value": value}
        made = self.build.add_tensor(name, shape, whole.dtype, **fields)
        if not whole.constant:
            attrs = {"axis": axis, "begin": begin, "end": begin + part}
            self.build.ops.append(Op(name, "Slice", (source,), (made,), attrs))
        return made

    def _alike(self, mine: list[int], others: list[int]) -> bool:
        """Whether a step that reads ``others`` is one that reads ``mine`` with other data: no constants differ."""
        tensors = self.build.tensors
        return all(
            a == b or not (tensors[a].constant or tensors[b].constant)
            for a, b in zip(mine, others, strict=True)
        )

    def _again(self, last: _Step, parameters: list[int]) -> list[int]:
        """The ops of the step before for other ``parameters``; the tensors of its results."""
        tensors = self.build.tensors
        now = dict(zip(last.parameters, parameters, strict=True))
        for number in last.ops:
            op = self.build.ops[number]
            for id in op.outputs:
                now[id] = len(tensors)
                name = self.build.scope + tensors[id].name.removeprefix(last.scope)
                tensors.append(replace(tensors[id], id=now[id], name=name))
            inputs, outputs = (tuple(now.get(id, id) for id in ids) for ids in (op.inputs, op.outputs))
            name = self.build.scope + op.name.removeprefix(last.scope)
            self.build.ops.append(replace(op, name=name, inputs=inputs, outputs=outputs))
        return [now.get(id, id) for id in last.results]
