"""Units beside the tiles, with queues of their own. No NPU of Intel's is known to have one: they are for questions."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field, model_validator

from npusim.hardware.base import Count, NonNegative, Positive, Section


class Levels(Section):
    """Fixed logic: a call takes levels x time, whatever the products were (Boolean functions, random features)."""

    level_ns: Positive
    """Time of a level, ns."""
    levels: Count | None = None
    """Levels of a call; null: the products that lie one behind the other in what it takes."""
    fan_in_bits: Count | None = None
    """Most bits that one result may depend on; null: any number. Zero weights count as no dependence."""
    input_bits: Count = 1
    """Bits of one input, for ``fan_in_bits``."""
    output_pj: NonNegative = 0
    """Energy of a result, pJ, whatever it depends on."""


class Events(Section):
    """Event-driven adds: a call takes steps x rate x adds (spiking networks)."""

    steps: Count
    """Time steps of an inference."""
    rate: Annotated[float, Field(ge=0, le=1)]
    """Share of inputs that spike in a step: an assumption, as no model says it."""
    adds_gops: Positive
    """Adds a second, 1e9, of the whole unit."""
    step_ns: NonNegative = 0
    """Time that a step takes besides, ns."""
    add_pj: NonNegative = 0
    """Energy of an add, pJ."""


class Block(Section):
    """One unit. It holds the weights of what it takes, which nobody loads; inputs and results pass through the
    scratchpads, whole."""

    takes: Annotated[tuple[str, ...], Field(min_length=1)]
    """Names of the ops that it runs; * stands for anything. Ops that lie side by side are one call."""
    levels: Levels | None = None
    """What a call takes: fixed logic ..."""
    events: Events | None = None
    """... or event-driven adds."""
    call_ns: NonNegative = 0
    """Time of a call, ns, whatever it computes."""
    static_mw: NonNegative = 0
    """Power while the NPU is on, mW."""

    @model_validator(mode="after")
    def _one(self) -> Block:
        if (self.levels is None) == (self.events is None):
            raise ValueError("needs either levels or events")
        return self
