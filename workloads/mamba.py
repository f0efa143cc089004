"""The Mamba mixer: the selective scan unrolled over tokens for prefill, one step of it for decode.

Prefill is Hugging Face's slow_forward (transformers, models/mamba/modeling_mamba.py); decode is `Mamba.step` of
mamba_ssm/modules/mamba_simple.py.

Shapes: b batch, t tokens, i d_inner (also the convolution's channels), n d_state, r dt_rank.
"""

from __future__ import annotations

from openvino import Node
from openvino import opset15 as op

from npusim.workloads.blocks import State, conv1d, conv1d_step, conv_state, linear, swish
from npusim.workloads.config import MambaConfig
from npusim.workloads.job import Job
from npusim.workloads.scope import Scope, Value


def prefill(s: Scope, hidden: Value, config: MambaConfig, job: Job) -> tuple[Node, State]:
    """The mixer over all tokens from an empty state: [b, t, d_model] -> [b, t, d_model], and the state after them."""
    inner, state_size = config.d_inner, config.d_state

    projected = s(op.transpose, "channels_first", linear(s, "in_proj", hidden), (0, 2, 1))
    conv_input = s.slice("conv_input", projected, 1, 0, inner)
    gate = s.slice("gate", projected, 1, inner, 2 * inner)
    x = swish(s, "conv1d.swish", conv1d(s, conv_input, config, job.tokens))

    selected = linear(s, "x_proj", x, transpose_x=True)
    dt, b, c = s.split("x_proj.split", selected, -1, (config.dt_rank, state_size, state_size))
    dt = s(op.softplus, "dt.softplus", linear(s, "dt_proj", dt, bias=True))
    dt = s(op.unsqueeze, "dt.over_n", s(op.transpose, "dt.channels_first", dt, (0, 2, 1)), (3,))

    decay = s(op.multiply, "decay.multiply", s.weight("A", (1, inner, 1, state_size)), dt)
    decay = s(op.exp, "decay.exp", decay)  # [b, i, t, n]
    dt_b = s(op.multiply, "dt_b", dt, s(op.unsqueeze, "b.over_i", b, (1,)))
    update = s(op.multiply, "dt_b_x", dt_b, s(op.unsqueeze, "x.over_n", x, (3,)))  # [b, i, t, n]
    initial = s.constants.zeros((job.batch, *config.ssm_state_shape))
    y, ssm_state = _scan(s, decay, update, c, state=initial, tokens=job.tokens)

    y = s(op.add, "y.add_residual", y, s(op.multiply, "residual", x, s.weight("D", (1, inner, 1))))
    y = s(op.multiply, "gate.multiply", y, swish(s, "gate.swish", gate))
    y = linear(s, "out_proj", y, transpose_x=True)
    return y, State(conv_state(s, conv_input, config, job.tokens), ssm_state)


def decode(s: Scope, hidden: Value, past: State, config: MambaConfig, job: Job) -> tuple[Node, State]:
    """The mixer over one token: [b, d_model] and the state before it -> [b, d_model] and the state after it."""
    inner, state_size = config.d_inner, config.d_state

    projected = linear(s, "in_proj", hidden)
    conv_input = s.slice("conv_input", projected, -1, 0, inner)
    gate = s.slice("gate", projected, -1, inner, 2 * inner)
    x, new_conv = conv1d_step(s, conv_input, past.conv, config=config, batch=job.batch)
    x = swish(s, "conv1d.swish", x)

    dt, b, c = s.split("x_proj.split", linear(s, "x_proj", x), -1, (config.dt_rank, state_size, state_size))
    dt = s(op.softplus, "dt.softplus", linear(s, "dt_proj", dt, bias=True))
    a = s.weight("A", (1, inner, state_size))
    decay = s(
        op.exp, "decay.exp", s(op.multiply, "decay.multiply", s(op.unsqueeze, "dt.over_n", dt, (2,)), a)
    )
    dt_x = s(op.unsqueeze, "dt_x.over_n", s(op.multiply, "dt_x", dt, x), (2,))
    update = s(op.multiply, "state.update", dt_x, s(op.unsqueeze, "b.over_i", b, (1,)))
    ssm = s(op.add, "state.add", s(op.multiply, "state.decay", past.ssm, decay), update)

    product = s(op.multiply, "y.multiply", ssm, s(op.unsqueeze, "c.over_i", c, (1,)))
    y = s(op.reduce_sum, "y.reduce_sum", product, (-1,), keep_dims=False)
    y = s(op.add, "y.add_residual", y, s(op.multiply, "residual", s.weight("D", (1, inner)), x))
    y = s(op.multiply, "gate.multiply", y, swish(s, "gate.swish", gate))
    return linear(s, "out_proj", y), State(new_conv, ssm)


def _scan(
    s: Scope, decay: Value, update: Value, c: Value, *, state: Value, tokens: int
) -> tuple[Value, Value]:
    """state = decay * state + update and y = state . c, token by token: y [b, i, t] and the last state [b, i, n].

    decay and update are [b, i, t, n], c is [b, t, n].
    """
    outputs: list[Value] = []
    for token in range(tokens):
        n = s.child(f"scan.{token}")
        decayed = n(op.multiply, "multiply", n(op.gather, "decay", decay, token, 2), state)
        state = n(op.add, "add", decayed, n(op.gather, "update", update, token, 2))
        column = n(op.unsqueeze, "column", n(op.gather, "c", c, token, 1), (-1,))
        y = n(op.matmul, "matmul", state, column, transpose_a=False, transpose_b=False)
        outputs.append(n(op.unsqueeze, "y.token", n(op.gather, "y", y, 0, 2), (-1,)))
    return s.concat("scan.concat", outputs, 2), state
