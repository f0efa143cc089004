"""The Mamba-2 mixer: chunked state-space duality for prefill (see ssd.py), the plain recurrence for decode.

Prefill is Hugging Face's torch_forward (transformers, models/mamba2/modeling_mamba2.py); decode is `Mamba2.step` of
mamba_ssm/modules/mamba2.py. As in both, time_step_limit is (0, inf): dt has no other bound.

Shapes: b batch, t tokens, h heads, p head_dim, n d_state, i d_inner = h * p, c convolution channels.
"""

from __future__ import annotations

import numpy as np
from openvino import Node
from openvino import opset15 as op

from npusim.workloads.blocks import State, conv1d, conv1d_step, conv_state, linear, rms_norm, swish
from npusim.workloads.config import Mamba2Config, Shape
from npusim.workloads.job import Job
from npusim.workloads.scope import Scope, Value
from npusim.workloads.ssd import Selection, ssd

_F32_MAX = float(np.finfo(np.float32).max)


def prefill(s: Scope, hidden: Value, config: Mamba2Config, job: Job) -> tuple[Node, State]:
    """The mixer over all tokens from an empty state: [b, t, d_model] -> [b, t, d_model], and the state after them."""
    inner, channels, heads = config.d_inner, config.conv_channels, config.heads

    projected = linear(s, "in_proj", hidden)
    gate = s.slice("gate", projected, -1, 0, inner)
    conv_input = s.slice("conv_input", projected, -1, inner, inner + channels)
    dt = s.slice("dt_input", projected, -1, inner + channels, inner + channels + heads)

    conv_input = s(op.transpose, "conv_input.channels_first", conv_input, (0, 2, 1))
    xbc = s(op.transpose, "conv1d.channels_last", conv1d(s, conv_input, config, job.tokens), (0, 2, 1))
    x, b, c = _split_xbc(s, xbc, config)

    tokens = Selection(
        x=s.reshape("x", x, (job.batch, job.tokens, heads, config.head_dim)),
        dt=_step_size(s, dt, (1, 1, heads)),
        b=_repeat_over_heads(s, "b", b, config, job),
        c=_repeat_over_heads(s, "c", c, config, job),
    )
    y, ssm_state = ssd(s, tokens, config, job)

    y = _gated_output(s, s.reshape("y", y, (job.batch, job.tokens, inner)), gate, config)
    return y, State(conv_state(s, conv_input, config, job.tokens), ssm_state)


def decode(s: Scope, hidden: Value, past: State, config: Mamba2Config, job: Job) -> tuple[Node, State]:
    """The mixer over one token: [b, d_model] and the state before it -> [b, d_model] and the state after it."""
    inner, heads = config.d_inner, config.heads

    projected = linear(s, "in_proj", hidden)
    gate, conv_input, dt = s.split("in_proj.split", projected, -1, (inner, config.conv_channels, heads))
    xbc, new_conv = conv1d_step(s, conv_input, past.conv, config=config, batch=job.batch)
    x, b, c = _split_xbc(s, xbc, config)

    x = s.reshape("x", x, (job.batch, heads, config.head_dim))
    dt = _step_size(s, dt, (1, heads))
    decay = s(op.exp, "decay.exp", s(op.multiply, "decay.multiply", dt, s.weight("A", (1, heads))))
    decay = s(op.unsqueeze, "decay.over_n", s(op.unsqueeze, "decay.over_p", decay, (2,)), (3,))
    dt_x = s(op.multiply, "dt_x", s(op.unsqueeze, "dt.over_p", dt, (2,)), x)
    b = s(op.unsqueeze, "b.over_p", s(op.unsqueeze, "b.over_h", b, (1,)), (2,))
    update = s(op.multiply, "state.update", s(op.unsqueeze, "dt_x.over_n", dt_x, (3,)), b)
    ssm = s(op.add, "state.add", s(op.multiply, "state.decay", past.ssm, decay), update)

    c = s(op.unsqueeze, "c.over_p", s(op.unsqueeze, "c.over_h", c, (1,)), (2,))
    y = s(op.reduce_sum, "y.reduce_sum", s(op.multiply, "y.multiply", ssm, c), (-1,), keep_dims=False)
    y = s(op.add, "y.add_residual", y, s(op.multiply, "residual", s.weight("D", (1, heads, 1)), x))
    return _gated_output(s, s.reshape("y", y, (job.batch, inner)), gate, config), State(new_conv, ssm)


def _split_xbc(s: Scope, xbc: Value, config: Mamba2Config) -> list[Value]:
    """swish([..., c]) -> x [..., i], B [..., n], C [..., n]"""
    activated = swish(s, "conv1d.swish", xbc)
    return [*s.split("xbc", activated, -1, (config.d_inner, config.d_state, config.d_state))]


def _step_size(s: Scope, dt: Value, bias_shape: Shape) -> Node:
    """softplus(dt + dt_bias), clamped to [0, inf)"""
    dt = s(op.softplus, "dt.softplus", s(op.add, "dt.add_bias", dt, s.weight("dt_bias", bias_shape)))
    return s(op.clamp, "dt.clamp", dt, min_value=0.0, max_value=_F32_MAX)


def _repeat_over_heads(s: Scope, name: str, x: Value, config: Mamba2Config, job: Job) -> Node:
    """[b, t, n] -> [b, t, h, n]"""
    x = s.reshape(f"{name}.group", x, (job.batch, job.tokens, 1, config.d_state))
    return s(op.tile, f"{name}.tile", x, (1, 1, config.heads, 1))


def _gated_output(s: Scope, y: Value, gate: Value, config: Mamba2Config) -> Node:
    """out_proj(rms_norm(y * swish(gate)))"""
    gated = s(op.multiply, "gate.multiply", y, swish(s, "gate.swish", gate))
    return linear(s, "out_proj", rms_norm(s, "norm", gated, config.norm_eps))
