"""The choices a user makes when building a model."""

from __future__ import annotations

from dataclasses import dataclass

from npusim.workloads.config import ModelConfig, positive

DEFAULT_TOKENS = 256


@dataclass(frozen=True, kw_only=True)
class Job:
    """What to build of a model; `workloads.build` says what each field means."""

    decode: bool
    tokens: int
    layers: int
    batch: int
    lm_head: bool
    with_state: bool
    block_only: bool

    @classmethod
    def checked(
        cls,
        config: ModelConfig,
        *,
        phase: str,
        tokens: int | None,
        layers: int | None,
        batch: int,
        lm_head: bool,
        with_state: bool,
        block_only: bool,
    ) -> Job:
        """The job with its defaults filled in. Raises ValueError, in one sentence, for what cannot be built."""
        if layers is None:
            layers = 1 if block_only else config.layers
        if positive("layers", layers) > config.layers:
            raise ValueError(f"{config.name} has {config.layers} layers, so layers={layers} cannot be built")
        if phase not in ("prefill", "decode"):
            raise ValueError(f"phase must be 'prefill' or 'decode', not {phase!r}")
        decode = phase == "decode"
        if decode and tokens not in (None, 1):
            raise ValueError(f"decode runs one token at a time, so leave tokens out (it is {tokens!r})")
        if tokens is None:
            tokens = 1 if decode else DEFAULT_TOKENS
        return cls(
            decode=decode,
            tokens=positive("tokens", tokens),
            layers=positive("layers", layers),
            batch=positive("batch", batch),
            lm_head=lm_head,
            with_state=with_state or decode,
            block_only=block_only,
        )
