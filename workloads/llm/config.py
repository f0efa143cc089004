"""Sizes of a decoder: what kinds of layers it has, and how large they are. Counts are of elements."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Literal

from npusim.workloads.config import Mamba2Config, MambaConfig, positive

Kind = Literal["attention", "mamba2", "mamba", "conv"]


@dataclass(frozen=True, kw_only=True)
class DecoderConfig:
    """A language model: ``kinds`` has what mixes tokens in every layer; ValueError for sizes that cannot be.

    ``inner`` is the width of the gated MLP behind every mixer, 0 where there is none. ``joined``: query, key and value
    are one product, gate and up another (Phi-3). ``soft_cap`` bounds logits by tanh (Gemma 2). ``sandwiched``: norms
    behind mixer and MLP, too (Gemma). ``unrotated`` layers have no rotary positions.
    """

    name: str
    kinds: tuple[Kind, ...]
    width: int
    vocabulary: int
    tied: bool
    inner: int = 0
    heads: int = 1
    key_heads: int = 1
    head_width: int = 1
    bias: bool = False
    head_norms: bool = False
    joined: bool = False
    sandwiched: bool = False
    unrotated: frozenset[int] = frozenset()
    activation: Literal["silu", "gelu"] = "silu"
    soft_cap: float | None = None
    eps: float = 1e-5
    state: int = 128
    state_heads: int = 1
    taps: int = 4
    chunk: int = 256

    def __post_init__(self) -> None:
        """Refuse sizes that are not positive, and heads that do not share keys evenly."""
        for field in ("width", "vocabulary", "heads", "key_heads", "head_width", "state", "taps", "chunk"):
            positive(field, getattr(self, field))
        if not self.kinds:
            raise ValueError(f"{self.name} has no layers")
        if self.heads % self.key_heads:
            raise ValueError(f"{self.heads} heads cannot share {self.key_heads} heads of keys evenly")

    @property
    def layers(self) -> int:
        """How many layers there are."""
        return len(self.kinds)

    @property
    def state_inner(self) -> int:
        """Width inside a state-space mixer: twice the model's, in every published one."""
        return 2 * self.width

    def mixer(self, kind: Kind) -> Mamba2Config | MambaConfig:
        """The state-space mixer of a layer, as `workloads` builds it."""
        common = {
            "name": self.name, "title": self.name, "layers": 1, "d_model": self.width, "vocab": self.vocabulary,
            "d_state": self.state, "conv": self.taps, "norm_eps": self.eps,
        }  # fmt: skip
        if kind == "mamba":
            return MambaConfig(**common)  # type: ignore[arg-type]
        return Mamba2Config(**common, head_dim=self.state_inner // self.state_heads, chunk=self.chunk)  # type: ignore[arg-type]

    def cache_bytes(self, tokens: int) -> int:
        """FP16 keys and values of ``tokens`` tokens, all layers."""
        attention = sum(kind == "attention" for kind in self.kinds)
        return attention * 2 * self.key_heads * self.head_width * tokens * 2

    def state_bytes(self) -> int:
        """What all layers remember besides keys and values, FP16."""
        elements = 0
        for kind in self.kinds:
            if kind == "conv":
                elements += self.width * self.taps
            elif kind != "attention":
                mixer = self.mixer(kind)
                elements += math.prod(mixer.conv_state_shape) + math.prod(mixer.ssm_state_shape)
        return 2 * elements

    def layer_parameters(self, layer: int) -> int:
        """Elements of the matrices of one layer."""
        width, kind = self.width, self.kinds[layer]
        mlp = 3 * width * self.inner
        if kind == "attention":
            return mlp + 2 * width * self.head_width * (self.heads + self.key_heads)
        if kind == "conv":
            return mlp + 4 * width * width
        return mlp + sum(math.prod(s) for s in self.mixer(kind).mixer_shapes().values() if len(s) == 2)

    @property
    def parameters(self) -> int:
        """Elements of all matrices; a tied vocabulary counts once."""
        vocabulary = self.vocabulary * self.width * (1 if self.tied else 2)
        return vocabulary + sum(map(self.layer_parameters, range(self.layers)))
