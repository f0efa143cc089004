"""A language model as it is published, made into the static graphs that OpenVINO's pipeline for NPUs runs.

Published models remember: keys and values grow with every token, convolutions and state spaces keep a window and a
state. An NPU runs graphs of fixed shapes. So every state becomes an input (``past``) and an output (``present``), which
the host carries from one call to the next, and two graphs are made: *prefill* of as many rows as a prompt has at most
(or a chunk of them), and *generate* of one row over a cache of fixed length.

What the host must do (`openvino.genai` does it): prompts are right-aligned in the rows of the prefill,
with zeros in ``attention_mask`` before them (of a prompt in chunks the first is padded: a window of a convolution knows
no padding but zeros before all tokens); the cache of a generate step is filled from its start, and the mask has
ones there and at its end, where the token itself is.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from npusim.arguments import checked, shown
from npusim.errors import UserError

#: Inputs that carry the tokens, or what stands for them, and those that say where they are.
TOKENS = ("input_ids", "inputs_embeds")
MASK, POSITIONS, BEAMS = "attention_mask", "position_ids", "beam_idx"
_ASKED = (*TOKENS, MASK, POSITIONS, BEAMS, "cache_position", "token_type_ids", "cache_params.cache_position")
#: Ops between the product that makes the logits and the logits: scaling, soft caps, types.
_AFTER_HEAD = ("Convert", "Multiply", "Divide", "Tanh", "Add")
#: ``past_key_values.0.keypresent.0.key``, ``cache_params.past.ssm.0cache_params.present.ssm.0``
_IDENTIFIER = re.compile(r"(.+?)((?:cache_params\.)?present.+)")


@dataclass(frozen=True, slots=True)
class Remembered:
    """One thing that a model remembers: where it is read and written, and whether it grows with every token (keys and
    values do, states of convolutions and state spaces do not)."""

    past: str
    present: str
    grows: bool


@dataclass(frozen=True, slots=True)
class StaticModels:
    """The two static graphs of one language model, batch 1.

    ``prefill`` takes ``rows`` tokens over ``past`` cached ones and gives the logits of the last; ``generate`` takes one
    token over ``cache - 1`` cached ones. Where ``past`` is 0, what grows is no input of the prefill.
    """

    prefill: Any
    generate: Any
    rows: int
    past: int
    cache: int
    remembered: tuple[Remembered, ...]


@checked
def make_static(
    model: Any, *, prompt: int = 1024, response: int = 128, chunk: int | None = None
) -> StaticModels:
    """The prefill and generate graphs of an ``openvino.Model`` as optimum-intel exports it, which stays as it is.

    ``prompt`` and ``response`` are the most tokens that are read and written (the cache has their sum); with ``chunk``
    the prefill takes so many rows a call, over the prompt before them. Models that already have past and present as
    inputs and outputs are taken, too. Raises UserError for a model that is no language model.
    """
    from openvino import Model

    if not isinstance(model, Model):
        raise UserError(f"model: must be an openvino.Model (got {shown(model)})")
    rows = prompt if chunk is None else chunk
    if not 1 <= rows <= prompt or response < 1:
        raise UserError(
            f"a prompt of {prompt} tokens in chunks of {rows} with {response} to answer cannot be: all must be at "
            "least 1, and a chunk no longer than the prompt"
        )
    past, cache = prompt - rows, prompt + response
    opened, remembered = stateless(model)
    prefill, generate = fixed(opened, remembered, rows, past), fixed(opened, remembered, 1, cache - 1)
    return StaticModels(prefill, generate, rows, past, cache, remembered)


def fixed(
    model: Any, remembered: tuple[Remembered, ...], rows: int, past: int, every_row: bool = False
) -> Any:
    """A copy of a stateless model for ``rows`` tokens over ``past``, with the logits of the last row, or of every one.

    Raises UserError for an input of which nothing is known.
    """
    made = model.clone()
    _fix(made, remembered, rows, past)
    if not every_row:
        _keep_last_row(made)
    return made


def stateless(model: Any) -> tuple[Any, tuple[Remembered, ...]]:
    """A copy of the model in which everything remembered is an input and an output, and what that is.

    Raises UserError for a model that reads no tokens, makes no logits, or remembers nothing.
    """
    made = model.clone()
    inputs = _input_names(made)
    name = made.get_friendly_name()
    if not any(one in inputs for one in TOKENS):
        raise UserError(f"{name} is no language model: it has no input {' or '.join(TOKENS)}")
    if "logits" not in {one for port in made.outputs for one in port.get_names()}:
        raise UserError(f"{name} is no language model: it has no output logits")
    opened = [_open(made, read) for read in made.get_ops() if read.get_type_name() == "ReadValue"]
    beams = next((p for p in made.get_parameters() if BEAMS in p.output(0).get_names()), None)
    if beams is not None and not beams.output(0).get_target_inputs():
        made.remove_parameter(beams)
    made.validate_nodes_and_infer_types()
    found = tuple(opened) or tuple(_given(made))
    if not found:
        raise UserError(
            f"{name} remembers nothing: it has neither states nor past keys and values as inputs (export it with the "
            "task text-generation-with-past)"
        )
    return made, found


def _open(model: Any, read: Any) -> Remembered:
    """Put an input in a ReadValue's place, and an output in that of the Assign of the same variable."""
    from openvino import opset15 as op

    variable = read.get_attributes()["variable_id"]
    write = next(
        (one for one in model.get_sinks() if one.get_attributes().get("variable_id") == variable), None
    )
    if write is None:
        raise UserError(
            f"{model.get_friendly_name()}: the state '{variable}' is read but never written: export it again"
        )
    past, present = _names(variable)
    shape = read.get_output_partial_shape(0)
    parameter = op.parameter(shape, read.get_output_element_type(0), name=past)
    parameter.output(0).set_names({past})
    model.add_parameters([parameter])
    source = write.input_value(0)
    for use in _reordered(read):
        for target in use.get_target_inputs():
            if target.get_node().get_type_name() != "Assign":
                target.replace_source_output(parameter.output(0))
    if source.get_node().get_name() == read.get_name():  # a state that no inference changes
        source = parameter.output(0)
    result = op.result(source)
    result.output(0).add_names({present})
    model.remove_sink(write)
    model.remove_variable(model.get_variable_by_id(variable))
    model.add_results([result])
    return Remembered(past, present, grows=_grows(shape))


def _reordered(read: Any) -> Iterator[Any]:
    """Outputs that hold a state as it is: the ReadValue's, or those of the Gathers that sort it by ``beam_idx``."""
    users = [target.get_node() for target in read.output(0).get_target_inputs()]
    sorted_by = [
        node
        for node in users
        if node.get_type_name() == "Gather" and BEAMS in node.input_value(1).get_names()
    ]
    yield from (node.output(0) for node in sorted_by)
    yield read.output(0)


def _names(variable: str) -> tuple[str, str]:
    """Names of the input and the output of a state; an exporter's identifier is both, one behind the other."""
    both = _IDENTIFIER.fullmatch(variable)
    return (both[1], both[2]) if both else (f"past.{variable}", f"present.{variable}")


def _given(model: Any) -> Iterator[Remembered]:
    """What a stateless model remembers: inputs besides those that ask, and the outputs of the same order."""
    pasts = [port for port in model.inputs if not port.get_names() & set(_ASKED)]
    presents = [port for port in model.outputs if "logits" not in port.get_names()]
    if len(pasts) != len(presents):
        missing = "an output" if len(pasts) > len(presents) else "an input"
        raise UserError(
            f"{model.get_friendly_name()}: {len(pasts)} states are read and {len(presents)} written, so one lacks "
            f"{missing}"
        )
    for past, present in zip(pasts, presents, strict=True):
        yield Remembered(past.get_any_name(), present.get_any_name(), _grows(past.get_partial_shape()))


def _grows(shape: Any) -> bool:
    """Whether a dimension besides the batch is open."""
    return any(dim.is_dynamic for dim in list(shape)[1:])


def _fix(model: Any, remembered: tuple[Remembered, ...], rows: int, past: int) -> None:
    """Give every input its static shape: one sequence, ``rows`` tokens over ``past``."""
    lengths = {MASK: past + rows}
    shapes = {}
    for port in model.inputs:
        name = next((one for one in _ASKED if one in port.get_names()), None)
        shape = port.get_partial_shape()
        if name is not None:
            shapes[port] = _asked_shape(shape, lengths.get(name, rows))
        elif port.get_any_name() in {one.past for one in remembered}:
            shapes[port] = _filled(shape, 1, past)
        elif shape.is_dynamic:
            raise UserError(
                f"{model.get_friendly_name()}: nothing is known of the input '{port.get_any_name()}' {shape}; text "
                "models have tokens, mask, positions and states"
            )
    model.reshape(shapes)
    if past == 0:
        for one in remembered:
            if one.grows:
                _drop_empty(model, one.past)
        model.validate_nodes_and_infer_types()


def _asked_shape(shape: Any, length: int) -> list[int]:
    """[1, length], with what is static in front of (positions of several kinds) or behind (a width) it kept."""
    dims = list(shape)
    if len(dims) == 1:
        return [length]
    open_dims = [i for i, dim in enumerate(dims) if dim.is_dynamic]
    at = open_dims[-1] if open_dims else 1
    return [length if i == at else 1 if dim.is_dynamic else dim.get_length() for i, dim in enumerate(dims)]


def _filled(shape: Any, batch: int, past: int) -> list[int]:
    """The shape of a state: its first dimension the batch, every other open one the tokens."""
    return [
        (batch if i == 0 else past) if dim.is_dynamic else dim.get_length() for i, dim in enumerate(shape)
    ]


def _drop_empty(model: Any, name: str) -> None:
    """Take out an input that has no elements: what is joined to it stands alone."""
    from openvino import op

    parameter = next(p for p in model.get_parameters() if name in p.output(0).get_names())
    for target in parameter.output(0).get_target_inputs():
        join = target.get_node()
        if join.get_type_name() == "Concat" and join.get_input_size() == 2:
            other = join.input_value(1 - target.get_index())
            names = join.output(0).get_names()
            join.output(0).replace(other)
            other.add_names(names)
    empty = op.Constant(parameter.get_output_element_type(0), parameter.get_output_shape(0), [])
    parameter.output(0).replace(empty.output(0))
    model.remove_parameter(parameter)


def head_of(model: Any) -> Any | None:
    """The product that makes the logits; None where none does."""
    port = next(one for one in model.outputs if "logits" in one.get_names())
    node = port.get_node().input_value(0).get_node()
    while node.get_type_name() in _AFTER_HEAD:
        node = node.input_value(0).get_node()
    return node if node.get_type_name() == "MatMul" else None


def _keep_last_row(model: Any) -> None:
    """Let only the last row reach the head: the others' logits are read by nobody."""
    from openvino import opset15 as op

    head = head_of(model)
    if head is None:
        return
    hidden = head.input_value(0)
    if hidden.get_partial_shape().rank.get_length() < 3 or hidden.get_shape()[-2] == 1:
        return
    last = op.slice(hidden, [-1], [2**31 - 1], [1], [-2])
    last.set_friendly_name(f"{hidden.get_node().get_friendly_name()}/last_row")
    head.input(0).replace_source_output(last.output(0))
    model.validate_nodes_and_infer_types()


def _input_names(model: Any) -> set[str]:
    return {name for port in model.inputs for name in port.get_names()}
