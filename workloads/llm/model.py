"""Decoders put together: a layer alone, the head alone, or all of it; what is remembered as inputs and outputs."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import openvino as ov
from openvino import Node
from openvino import opset15 as op
from openvino.op import Parameter, Result

from npusim.workloads import mamba, mamba2
from npusim.workloads.blocks import State
from npusim.workloads.config import MambaConfig, Shape
from npusim.workloads.job import Job
from npusim.workloads.llm.attention import Place, attention
from npusim.workloads.llm.config import DecoderConfig, Kind
from npusim.workloads.llm.mixers import gated_mlp, rms_norm, short_convolution
from npusim.workloads.llm.stored import Stored
from npusim.workloads.llm.weights import Weights
from npusim.workloads.nets.maker import shape_of
from npusim.workloads.scope import Constants


class Ports:
    """A model's inputs and outputs, in the order they were made."""

    def __init__(self) -> None:
        """None yet."""
        self.parameters: list[Parameter] = []
        self.results: list[Result] = []

    def input(self, name: str, shape: Shape, dtype: type = np.float16) -> Node:
        """An input of a name and shape; what comes from another call, or is remembered, is FP16."""
        parameter = op.parameter(list(shape), dtype, name=name)
        parameter.output(0).set_names({name})
        self.parameters.append(parameter)
        return op.convert(parameter, "f32") if dtype is np.float16 else parameter

    def output(self, name: str, value: Node, dtype: str = "f16") -> None:
        """An output of a name."""
        port = op.convert(value, dtype).output(0)
        port.add_names({name})
        self.results.append(Result(port))

    def model(self, name: str) -> ov.Model:
        """The model of them."""
        return ov.Model(self.results, self.parameters, name)


def whole(config: DecoderConfig, rows: int, past: int, stored: Stored, seed: int | None = None) -> ov.Model:
    """Tokens to logits."""
    root, ports = _root(stored, seed), Ports()
    tokens = ports.input("input_ids", (1, rows), np.int64)
    place = _place(ports, config, rows, past) if "attention" in config.kinds else None
    table = root.within("embed", {}, stored.head).weight("weight", (config.vocabulary, config.width))
    hidden = root(op.gather, "embedding", table, tokens, 0)
    for index in range(config.layers):
        hidden = _layer(root, ports, config, index, hidden, place)
    ports.output("logits", _logits(root, config, hidden, stored), "f32")
    return ports.model(config.name)


def alone(
    config: DecoderConfig, index: int, rows: int, past: int, stored: Stored, seed: int | None = None
) -> ov.Model:
    """One layer."""
    root, ports = _root(stored, seed), Ports()
    hidden = ports.input("hidden", (1, rows, config.width))
    place = _place(ports, config, rows, past) if config.kinds[index] == "attention" else None
    ports.output("hidden.out", _layer(root, ports, config, index, hidden, place))
    return ports.model(f"{config.name}.layers.{index}")


def head(config: DecoderConfig, stored: Stored, rows: int = 1, seed: int | None = None) -> ov.Model:
    """Hidden states to their logits."""
    root, ports = _root(stored, seed), Ports()
    hidden = ports.input("hidden", (1, rows, config.width))
    ports.output("logits", _logits(root, config, hidden, stored), "f32")
    return ports.model(f"{config.name}.head")


def _root(stored: Stored, seed: int | None) -> Weights:
    return Weights("", Constants(), stored, {}, seed)


def _place(ports: Ports, config: DecoderConfig, rows: int, past: int) -> Place:
    """Mask and rotary positions, which all layers share and the host or the first call makes."""
    mask = ports.input("mask", (1, 1, rows, past + rows), np.float16 if rows == 1 else np.float32)
    cos, sin = (ports.input(name, (1, 1, rows, config.head_width)) for name in ("cos", "sin"))
    return Place(rows, past, mask, cos, sin)


def _layer(
    root: Weights, ports: Ports, config: DecoderConfig, index: int, hidden: Node, place: Place | None
) -> Node:
    """Mixer and MLP, each behind a norm and added to what came in."""
    s = root.child(f"layers.{index}")
    rows = shape_of(hidden)[1]
    normed = rms_norm(s, "input_norm", hidden, config.eps)
    mixed = _mixed(s, ports, config, index, normed, rows, place)
    if config.sandwiched:
        mixed = rms_norm(s, "mixer_norm", mixed, config.eps)
    hidden = s(op.add, "add", hidden, mixed)
    if not config.inner:
        return hidden
    y = gated_mlp(s.child("mlp"), rms_norm(s, "post_norm", hidden, config.eps), config)
    if config.sandwiched:
        y = rms_norm(s, "mlp_norm", y, config.eps)
    return s(op.add, "add_mlp", hidden, y)


def _mixed(
    s: Weights, ports: Ports, config: DecoderConfig, index: int, x: Node, rows: int, place: Place | None
) -> Node:
    """The mixer of a layer, with what it remembers read and written."""
    kind = config.kinds[index]

    def remembered(name: str, shape: Shape) -> Node:
        return ports.input(f"past.{index}.{name}", shape)

    def write(name: str, value: Node) -> None:
        ports.output(f"present.{index}.{name}", value)

    if kind == "attention":
        assert place is not None
        return attention(s.child("attention"), x, config, index, place, remembered, write)
    if kind == "conv":
        return short_convolution(s.child("conv"), x, config, remembered, write)
    return _state_space(s, kind, x, config, rows, remembered, write)


def _state_space(
    s: Weights,
    kind: Kind,
    x: Node,
    config: DecoderConfig,
    rows: int,
    remembered: Callable[[str, Shape], Node],
    write: Callable[[str, Node], None],
) -> Node:
    """Mamba or Mamba-2 as `workloads` builds it: a prompt from an empty state, or one token behind a state."""
    mixer = config.mixer(kind)
    inside = s.within("mixer", mixer.mixer_shapes() | {"A": _decay_shape(mixer.mixer_shapes())})
    step = rows == 1
    job = Job.checked(
        mixer, phase="decode" if step else "prefill", tokens=rows, layers=1, batch=1, lm_head=False, with_state=True,
        block_only=True,
    )  # fmt: skip
    family = mamba if isinstance(mixer, MambaConfig) else mamba2
    if step:
        past = State(
            remembered("conv", (1, *mixer.conv_state_shape)), remembered("ssm", (1, *mixer.ssm_state_shape))
        )
        y, state = family.decode(inside, s.reshape("token", x, (1, config.width)), past, mixer, job)
        y = s.reshape("row", y, (1, 1, config.width))
    else:
        y, state = family.prefill(inside, x, mixer, job)
    write("conv", state.conv)
    write("ssm", state.ssm)
    return y


def _decay_shape(shapes: dict[str, Shape]) -> Shape:
    return shapes["A_log"]


def _logits(root: Weights, config: DecoderConfig, hidden: Node, stored: Stored) -> Node:
    """Final norm, vocabulary, soft cap."""
    hidden = rms_norm(root, "final_norm", hidden, config.eps)
    y = root.within("lm_head", {}, stored.head).linear("logits", hidden, config.vocabulary)
    if config.soft_cap is None:
        return y
    capped = root(op.tanh, "soft_cap", root(op.multiply, "soft_cap.in", y, 1 / config.soft_cap))
    return root(op.multiply, "soft_cap.out", capped, float(config.soft_cap))


def lookup(config: DecoderConfig, rows: int) -> ov.Model:
    """Embeddings of ``rows`` tokens from an FP16 table that is an argument of the call."""
    ports, root = Ports(), _root(Stored(16), None)
    ports.input("table", (config.vocabulary, config.width))
    tokens = ports.input("input_ids", (1, rows), np.int64)
    ports.output("hidden", root(op.gather, "embedding", ports.parameters[0], tokens, 0))
    return ports.model(f"{config.name}.embedding")
