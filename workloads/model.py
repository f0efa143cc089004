"""Putting a model together: embedding, layers, final norm, LM head, and states as inputs and outputs."""

from __future__ import annotations

import numpy as np
import openvino as ov
from openvino import Node
from openvino import opset15 as op
from openvino.op import Parameter, Result

from npusim.workloads import mamba, mamba2
from npusim.workloads.blocks import State, rms_norm
from npusim.workloads.config import Mamba2Config, MambaConfig, ModelConfig, Shape
from npusim.workloads.job import Job
from npusim.workloads.scope import Constants, Scope, Value
from npusim.workloads.weights import WeightSource


def build_model(config: ModelConfig, job: Job, weights: WeightSource) -> ov.Model:
    """The model that `workloads.build` describes."""
    root = Scope("", Constants(), weights)
    ports = _Ports()
    embedding: Node | None = None
    if job.block_only:
        tokens_axis = () if job.decode else (job.tokens,)
        hidden: Value = ports.input("hidden_states", (job.batch, *tokens_axis, config.d_model))
    else:
        tokens = ports.input("input_ids", (job.batch, job.tokens), np.int64)
        embedding = root.weight("embeddings.weight")
        hidden = root(op.gather, "embeddings", embedding, tokens, 0)
        if job.decode:
            hidden = root.reshape("embeddings.token", hidden, (job.batch, config.d_model))

    states: list[State] = []
    for index in range(job.layers):
        layer = root.child(f"layers.{index}")
        past = ports.past_state(index, config, job) if job.decode else None
        normalised = rms_norm(layer, "norm", hidden, config.norm_eps)
        mixed, state = _mixer(layer.child("mixer"), normalised, past, config, job)
        hidden = layer(op.add, "add", hidden, mixed)
        states.append(state)

    ports.output(*_head(root, hidden, embedding, config, job))
    if job.with_state:
        for index, state in enumerate(states):
            ports.output(f"cache_params.present.conv.{index}", state.conv)
            ports.output(f"cache_params.present.ssm.{index}", state.ssm)
    return ov.Model(ports.results, ports.parameters, _model_name(config, job))


class _Ports:
    """The model's inputs and outputs, in the order they were made."""

    def __init__(self) -> None:
        self.parameters: list[Parameter] = []
        self.results: list[Result] = []

    def input(self, name: str, shape: Shape, dtype: type = np.float32) -> Parameter:
        parameter = op.parameter(list(shape), dtype, name=name)
        parameter.output(0).set_names({name})
        self.parameters.append(parameter)
        return parameter

    def past_state(self, layer: int, config: ModelConfig, job: Job) -> State:
        return State(
            conv=self.input(f"cache_params.past.conv.{layer}", (job.batch, *config.conv_state_shape)),
            ssm=self.input(f"cache_params.past.ssm.{layer}", (job.batch, *config.ssm_state_shape)),
        )

    def output(self, name: str, value: Value) -> None:
        port = value.output(0) if isinstance(value, Node) else value
        port.add_names({name})
        result = Result(port)
        result.set_friendly_name(f"{name}.result")
        self.results.append(result)


def _mixer(s: Scope, hidden: Value, past: State | None, config: ModelConfig, job: Job) -> tuple[Node, State]:
    """The mixer of the config's family; `past` is None in prefill."""
    match config, past:
        case Mamba2Config(), None:
            return mamba2.prefill(s, hidden, config, job)
        case Mamba2Config(), State():
            return mamba2.decode(s, hidden, past, config, job)
        case MambaConfig(), None:
            return mamba.prefill(s, hidden, config, job)
        case MambaConfig(), State():
            return mamba.decode(s, hidden, past, config, job)
    raise TypeError(f"no mixer for a {type(config).__name__}")


def _head(
    root: Scope, hidden: Value, embedding: Node | None, config: ModelConfig, job: Job
) -> tuple[str, Value]:
    """Name and value of the first output."""
    if embedding is None:
        return "block_output", hidden
    hidden = rms_norm(root, "norm_f", hidden, config.norm_eps)
    name, width = "last_hidden_state", config.d_model
    if job.lm_head:
        hidden = root(op.matmul, "lm_head", hidden, embedding, transpose_a=False, transpose_b=True)
        name, width = "logits", config.vocab
    if job.decode:
        hidden = root.reshape(f"{name}.token", hidden, (job.batch, 1, width))
    return name, hidden


def _model_name(config: ModelConfig, job: Job) -> str:
    work = "decode" if job.decode else f"prefill_t{job.tokens}"
    return f"{config.name}_{work}_l{job.layers}_b{job.batch}"
