"""A bench of programs whose times are known."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True)
class Call:
    """A program of a known time."""

    name: str
    device_us: float
    call_us: float = 0.0
    energy_uj: float = 0.0

    @property
    def us(self) -> float:
        return self.device_us + self.call_us


class Known:
    """A bench of programs of known times."""

    def __init__(self, *calls: Call) -> None:
        self.calls = {call.name: call for call in calls}

    def timed(self, name: str) -> Any:
        return self.calls[name]
