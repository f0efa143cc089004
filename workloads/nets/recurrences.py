"""Recurrences and causal convolutions as a user measured them on a 256V: a step of a diagonal state-space model, the
same unrolled over tokens, and a temporal convolutional network. None has projections, an embedding or a head.
"""

from __future__ import annotations

import openvino as ov
from openvino import opset15 as op

from npusim.workloads.nets.maker import Maker
from npusim.workloads.scope import Value

_STATE = 16
#: Channels of the unrolled recurrence and of the convolutions, and taps of the latter.
_WIDTH, _TAPS = 256, 3


def build(m: Maker, *, batch: int, tokens: int) -> ov.Model:
    """What the Maker's name says. Raises ValueError for more than one sequence."""
    if batch != 1:
        raise ValueError(f"{m.name} is built for one sequence, so leave batch out (it is {batch})")
    kind, _, sizes = m.name.rpartition("-")
    if kind == "ssm-step":
        layers, width = map(int, sizes.split("x"))
        return _step(m, layers, width)
    return _scan(m, tokens) if kind == "ssm" else _convolutions(m, int(sizes), tokens)


def _advance(m: Maker, name: str, x: Value, state: Value, width: int) -> tuple[Value, Value]:
    """state = A state + B x, y = sum over states of C state, and D x; x [1, width], state [1, width, 16]."""

    def times(what: str, value: Value) -> Value:
        return m(op.multiply, f"{name}.{what}", value, m.float_weight(f"{name}.{what}", (width, _STATE)))

    column = m.reshape(f"{name}.column", x, (1, width, 1))
    state = m(op.add, f"{name}.state", times("a", state), times("b", column))
    summed = m(op.reduce_sum, f"{name}.sum", times("c", state), (2,), keep_dims=False)
    skip = m(op.multiply, f"{name}.d", x, m.float_weight(f"{name}.d", (1, width)))
    return m(op.add, f"{name}.y", summed, skip), state


def _step(m: Maker, layers: int, width: int) -> ov.Model:
    """One token through ``layers``, whose states come in and go out."""
    x: Value = m.input("x", (1, width))
    states = []
    for layer in range(layers):
        state = m.input(f"state.{layer}", (1, width, _STATE))
        x, after = _advance(m, f"layers.{layer}", x, state, width)
        states.append(after)
    return m.model(x, *states)


def _scan(m: Maker, tokens: int) -> ov.Model:
    """One layer, token by token from an empty state."""
    x = m.input("x", (tokens, _WIDTH))
    rows = m(op.split, "tokens", x, 0, num_splits=tokens).outputs() if tokens > 1 else [x]
    state: Value = m.float_weight("empty", (1, _WIDTH, _STATE))
    outputs = []
    for t, row in enumerate(rows):
        y, state = _advance(m, f"step.{t}", row, state, _WIDTH)
        outputs.append(y)
    return m.model(m.concat("y", outputs, 0) if tokens > 1 else outputs[0])


def _convolutions(m: Maker, layers: int, tokens: int) -> ov.Model:
    """Causal convolutions [1, 256, tokens], each over taps twice as far apart as those of the one before."""
    x: Value = m.input("x", (1, _WIDTH, tokens))
    for layer in range(layers):
        name, dilation = f"layers.{layer}", 2**layer
        weight = m.weight(name, (_WIDTH, _WIDTH, _TAPS))
        x = m(op.convolution, name, x, weight, strides=[1], pads_begin=[(_TAPS - 1) * dilation], pads_end=[0],
              dilations=[dilation])  # fmt: skip
        x = m(op.relu, f"{name}.relu", x)
    return m.model(x)
