"""Norms, gated MLPs and short convolutions of decoders."""

from __future__ import annotations

from collections.abc import Callable

from openvino import Node
from openvino import opset15 as op

from npusim.workloads.blocks import swish
from npusim.workloads.config import Shape
from npusim.workloads.llm.config import DecoderConfig
from npusim.workloads.llm.weights import Weights
from npusim.workloads.nets.maker import shape_of


def rms_norm(s: Weights, name: str, x: Node, eps: float) -> Node:
    """x / sqrt(mean(x^2) + eps) * weight over the last axis, in the steps of Hugging Face's RMSNorm."""
    n = s.child(name)
    mean = n(op.reduce_mean, "mean", n(op.power, "square", x, 2.0), (-1,), keep_dims=True)
    root = n(op.sqrt, "sqrt", n(op.add, "add_eps", mean, eps))
    normalised = n(op.multiply, "normalise", x, n(op.divide, "reciprocal", 1.0, root))
    rank = len(shape_of(x))
    gain = n.weight("gain", (*[1] * (rank - 1), shape_of(x)[-1]))
    return n(op.multiply, "scale", normalised, gain)


def gated_mlp(s: Weights, x: Node, config: DecoderConfig) -> Node:
    """down(act(gate(x)) * up(x))"""
    if config.joined:
        both = s.linear("gate_up_proj", x, 2 * config.inner)
        gate, up = s.split("gate_up.split", both, -1, (config.inner, config.inner))
    else:
        gate, up = s.linear("gate_proj", x, config.inner), s.linear("up_proj", x, config.inner)
    acted = swish(s, "act", gate) if config.activation == "silu" else s(op.gelu, "act", gate, "tanh")
    return s.linear("down_proj", s(op.multiply, "gated", acted, up), config.width)


def short_convolution(
    s: Weights,
    x: Node,
    config: DecoderConfig,
    read: Callable[[str, Shape], Node],
    write: Callable[[str, Node], None],
) -> Node:
    """LFM2's mixer: out(c * conv(b * x)) with a causal depthwise convolution of a few taps behind its window."""
    rows, width, taps = shape_of(x)[1], config.width, config.taps
    b, c, value = s.split("in.split", s.linear("in_proj", x, 3 * width), -1, (width, width, width))
    gated = s(op.transpose, "gated.channels", s(op.multiply, "gated", b, value), (0, 2, 1))
    joined = s.concat("window", [read("conv", (1, width, taps)), gated], 2)
    write("conv", s.slice("window.next", joined, 2, rows, rows + taps))
    y = s(
        op.group_convolution, "conv", s.slice("window.used", joined, 2, 1, rows + taps),
        s.weight("kernel", (width, 1, 1, taps)), strides=[1], pads_begin=[0], pads_end=[0], dilations=[1],
    )  # fmt: skip
    y = s(op.multiply, "c.gated", c, s(op.transpose, "conv.rows", y, (0, 2, 1)))
    return s.linear("out_proj", y, width)
