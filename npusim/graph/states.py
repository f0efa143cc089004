"""States of dynamic shape, as language models have them for their keys and values: opened, and given a length.

A static state needs none of this (``frontend.from_openvino``). One that grows has no schedule: whoever runs such a
model on an NPU makes the states inputs and outputs of fixed length, which is what is done here.
"""

from __future__ import annotations

from typing import Any

#: Inputs that say how many tokens come in, and which says how many there are in all with those of the states.
_TOKENS, _ALL_TOKENS = ("input_ids", "inputs_embeds"), "attention_mask"


def open_states(model: Any) -> frozenset[str]:
    """Make states of dynamic shape inputs and outputs, by OpenVINO's own pass; the names of those inputs.

    What the pass does not know stays as it is, and is refused by name later.
    """
    from openvino._offline_transformations import stateful_to_stateless_transformation

    reads = [node for node in model.get_ops() if node.get_type_name() == "ReadValue"]
    if all(node.get_output_partial_shape(0).is_static for node in reads):
        return frozenset()
    before = _names(model)
    try:
        stateful_to_stateless_transformation(model)
    except RuntimeError:
        return frozenset()
    return frozenset(_names(model) - before)


def fill_states(model: Any, opened: frozenset[str]) -> tuple[str, ...]:
    """Give opened states that are still dynamic the batch of the tokens that come in, and the length that the attention
    mask leaves for those that came before; a remark that says so. Nothing where the other inputs do not tell."""
    shapes = {name: port.get_partial_shape() for port in model.inputs for name in port.get_names()}
    dynamic = [name for name in sorted(opened) if name in shapes and shapes[name].is_dynamic]
    tokens = next((shapes[name] for name in _TOKENS if name in shapes), None)
    mask = shapes.get(_ALL_TOKENS)
    if not dynamic or tokens is None or mask is None or tokens.is_dynamic or mask.is_dynamic:
        return ()
    batch, new = tokens[0].get_length(), tokens[1].get_length()
    past = mask[len(mask) - 1].get_length() - new
    if past < 1:
        return ()
    model.reshape({name: _filled(shapes[name], batch, past) for name in dynamic})
    return (
        f"{len(dynamic)} states of dynamic shape are read as inputs and written as outputs, {past} tokens long "
        f"({_ALL_TOKENS} has {past + new}, of which {new} are new); --shape NAME=[...] gives one another length",
    )


def _names(model: Any) -> set[str]:
    return {name for port in model.inputs for name in port.get_names()}


def _filled(shape: Any, batch: int, past: int) -> list[int]:
    """The shape with its first dynamic dimension the batch, and further ones the tokens."""
    rest = iter((batch, *[past] * len(shape)))
    return [next(rest) if dim.is_dynamic else dim.get_length() for dim in shape]
