"""Decoders compute one function whether a token comes alone behind what is remembered, or with those before it."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import openvino as ov
import pytest

from npusim.workloads import llm
from npusim.workloads.llm.families import from_fields

COMMON = {"num_hidden_layers": 2, "hidden_size": 64, "num_attention_heads": 4, "num_key_value_heads": 2, "head_dim": 16,
          "intermediate_size": 96, "vocab_size": 50}  # fmt: skip
STATES = {"mamba_d_state": 16, "mamba_n_heads": 4, "mamba_chunk_size": 4, "shared_intermediate_size": 96}
FAMILIES: dict[str, dict[str, Any]] = {
    "llama": {},
    "qwen2": {},
    "qwen3": {},
    "phi3": {},
    "gemma2": {"final_logit_softcapping": 3.0},
    "gemma3_text": {},
    "smollm3": {"no_rope_layer_interval": 2},
    "lfm2": {"full_attn_idxs": [1]},
    "granitemoehybrid": {"layer_types": ["mamba", "attention"], **STATES},
    "mamba": {},
    "mamba2": {"num_heads": 4, "chunk_size": 4, "state_size": 16},
}
TOKENS = np.array([[5, 0, 13, 49, 7, 7]])


def config(family: str) -> llm.DecoderConfig:
    return from_fields(family, {"model_type": family, **COMMON, **FAMILIES[family]})


def run(
    c: llm.DecoderConfig, tokens: np.ndarray, kept: dict[str, np.ndarray], past: int, weights: str
) -> tuple[np.ndarray, dict[str, np.ndarray]]:
    """Logits of the last row, and what the call leaves to be remembered."""
    rows = tokens.shape[1]
    model = llm.build(c, rows=rows, past=past, weights=weights, seed=1)
    angles = np.arange(past, past + rows)[:, None] * 1e4 ** (
        -np.arange(c.head_width // 2) / (c.head_width / 2)
    )
    angles = np.concatenate([angles, angles], 1)[None, None]
    future = np.triu(np.full((rows, past + rows), -1e4), past + 1)[None, None]
    given = {"input_ids": tokens, "cos": np.cos(angles), "sin": np.sin(angles), "mask": future} | kept
    inputs = {}
    for port in model.inputs:
        name = port.get_any_name()
        dtype = port.get_element_type().to_dtype()
        inputs[name] = np.asarray(given.get(name, np.zeros(port.get_shape())), dtype)
    out = ov.Core().compile_model(model, "CPU", {"INFERENCE_PRECISION_HINT": "f32"})(inputs)
    found = {name: out[port] for port in out for name in port.get_names()}
    present = {n.replace("present", "past"): v for n, v in found.items() if n.startswith("present")}
    return found["logits"][0, -1], present


@pytest.mark.parametrize("weights", ["int8", "int4:16"])
@pytest.mark.parametrize("family", FAMILIES)
def test_a_token_alone_is_a_token_in_a_prompt(family: str, weights: str) -> None:
    c = config(family)
    wanted, _ = run(c, TOKENS, {}, 0, weights)
    _, kept = run(c, TOKENS[:, :-1], {}, 0, weights)
    found, _ = run(c, TOKENS[:, -1:], kept, TOKENS.shape[1] - 1, weights)
    np.testing.assert_allclose(found, wanted, rtol=2e-2, atol=6e-2)
    other, _ = run(c, TOKENS[:, -1:], {n: 0 * v for n, v in kept.items()}, TOKENS.shape[1] - 1, weights)
    assert np.abs(other - wanted).max() > 0.1, "what is remembered matters"


def test_layers_and_head_are_the_whole() -> None:
    c = config("qwen3")
    whole = {n.get_friendly_name() for n in llm.build(c, rows=1, past=7).get_ops()}
    parts = [llm.layer_model(c, i, rows=1, past=7) for i in range(c.layers)] + [llm.head_model(c)]
    named = {n.get_friendly_name() for part in parts for n in part.get_ops() if n.get_type_name() == "MatMul"}
    assert named <= whole
    assert len(named) == 2 * (4 + 4 + 3) + 1


@pytest.mark.parametrize(
    ("name", "billions"),
    [("qwen3-0.6b", 0.596), ("qwen3-8b", 8.19), ("llama-2-7b", 6.74), ("llama-3.2-1b", 1.236), ("phi-3-mini", 3.82),
     ("smollm3-3b", 3.08), ("lfm2-1.2b", 1.17), ("mamba2-2.7b", 2.70), ("qwen2.5-14b", 14.77), ("gemma-2-2b", 2.61)],
)  # fmt: skip
def test_published_sizes_have_the_parameters_that_are_said_of_them(name: str, billions: float) -> None:
    assert llm.published(name).parameters / 1e9 == pytest.approx(billions, rel=0.01)


@pytest.mark.parametrize(
    ("fields", "said"),
    [
        ({"model_type": "bert"}, "model_type 'bert'"),
        ({"model_type": "llama"}, "num_attention_heads is missing"),
        ({"model_type": "llama", **COMMON, "num_key_value_heads": 3}, "4 heads cannot share 3"),
        ({"model_type": "llama", **COMMON, "hidden_size": "64"}, "hidden_size must be a whole number"),
        ({"model_type": "llama", **COMMON, "num_attention_heads": 0}, "from 1 to 256, not 0"),
        (
            {"model_type": "llama", **COMMON, "num_hidden_layers": 10**9},
            "num_hidden_layers must be .* 0 to 256",
        ),
        ({"model_type": "llama", **COMMON, "rms_norm_eps": "x"}, "rms_norm_eps must be a number above 0"),
        ({"model_type": "lfm2", **COMMON, "layer_types": 7}, "layer_types must be a list of names"),
        ({"model_type": "llama", **COMMON, "intermediate_size": None}, "intermediate_size is missing"),
        ({"text_config": 7}, "text_config must be an object"),
        ({"model_type": "qwen3", **COMMON, "num_experts": 8}, "8 experts"),
        ({"model_type": "llama", **COMMON, "num_hidden_layers": 0}, "no layers"),
        ([], "list instead of an object"),
    ],
)
def test_a_config_that_cannot_be_built_is_refused_in_a_line(tmp_path: Path, fields: Any, said: str) -> None:
    (tmp_path / "config.json").write_text(json.dumps(fields))
    with pytest.raises(ValueError, match=said) as refused:
        llm.read_config(tmp_path)
    assert "\n" not in str(refused.value)


@pytest.mark.parametrize("family", ["gemma2", "mamba2", "lfm2"])
def test_whole_numbers_are_numbers(family: str) -> None:
    given = {"model_type": family, **COMMON, **FAMILIES[family]}
    asked = dict.fromkeys(("rms_norm_eps", "layer_norm_epsilon", "norm_eps", "final_logit_softcapping"), 1)
    assert llm.build(from_fields(family, {**given, **asked}), rows=1, past=1).get_ops()


@pytest.mark.parametrize("text", ["fp8", "int4:", "int4:x", "int8:128", "int4:3", ""])
def test_weights_that_are_no_format_are_refused(text: str) -> None:
    with pytest.raises(ValueError, match="weights must be"):
        llm.Stored.parse(text)
