"""Device time of the parts of a language model: each is lowered and simulated once."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field

from npusim import api
from npusim.hardware.schema import Hardware
from npusim.llm.calls import Part


@dataclass(frozen=True, slots=True)
class Spent:
    """What runs of graphs take inside the NPU: µs in all and with each engine busy, bytes of DDR, µJ."""

    us: float = 0.0
    dma_us: float = 0.0
    dpu_us: float = 0.0
    shave_us: float = 0.0
    ddr_bytes: float = 0.0
    energy_uj: float = 0.0

    def __add__(self, other: Spent) -> Spent:
        """One after the other."""
        return Spent(*(a + b for a, b in zip(self.values(), other.values(), strict=True)))

    def times(self, count: float) -> Spent:
        """So often."""
        return Spent(*(count * value for value in self.values()))

    def values(self) -> tuple[float, ...]:
        """The fields, in order."""
        return self.us, self.dma_us, self.dpu_us, self.shave_us, self.ddr_bytes, self.energy_uj


def total(spent: Iterable[Spent]) -> Spent:
    """All of them, one after the other."""
    return sum(spent, Spent())


@dataclass
class Device:
    """An NPU that remembers what every part took. Raises UserError as `api.lower` and `api.simulate` do."""

    hw: Hardware
    allow_guess: bool = False
    _known: dict[str, Spent] = field(default_factory=dict)

    def once(self, part: Part) -> Spent:
        """One run of a part."""
        if part.key not in self._known:
            self._known[part.key] = self._simulated(part)
        return self._known[part.key]

    def all_of(self, parts: Iterable[Part]) -> Spent:
        """Every part as often as it runs."""
        return total(self.once(part).times(part.count) for part in parts)

    def _simulated(self, part: Part) -> Spent:
        result = api.simulate(api.lower(part.graph(), self.hw), self.hw, "fast", self.allow_guess)
        found, busy = result.metrics, result.metrics.statistics
        dma_us, dpu_us, shave_us = (busy[f"{engine}_us"] for engine in ("dma", "dpu", "shave"))
        moved = float(sum(found.ddr_bytes.values()))
        return Spent(result.latency_us, dma_us, dpu_us, shave_us, moved, found.energy_uj)
