"""What a report is about, apart from the numbers: enough to run it again."""

from __future__ import annotations

from dataclasses import dataclass

from npusim.api import Result


@dataclass(frozen=True, slots=True)
class Subject:
    """The run behind a Result, for people.

    ``tokens`` is how many tokens one inference takes in or makes (all sequences of the batch together), None for a
    model that has none; ``command`` is the shell command that gives the same result.
    """

    workload: str
    hardware_file: str = ""
    overrides: tuple[str, ...] = ()
    phase: str = ""
    tokens: int | None = None
    command: str = ""

    @classmethod
    def of(cls, result: Result) -> Subject:
        """What can be said of a Result alone."""
        return cls(workload=result.program.name)

    def tokens_per_s(self, latency_us: float) -> float | None:
        """Tokens a second if inferences follow one another without a gap; None where there are no tokens."""
        return self.tokens / latency_us * 1e6 if self.tokens and latency_us > 0 else None


def imported(result: Result) -> bool:
    """Whether it is a recorded trace: one that says when tasks ran, but not why then."""
    return result.timeline.engine == "imported"
