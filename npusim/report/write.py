"""The report folder of one run."""

from __future__ import annotations

from pathlib import Path

from npusim.api import Result
from npusim.files import all_or_nothing
from npusim.report.document import document_text, run_document
from npusim.report.subject import Subject
from npusim.report.tables import ops_csv
from npusim.report.trace import trace_text


def write_page(folder: Path, page: str) -> Path:
    """Write ``page`` to report.html in ``folder``, and return its path. Raises UserError where it cannot be written."""
    with all_or_nothing(folder) as workshop:
        (workshop / "report.html").write_text(page, encoding="utf-8", newline="\n")
    return folder / "report.html"


def write_report(
    result: Result,
    folder: str | Path,
    subject: Subject | None = None,
    *,
    html: bool = True,
    wall_s: float = 0.0,
) -> Path:
    """Write report.html, run.json, ops.csv and trace.json of ``result`` to ``folder``, all or none, and return it.

    ``subject`` says what was run, for people; ``html=False`` leaves the page out. Raises UserError where the folder
    cannot be written.
    """
    folder = Path(folder)
    subject = subject or Subject.of(result)
    with all_or_nothing(folder) as workshop:
        files = {
            "run.json": document_text(run_document(result, subject, wall_s)),
            "ops.csv": ops_csv(result),
            "trace.json": trace_text(result),
        }
        if html:
            from npusim.report.run_page import run_page

            files["report.html"] = run_page(result, subject)
        for name, text in files.items():
            (workshop / name).write_text(text, encoding="utf-8", newline="\n")
    return folder
