"""Scenarios as a job: several programs as one answer, with its page, table and document."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from npusim.arguments import checked
from npusim.files import all_or_nothing
from npusim.jobs.saved import save_document
from npusim.jobs.shown import Shown
from npusim.report.notebook import plotly_figure
from npusim.report.scenario_page import pictures, scenario_page
from npusim.scenarios.answer import Answer, answer, document, headline, summary, table
from npusim.scenarios.read import read_scenario, scenario_of
from npusim.scenarios.spec import ScenarioSpec

if TYPE_CHECKING:
    import pandas as pd
    import plotly.graph_objects as go


@dataclass(frozen=True, repr=False)
class ScenarioAnswer(Shown):
    """A scenario answered; ``command`` gives the same again, where there is a file."""

    answer: Answer
    command: str = ""

    def headline(self) -> str:
        """What came of it."""
        return f"{self.answer.spec.name}: {headline(self.answer)}"

    def facts(self) -> list[tuple[str, str]]:
        """Machine and operator."""
        return [("on", self.answer.hardware), ("operator", self.answer.operator)]

    def to_frame(self) -> pd.DataFrame:
        """A row a part of the mix, a cut at a number of bits, a program, an arrival rate, or a limit."""
        import pandas as pd

        return pd.DataFrame(table(self.answer))

    def figures_of(self) -> dict[str, float]:
        """Single numbers of the whole answer: expected time and quantiles of a mix, rates of programs together."""
        return {key: value for key, value in summary(self.answer).items() if isinstance(value, int | float)}

    def figure(self) -> go.Figure:
        """The picture that answers the question."""
        return plotly_figure(pictures(self.answer)[0])

    def document(self) -> dict[str, Any]:
        """scenario.json."""
        return document(self.answer)

    @checked
    def report(self, folder: str | Path) -> Path:
        """Write report.html, scenario.json and scenario.csv to ``folder``; the page's path."""
        folder = Path(folder)
        files = {
            "report.html": scenario_page(self.answer, self.command),
            "scenario.json": json.dumps(self.document(), indent=2, ensure_ascii=False) + "\n",
            "scenario.csv": self.to_frame().to_csv(index=False),
        }
        with all_or_nothing(folder) as workshop:
            for name, text in files.items():
                (workshop / name).write_text(text, encoding="utf-8", newline="\n")
        return folder / "report.html"

    @checked
    def save(self, path: str | Path) -> Path:
        """Write scenario.json to ``path``, for `npusim.load`."""
        return save_document(self.document(), path)


@checked
def scenario(asked: str | Path | Mapping[str, Any], *, command: str = "") -> ScenarioAnswer:
    """The answer of a scenario: a file, or a dictionary that says what a file would (models are then looked for in the
    current folder). Raises UserError."""
    if isinstance(asked, Mapping):
        spec, folder = scenario_of(asked), Path()
    else:
        spec, folder = read_scenario(Path(asked)), Path(asked).parent
    return answered(spec, folder, command)


def answered(spec: ScenarioSpec, folder: Path, command: str) -> ScenarioAnswer:
    """A scenario that has been read, answered."""
    return ScenarioAnswer(answer(spec, folder), command)
