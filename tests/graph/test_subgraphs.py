"""Loops, recurrences and states: what the front end makes of control flow and of what a model remembers."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable

import numpy as np
import openvino as ov
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from openvino import opset15 as op
from openvino.op.util import Variable, VariableInfo

from npusim import api
from npusim.errors import UserError
from npusim.graph import Graph, from_openvino

STATE, WIDTH = [1, 8, 16, 32], 32


def types(graph: Graph) -> Counter[str]:
    return Counter(o.type for o in graph.ops)


def body_step(state: ov.Output, x: ov.Output, weights: ov.Output) -> ov.Node:
    """One step of a recurrence: a state that fades, and what comes in."""
    return op.tanh(op.add(op.matmul(state, weights, False, False), x))


def looped(steps: int, kind: str = "Loop", stride: int = 1, start: object = None) -> ov.Model:
    """A recurrence as a Loop or TensorIterator over axis 0 of its input."""
    xs = op.parameter([steps, *STATE[1:]], np.float16, name="xs")
    first = op.parameter(STATE, np.float16, name="first") if start is None else op.constant(start)
    x, state = op.parameter([1, *STATE[1:]], np.float16), op.parameter(STATE, np.float16)
    weights = op.constant(np.full((WIDTH, WIDTH), 0.5, np.float16))
    following = body_step(state.output(0), x.output(0), weights.output(0))
    if kind == "Loop":
        go_on = op.result(op.constant(np.array(True)))
        body = ov.Model([go_on, op.result(following)], [x, state])
        loop = op.loop(op.constant(np.int64(steps)), op.constant(np.array(True)))
        loop.set_function(body)
        loop.set_special_body_ports([-1, 0])
    else:
        body = ov.Model([op.result(following)], [x, state])
        loop = op.tensor_iterator()
        loop.set_function(body)
    begin, end = (0, -1) if stride > 0 else (-1, 0)
    loop.set_sliced_input(x, xs.output(0), begin, stride, 1, end, 0)
    loop.set_merged_input(state, first.output(0), body.get_results()[-1].input_value(0))
    last = loop.get_iter_value(body.get_results()[-1].input_value(0), -1)
    side = loop.get_concatenated_slices(body.get_results()[-1].input_value(0), begin, stride, 1, end, 0)
    inputs = [xs] if start is not None else [xs, first]
    return ov.Model([op.result(last), op.result(side)], inputs, "looped")


def written_out(steps: int) -> ov.Model:
    """The same recurrence, step by step."""
    xs = op.parameter([steps, *STATE[1:]], np.float16, name="xs")
    first = op.parameter(STATE, np.float16, name="first")
    weights = op.constant(np.full((WIDTH, WIDTH), 0.5, np.float16))
    state, all_states = first.output(0), []
    for i in range(steps):
        bounds = (np.array([n], np.int64) for n in (i, i + 1, 1, 0))
        state = body_step(state, op.slice(xs, *bounds).output(0), weights.output(0)).output(0)
        all_states.append(state)
    return ov.Model([op.result(state), op.result(op.concat(all_states, 0))], [xs, first], "written_out")


@pytest.mark.parametrize("kind", ["Loop", "TensorIterator"])
@pytest.mark.parametrize("steps", [2, 7])
def test_a_loop_is_what_it_is_written_out(kind: str, steps: int) -> None:
    hw = api.load_hardware("lunarlake-vpunn.yaml")
    loop, plain = from_openvino(looped(steps, kind)), from_openvino(written_out(steps))
    assert types(loop) == types(plain)
    assert [loop.tensors[i].shape for i in loop.outputs] == [plain.tensors[i].shape for i in plain.outputs]
    results = [api.simulate(api.lower(graph, hw), hw, "fast") for graph in (loop, plain)]
    assert results[0].latency_us == pytest.approx(results[1].latency_us)


@settings(max_examples=10)
@given(st.integers(2, 12), st.sampled_from([1, -1]))
def test_steps_share_weights_and_have_names_of_their_own(steps: int, stride: int) -> None:
    graph = from_openvino(looped(steps, "TensorIterator", stride))
    matmuls = [o for o in graph.ops if o.type == "MatMul"]
    assert len(matmuls) == len({o.name for o in matmuls}) == steps
    assert len({o.inputs[1] for o in matmuls}) == 1
    begins = [o.attrs["begin"] for o in graph.ops if o.type == "Slice"]
    assert begins == list(range(steps))[::stride]
    made: set[int] = set(graph.inputs)
    for o in graph.ops:  # producers come before their consumers
        assert all(graph.tensors[i].constant or i in made for i in o.inputs)
        made.update(o.outputs)


def test_a_constant_state_is_folded_out_of_the_first_step() -> None:
    graph = from_openvino(looped(5, start=np.zeros(STATE, np.float16)))
    assert types(graph)["MatMul"] == 4
    assert types(graph)["Add"] == 5


def test_a_loop_without_a_known_number_of_steps_is_refused() -> None:
    model = looped(3)
    loop = next(n for n in model.get_ops() if n.get_type_name() == "Loop")
    steps = op.parameter([], np.int64, name="steps")
    loop.input(0).replace_source_output(steps.output(0))
    model = ov.Model(model.get_results(), [*model.get_parameters(), steps], "m")
    with pytest.raises(UserError, match="that depends on the input"):
        from_openvino(model)


# -- states -----------------------------------------------------------------------------------------------------------


def stateful(made: Callable[[ov.Node], ov.Node]) -> ov.Model:
    x = op.parameter([1, 64, 256], np.float16, name="x")
    info = VariableInfo()
    info.data_shape, info.data_type, info.variable_id = ov.PartialShape([1, 64, 256]), ov.Type.f16, "past"
    variable = Variable(info)
    past = ov.op.read_value(op.exp(x), variable)
    total = op.add(past, x)
    return ov.Model([op.result(op.tanh(total))], [ov.op.assign(made(total), variable)], [x], "stateful")


def test_a_state_is_read_like_an_input_and_written_like_an_output() -> None:
    graph = from_openvino(stateful(op.sigmoid))
    assert len(graph.inputs) == len(graph.outputs) == 2
    assert types(graph) == {"Add": 1, "Tanh": 1, "Sigmoid": 1}, (
        "what a state starts from is no part of an inference"
    )


def test_what_only_a_state_needs_is_computed() -> None:
    hw = api.load_hardware("lunarlake-vpunn.yaml")
    result = api.simulate(api.lower(from_openvino(stateful(op.sigmoid)), hw), hw, "fast")
    kernels = {getattr(task.work, "kernel", "") for task in result.program.tasks}
    assert {"sigmoid", "tanh"} <= kernels
    written = sum(getattr(task.work, "ddr_write_bytes", 0) for task in result.program.tasks)
    assert written == 2 * 64 * 256 * 2
