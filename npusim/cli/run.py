"""``npusim run``: simulate one model on one NPU, say where the time goes, and write a report folder."""

from __future__ import annotations

import time
from dataclasses import asdict, replace
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from npusim.cli.estimate import warn_of_size
from npusim.cli.folders import asked_of_hardware, asked_of_model, default_folder, free_folder, point_latest
from npusim.cli.options import (
    GuessOption,
    HwOption,
    MarkdownOption,
    ModelOptions,
    NoReportOption,
    RulesOption,
    SetOption,
    refuse_together,
)
from npusim.cli.progress import progress
from npusim.cli.terminal import print_json_text
from npusim.jobs.commands import command_line
from npusim.limits import MOST_SEGMENTS
from npusim.size import MANY_TASKS

if TYPE_CHECKING:
    from npusim.hints import HintName
    from npusim.jobs.advise import AdviceFor
    from npusim.jobs.run import Run


class Engine(StrEnum):
    """Which simulator runs the Program."""

    EVENT = "event"
    FAST = "fast"


class Hint(StrEnum):
    """OpenVINO's performance hints."""

    LATENCY = "latency"
    THROUGHPUT = "throughput"
    NONE = "none"


class Client(StrEnum):
    """Who asks for inferences."""

    BENCHMARK_APP = "benchmark_app"
    CPP = "cpp"
    PYTHON = "python"


def run_command(
    hw: HwOption,
    asked: ModelOptions,
    overrides: SetOption = None,
    xamba: RulesOption = None,
    engine: Annotated[
        Engine | None,
        typer.Option(
            help="Reference engine, or a single pass that ends the same up to rounding.  "
            f"[default: fast above {MANY_TASKS:,} tasks]"
        ),
    ] = None,
    hint: Annotated[
        Hint | None,
        typer.Option(
            help="Compile as this performance hint of OpenVINO does, and say what is seen from outside: wall time of "
            "an inference, or time between results.  [default: none: all tiles, one inference inside the NPU]"
        ),
    ] = None,
    client: Annotated[
        Client | None,
        typer.Option(
            help="Who asks, and so what is added to a call: benchmark_app, or a loop in C++ or Python with arrays of "
            "its own.  [default: benchmark_app; implies --hint latency]"
        ),
    ] = None,
    segments: Annotated[
        int | None,
        typer.Option(
            min=1,
            max=MOST_SEGMENTS,
            metavar="N",
            help="Graphs that the host calls one after another for an inference, as HETERO and NPUW cut a model.  "
            "[default: 1; implies --hint latency]",
        ),
    ] = None,
    power: Annotated[
        str | None, typer.Option(metavar="MODE", help="A power mode of the hardware file, as 17w.")
    ] = None,
    allow_guess: GuessOption = False,
    out: Annotated[
        Path | None,
        typer.Option(metavar="DIR", help="Report folder.  [default: npusim-out/<what was asked>]"),
    ] = None,
    no_report: NoReportOption = False,
    explain: Annotated[
        str | None,
        typer.Option(
            metavar="OP",
            help="Say of one op how it was fused, split, cut and placed, why, and what it waited for.",
        ),
    ] = None,
    advise: Annotated[bool, typer.Option("--advise", help="Look for what would help, too.")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print run.json instead of the summary.")] = False,
    markdown: MarkdownOption = False,
) -> None:
    """Simulate a model on an NPU and report where the time goes."""
    began = time.perf_counter()
    source = asked.source()
    if hint == Hint.NONE:
        refuse_together("--hint none", {"--client": client, "--segments": segments})
    asked_hint = _asked_hint(hint, outside=client is not None or segments is not None)
    command = command_line(
        "run",
        [
            ("--hw", hw), *source.options(), ("--set", overrides), ("--xamba", xamba),
            ("--engine", engine), ("--hint", hint),
            ("--client", client), ("--segments", segments), ("--power", power), ("--allow-guess", allow_guess),
        ],
    )  # fmt: skip
    with progress() as step:
        step("reading the hardware")
        from npusim.hints import DEFAULT_CLIENT
        from npusim.jobs.machine import machine_of
        from npusim.jobs.run import simulate_model
        from npusim.report import write_report
        from npusim.report.document import document_text, run_document

        machine = machine_of(hw, overrides or (), power or "")
        warn_of_size(source, machine.hardware)
        run = simulate_model(
            source, machine, passes=xamba or "", engine=engine.value if engine else None, hint=asked_hint,
            client=client.value if client else DEFAULT_CLIENT, segments=segments or 1, allow_guess=allow_guess,
            explain=explain, command=command, step=step,
        )  # fmt: skip
        advised = None
        if advise:
            from npusim.jobs.advise import advise_model, rows_of

            advised = advise_model(source, machine, allow_guess=allow_guess, step=step)
            run = replace(run, subject=replace(run.subject, advice=rows_of(advised)))
        document = run_document(run.result, run.subject, time.perf_counter() - began)
        folder = out
        if out is None and not no_report:
            cut = f"{segments}-segments" if segments else ""
            more = (
                *asked_of_hardware(overrides or ()),
                xamba or "",
                hint or "",
                client or "",
                cut,
                power or "",
            )
            plain = default_folder(source.name, *asked_of_model(source), hw, *more)
            folder = free_folder(plain, "run.json", document)
        if folder is not None:
            step("writing the report")
            write_report(
                run.result,
                folder,
                run.subject,
                html=not no_report,
                wall_s=document["wall_s"],
                entries=run.entries,
            )
            point_latest(folder)
    wall_s = time.perf_counter() - began
    if as_json:
        found: dict[str, object] = {"explanation": asdict(run.explanation)} if run.explanation else {}
        found |= {"advice": advised.document()["advice"]} if advised else {}
        print_json_text(document_text({**document, **found, "wall_s": round(wall_s, 3)}))
        return
    _print(run, advised, folder, wall_s, markdown)


def _print(run: Run, advised: AdviceFor | None, folder: Path | None, wall_s: float, markdown: bool) -> None:
    """The summary, and what else was asked for; or the Markdown."""
    if markdown:
        from npusim.report.markdown import run_markdown

        print(run_markdown(run.result, run.subject), end="")
        return
    from npusim.cli.summary import print_summary

    print_summary(run.result, run.subject, folder, wall_s)
    if advised is not None:
        from npusim.cli.advise import print_advice

        print()
        print_advice(advised)
    if run.explanation is not None:
        from npusim.cli.explanation import print_explanation

        print_explanation(run.explanation, run.result)


def _asked_hint(hint: Hint | None, outside: bool) -> HintName | None:
    """The hint that is meant: whoever names what is around the NPU asks for the time of a call."""
    if hint is None:
        return "latency" if outside else None
    return None if hint == Hint.NONE else "latency" if hint == Hint.LATENCY else "throughput"
