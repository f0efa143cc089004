"""``npusim trace``: look at schedules and profiles that were made elsewhere."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Annotated

import typer

from npusim.cli.perfetto import open_trace
from npusim.cli.progress import progress
from npusim.cli.terminal import print_json_text
from npusim.jobs.commands import command_line

trace_app = typer.Typer(help="Read schedules and profiles in Chrome's trace format.", rich_markup_mode=None)


@trace_app.callback()
def trace_root() -> None:
    """Read schedules and profiles in Chrome's trace format."""


@trace_app.command("show")
def show(
    file: Annotated[
        Path, typer.Argument(metavar="FILE", help="A .json or .json.gz in the vendor's dialect.")
    ],
    hw: Annotated[
        str | None,
        typer.Option("--hw", metavar="FILE", help="The hardware it is from.  [default: by its clock]"),
    ] = None,
    out: Annotated[
        Path | None, typer.Option(metavar="DIR", help="Write a report folder, as run does.")
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print run.json instead of the summary.")] = False,
) -> None:
    """Say where the time of a schedule goes: Intel's, npusim's own trace.json, or a profile of a real run."""
    began = time.perf_counter()
    with progress() as step:
        step("reading the trace")
        from npusim.files import MOST_TRACE_BYTES, read_bytes
        from npusim.report.document import document_text, run_document
        from npusim.report.subject import Subject
        from npusim.validation.traces.file import read_trace
        from npusim.validation.traces.schedule import import_trace, machine_of

        trace = read_trace(read_bytes(file, MOST_TRACE_BYTES), str(file))
        machine = machine_of(trace, hw)
        clock = f"its DPU clock of {trace.dpu_mhz:g} MHz" if trace.dpu_mhz else "default"
        note = f"the trace does not name its NPU: {machine.file} is assumed by {clock}; --hw chooses another"
        step("analysing")
        result = import_trace(trace, machine.hardware, [note] if machine.file and not hw else [])
        subject = Subject(
            workload=trace.name,
            hardware_file=machine.file or str(file),
            overrides=machine.overrides,
            command=command_line("trace", [("show", file), ("--hw", hw)]),
        )
        if out is not None:
            step("writing the report")
            from npusim.report import write_report

            write_report(result, out, subject, wall_s=time.perf_counter() - began)
    wall_s = time.perf_counter() - began
    if as_json:
        print_json_text(document_text(run_document(result, subject, wall_s)))
    else:
        from npusim.cli.summary import print_summary

        print_summary(result, subject, out, wall_s)


trace_app.command("open")(open_trace)
