"""Results of jobs over several simulations, as Python and notebooks have them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from npusim.analysis.compare import Comparison
from npusim.analysis.sensitivity import Sensitivity
from npusim.api import Result
from npusim.arguments import checked
from npusim.errors import UserError
from npusim.explore.results import Explored
from npusim.files.models import save_model
from npusim.jobs.saved import save_document
from npusim.jobs.shown import Shown
from npusim.report.compare_document import compare_document, write_comparison
from npusim.report.notebook import plotly_figure
from npusim.report.subject import Subject
from npusim.report.units import time_text
from npusim.text import did_you_mean

if TYPE_CHECKING:
    import openvino as ov
    import pandas as pd
    import plotly.graph_objects as go

    from npusim.validation.schedules.predict import Prediction
    from npusim.xamba import Site
    from npusim.xamba.check import Difference


@dataclass(frozen=True, repr=False)
class Compared(Shown):
    """Several simulations of one model; ``passes`` are the rewrites of each."""

    comparison: Comparison
    results: tuple[Result, ...]
    subjects: tuple[Subject, ...]
    passes: tuple[str, ...]
    wall_s: float

    def headline(self) -> str:
        """The fastest, and the baseline; where that is the fastest, the one that comes next."""
        best, base = self.comparison.best, self.comparison.baseline
        other = base if best is not base else min(self.comparison.runs[1:], key=lambda run: run.latency_us)
        times = other.latency_us / best.latency_us
        return f"{self.subjects[0].title}: {best.label} is {times:.2f} × as fast as {other.label}"

    def to_frame(self) -> pd.DataFrame:
        """A row a run."""
        import pandas as pd

        return pd.DataFrame([
            {
                "run": run.label, "latency_us": run.latency_us, "speedup": run.speedup,
                **{name: run.metrics.statistics[f"{name}_us"] for name in ("dma", "dpu", "shave")},
                "ddr_bytes": sum(run.metrics.ddr_bytes.values()), "energy_uj": run.metrics.energy_uj,
            }
            for run in self.comparison.runs
        ])  # fmt: skip

    def changes(self) -> pd.DataFrame:
        """A row an op that runs otherwise or as long no more, of every run but the baseline, the largest difference
        first."""
        import pandas as pd

        return pd.DataFrame([
            {"run": run.label, "op": one.name, "count": one.count, "kind": one.kind, "delta_us": one.delta_us}
            for run in self.comparison.runs[1:] for one in run.changes if one.differs or one.kind != "same"
        ])  # fmt: skip

    def figure(self) -> go.Figure:
        """A bar a run: its latency by what it goes to."""
        from npusim.report.compare_page import stacks_figure

        return plotly_figure(stacks_figure(self.comparison.runs))

    def document(self) -> dict[str, Any]:
        """compare.json."""
        return compare_document(self.comparison, self.results, self.subjects, self.passes, self.wall_s)

    @checked
    def report(self, folder: str | Path) -> Path:
        """Write report.html and compare.json to ``folder``; the page's path."""
        from npusim.report.compare_page import compare_page

        names = " and ".join(dict.fromkeys(result.hardware.name for result in self.results))
        page = compare_page(self.comparison, self.results, self.subjects[0].title, names)
        return write_comparison(Path(folder), self.document(), page) / "report.html"

    @checked
    def save(self, path: str | Path) -> Path:
        """Write compare.json to ``path``, for `npusim.load`."""
        return save_document(self.document(), path)


@dataclass(frozen=True, repr=False)
class Space(Shown):
    """Points of a design space with their results: of a sweep or a search."""

    explored: Explored
    title: str

    def headline(self) -> str:
        """How many points, and the fastest; or why there is none."""
        table = self.explored.table
        if self.explored.failed == len(table):
            return f"{self.title}: none of {len(table):,} points can be: {table['error'].iloc[0]}"
        fastest = time_text(float(table["latency_us"].min()))
        return f"{self.title}: {len(table):,} points, {int(self.explored.front.sum())} on the front, fastest {fastest}"

    def to_frame(self) -> pd.DataFrame:
        """A row a point, with ``front`` and ``knee``."""
        knee = [position == self.explored.knee for position in range(len(self.explored.table))]
        return self.explored.table.assign(front=self.explored.front, knee=knee)

    @checked
    def figure(self, x: str = "energy_uj", y: str = "latency_us") -> go.Figure:
        """Two columns of the table against each other; points of the front stand out."""
        table = self.to_frame()
        for name in (x, y):
            if name not in table:
                raise UserError(f"there is no column '{name}'{did_you_mean(name, map(str, table))}")
        parts = (("all points", table, "var:idle"), ("Pareto front", table[table["front"]], "var:dma"))
        data = [
            {"type": "scatter", "mode": "markers", "name": name, "x": part[x].tolist(), "y": part[y].tolist(),
             "marker": {"color": colour}}
            for name, part, colour in parts
        ]  # fmt: skip
        layout = {"xaxis": {"title": {"text": x}}, "yaxis": {"title": {"text": y}}}
        return plotly_figure({"data": data, "layout": layout})

    @checked
    def report(self, folder: str | Path) -> Path:
        """Write report.html to ``folder``; its path."""
        from npusim.report.explore_page import explore_page
        from npusim.report.write import write_page

        return write_page(Path(folder), explore_page(self.explored, self.title, ""))


@dataclass(frozen=True, repr=False)
class Sensitivities(Shown):
    """What a per cent of each number of the hardware is worth, the largest first."""

    rows: tuple[Sensitivity, ...]
    title: str

    def headline(self) -> str:
        """The number that matters most."""
        if not self.rows:
            return f"{self.title}: no number matters"
        first = self.rows[0]
        return f"{self.title}: 1 % more {first.path} changes the latency by {first.us_per_percent:+.3g} µs"

    def to_frame(self) -> pd.DataFrame:
        """A row a number."""
        import pandas as pd

        return pd.DataFrame([asdict(row) for row in self.rows])

    def figure(self) -> go.Figure:
        """A bar a number."""
        from npusim.report.sensitivity_page import tornado

        return plotly_figure(tornado(self.rows))

    @checked
    def report(self, folder: str | Path) -> Path:
        """Write report.html to ``folder``; its path."""
        from npusim.report.sensitivity_page import sensitivity_page
        from npusim.report.write import write_page

        return write_page(Path(folder), sensitivity_page(self.rows, self.title, ""))


@dataclass(frozen=True, repr=False)
class Rewritten(Shown):
    """A rewritten openvino.Model, and what became of every site that a rule looked at."""

    model: ov.Model
    sites: tuple[Site, ...]

    def headline(self) -> str:
        """How many sites were rewritten."""
        return f"{sum(site.taken for site in self.sites)} of {len(self.sites)} sites rewritten"

    def to_frame(self) -> pd.DataFrame:
        """A row a site."""
        import pandas as pd

        return pd.DataFrame([asdict(site) for site in self.sites])

    @checked
    def save(self, path: str | Path) -> Path:
        """Write the model as an OpenVINO IR: ``path`` ends in .xml, and the weights go beside it."""
        save_model(self.model, Path(path))
        return Path(path)


@dataclass(frozen=True, repr=False)
class Verified(Shown):
    """How far two models' outputs are apart, the worst over all cases."""

    differences: tuple[Difference, ...]
    tolerance: float

    @property
    def agree(self) -> bool:
        """Whether every output is within the tolerance."""
        return all(one.relative <= self.tolerance for one in self.differences)

    def headline(self) -> str:
        """Whether they agree, and the worst error."""
        worst = max((one.relative for one in self.differences), default=0.0)
        return f"{'agree' if self.agree else 'differ'}: relative error {worst:.2g}, {self.tolerance:g} is allowed"

    def to_frame(self) -> pd.DataFrame:
        """A row an output."""
        import pandas as pd

        return pd.DataFrame([asdict(one) for one in self.differences])


@dataclass(frozen=True, repr=False)
class Validated(Shown):
    """Predictions of reference schedules."""

    predictions: Sequence[Prediction]

    def headline(self) -> str:
        """How many rows, and the median error of the latency."""
        error = self.to_frame()["error"].abs().median()
        return f"{len(self.predictions):,} schedules, median error of the latency {error:.1%}"

    def to_frame(self) -> pd.DataFrame:
        """A row a schedule: truth, prediction and relative error of the latency."""
        import pandas as pd

        rows = [
            {
                "set": one.row.set, "model": one.row.model, "family": one.row.family, "platform": one.row.platform,
                "tiles": one.row.tiles, "vendor_us": one.row.truth.get("total_us"),
                "predicted_us": one.statistics.get("total_us"), "failure": one.error,
            }
            for one in self.predictions
        ]  # fmt: skip
        frame = pd.DataFrame(rows)
        return frame.assign(error=frame["predicted_us"] / frame["vendor_us"] - 1)
