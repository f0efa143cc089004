"""What a report is about, apart from the simulation: the model, what was asked, and enough to run it again."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from npusim.analysis.footprint import Footprint
from npusim.analysis.package import PackageEnergy, package_energy
from npusim.analysis.wiring import Edge
from npusim.api import Result
from npusim.hints import Seen
from npusim.validation.silicon.intervals import Interval

_ENDINGS = (".xml", ".onnx", ".pb", ".pbtxt", ".tflite", ".pdmodel", ".json", ".gz", ".csv")


@dataclass(frozen=True, slots=True)
class AdviceRow:
    """A change that would make the model faster, as `explore.advise` found it, with the command that asks for it."""

    what: str
    gain: float
    measure: str
    before_us: float
    after_us: float
    how: str
    command: str
    rests_on: str


@dataclass(frozen=True, slots=True)
class Subject:
    """The run behind a Result, for people.

    ``workload`` is a name, or the path of a model file or trace. ``tokens`` is how many tokens one inference takes in
    or makes (all sequences of the batch together), None for a model that has none; ``command`` is the shell command
    that gives the same result. ``model`` says what the model is, ``seen`` what is seen of it from outside under the
    hint that was asked for, ``interval`` how far the time that was asked for may be off; None where that is not known.
    ``edges`` say which op of the Program reads which, where the model is known.
    ``ask_advice`` is the command that looks for what would help, ``advice`` what it found, if it was asked for.
    """

    workload: str
    hardware_file: str = ""
    overrides: tuple[str, ...] = ()
    phase: str = ""
    tokens: int | None = None
    command: str = ""
    model: Footprint | None = None
    seen: Seen | None = None
    ask_advice: str = ""
    advice: tuple[AdviceRow, ...] = ()
    interval: Interval | None = None
    edges: tuple[Edge, ...] = ()

    @classmethod
    def of(cls, result: Result) -> Subject:
        """What can be said of a Result alone."""
        return cls(workload=result.program.name)

    @property
    def title(self) -> str:
        """What people call it: the workload, or a file's name without folder and ending."""
        path = Path(self.workload)
        return path.stem if path.suffix in _ENDINGS else self.workload

    def rate(self, latency_us: float) -> tuple[float, str]:
        """Tokens a second, or inferences where there are no tokens, with its unit: one after another without a gap, or
        as seen from outside under the hint."""
        us = self.seen.us if self.seen is not None else latency_us
        return (
            (self.tokens or 1) / us * 1e6 if us > 0 else 0.0
        ), "tokens/s" if self.tokens else "inferences/s"

    def package_energy(self, result: Result) -> PackageEnergy | None:
        """The energy that a meter of the package sees, over the time that was asked for; None where it is not known."""
        us = self.seen.us if self.seen is not None else result.latency_us
        return package_energy(result.metrics.energy_uj, result.hardware, us)

    def tokens_per_s(self, latency_us: float) -> float | None:
        """Tokens a second if inferences follow one another without a gap; None where there are no tokens."""
        return self.tokens / latency_us * 1e6 if self.tokens and latency_us > 0 else None


def imported(result: Result) -> bool:
    """Whether it is a recorded trace: one that says when tasks ran, but not why then."""
    return result.timeline.engine == "imported"
