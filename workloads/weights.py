"""Where a model's weights come from: drawn at random, shared, or the user's own. Everything is FP16 by then.

A source is a function from a Hugging Face parameter name to a float16 array. Besides the checkpoint's parameters it
answers for `...mixer.A`, which the models hold in place of `...mixer.A_log`: -exp(A_log), in f32, then rounded.
"""

from __future__ import annotations

import functools
import math
import re
import zlib
from collections.abc import Callable, Mapping
from typing import Any, Literal

import numpy as np

from npusim.workloads.config import ModelConfig, Shape

WeightSource = Callable[[str], np.ndarray]
WeightChoice = Literal["shared", "random"] | Mapping[str, Any] | Callable[[str], Any]

# Larger arrays (the projections and the embedding) come from the shared region, smaller ones are drawn for real.
_SHARED_ABOVE_ELEMENTS = 1 << 17
# Odd, so that equal rows or columns do not line up with the pattern's period.
_PATTERN_ELEMENTS = 65521
_LAYER = re.compile(r"\.layers\.\d+\.")


def weight_source(config: ModelConfig, layers: int, choice: WeightChoice, seed: int) -> WeightSource:
    """The source a user chose. Raises ValueError for an unknown choice; reading it does for arrays that do not fit."""
    shapes = config.parameter_shapes(layers)
    if choice == "random":
        return _with_decay(lambda name: _draw(name, shapes[name], config, seed))
    if choice == "shared":
        return _shared(config, shapes, seed)
    if isinstance(choice, Mapping):
        return _with_decay(lambda name: _checked(name, choice.get(name), shapes[name]))
    if callable(choice):
        return _with_decay(lambda name: _checked(name, choice(name), shapes[name]))
    raise ValueError(f"weights must be 'shared', 'random', a mapping or a function, not {choice!r}")


def random_parameters(config: ModelConfig, seed: int, layers: int | None) -> dict[str, np.ndarray]:
    """Every parameter as float16, by Hugging Face name. The same for a layer however many layers are drawn."""
    return {name: _draw(name, shape, config, seed) for name, shape in config.parameter_shapes(layers).items()}


def _with_decay(load: WeightSource) -> WeightSource:
    def source(name: str) -> np.ndarray:
        if name.endswith(".mixer.A"):
            return (-np.exp(load(f"{name}_log").astype(np.float32))).astype(np.float16)
        return load(name)

    return source


def _shared(config: ModelConfig, shapes: dict[str, Shape], seed: int) -> WeightSource:
    """Layer 0's weights for every layer, and one region of memory for all large arrays."""
    sizes = {name: math.prod(shape) for name, shape in shapes.items()}
    pattern = (_generator("shared", seed).standard_normal(_PATTERN_ELEMENTS, np.float32) * 0.02).astype(
        np.float16
    )
    region = np.resize(pattern, max(sizes.values()))

    def load(name: str) -> np.ndarray:
        if sizes[name] > _SHARED_ABOVE_ELEMENTS:
            return region[: sizes[name]].reshape(shapes[name])
        return _draw(name, shapes[name], config, seed)

    of_first_layer = functools.cache(_with_decay(load))
    return lambda name: of_first_layer(_LAYER.sub(".layers.0.", name))


def _checked(name: str, value: Any, shape: Shape) -> np.ndarray:
    if value is None:
        raise ValueError(f"the weights have no parameter {name!r}")
    array = np.asarray(value)
    if array.shape != shape:
        raise ValueError(
            f"parameter {name!r} has shape {list(array.shape)}, and the model needs {list(shape)}"
        )
    with np.errstate(over="ignore"):
        rounded = np.ascontiguousarray(array, dtype=np.float16)
    if not np.isfinite(rounded).all():
        raise ValueError(f"parameter {name!r} has values that FP16 cannot hold")
    return rounded


def _generator(name: str, seed: int) -> np.random.Generator:
    return np.random.default_rng((seed, zlib.crc32(name.encode())))


def _draw(name: str, shape: Shape, config: ModelConfig, seed: int) -> np.ndarray:
    """Published initialisation (mamba_ssm's modules and models/mixer_seq_simple.py), from a stream of its own.

    Gains and D, which start at one, get 10 % noise: exact ones would be folded away, and no trained model has them.
    """
    rng = _generator(name, seed)
    kind = name.rsplit(".layers.", 1)[-1].split(".", 1)[-1]
    if kind == "mixer.A_log":
        values = np.broadcast_to(np.log(np.arange(1, shape[-1] + 1, dtype=np.float32)), shape)
    elif kind in ("mixer.dt_bias", "mixer.dt_proj.bias"):
        step = np.exp(rng.uniform(math.log(1e-3), math.log(1e-1), shape))
        values = step + np.log(-np.expm1(-step))
    elif kind == "mixer.D" or kind.endswith(("norm.weight", "norm_f.weight")):
        values = 1 + 0.1 * rng.standard_normal(shape, np.float32)
    elif kind.endswith("embeddings.weight"):
        values = 0.02 * rng.standard_normal(shape, np.float32)
    else:
        bound = 1 / math.sqrt(config.conv if "conv1d" in kind else shape[-1])
        if kind == "mixer.out_proj.weight":
            bound /= math.sqrt(config.layers)
        values = bound * (2 * rng.random(shape, np.float32) - 1)
    return values.astype(np.float16)
