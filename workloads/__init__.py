"""Real OpenVINO models, made without a checkpoint or PyTorch: Mamba and Mamba-2 at every published size, and the
networks and operators that have been measured on real NPUs.

    from npusim import workloads
    model = workloads.build("mamba2-130m")                      # 24 layers, 256 tokens
    step = workloads.build("mamba2-130m", phase="decode")       # one token, conv and SSM states in and out
    net = workloads.build("resnet-50-int8")                     # as NNCF quantises it

Importing this package imports neither OpenVINO nor numpy; `build` and `parameters` do.
"""

from __future__ import annotations

import dataclasses
import difflib
from typing import TYPE_CHECKING

from npusim.workloads import gemm, nets
from npusim.workloads.config import ALIASES, PUBLISHED, Mamba2Config, MambaConfig, ModelConfig, positive
from npusim.workloads.job import Job

if TYPE_CHECKING:
    import numpy as np
    import openvino

    from npusim.workloads.weights import WeightChoice

__all__ = [
    "Mamba2Config",
    "MambaConfig",
    "ModelConfig",
    "UnknownWorkload",
    "build",
    "describe",
    "layer_count",
    "names",
    "parameters",
    "variants",
]


class UnknownWorkload(ValueError):
    """No workload has this name; the message suggests near ones."""

    def __init__(self, name: str) -> None:
        """`name` is what was asked for; `suggestions` holds the near ones."""
        near = difflib.get_close_matches(str(name).lower(), [*names(), *ALIASES], n=2, cutoff=0.5)
        hint = f"did you mean {' or '.join(near)}?" if near else f"there are {', '.join(names())}."
        super().__init__(f"unknown workload {name!r}: {hint}")
        self.name = name
        self.suggestions = near


def names() -> list[str]:
    """Names that `build` takes: Mamba-2, Mamba, smallest first, then the measured networks and operators."""
    return [*PUBLISHED, *nets.names()]


def variants() -> dict[str, tuple[str, ...]]:
    """What `names` lists, by workload in FP16: the other precisions that it comes in, as its name ends in them."""
    return {**dict.fromkeys(PUBLISHED, ()), **nets.variants()}


def layer_count(name: str) -> int | None:
    """Equal layers of a workload; None of a network that has none. Raises UnknownWorkload."""
    return None if name in nets.names() or gemm.of_name(name) else _config(name).layers


def describe(name: str) -> str:
    """One line about a workload: sizes in elements, parameters in millions, and its source."""
    if product := gemm.of_name(name):
        return gemm.describe(product)
    if name in nets.names():
        return nets.describe(name)
    config = _config(name)
    return (
        f"{config.title}: {config.layers} layers, width {config.d_model}, state {config.d_state}, {config.summary}, "
        f"vocabulary {config.vocab}, {config.parameter_count() / 1e6:.0f} M parameters ({config.source})"
    )


def build(
    name: str | ModelConfig,
    *,
    phase: str = "prefill",
    tokens: int | None = None,
    layers: int | None = None,
    batch: int = 1,
    chunk: int | None = None,
    weights: WeightChoice = "shared",
    seed: int = 0,
    lm_head: bool = True,
    with_state: bool = False,
    block_only: bool = False,
) -> openvino.Model:
    """A static-shape OpenVINO model in stock form: the Hugging Face code without its fused kernels, unoptimised.

    name: a published size (`names()`), or a config of your own. Networks and operators (`nets.names()`) take `tokens`,
        where they have any, and `batch`, and nothing else.
    phase: "prefill" takes `tokens` tokens (default 256) from an empty state; "decode" takes one token and the states.
    layers: how many of the model's layers, from the first on (default: all; one when `block_only`).
    batch: sequences run together.
    chunk: tokens per chunk of Mamba-2's prefill (default 256); tokens are padded to a multiple of it.
    weights: "shared" (large constants share one region of small random values: cheap, finite, meaningless),
        "random" (the families' published initialisation, from `seed`), or a mapping or function from Hugging Face
        parameter name to array, for a real checkpoint. Stored as FP16 whatever they were.
    lm_head: end in logits; otherwise in the output of the final norm.
    with_state: prefill also outputs the states that decode goes on from.
    block_only: only the layers: no embedding, final norm or head.

    Inputs: `input_ids` i64 [batch, tokens], or with `block_only` `hidden_states` f32 [batch, tokens, d_model]; decode
    also takes, for each layer N, `cache_params.past.conv.N` [batch, channels, conv] and `cache_params.past.ssm.N`
    [batch, *ssm_state_shape].
    Outputs: `logits` [batch, tokens, vocab], `last_hidden_state` or `block_output` [batch, tokens, d_model], then with
    states `cache_params.present.conv.N` and `cache_params.present.ssm.N`. Decode blocks have no token axis:
    [batch, d_model].

    Raises UnknownWorkload for a name not in `names()`, ValueError for values that cannot be built.
    """
    product = gemm.of_name(name) if isinstance(name, str) else None
    if isinstance(name, str) and (product or name in nets.names()):
        choices = {
            "phase": phase != "prefill",
            "layers": layers,
            "chunk": chunk,
            "weights": weights != "shared",
        }
        choices |= {"with_state": with_state, "block_only": block_only, "lm_head": not lm_head}
        if given := [choice for choice, value in choices.items() if value]:
            raise ValueError(f"{name} has no {given[0]} to choose")
        if product is None:
            return nets.build(name, tokens=tokens, batch=batch)
        if tokens is not None:
            raise ValueError(f"{name} has no tokens to choose: its rows are the first of its numbers")
        return gemm.build(name, [product], positive("batch", batch))
    config = _config(name)
    if chunk is not None:
        if not isinstance(config, Mamba2Config):
            raise ValueError(f"chunk applies to Mamba-2 only, and {config.name} is Mamba")
        config = dataclasses.replace(config, chunk=positive("chunk", chunk))
    job = Job.checked(
        config,
        phase=phase,
        tokens=tokens,
        layers=layers,
        batch=batch,
        lm_head=lm_head,
        with_state=with_state,
        block_only=block_only,
    )
    from npusim.workloads.model import build_model
    from npusim.workloads.weights import weight_source

    return build_model(config, job, weight_source(config, job.layers, weights, seed))


def parameters(name: str | ModelConfig, *, seed: int = 0, layers: int | None = None) -> dict[str, np.ndarray]:
    """The FP16 arrays that `build(name, weights="random", seed=seed)` stores, by Hugging Face parameter name.

    A_log is given as Hugging Face stores it; the model holds A = -exp(A_log), rounded to FP16 once more.
    """
    from npusim.workloads.weights import random_parameters

    return random_parameters(_config(name), seed, layers)


def _config(name: str | ModelConfig) -> ModelConfig:
    if isinstance(name, ModelConfig):
        return name
    config = PUBLISHED.get(ALIASES.get(name, name))
    if config is None:
        raise UnknownWorkload(name)
    return config
