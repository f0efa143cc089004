"""The models themselves, with random weights: a module, example inputs, and the axes that may be left open."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import own
import torch
import transformers
from torch import Tensor, nn

ROWS, PAST = 64, 63
Call = Callable[[nn.Module, dict[str, Tensor]], Any]


@dataclass
class Model:
    """``call`` says how ``module`` is called with ``inputs``; ``axes``: the open ones, by input, and their names."""

    module: nn.Module
    inputs: dict[str, Tensor]
    call: Call
    axes: dict[str, dict[int, str]] = field(default_factory=dict)


def _by_place(module: nn.Module, inputs: dict[str, Tensor]) -> Any:
    return module(*inputs.values())


def _by_name(module: nn.Module, inputs: dict[str, Tensor]) -> Any:
    return module(**inputs, return_dict=False)


def _image(size: int, *more: int) -> dict[str, Tensor]:
    return {"image": torch.rand(1, 3, *more, size, size)}


def _timm(name: str, options: dict[str, Any]) -> Model:
    import timm

    module = timm.create_model(name, pretrained=False, **options)
    size = module.pretrained_cfg["input_size"][-1]
    return Model(module, _image(size), _by_place, {"image": {0: "batch"}})


def _torchvision(name: str, options: dict[str, Any]) -> Model:
    import torchvision

    makers = torchvision.models.list_models()
    assert name in makers, name
    detects = "rcnn" in name or "retina" in name or "ssd" in name
    module = torchvision.models.get_model(
        name,
        weights=None,
        **({"weights_backbone": None} if detects or ("_" in name and "fcn" in name) else {}),
        **options,
    )
    call = (lambda module, inputs: module(list(inputs["image"]))) if detects else _by_place
    return Model(module, _image(320 if detects else 224), call)


def _video(name: str, options: dict[str, Any]) -> Model:
    import torchvision

    module = torchvision.models.get_model(name, weights=None, **options)
    size = 224 if "mvit" in name or "swin" in name else 112
    return Model(module, {"clip": torch.rand(1, 3, 16, size, size)}, _by_place)


def _made(name: str, options: dict[str, Any]) -> Any:
    """A model of transformers from its configuration."""
    kind = getattr(transformers, name)
    config = kind.config_class(**options)
    module = kind(config)
    module.config.use_cache = False
    return module


def _ids(module: Any, rows: int = ROWS) -> Tensor:
    return torch.randint(3, min(1000, module.config.get_text_config().vocab_size), (1, rows))


_TEXT_AXES = {0: "batch", 1: "length"}


def _text(name: str, options: dict[str, Any]) -> Model:
    module = _made(name, options)
    inputs = {"input_ids": _ids(module)}
    if name != "FNetModel":
        inputs["attention_mask"] = torch.ones(1, ROWS, dtype=torch.int64)
    return Model(module, inputs, _by_name, dict.fromkeys(inputs, _TEXT_AXES))


def _plain(name: str, options: dict[str, Any]) -> Model:
    module = _made(name, options)
    return Model(
        module, {"input_ids": _ids(module)}, lambda m, x: m(**x, use_cache=False, return_dict=False)[0]
    )


def _causal(name: str, options: dict[str, Any]) -> Model:
    module = _made(name, options)
    inputs = {"input_ids": _ids(module), "attention_mask": torch.ones(1, ROWS, dtype=torch.int64)}
    return Model(module, inputs, lambda m, x: m(**x, use_cache=False, return_dict=False)[0])


def _step(name: str, options: dict[str, Any]) -> Model:
    """One token over a past of keys and values."""
    module = _made(name, options)
    config = module.config
    heads = getattr(config, "num_key_value_heads", None) or config.num_attention_heads
    width = getattr(config, "head_dim", None) or config.hidden_size // config.num_attention_heads
    inputs = {
        "input_ids": _ids(module, 1),
        "attention_mask": torch.ones(1, PAST + 1, dtype=torch.int64),
        "position_ids": torch.full((1, 1), PAST),
    }
    axes: dict[str, dict[int, str]] = dict.fromkeys(inputs, _TEXT_AXES)
    for layer in range(config.num_hidden_layers):
        for part in ("key", "value"):
            given = f"past_key_values.{layer}.{part}"
            inputs[given], axes[given] = torch.rand(1, heads, PAST, width), {0: "batch", 2: "past"}

    def call(module: nn.Module, x: dict[str, Tensor]) -> Any:
        cache = transformers.DynamicCache()
        pasts = [tensor for given, tensor in x.items() if given.startswith("past")]
        for keys, values in zip(pasts[::2], pasts[1::2], strict=True):
            layer = transformers.cache_utils.DynamicLayer()
            layer.lazy_initialization(keys, values)
            layer.keys, layer.values = keys, values
            cache.layers.append(layer)
        rest = {given: tensor for given, tensor in x.items() if not given.startswith("past")}
        found = module(**rest, past_key_values=cache, use_cache=True)
        return [
            found.logits,
            *(tensor for one in found.past_key_values.layers for tensor in (one.keys, one.values)),
        ]

    return Model(module, inputs, call, axes)


def _pair(name: str, options: dict[str, Any]) -> Model:
    module = _made(name, options)
    inputs = {"input_ids": _ids(module), "decoder_input_ids": _ids(module, 16)}
    return Model(module, inputs, lambda m, x: m(**x, use_cache=False, return_dict=False)[0])


def _mel(name: str, options: dict[str, Any]) -> Model:
    module = _made(name, options)
    inputs = {"input_features": torch.rand(1, 80, 3000), "decoder_input_ids": _ids(module, 16)}
    return Model(module, inputs, lambda m, x: m(**x, use_cache=False, return_dict=False)[0])


def _wave_pair(name: str, options: dict[str, Any]) -> Model:
    module = _made(name, options)
    inputs = {"input_values": torch.rand(1, 16000), "decoder_input_ids": _ids(module, 16)}
    return Model(module, inputs, lambda m, x: m(**x, use_cache=False, return_dict=False)[0])


def _given(**shapes: tuple[int, ...]) -> Callable[[str, dict[str, Any]], Model]:
    def build(name: str, options: dict[str, Any]) -> Model:
        inputs = {given: torch.rand(*shape) for given, shape in shapes.items()}
        return Model(_made(name, options), inputs, _by_name)

    return build


def _pixels(name: str, options: dict[str, Any]) -> Model:
    module = _made(name, options)
    size = getattr(module.config, "image_size", None)
    size = size if isinstance(size, int) else 224
    inputs = {"pixel_values": torch.rand(1, 3, size, size)}
    return Model(module, inputs, _by_name, {"pixel_values": {0: "batch"}})


def _clip(name: str, options: dict[str, Any]) -> Model:
    kind = getattr(transformers, name)
    small = {
        "num_hidden_layers": 2,
        "vocab_size": 1000,
        "hidden_size": 128,
        "intermediate_size": 256,
        "num_attention_heads": 4,
    }
    seen = {key: value for key, value in small.items() if key != "vocab_size"}
    config = kind.config_class(
        text_config={**small, "pad_token_id": 0, "bos_token_id": 1, "eos_token_id": 2}, vision_config=seen
    )
    module = kind(config)
    rows, size = config.text_config.max_position_embeddings, config.vision_config.image_size
    inputs = {
        "input_ids": torch.randint(3, 1000, (1, rows)),
        "pixel_values": torch.rand(1, 3, size, size),
        "attention_mask": torch.ones(1, rows, dtype=torch.int64),
    }
    return Model(module, inputs, lambda m, x: m(**x, return_dict=False)[:4])


def _own(name: str, options: dict[str, Any]) -> Model:
    module, inputs = getattr(own, name)(**options)
    return Model(module, inputs, _by_place)


MODELS: dict[str, Callable[[str, dict[str, Any]], Model]] = {
    "timm": _timm,
    "torchvision": _torchvision,
    "video": _video,
    "text": _text,
    "causal": _causal,
    "plain-causal": _plain,
    "step": _step,
    "pair": _pair,
    "mel": _mel,
    "wave-pair": _wave_pair,
    "wave": _given(input_values=(1, 16000)),
    "spectrum": _given(input_values=(1, 1024, 128)),
    "features": _given(input_features=(1, 200, 160)),
    "features80": _given(input_values=(1, 16000)),
    "image": _pixels,
    "pixels": _pixels,
    "frames": _given(pixel_values=(1, 16, 3, 224, 224)),
    "clip": _clip,
    "series": _given(past_values=(1, 96, 4)),
    "own": _own,
}
