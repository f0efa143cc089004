"""From a Hugging Face config.json to a DecoderConfig, and the sizes of published models.

Fields and their defaults are those of the configuration classes of transformers 4.55 (MIT/Apache; sizes are facts).
"""

from __future__ import annotations

import difflib
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from npusim.workloads.llm.config import DecoderConfig, Kind
from npusim.workloads.llm.fields import Fields, check_fields, read_fields


def read_config(path: str | Path) -> DecoderConfig:
    """The decoder of a config.json, or of the folder it is in. Raises ValueError, in one line, for one that cannot be
    read or built."""
    path = Path(path)
    file = path / "config.json" if path.is_dir() else path
    fields = read_fields(file)
    given = file.resolve().parent.name if file.name == "config.json" else file.stem
    name = Path(str(fields.get("_name_or_path") or "")).name or given
    try:
        return from_fields(name, fields)
    except ValueError as error:
        raise ValueError(f"{file}: {error}") from None


def published_names() -> list[str]:
    """Models whose sizes are carried."""
    return list(_SIZES)


def published(name: str) -> DecoderConfig:
    """A published model. Raises ValueError for a name that is not carried; the message suggests near ones."""
    fields = _SIZES.get(name.lower())
    if fields is None:
        near = difflib.get_close_matches(name.lower(), _SIZES, n=2, cutoff=0.5)
        hint = f"did you mean {' or '.join(near)}?" if near else f"there are {', '.join(_SIZES)}"
        raise ValueError(f"unknown language model {name!r}: {hint}")
    return from_fields(name.lower(), fields)


def from_fields(name: str, fields: Fields) -> DecoderConfig:
    """The decoder of the fields of a config.json. Raises ValueError for what cannot be built."""
    text = fields.get("text_config", fields)  # of models that see, too
    if not isinstance(text, Mapping):
        raise ValueError("text_config must be an object")
    check_fields(text)
    text = {key: value for key, value in text.items() if value is not None}
    family = str(text.get("model_type", ""))
    if family not in _FAMILIES:
        raise ValueError(f"model_type {family!r} is not known; there are {', '.join(sorted(_FAMILIES))}")
    experts = text.get("num_local_experts") or text.get("num_experts") or 0
    if experts > 1:
        raise ValueError(f"{experts} experts cannot be built: dense models only")
    try:
        return _FAMILIES[family](name, text)
    except KeyError as error:
        raise ValueError(f"{error.args[0]} is missing") from None
    except TypeError as error:
        raise ValueError(f"a field has the wrong type: {error}") from None


def _attention(name: str, f: Fields, **more: Any) -> DecoderConfig:
    """What most decoders say of themselves."""
    heads, layers = f["num_attention_heads"], f["num_hidden_layers"]
    given: dict[str, Any] = {
        "kinds": ("attention",) * layers,
        "width": f["hidden_size"],
        "vocabulary": f["vocab_size"],
        "tied": f.get("tie_word_embeddings", False),
        "inner": f["intermediate_size"],
        "heads": heads,
        "key_heads": f.get("num_key_value_heads") or heads,
        "head_width": f.get("head_dim") or f["hidden_size"] // heads,
        "bias": f.get("attention_bias", False),
        "eps": float(f.get("rms_norm_eps", 1e-5)),
        "activation": "gelu" if "gelu" in str(f.get("hidden_act") or f.get("hidden_activation")) else "silu",
    }
    return DecoderConfig(name=name, **(given | more))


def _qwen2(name: str, f: Fields) -> DecoderConfig:
    return _attention(name, f, bias=True)


def _qwen3(name: str, f: Fields) -> DecoderConfig:
    return _attention(name, f, head_norms=True)


def _phi3(name: str, f: Fields) -> DecoderConfig:
    return _attention(name, f, joined=True)


def _gemma(name: str, f: Fields) -> DecoderConfig:
    kind = f["model_type"]
    return _attention(
        name,
        f,
        activation="gelu",
        tied=f.get("tie_word_embeddings", True),
        sandwiched=kind != "gemma",
        head_norms=kind.startswith("gemma3"),
        head_width=f.get("head_dim", 256),
        soft_cap=f.get("final_logit_softcapping") if kind == "gemma2" else None,
    )


def _smollm3(name: str, f: Fields) -> DecoderConfig:
    every = f.get("no_rope_layer_interval", 4)
    layers = range(f["num_hidden_layers"])
    return _attention(
        name,
        f,
        unrotated=frozenset(i for i in layers if (i + 1) % every == 0),
        tied=f.get("tie_word_embeddings", True),
    )


def _granite_hybrid(name: str, f: Fields) -> DecoderConfig:
    kinds: tuple[Kind, ...] = tuple("attention" if k == "attention" else "mamba2" for k in f["layer_types"])
    rotary = f.get("position_embedding_type") == "rope"
    return _attention(
        name,
        f,
        kinds=kinds,
        inner=f.get("shared_intermediate_size", f.get("intermediate_size")),
        unrotated=frozenset() if rotary else frozenset(range(len(kinds))),
        **_state_space(
            f, "mamba_d_state", "mamba_n_heads", "mamba_d_conv", "mamba_chunk_size", "mamba_expand"
        ),
    )


def _lfm2(name: str, f: Fields) -> DecoderConfig:
    inner = f.get("block_ff_dim") or f["intermediate_size"]
    if f.get("block_auto_adjust_ff_dim", False):
        multiple = f.get("block_multiple_of", 256)
        inner = int(f.get("block_ffn_dim_multiplier", 1.0) * int(2 * inner / 3))
        inner = -(-inner // multiple) * multiple
    attends = f.get("full_attn_idxs")
    types = f.get("layer_types") or [
        "full_attention" if i in (attends or ()) else "conv" for i in range(f["num_hidden_layers"])
    ]
    return _attention(
        name,
        f,
        kinds=tuple("attention" if t == "full_attention" else "conv" for t in types),
        inner=inner,
        head_norms=True,
        tied=f.get("tie_word_embeddings", f.get("tie_embedding", True)),
        taps=f.get("conv_L_cache", 3),
        eps=float(f.get("norm_eps", 1e-5)),
    )


def _mamba(name: str, f: Fields) -> DecoderConfig:
    kind = "mamba2" if f["model_type"] == "mamba2" else "mamba"
    state: Mapping[str, Any]
    if kind == "mamba2":
        state = _state_space(f, "state_size", "num_heads", "conv_kernel", "chunk_size", "expand")
    else:
        _check_expand(f.get("expand", 2))
        state = {"state": f.get("state_size", 16), "taps": f.get("conv_kernel", 4)}
    return DecoderConfig(
        name=name,
        kinds=(kind,) * f["num_hidden_layers"],
        width=f["hidden_size"],
        vocabulary=f["vocab_size"],
        tied=f.get("tie_word_embeddings", True),
        eps=float(f.get("layer_norm_epsilon", 1e-5)),
        **state,
    )


def _state_space(f: Fields, state: str, heads: str, taps: str, chunk: str, expand: str) -> dict[str, Any]:
    groups = f.get("n_groups", f.get("mamba_n_groups", 1))
    if groups != 1:
        raise ValueError(f"{groups} groups of B and C cannot be built: one only")
    _check_expand(f.get(expand, 2))
    return {
        "state": f.get(state, 128),
        "state_heads": f[heads],
        "taps": f.get(taps, 4),
        "chunk": f.get(chunk, 256),
    }


def _check_expand(expand: int) -> None:
    if expand != 2:
        raise ValueError(f"a mixer {expand} times as wide as the model cannot be built: twice as wide only")


_FAMILIES: dict[str, Callable[[str, Fields], DecoderConfig]] = {
    "llama": _attention, "mistral": _attention, "granite": _attention, "qwen2": _qwen2, "qwen3": _qwen3, "phi3": _phi3,
    "gemma": _gemma, "gemma2": _gemma, "gemma3_text": _gemma, "smollm3": _smollm3, "lfm2": _lfm2,
    "granitemoehybrid": _granite_hybrid, "mamba": _mamba, "falcon_mamba": _mamba, "mamba2": _mamba,
}  # fmt: skip


def _size(
    family: str, layers: int, width: int, heads: tuple[int, int], head: int, inner: int, vocabulary: int, tied: bool,
    **more: Any,
) -> Fields:  # fmt: skip
    """The fields of a published config.json that matter here."""
    return {
        "model_type": family, "num_hidden_layers": layers, "hidden_size": width, "num_attention_heads": heads[0],
        "num_key_value_heads": heads[1], "head_dim": head, "intermediate_size": inner, "vocab_size": vocabulary,
        "tie_word_embeddings": tied, **more,
    }  # fmt: skip


def _hybrid(
    layers: int, attends: tuple[int, ...], width: int, heads: tuple[int, int], head: int, inner: int
) -> Fields:
    types = ["attention" if i in attends else "mamba" for i in range(layers)]
    more = {"layer_types": types, "shared_intermediate_size": inner, "mamba_d_state": 128}
    states = {"mamba_n_heads": 64 if width == 2048 else 48, "position_embedding_type": "nope"}
    return _size("granitemoehybrid", layers, width, heads, head, inner, 100352, True, **more, **states)


def _mamba2(layers: int, width: int) -> Fields:
    return {"model_type": "mamba2", "num_hidden_layers": layers, "hidden_size": width, "num_heads": width // 32,
            "vocab_size": 50288}  # fmt: skip


#: Sources: facts of mlc-ai/mlc-llm model_preset.py @ 01ced331, ai-dynamo/aiconfigurator @ 095f58a5, transformers 4.55.4
#: class defaults, state-spaces/mamba README; LFM2 and Granite from copies of their config.json on the hub.
_SIZES: dict[str, Fields] = {
    "llama-3.2-1b": _size("llama", 16, 2048, (32, 8), 64, 8192, 128256, True),
    "llama-3.2-3b": _size("llama", 28, 3072, (24, 8), 128, 8192, 128256, True),
    "llama-3.1-8b": _size("llama", 32, 4096, (32, 8), 128, 14336, 128256, False),
    "llama-2-7b": _size("llama", 32, 4096, (32, 32), 128, 11008, 32000, False),
    "tinyllama-1.1b": _size("llama", 22, 2048, (32, 4), 64, 5632, 32000, False),
    "mistral-7b": _size("mistral", 32, 4096, (32, 8), 128, 14336, 32768, False),
    "qwen2.5-0.5b": _size("qwen2", 24, 896, (14, 2), 64, 4864, 151936, True),
    "qwen2.5-1.5b": _size("qwen2", 28, 1536, (12, 2), 128, 8960, 151936, True),
    "qwen2.5-3b": _size("qwen2", 36, 2048, (16, 2), 128, 11008, 151936, True),
    "qwen2.5-7b": _size("qwen2", 28, 3584, (28, 4), 128, 18944, 152064, False),
    "qwen2.5-14b": _size("qwen2", 48, 5120, (40, 8), 128, 13824, 152064, False),
    "qwen3-0.6b": _size("qwen3", 28, 1024, (16, 8), 128, 3072, 151936, True),
    "qwen3-1.7b": _size("qwen3", 28, 2048, (16, 8), 128, 6144, 151936, True),
    "qwen3-4b": _size("qwen3", 36, 2560, (32, 8), 128, 9728, 151936, True),
    "qwen3-8b": _size("qwen3", 36, 4096, (32, 8), 128, 12288, 151936, False),
    "phi-3-mini": _size("phi3", 32, 3072, (32, 32), 96, 8192, 32064, False),
    "gemma-2-2b": _size("gemma2", 26, 2304, (8, 4), 256, 9216, 256000, True, final_logit_softcapping=30.0),
    "gemma-3-1b": _size("gemma3_text", 26, 1152, (4, 1), 256, 6912, 262144, True),
    "smollm2-1.7b": _size("llama", 24, 2048, (32, 32), 64, 8192, 49152, True),
    "smollm3-3b": _size("smollm3", 36, 2048, (16, 4), 128, 11008, 128256, True),
    "lfm2-1.2b": _size("lfm2", 16, 2048, (32, 8), 64, 8192, 65536, True, full_attn_idxs=[2, 5, 8, 10, 12, 14]),
    "granite-4.0-h-350m": _hybrid(32, (10, 13, 17, 27), 768, (12, 4), 64, 2048),
    "granite-4.0-h-1b": _hybrid(40, (5, 15, 25, 35), 1536, (12, 4), 128, 4096),
    "granite-4.0-h-micro": _hybrid(40, (5, 15, 25, 35), 2048, (32, 8), 64, 8192),
    "mamba2-130m": _mamba2(24, 768), "mamba2-370m": _mamba2(48, 1024), "mamba2-780m": _mamba2(48, 1536),
    "mamba2-1.3b": _mamba2(48, 2048), "mamba2-2.7b": _mamba2(64, 2560),
}  # fmt: skip
