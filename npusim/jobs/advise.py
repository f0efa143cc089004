"""Advice about one model on one machine, with the command for every change."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import TYPE_CHECKING, Any

from npusim import __version__
from npusim.analysis.footprint import footprint
from npusim.arguments import checked
from npusim.explore.advise import Advice, Advised, advise
from npusim.jobs.commands import command_line
from npusim.jobs.machine import Machine
from npusim.jobs.saved import save_document
from npusim.jobs.shown import Shown
from npusim.report.subject import AdviceRow, Subject
from npusim.source import ModelSource

if TYPE_CHECKING:
    import pandas as pd

#: Name and version of the document; the number grows when a key changes its meaning or goes.
SCHEMA = "npusim.advise/1"


@dataclass(frozen=True, repr=False)
class AdviceFor(Shown):
    """What was advised, what about, and how long that took."""

    advised: Advised
    subject: Subject
    source: ModelSource
    machine: Machine
    wall_s: float

    def headline(self) -> str:
        """What holds the model back, and the best change."""
        best = next(iter(self.advised.advice), None)
        gain = f"{best.what}: {best.gain:.2f} ×" if best else "no change gains a per cent"
        return f"{self.subject.title} on {self.machine.hardware.name}: {self.advised.bottleneck}; {gain}"

    def to_frame(self) -> pd.DataFrame:
        """A row a change, the most helpful first."""
        import pandas as pd

        return pd.DataFrame(
            [asdict(row) for row in rows_of(self)], columns=[f.name for f in fields(AdviceRow)]
        )

    @checked
    def save(self, path: str | Path) -> Path:
        """Write the document to ``path``, for `npusim.load`."""
        return save_document(self.document(), path)

    def command(self, advice: Advice) -> str:
        """The `npusim run` that has the change; nothing where the model has to be made anew."""
        if not advice.options or self.source.model is not None or not self.machine.named:
            return ""
        changed = dict(advice.options)
        asked = [(option, changed.pop(option, value)) for option, value in self.source.options()]
        overrides = [*self.machine.overrides, *([changed.pop("--set")] if "--set" in changed else [])]
        return command_line(
            "run", [("--hw", self.machine.file), *asked, ("--set", overrides), *changed.items()]
        )

    def document(self) -> dict[str, Any]:
        """The same for programs."""
        return {
            "schema": SCHEMA,
            "npusim": __version__,
            "hardware": self.machine.hardware.name,
            "workload": self.subject.workload,
            "latency_us": round(self.advised.result.latency_us, 6),
            "bottleneck": self.advised.bottleneck,
            "provenance": {k: round(v, 9) for k, v in self.advised.result.metrics.provenance_share.items()},
            "advice": [
                {
                    **asdict(one),
                    "gain": round(one.gain, 6),
                    "before_us": round(one.before_us, 6),
                    "after_us": round(one.after_us, 6),
                    "options": dict(one.options),
                    "command": self.command(one),
                }
                for one in self.advised.advice
            ],
            "wall_s": round(self.wall_s, 3),
        }


def advise_model(
    source: ModelSource,
    machine: Machine,
    *,
    allow_guess: bool = False,
    step: Callable[[str], None] = lambda text: None,
) -> AdviceFor:
    """Advise on ``source`` as it runs on ``machine``. Raises UserError where it cannot be simulated as it stands."""
    began = time.perf_counter()
    advised = advise(source, machine.hardware, allow_guess=allow_guess, step=step)
    subject = Subject(
        workload=source.name,
        hardware_file=machine.file,
        overrides=machine.overrides,
        tokens=source.tokens_per_inference,
        model=footprint(advised.graph, advised.result.program),
    )
    return AdviceFor(advised, subject, source, machine, time.perf_counter() - began)


def rows_of(found: AdviceFor) -> tuple[AdviceRow, ...]:
    """The advice as a report shows it."""
    advice = found.advised.advice
    return tuple(
        AdviceRow(a.what, a.gain, a.measure, a.before_us, a.after_us, a.how, found.command(a), a.rests_on)
        for a in advice
    )
