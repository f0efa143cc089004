"""Language models as people run them: decoders of attention, state spaces and short convolutions, from a config.json.

    config = workloads.llm.read_config("config.json")       # or workloads.llm.published("qwen3-8b")
    step = workloads.llm.build(config, rows=1, past=1151, weights="int4")
    one = workloads.llm.layer_model(config, 3, rows=1, past=1151, weights="int4")

Static shapes and one sequence, as OpenVINO's pipeline for NPUs runs them: keys and values of earlier tokens, windows of
convolutions and states are inputs, what a call adds to them outputs; values are kept transposed. Importing this package
imports neither OpenVINO nor numpy; building does.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from npusim.workloads.llm.config import DecoderConfig
from npusim.workloads.llm.families import published, published_names, read_config
from npusim.workloads.llm.stored import Stored

if TYPE_CHECKING:
    import openvino

__all__ = [
    "DecoderConfig",
    "Stored",
    "build",
    "head_model",
    "layer_model",
    "published",
    "published_names",
    "read_config",
]


def build(
    config: DecoderConfig, *, rows: int, past: int, weights: str = "fp16", **how: Any
) -> openvino.Model:
    """The whole decoder: `input_ids` i64 [1, rows] over `past` remembered tokens to `logits` f32 [1, rows, vocabulary].

    ``weights`` is fp16, int8, int4 (a scale a channel) or int4:128 (a scale for 128 numbers). ``seed`` draws numbers of
    their own for all weights; without, large ones are views of one region of memory.
    """
    from npusim.workloads.llm.model import whole

    return whole(config, rows, past, Stored.parse(weights), **how)


def layer_model(
    config: DecoderConfig, layer: int, *, rows: int, past: int, weights: str = "fp16", **how: Any
) -> openvino.Model:
    """One layer as a graph of its own: `hidden` f32 [1, rows, width] in and out, with what it remembers."""
    from npusim.workloads.llm.model import alone

    return alone(config, layer, rows, past, Stored.parse(weights), **how)


def head_model(config: DecoderConfig, *, weights: str = "fp16", **how: Any) -> openvino.Model:
    """The final norm of ``rows`` (one unless given) and their logits.

    The vocabulary stays INT8 where layers are stored in 4 bits, as NNCF leaves it.
    """
    from npusim.workloads.llm.model import head

    return head(config, Stored.parse(weights), **how)
