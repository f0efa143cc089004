"""What every kind of profile amounts to: how long each op took, and on which engine, as far as it is told."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field


@dataclass(frozen=True, slots=True)
class OpTime:
    """One op (layer) of a profile. All times are µs.

    ``span_us`` is from the start of its first task to the end of its last. ``engine`` is what it ran on, in the
    profile's words. ``busy_us`` is how long each engine (``dma``, ``dpu``, ``shave``) worked for it, or the sum of its
    tasks where a profile says only that; empty where it says neither. ``exposed_us`` is its time on the critical path:
    over all ops the latency; None where it is not told. ``fused`` are other ops of the model that it stands for;
    ``shape`` is its output's (``1x64x56x56``), empty where it is not told.
    """

    name: str
    type: str
    span_us: float
    start_us: float | None = None
    engine: str = ""
    busy_us: Mapping[str, float] = field(default_factory=dict)
    exposed_us: float | None = None
    fused: tuple[str, ...] = ()
    shape: str = ""

    @property
    def names(self) -> tuple[str, ...]:
        """Its own name and those of the ops that it stands for."""
        return (self.name, *self.fused)


@dataclass(frozen=True, slots=True)
class OpProfile:
    """All ops of one inference, in the order in which they started (or were written down).

    ``format`` says what kind of file it came from, for people; ``latency_us`` is that of the inference, None where it
    is not told; ``notes`` are remarks for the user.
    """

    label: str
    format: str
    ops: tuple[OpTime, ...]
    latency_us: float | None = None
    notes: tuple[str, ...] = ()

    @property
    def has_exposed(self) -> bool:
        """Whether it says of every op what share of the latency is its own."""
        return all(op.exposed_us is not None for op in self.ops)
