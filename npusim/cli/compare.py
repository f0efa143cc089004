"""``npusim compare``: one model on several machines or after several rewrites, side by side."""

from __future__ import annotations

import time
from collections.abc import Sequence
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
)
from npusim.cli.progress import progress
from npusim.cli.terminal import print_json_text
from npusim.errors import UserError
from npusim.jobs.commands import command_line
from npusim.source import NONE


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
    """Simulate a model on several NPUs, or after several rewrites, side by side; the first is the baseline."""
    began = time.perf_counter()
    source = asked.source()
    pairs = _pairs(hw, xamba or [NONE])
    labels = _labels(pairs)
    with progress() as step:
        step("reading the hardware")
        from npusim import api
        from npusim.analysis.compare import Case, compare
        from npusim.explore.rewrites import graph_for
        from npusim.report.compare_document import compare_document, write_comparison
        from npusim.report.subject import Subject

        machines = {file: machine_with_warnings(file, overrides).hardware for file in hw}
        results = []
        for number, ((file, passes), label) in enumerate(zip(pairs, labels, strict=True), 1):
            step(f"{number} of {len(pairs)}: {label}")
            machine = machines[file]
            program = api.lower(graph_for(source, passes, machine), machine)
            results.append(api.simulate(program, machine, engine="fast", allow_guess=allow_guess))
        cases = (Case(label, r.program.ops, r.metrics) for label, r in zip(labels, results, strict=True))
        comparison = compare(list(cases))
        command = command_line(
            "compare",
            [
                *(("--hw", file) for file in hw), *source.options(), ("--xamba", xamba), ("--set", overrides),
                ("--allow-guess", allow_guess),
            ],
        )  # fmt: skip
        subjects = [
            Subject(
                workload=source.name,
                hardware_file=file,
                overrides=tuple(overrides or ()),
                phase=source.phase if source.file is None else "",
                tokens=source.tokens_per_inference,
                command=command,
            )
            for file, _ in pairs
        ]
        named = " and ".join(dict.fromkeys(machine.name for machine in machines.values()))
        document = compare_document(
            comparison, results, subjects, [passes for _, passes in pairs], time.perf_counter() - began
        )
        folder = out
        if out is None and not no_report:
            asked_parts = (*asked_of_model(source), *hw, *asked_of_hardware(overrides or ()), *(xamba or ()))
            plain = default_folder("compare", source.name, *asked_parts)
            folder = free_folder(plain, "compare.json", document)
        if folder is not None:
            step("writing the report")
            page = None
            if not no_report:
                from npusim.report.compare_page import compare_page

                page = compare_page(
                    comparison, results, subjects[0].title, f"{named} · {' · '.join(labels)}", command
                )
            write_comparison(folder, document, page)
            point_latest(folder)
    if as_json:
        from npusim.report.document import document_text

        print_json_text(document_text(document))
    elif markdown:
        from npusim.report.markdown import comparison_markdown

        print(comparison_markdown(f"{subjects[0].title} on {named}", document), end="")
    else:
        from npusim.cli.compare_tables import print_comparison

        print_comparison(comparison, subjects[0].title, named, folder)


def _pairs(hw: Sequence[str], xamba: Sequence[str]) -> list[tuple[str, str]]:
    """Every hardware file with every pipeline. Raises UserError for one alone and for two that are the same."""
    for option, values in (("--hw", hw), ("--xamba", xamba)):
        twice = next((value for value in values if values.count(value) > 1), None)
        if twice is not None:
            raise UserError(f"{option} {twice} is given twice: leave one out")
    pairs = [(file, passes) for file in hw for passes in xamba]
    if len(pairs) == 1:
        raise UserError(
            "there is nothing to compare with: give a second --hw or --xamba (such as --xamba none)"
        )
    return pairs


def _labels(pairs: Sequence[tuple[str, str]]) -> list[str]:
    """What tells the runs apart."""
    files, pipelines = ({pair[i] for pair in pairs} for i in (0, 1))
    if len(files) == 1:
        return [passes for _, passes in pairs]
    return [file if len(pipelines) == 1 else f"{file} {passes}" for file, passes in pairs]
