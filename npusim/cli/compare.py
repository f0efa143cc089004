"""``npusim compare``: a model on several machines, after several rewrites, or beside other models."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Annotated

import typer

from npusim.cli.folders import asked_of_hardware, asked_of_model, default_folder, free_folder, point_latest
from npusim.cli.machines import machine_with_warnings
from npusim.cli.options import (
    GuessOption,
    MarkdownOption,
    ModelOptions,
    NoReportOption,
    SetOption,
    hardware_files,
    workload_names,
)
from npusim.cli.progress import progress
from npusim.cli.terminal import print_json_text
from npusim.errors import UserError
from npusim.jobs.commands import command_line
from npusim.source import NONE, ModelSource
from npusim.text import told_apart


def compare_command(
    hw: Annotated[
        list[str],
        typer.Option(
            "--hw",
            metavar="FILE",
            help="Hardware file, yours or a shipped one; may be repeated.",
            autocompletion=hardware_files,
        ),
    ],
    asked: ModelOptions,
    beside: Annotated[
        list[str] | None,
        typer.Option(
            "--beside",
            metavar="MODEL",
            help="Another model in the same comparison, a workload's name or a file; may be repeated.",
            autocompletion=workload_names,
        ),
    ] = None,
    xamba: Annotated[
        list[str] | None,
        typer.Option(
            metavar="RULES",
            help="Rewrites: none, rules such as cumba,reduba, or auto; may be repeated.  [default: none]",
        ),
    ] = None,
    overrides: SetOption = None,
    allow_guess: GuessOption = False,
    out: Annotated[
        Path | None,
        typer.Option(metavar="DIR", help="Report folder.  [default: npusim-out/compare-<what was asked>]"),
    ] = None,
    no_report: NoReportOption = False,
    as_json: Annotated[
        bool, typer.Option("--json", help="Print compare.json instead of the tables.")
    ] = False,
    markdown: MarkdownOption = False,
) -> None:
    """Simulate a model on several NPUs, after several rewrites, or beside other models; the first is the baseline."""
    began = time.perf_counter()
    source = asked.source()
    sources = [source, *(_beside(source, other) for other in beside or ())]
    runs = _runs(sources, hw, xamba or [NONE])
    labels = told_apart([(_short(run.source), run.file, run.passes) for run in runs])
    with progress() as step:
        step("reading the hardware")
        from npusim import api
        from npusim.analysis.compare import Case, compare
        from npusim.explore.rewrites import graph_for
        from npusim.report.compare_document import compare_document, write_comparison
        from npusim.report.subject import Subject

        machines = {file: machine_with_warnings(file, overrides).hardware for file in hw}
        results = []
        for number, (run, label) in enumerate(zip(runs, labels, strict=True), 1):
            step(f"{number} of {len(runs)}: {label}")
            machine = machines[run.file]
            program = api.lower(graph_for(run.source, run.passes, machine), machine)
            results.append(api.simulate(program, machine, engine="fast", allow_guess=allow_guess))
        cases = (Case(label, r.program.ops, r.metrics) for label, r in zip(labels, results, strict=True))
        comparison = compare(list(cases))
        command = command_line(
            "compare",
            [
                *(("--hw", file) for file in hw), *source.options(), ("--beside", beside), ("--xamba", xamba),
                ("--set", overrides), ("--allow-guess", allow_guess),
            ],
        )  # fmt: skip
        subjects = [
            Subject(
                workload=run.source.name,
                hardware_file=run.file,
                overrides=tuple(overrides or ()),
                phase=run.source.phase if run.source.file is None else "",
                tokens=run.source.tokens_per_inference,
                command=command,
            )
            for run in runs
        ]
        title = " and ".join(dict.fromkeys(subject.title for subject in subjects))
        named = " and ".join(dict.fromkeys(machine.name for machine in machines.values()))
        document = compare_document(
            comparison, results, subjects, [run.passes for run in runs], time.perf_counter() - began
        )
        folder = out
        if out is None and not no_report:
            asked_parts = (
                *asked_of_model(source),
                *(beside or ()),
                *hw,
                *asked_of_hardware(overrides or ()),
                *(xamba or ()),
            )
            plain = default_folder("compare", source.name, *asked_parts)
            folder = free_folder(plain, "compare.json", document)
        if folder is not None:
            step("writing the report")
            page = None
            if not no_report:
                from npusim.report.compare_page import compare_page

                page = compare_page(comparison, results, title, f"{named} · {' · '.join(labels)}", command)
            write_comparison(folder, document, page)
            point_latest(folder)
    if as_json:
        from npusim.report.document import document_text

        print_json_text(document_text(document))
    elif markdown:
        from npusim.report.markdown import comparison_markdown

        print(comparison_markdown(f"{title} on {named}", document), end="")
    else:
        from npusim.cli.compare_tables import print_comparison

        print_comparison(comparison, title, named, folder)


@dataclass(frozen=True, slots=True)
class _Run:
    """A model on a hardware file after some rewrites."""

    source: ModelSource
    file: str
    passes: str


def _beside(source: ModelSource, other: str) -> ModelSource:
    """Another model, asked about as the first one is where both are workloads."""
    from npusim.jobs.model import source_of

    found = source_of(other)
    return found if found.file is not None or source.file is not None else replace(source, workload=other)


def _runs(sources: Sequence[ModelSource], hw: Sequence[str], xamba: Sequence[str]) -> list[_Run]:
    """Every model on every hardware file with every pipeline. Raises UserError for one run, and for equal ones."""
    given = {"--beside": [source.name for source in sources], "--hw": hw, "--xamba": xamba}
    for option, values in given.items():
        twice = next((value for value in values if list(values).count(value) > 1), None)
        if twice is not None:
            raise UserError(f"{option} {twice} is given twice: leave one out")
    runs = [_Run(source, file, passes) for source in sources for file in hw for passes in xamba]
    if len(runs) == 1:
        raise UserError(
            "there is nothing to compare with: give a second --hw or --xamba (such as --xamba none), or --beside "
            "another model"
        )
    return runs


def _short(source: ModelSource) -> str:
    return source.name if source.file is None else source.file.stem
