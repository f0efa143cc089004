"""Parts that Mamba and Mamba-2 have in common. b: batch, t: tokens, d: d_model, c: channels, k: conv width."""

from __future__ import annotations

from dataclasses import dataclass

from openvino import Node
from openvino import opset15 as op
from openvino.utils.node_factory import NodeFactory

from npusim.workloads.config import ModelConfig
from npusim.workloads.scope import Scope, Value


@dataclass(frozen=True)
class State:
    """What one layer carries from token to token. conv: [b, c, k]; ssm: [b, *config.ssm_state_shape]."""

    conv: Value
    ssm: Value


def linear(s: Scope, name: str, x: Value, *, bias: bool = False, transpose_x: bool = False) -> Node:
    """x [..., t, in] times the weight [out, in] transposed -> [..., t, out]. `transpose_x`: x is [b, in, t]."""
    weight = s.weight(f"{name}.weight")
    y = s(op.matmul, name, x, weight, transpose_a=transpose_x, transpose_b=True)
    if not bias:
        return y
    return s(op.add, f"{name}.add_bias", s.weight(f"{name}.bias"), y)


def swish(s: Scope, name: str, x: Value) -> Node:
    """x * sigmoid(x). Not opset15.swish, which adds the optional beta of one as a constant input."""
    return s(lambda value: NodeFactory("opset15").create("Swish", [value]), name, x)


def rms_norm(s: Scope, name: str, x: Value, eps: float) -> Node:
    """x / sqrt(mean(x^2) + eps) * weight over the last axis, in the steps of Hugging Face's RMSNorm."""
    n = s.child(name)
    mean = n(op.reduce_mean, "mean", n(op.power, "square", x, 2.0), (-1,), keep_dims=True)
    root = n(op.sqrt, "sqrt", n(op.add, "add_eps", mean, eps))
    normalised = n(op.multiply, "normalise", x, n(op.divide, "reciprocal", 1.0, root))
    return n(op.multiply, "scale", n.weight("weight"), normalised)


def conv1d(s: Scope, x: Value, config: ModelConfig, tokens: int) -> Node:
    """Causal depthwise convolution of x [b, c, t] -> [b, c, t]: padded on both sides, cut on the right."""
    channels, width = config.conv_state_shape
    y = s(
        op.group_convolution,
        "conv1d",
        x,
        s.weight("conv1d.weight", (channels, 1, 1, width)),
        strides=[1],
        pads_begin=[width - 1],
        pads_end=[width - 1],
        dilations=[1],
    )
    y = s(op.add, "conv1d.add_bias", y, s.weight("conv1d.bias", (1, channels, 1)))
    return s.slice("conv1d.causal", y, 2, 0, tokens)


def conv_state(s: Scope, x: Value, config: ModelConfig, tokens: int) -> Value:
    """The last k inputs of the convolution, x [b, c, t] -> [b, c, k], with zeros before the first token."""
    width = config.conv
    if tokens > width:
        return s.slice("conv_state", x, 2, tokens - width, tokens)
    return s.pad("conv_state", x, (0, 0, width - tokens), (0, 0, 0))


def conv1d_step(s: Scope, x: Value, state: Value, *, config: ModelConfig, batch: int) -> tuple[Node, Value]:
    """One token, x [b, c] and state [b, c, k] -> (output [b, c], new state [b, c, k]).

    The bias is laid out for the whole batch because OpenVINO's CPU plugin (seen in 2026.4.1; compare openvino #23616)
    adds a [1, c] constant wrongly to a ReduceSum of [b, c, k] when b > 1.
    """
    channels, width = config.conv_state_shape
    kept = s.slice("conv_state.keep", state, 2, 1, width)
    new_state = s.concat("conv_state", [kept, s(op.unsqueeze, "conv_state.append", x, (-1,))], 2)
    product = s(op.multiply, "conv1d.multiply", new_state, s.weight("conv1d.weight", (1, channels, width)))
    y = s(op.reduce_sum, "conv1d.reduce_sum", product, (-1,), keep_dims=False)
    bias = s.weight("conv1d.bias", (1, channels), repeats=batch)
    return s(op.add, "conv1d.add_bias", y, bias), new_state
