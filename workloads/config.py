"""Published sizes of Mamba and Mamba-2.

Layers and widths: the table "Pretrained Models" of https://github.com/state-spaces/mamba (README.md).
State, convolution and expansion: the defaults of mamba_ssm/modules/{mamba_simple,mamba2}.py in the same repository.
Vocabulary: config.json of the checkpoints (50277 tokens, padded to a multiple of 8, and of 16 for Mamba-2).
"""

from __future__ import annotations

import math
import operator
from abc import ABC, abstractmethod
from dataclasses import dataclass
from typing import SupportsIndex

Shape = tuple[int, ...]


def positive(field: str, value: SupportsIndex) -> int:
    """The value as an int. Raises ValueError unless it is a whole number of at least 1."""
    if isinstance(value, bool) or not isinstance(value, SupportsIndex) or operator.index(value) < 1:
        raise ValueError(f"{field} must be a whole number of at least 1, not {value!r}")
    return operator.index(value)


@dataclass(frozen=True, kw_only=True)
class ModelConfig(ABC):
    """What both families have in common. Sizes are element counts; ValueError if one is not positive."""

    name: str
    title: str
    layers: int
    d_model: int
    vocab: int
    d_state: int
    conv: int = 4
    expand: int = 2
    norm_eps: float = 1e-5
    source: str = ""

    def __post_init__(self) -> None:
        """Refuse sizes that are not positive."""
        for field in ("layers", "d_model", "vocab", "d_state", "conv", "expand"):
            positive(field, getattr(self, field))

    @property
    def d_inner(self) -> int:
        """Width of the mixer: expand * d_model."""
        return self.expand * self.d_model

    @property
    @abstractmethod
    def conv_channels(self) -> int:
        """Channels that pass through the causal depthwise convolution."""

    @property
    @abstractmethod
    def ssm_state_shape(self) -> Shape:
        """Shape of one sequence's SSM state in one layer."""

    @property
    def conv_state_shape(self) -> Shape:
        """Shape of one sequence's convolution state in one layer: (channels, conv)."""
        return (self.conv_channels, self.conv)

    @abstractmethod
    def mixer_shapes(self) -> dict[str, Shape]:
        """Parameter name within `layers.N.mixer` -> shape, as Hugging Face names them."""

    @property
    @abstractmethod
    def summary(self) -> str:
        """What only this family has, in a few words."""

    def parameter_shapes(self, layers: int | None = None) -> dict[str, Shape]:
        """Hugging Face parameter name -> shape, for the first `layers` layers (all of them by default)."""
        mixer = self.mixer_shapes()
        shapes: dict[str, Shape] = {"backbone.embeddings.weight": (self.vocab, self.d_model)}
        for layer in range(self.layers if layers is None else layers):
            prefix = f"backbone.layers.{layer}"
            shapes[f"{prefix}.norm.weight"] = (self.d_model,)
            shapes.update({f"{prefix}.mixer.{name}": shape for name, shape in mixer.items()})
        shapes["backbone.norm_f.weight"] = (self.d_model,)
        return shapes

    def parameter_count(self) -> int:
        """Number of parameters; the LM head is tied to the embedding and counted once."""
        return sum(math.prod(shape) for shape in self.parameter_shapes().values())


@dataclass(frozen=True, kw_only=True)
class MambaConfig(ModelConfig):
    """Mamba (https://arxiv.org/abs/2312.00752)."""

    d_state: int = 16

    @property
    def dt_rank(self) -> int:
        """Rank of the step-size projection."""
        return math.ceil(self.d_model / 16)

    @property
    def summary(self) -> str:
        """Rank of the step size."""
        return f"step-size rank {self.dt_rank}"

    @property
    def conv_channels(self) -> int:
        """The convolution runs over x."""
        return self.d_inner

    @property
    def ssm_state_shape(self) -> Shape:
        """(d_inner, d_state)"""
        return (self.d_inner, self.d_state)

    def mixer_shapes(self) -> dict[str, Shape]:
        """The parameters of MambaMixer."""
        inner, rank, state = self.d_inner, self.dt_rank, self.d_state
        return {
            "A_log": (inner, state),
            "D": (inner,),
            "in_proj.weight": (2 * inner, self.d_model),
            "conv1d.weight": (inner, 1, self.conv),
            "conv1d.bias": (inner,),
            "x_proj.weight": (rank + 2 * state, inner),
            "dt_proj.weight": (inner, rank),
            "dt_proj.bias": (inner,),
            "out_proj.weight": (self.d_model, inner),
        }


@dataclass(frozen=True, kw_only=True)
class Mamba2Config(ModelConfig):
    """Mamba-2 (https://arxiv.org/abs/2405.21060), with one group of B and C as in every published size."""

    d_state: int = 128
    head_dim: int = 64
    chunk: int = 256

    def __post_init__(self) -> None:
        """Refuse sizes that are not positive, and heads that do not fill the mixer's width."""
        super().__post_init__()
        positive("head_dim", self.head_dim)
        positive("chunk", self.chunk)
        if self.d_inner % self.head_dim:
            raise ValueError(f"d_inner {self.d_inner} is not a multiple of head_dim {self.head_dim}")

    @property
    def heads(self) -> int:
        """Number of SSM heads."""
        return self.d_inner // self.head_dim

    @property
    def summary(self) -> str:
        """Heads and chunk."""
        return f"{self.heads} heads of {self.head_dim}, chunk {self.chunk}"

    @property
    def conv_channels(self) -> int:
        """The convolution runs over x, B and C."""
        return self.d_inner + 2 * self.d_state

    @property
    def ssm_state_shape(self) -> Shape:
        """(heads, head_dim, d_state)"""
        return (self.heads, self.head_dim, self.d_state)

    def mixer_shapes(self) -> dict[str, Shape]:
        """The parameters of Mamba2Mixer."""
        inner, heads, channels = self.d_inner, self.heads, self.conv_channels
        return {
            "A_log": (heads,),
            "D": (heads,),
            "dt_bias": (heads,),
            "in_proj.weight": (inner + channels + heads, self.d_model),
            "conv1d.weight": (channels, 1, self.conv),
            "conv1d.bias": (channels,),
            "norm.weight": (inner,),
            "out_proj.weight": (self.d_model, inner),
        }


_HUB = "https://huggingface.co/state-spaces"
_MAMBA = (("130m", 24, 768), ("370m", 48, 1024), ("790m", 48, 1536), ("1.4b", 48, 2048), ("2.8b", 64, 2560))
_MAMBA2 = (("130m", 24, 768), ("370m", 48, 1024), ("780m", 48, 1536), ("1.3b", 48, 2048), ("2.7b", 64, 2560))

PUBLISHED: dict[str, ModelConfig] = {
    config.name: config
    for config in (
        *(
            Mamba2Config(
                name=f"mamba2-{size}",
                title=f"Mamba-2 {size.upper()}",
                layers=layers,
                d_model=d_model,
                vocab=50288,
                source=f"{_HUB}/mamba2-{size}",
            )
            for size, layers, d_model in _MAMBA2
        ),
        *(
            MambaConfig(
                name=f"mamba-{size}",
                title=f"Mamba {size.upper()}",
                layers=layers,
                d_model=d_model,
                vocab=50280,
                source=f"{_HUB}/mamba-{size}-hf",
            )
            for size, layers, d_model in _MAMBA
        ),
    )
}
# Also heard for the same 48 layers of 2048.
ALIASES = {"mamba-1.3b": "mamba-1.4b"}
