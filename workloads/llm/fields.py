"""The fields of a Hugging Face config.json, of the types and within the sizes that models have."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from npusim.errors import UserError
from npusim.files import parse_json, read_text

Fields = Mapping[str, Any]

#: A configuration has a few hundred lines.
_MOST_BYTES = 1 << 20
#: Whole numbers, and the most they are: twice those of the largest dense decoder that is published (Llama 3.1 405B has
#: 126 layers of 16,384, 53,248 in their MLP, 128 heads; Gemma 3 knows 262,208 tokens), states and windows far beyond.
_MOST_LAYERS, _MOST_WIDTH = 256, 32_768
_MOST = {
    "num_hidden_layers": _MOST_LAYERS, "hidden_size": _MOST_WIDTH, "vocab_size": 524_288, "num_attention_heads": 256,
    "num_key_value_heads": 256, "head_dim": 1024, "intermediate_size": 131_072, "shared_intermediate_size": 131_072,
    "block_ff_dim": 131_072, "block_multiple_of": _MOST_WIDTH, "no_rope_layer_interval": _MOST_LAYERS,
    "num_experts": 1024, "num_local_experts": 1024, "state_size": 1024, "mamba_d_state": 1024, "num_heads": 2048,
    "mamba_n_heads": 2048, "conv_kernel": 64, "mamba_d_conv": 64, "conv_L_cache": 64, "chunk_size": 4096,
    "mamba_chunk_size": 4096, "expand": 64, "mamba_expand": 64, "n_groups": 1024, "mamba_n_groups": 1024,
}  # fmt: skip
#: Those that divide others.
_AT_LEAST_ONE = {
    "num_attention_heads",
    "no_rope_layer_interval",
    "block_multiple_of",
    "num_heads",
    "mamba_n_heads",
}
_POSITIVE = (
    "rms_norm_eps",
    "layer_norm_epsilon",
    "norm_eps",
    "final_logit_softcapping",
    "block_ffn_dim_multiplier",
)
_LARGEST_FLOAT = 1e6
_LISTS = {"layer_types": str, "full_attn_idxs": int}


def read_fields(file: Path) -> Fields:
    """The fields of a config.json. Raises ValueError, in one line, for a file that holds none."""
    try:
        fields = parse_json(read_text(file, _MOST_BYTES), str(file), "a config.json")
    except UserError as error:
        raise ValueError(str(error)) from None
    if not isinstance(fields, dict):
        raise ValueError(f"{file}: not a config.json: {type(fields).__name__} instead of an object")
    return fields


def check_fields(fields: Fields) -> None:
    """Raise ValueError, in one line, for a field of another type or size than models have; null is as if left out."""
    for name, value in fields.items():
        if value is None:
            continue
        if name in _MOST:
            least = int(name in _AT_LEAST_ONE)
            if type(value) is not int or not least <= value <= _MOST[name]:
                raise ValueError(
                    f"{name} must be a whole number from {least} to {_MOST[name]:,}, not {value!r:.40}"
                )
        elif name in _POSITIVE:
            if type(value) not in (int, float) or not 0 < value <= _LARGEST_FLOAT:
                raise ValueError(f"{name} must be a number above 0, not {value!r:.40}")
        elif name in _LISTS:
            kind = _LISTS[name]
            if not (isinstance(value, list) and all(type(one) is kind for one in value)):
                raise ValueError(
                    f"{name} must be a list of {'names' if kind is str else 'numbers'} of layers"
                )
            if len(value) > _MOST_LAYERS:
                raise ValueError(
                    f"{name} has {len(value):,} entries, and a model at most {_MOST_LAYERS} layers"
                )
