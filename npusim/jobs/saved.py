"""Results as JSON documents: kept in a file, and read again."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, NoReturn

from npusim.arguments import checked
from npusim.errors import UserError
from npusim.files import new_file, parse_json, read_bytes
from npusim.jobs.shown import Shown
from npusim.report.document import document_text

if TYPE_CHECKING:
    import pandas as pd

#: The list of a document that is its table, by the document's schema.
_TABLES = {
    "npusim.run": "ops",
    "npusim.compare": "runs",
    "npusim.advise": "advice",
    "npusim.scenario": "rows",
}


def save_document(document: dict[str, Any], path: str | Path) -> Path:
    """Write a document to ``path``. Raises UserError where it cannot be written."""
    path = Path(path)
    with new_file(path) as write:
        write(document_text(document))
    return path


class NotKept(UserError, AttributeError):
    """What a result has before it is saved, and not when it is loaded."""


@dataclass(frozen=True, repr=False)
class Saved(Shown):
    """A result that was saved: its ``document``, as docs/outputs.md describes it, and what can be told from that.
    Tasks and timeline are not kept, and so no figures and no report."""

    document: dict[str, Any]

    @property
    def latency_us(self) -> float:
        """Latency of the run, or of the baseline; of a mix the expected one."""
        first = (self.document.get("runs") or [{}])[0].get("latency_us")
        known = self.document.get("latency_us", self.document.get("expected_us", first))
        return float(known if known is not None else "nan")

    def __getattr__(self, name: str) -> NoReturn:
        """Say of what is not there where it is."""
        if name.startswith("_"):
            raise AttributeError(name)
        raise NotKept(
            f"a saved result has no {name}: it has document, latency_us and to_frame(); for the rest do the job again, "
            "or open the report.html that report(folder) wrote"
        )

    def headline(self) -> str:
        """Schema, workload and latency."""
        what = self.document.get("workload", self.document.get("scenario"))
        return f"{self.document['schema']} of {what}: {self.latency_us:,.1f} µs"

    def to_frame(self) -> pd.DataFrame:
        """The ops of a run, the runs of a comparison, the changes of advice, the rows of a scenario."""
        import pandas as pd

        return pd.DataFrame(self.document[_TABLES[self.document["schema"].partition("/")[0]]])


@checked
def load(path: str | Path) -> Saved:
    """A document that was saved, or the folder of a report. Raises UserError for anything else."""
    path = Path(path)
    if path.is_dir():
        names = ("run.json", "compare.json", "scenario.json")
        path = next((path / name for name in names if (path / name).exists()), path / names[0])
    document = parse_json(read_bytes(path), str(path), "a document of npusim")
    schema = document.get("schema", "") if isinstance(document, dict) else ""
    kind = str(schema).partition("/")[0]
    if kind not in _TABLES:
        raise UserError(f"{path}: is no document of npusim: it has no schema such as npusim.run/1")
    rows = document.get(_TABLES[kind])
    if not isinstance(rows, list) or not all(isinstance(row, dict) for row in rows):
        raise UserError(f"{path}: is no whole document of npusim: '{_TABLES[kind]}' is not a list of rows")
    saved = Saved(document)
    try:
        _ = saved.latency_us
    except (TypeError, ValueError):
        raise UserError(f"{path}: is no whole document of npusim: its latency is no number") from None
    return saved
