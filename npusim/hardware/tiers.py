"""Memories between DDR and the scratchpads. No NPU of Intel's is known to have one: these are for questions."""

from __future__ import annotations

from typing import Literal

from pydantic import Field, field_validator

from npusim.hardware.base import Gbps, Kib, NonNegative, Section


class Tier(Section):
    """One memory. Its tensors are read from it, and written to it, in the place of DDR, by the same DMA engines.

    It keeps weights that several ops read (the first brings them from DDR, unless it holds them always), inputs of the
    model that several ops read, and what ops make for others. What the model returns goes to DDR.
    """

    kib: Kib
    """KiB of it; where each tile has one, of one tile's."""
    read_gbps: Gbps
    """GB/s (1e9 bytes/s) that it is read at. Of a shared one every DMA engine has its even part, however few of them
    read; what each tile has, one engine reads at full rate."""
    write_gbps: Gbps
    """The same of writes."""
    latency_ns: NonNegative = 0
    """Latency of an access, ns, beyond the engine's start-up."""
    byte_pj: NonNegative = 0
    """Energy of a byte read or written, pJ."""
    static_mw: NonNegative = 0
    """Power while the NPU is on, mW; where each tile has one, of one tile's."""
    each: Literal["npu", "tile"] = "npu"
    """``npu``: all tiles share it; ``tile``: each has its own, with its own part of what the tiles share and a copy of
    what all of them read."""
    holds: Literal["inference", "always"] = "inference"
    """How long it keeps weights. ``always``: from one inference to the next (it loses nothing, or is never off)."""
    pins: tuple[str, ...] = ()
    """Names of ops whose results, or whose weights, it keeps whatever they gain; * stands for anything. One that does
    not fit is an error."""
    policy: Literal["pins alone", "largest reuse first", "weights of largest reuse first"] = "pins alone"
    """What else it keeps: nothing, or whatever saves most bytes of DDR, as long as that fits; any tensor, or weights
    alone (where writing is dear)."""


class Memory(Section):
    """Memory besides DDR and the scratchpads."""

    tiers: dict[str, Tier] = Field(default={})
    """Tiers by name; the first that has room keeps a tensor."""

    @field_validator("tiers")
    @classmethod
    def _named(cls, tiers: dict[str, Tier]) -> dict[str, Tier]:
        for name in ("ddr", "cmx", ""):
            if name in tiers:
                raise ValueError(f"'{name}' is no name for a tier")
        return tiers
