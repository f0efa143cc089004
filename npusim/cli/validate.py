"""``npusim validate``: score npusim against reference schedules, or look at one case op by op."""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from npusim.cli.options import JsonOption, refuse_together
from npusim.cli.progress import progress
from npusim.cli.terminal import print_json
from npusim.jobs.commands import command_line
from npusim.limits import MOST_WORKERS

if TYPE_CHECKING:
    from npusim.validation.schedules.references import Reference, Row
    from npusim.validation.silicon.llm import Heard


def validate_command(
    against: Annotated[
        str,
        typer.Option(
            metavar="WHAT",
            help="vendor (schedules of Intel's compiler), silicon (published measurements), llm (those of language "
            "models alone), or a file of npusim measure, a benchmark_report or a table of measurements.",
        ),
    ] = "vendor",
    hw: Annotated[
        list[str] | None,
        typer.Option(metavar="FILE", help="With measurements: this file in place of its platform's; repeat."),
    ] = None,
    index: Annotated[
        Path | None,
        typer.Option(metavar="INDEX.csv", help="Another reference index.  [default: the packaged sets]"),
    ] = None,
    sets: Annotated[
        list[str] | None,
        typer.Option(
            "--set", metavar="NAME", help="Only this packaged set, by families; repeat.  [default: all]"
        ),
    ] = None,
    predictions: Annotated[
        Path | None, typer.Option(metavar="OUT.csv", help="Write every row's predicted statistics here.")
    ] = None,
    family: Annotated[str | None, typer.Option(metavar="NAME", help="Only the rows of this family.")] = None,
    platform: Annotated[
        str | None, typer.Option(metavar="NUMBER", help="Only the rows of this platform.")
    ] = None,
    tiles: Annotated[int | None, typer.Option(min=1, help="Only the rows with so many tiles.")] = None,
    case: Annotated[
        str | None, typer.Option(metavar="NAME", help="Show one case op by op beside the vendor's schedule.")
    ] = None,
    markdown: Annotated[
        Path | None, typer.Option(metavar="FILE.md", help="Write the scores as a page of the documentation.")
    ] = None,
    residuals: Annotated[
        Path | None,
        typer.Option(
            metavar="FILE.csv",
            help="With silicon: write how far every row is off, which error bars are read off.",
        ),
    ] = None,
    out: Annotated[
        Path | None,
        typer.Option(metavar="DIR", help="Write report.html, the scores as pictures, to this folder."),
    ] = None,
    workers: Annotated[
        int | None, typer.Option(min=1, max=MOST_WORKERS, help="Processes.  [default: one a processor]")
    ] = None,
    as_json: JsonOption = False,
) -> None:
    """Predict reference schedules, or what was measured, and say how far off npusim is."""
    if against != "vendor":
        refuse_together(
            f"--against {against}",
            {"--index": index, "--set": sets, "--predictions": predictions, "--family": family, "--tiles": tiles,
             "--case": case},
        )  # fmt: skip
        if against == "llm":
            refuse_together(
                "--against llm",
                {
                    "--hw": hw,
                    "--markdown": markdown,
                    "--residuals": residuals,
                    "--out": out,
                    "--workers": workers,
                },
            )
            _against_spoken(platform, workers, as_json)
            return
        if residuals is not None:
            other = against if against != "silicon" else None
            refuse_together(
                "--residuals", {f"--against {against}": other, "--hw": hw, "--platform": platform}
            )
        _against_measured(against, hw or [], platform, markdown, residuals, out, workers, as_json)
        return
    refuse_together("--against vendor", {"--hw": hw, "--residuals": residuals})
    if index is not None:
        refuse_together("--index", {"--set": sets})
    if case is not None:
        refuse_together(
            "--case",
            {"--predictions": predictions, "--markdown": markdown, "--out": out, "--workers": workers},
        )
    from npusim.validation.schedules.references import open_reference, select

    reference = open_reference(index, sets or ())
    rows = select(reference, family, platform, tiles, case)
    if case is not None:
        _show_case(reference, rows, as_json)
        return
    from npusim.files import new_files
    from npusim.validation.schedules.document import validation_document
    from npusim.validation.schedules.page import validation_page
    from npusim.validation.schedules.predict import predict, predictions_csv

    options = [
        ("--index", index), ("--set", sets), ("--family", family), ("--platform", platform), ("--tiles", tiles)
    ]  # fmt: skip
    began = time.perf_counter()
    with new_files(predictions, markdown) as (write_csv, write_page):
        with progress() as step:
            found = predict(reference, rows, workers, lambda done: step(f"{done} of {len(rows)} rows"))
        if write_csv:
            write_csv(predictions_csv(found))
        if write_page:
            command = command_line("validate", [*options, ("--markdown", markdown)])
            write_page(validation_page(reference.label, found, command))
    report = None
    if out is not None:
        from npusim.report.validate_page import validate_page
        from npusim.report.write import write_page as write_report_page

        html = validate_page(reference.label, found, command_line("validate", [*options, ("--out", out)]))
        report = write_report_page(out, html)
    wall_s = time.perf_counter() - began
    if as_json:
        print_json(validation_document(reference.label, found, wall_s))
    else:
        from npusim.cli.validate_tables import print_validation

        print_validation(reference.label, found, wall_s)
        for path in filter(None, (predictions, markdown, report)):
            print(f"Wrote {path}")


def _against_measured(
    against: str,
    files: list[str],
    platform: str | None,
    markdown: Path | None,
    residuals: Path | None,
    out: Path | None,
    workers: int | None,
    as_json: bool,
) -> None:
    """Published or own measurements, beside what the hardware files say."""
    from npusim.files import new_files
    from npusim.hardware import load_hardware
    from npusim.validation.measure.to_score import rows_of
    from npusim.validation.silicon.document import silicon_document
    from npusim.validation.silicon.intervals import residuals as carried
    from npusim.validation.silicon.intervals import residuals_csv, residuals_of
    from npusim.validation.silicon.left_out import carried_calibrations
    from npusim.validation.silicon.measurements import operator_shares
    from npusim.validation.silicon.page import accuracy_page
    from npusim.validation.silicon.predict import predict, predict_elsewhere
    from npusim.validation.silicon.tasks import read_scores

    given = [load_hardware(file) for file in files]
    with new_files(markdown, residuals) as (write_page, write_residuals), progress() as step:
        step("reading")
        published = against == "silicon"
        rows = rows_of(against, platform)
        hardware = {one.platform: one for one in given}
        profiles = [one for one in operator_shares() if platform in (None, one.platform)]
        found, engines = predict(
            rows,
            hardware,
            profiles if published else (),
            workers,
            lambda done: step(f"{done} models"),
        )
        errors = carried() if published else ()
        if write_residuals:
            scored = [row for row in rows if row.use == "score"]
            elsewhere = predict_elsewhere(scored, workers, lambda done: step(f"elsewhere, {done} models"))
            errors = (*residuals_of(found, "own"), *residuals_of(elsewhere, "other"))
            write_residuals(residuals_csv(errors))
        spoken = heard(platform, workers, step) if published and not given else []
        if write_page:
            kept = (read_scores(), carried_calibrations()) if published else ([], [])
            options = [("--against", against), ("--hw", files), ("--platform", platform)]
            command = command_line("validate", [*options, ("--markdown", markdown)])
            write_page(accuracy_page(found, engines, *kept, command, spoken, errors))
    report = None
    if out is not None:
        from npusim.report.validate_page import silicon_page
        from npusim.report.write import write_page as write_report_page

        asked: list[tuple[str, object]] = [("--against", against), ("--hw", files), ("--platform", platform)]
        report = write_report_page(
            out, silicon_page(against, found, command_line("validate", [*asked, ("--out", out)]))
        )
    if as_json:
        print_json(silicon_document(against, found, engines, spoken))
    else:
        from npusim.cli.silicon_tables import print_silicon

        print_silicon(against, found, engines, spoken)
        for path in filter(None, (markdown, residuals, report)):
            print(f"Wrote {path}")


def _against_spoken(platform: str | None, workers: int | None, as_json: bool) -> None:
    """The measured language models alone."""
    from npusim.validation.silicon.llm import section

    with progress() as step:
        found = heard(platform, workers, step)
    if as_json:
        print_json(section(found))
    else:
        from npusim.cli.silicon_tables import print_spoken

        print_spoken(found)


def heard(platform: str | None, workers: int | None, step: Callable[[str], None]) -> list[Heard]:
    """The measured language models, of one platform or all."""
    from npusim.hardware import load_hardware
    from npusim.validation.silicon.llm import hear, spoken

    rows = [row for row in spoken() if platform in (None, load_hardware(row.hardware).platform)]
    return hear(rows, workers, lambda done: step(f"{done} of {len(rows)} rows of language models"))


def _show_case(reference: Reference, rows: list[Row], as_json: bool) -> None:
    """One of ``rows``, all of one case: on Lunar Lake's default tiles if there is a choice."""
    from npusim.hardware import load_hardware
    from npusim.validation.schedules.compare_case import compare
    from npusim.validation.schedules.document import case_document
    from npusim.validation.schedules.predict import simulate_row
    from npusim.validation.traces.file import read_trace
    from npusim.validation.traces.schedule import import_trace

    usual = load_hardware("lunarlake-vpunn.yaml")
    row = min(rows, key=lambda one: (one.platform != usual.platform, one.tiles != usual.tiles))
    with progress() as step:
        step("reading the vendor's schedule")
        trace = read_trace(reference.schedule(row), row.trace)
        step("predicting")
        graph = reference.graph(row)
        ours = simulate_row(graph, row)
        vendor = import_trace(trace, ours.hardware)
    found = compare(ours, vendor, graph)
    if as_json:
        document = case_document(row, found, ours.latency_us, vendor.latency_us)
        print_json(document)
    else:
        from npusim.cli.validate_tables import print_case

        print_case(row, found, ours, vendor, [other for other in rows if other is not row])
