"""Inputs to compare models on: random ones, and those at the edges of what a model takes."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import openvino as ov
from openvino import Node

#: Lengths that dynamic dimensions get in turn: one, primes, and a little more than usual chunks hold.
LENGTHS = (1, 7, 61, 257)
#: Large, but not so large that what follows overflows.
LARGE = 8.0

Inputs = dict[int, np.ndarray]


def cases(model: ov.Model, seed: int, randoms: int) -> Iterator[tuple[str, Inputs]]:
    """Names of cases and their inputs by position.

    Floating inputs: `randoms` draws from the normal distribution, then zeros, large values of both signs, tiny ones,
    and one large value among zeros. Integers are drawn from what the tables that they index hold, then all first, all
    last, and counting up. Dynamic dimensions are 7, and in turn each of LENGTHS in random cases of their own.
    """
    rng = np.random.default_rng(seed)
    kinds = [f"random {i + 1}" for i in range(randoms)] + ["zeros", "large", "tiny", "spike"]
    dynamic = any(port.get_partial_shape().is_dynamic for port in model.inputs)
    lengths = [(kind, LENGTHS[1]) for kind in kinds]
    lengths += [(f"length {length}", length) for length in LENGTHS] if dynamic else []
    for kind, length in lengths:
        yield kind, {i: _input(port, kind, length, rng) for i, port in enumerate(model.inputs)}


def _input(port: ov.Output, kind: str, length: int, rng: np.random.Generator) -> np.ndarray:
    shape = tuple(
        d.get_length() if d.is_static else 1 if axis == 0 else length
        for axis, d in enumerate(port.get_partial_shape())
    )
    element = port.get_element_type()
    if element.is_integral():
        return _integers(kind, shape, rng, 2 if element == ov.Type.boolean else rows(port)).astype(
            element.to_dtype()
        )
    return _reals(kind, shape, rng).astype(np.float32 if element == ov.Type.bf16 else element.to_dtype())


def _integers(kind: str, shape: tuple[int, ...], rng: np.random.Generator, end: int) -> np.ndarray:
    if kind == "zeros":
        return np.zeros(shape, np.int64)
    if kind == "large":
        return np.full(shape, end - 1, np.int64)
    if kind == "tiny":
        return (np.arange(np.prod(shape, dtype=np.int64)) % end).reshape(shape)
    return rng.integers(0, end, shape)


def _reals(kind: str, shape: tuple[int, ...], rng: np.random.Generator) -> np.ndarray:
    normal = rng.standard_normal(shape)
    if kind == "zeros":
        return np.zeros(shape)
    if kind == "large":
        return LARGE * np.sign(normal)
    if kind == "tiny":
        return 1e-4 * normal
    if kind == "spike":
        spike = np.zeros(shape)
        if spike.size:
            spike.reshape(-1)[rng.integers(spike.size)] = LARGE
        return spike
    return normal


def rows(port: ov.Output) -> int:
    """How many rows the table has that an integer input indexes: the vocabulary of `input_ids`; 2 if there is none."""
    seen: list[Node] = [target.get_node() for target in port.get_target_inputs()]
    while seen:
        node = seen.pop()
        if node.get_type_name() == "Gather":
            table = node.input_value(0).get_partial_shape()
            axis = node.input_value(2).get_node()
            if axis.get_type_name() == "Constant" and table.rank.is_static:
                size = table[int(np.asarray(axis.data).reshape(-1)[0])]
                if size.is_static:
                    return int(size.get_length())
        elif node.get_type_name() in ("Convert", "Reshape", "Unsqueeze", "Squeeze"):
            seen += [target.get_node() for target in node.output(0).get_target_inputs()]
    return 2
