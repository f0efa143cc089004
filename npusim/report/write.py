"""The report folder of one run."""

from __future__ import annotations

import gzip
from collections.abc import Iterable
from pathlib import Path

from npusim.api import Result
from npusim.arguments import checked
from npusim.files import all_or_nothing
from npusim.program.journal import Entry
from npusim.report.benchmark_app import benchmark_report
from npusim.report.document import document_text, run_document
from npusim.report.subject import Subject
from npusim.report.tables import ops_csv
from npusim.report.trace import trace_text

#: Characters of a trace that any editor opens; a longer one is packed.
_MOST_PLAIN = 32 << 20


def write_page(folder: Path, page: str) -> Path:
    """Write ``page`` to report.html in ``folder``, and return its path. Raises UserError where it cannot be written."""
    with all_or_nothing(folder) as workshop:
        (workshop / "report.html").write_text(page, encoding="utf-8", newline="\n")
    return folder / "report.html"


@checked
def write_report(
    result: Result,
    folder: str | Path,
    subject: Subject | None = None,
    *,
    html: bool = True,
    wall_s: float = 0.0,
    entries: Iterable[Entry] = (),
) -> Path:
    """Write report.html, run.json, ops.csv and trace.json of ``result`` to ``folder``, all or none, and return it.

    A trace of many tasks is gzipped, as trace.json.gz, which Perfetto and npusim read as well. Under a hint there is
    benchmark_report.json, too.

    ``subject`` says what was run, for people; ``entries`` are the journal of the lowering (`api.lower_explained`),
    which the page shows op by op; ``html=False`` leaves the page out. Raises UserError where the folder cannot be
    written.
    """
    folder = Path(folder)
    subject = subject or Subject.of(result)
    with all_or_nothing(folder) as workshop:
        files = {
            "run.json": document_text(run_document(result, subject, wall_s)),
            "ops.csv": ops_csv(result),
            "trace.json": trace_text(result),
        }
        if subject.seen is not None:
            files["benchmark_report.json"] = benchmark_report(result, subject)
        if html:
            from npusim.report.run_page import run_page

            files["report.html"] = run_page(result, subject, entries=entries)
        packed = len(files["trace.json"]) > _MOST_PLAIN
        if packed:
            text = files.pop("trace.json")
            (workshop / "trace.json.gz").write_bytes(gzip.compress(text.encode(), compresslevel=6, mtime=0))
        for name, text in files.items():
            (workshop / name).write_text(text, encoding="utf-8", newline="\n")
    (folder / ("trace.json" if packed else "trace.json.gz")).unlink(missing_ok=True)  # of an earlier run
    return folder
