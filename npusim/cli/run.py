"""``npusim run``: simulate one model on one NPU, say where the time goes, and write a report folder."""

from __future__ import annotations

import time
from dataclasses import asdict, replace
from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer

from npusim.cli.estimate import warn_of_size
from npusim.cli.folders import asked_of_hardware, asked_of_model, default_folder, free_folder, point_latest
from npusim.cli.options import (
    GuessOption,
    HwOption,
    ModelOptions,
    NoReportOption,
    RulesOption,
    SetOption,
    command_line,
)
from npusim.cli.progress import progress
from npusim.cli.terminal import print_json_text


class Engine(StrEnum):
    """Which simulator runs the Program."""

    EVENT = "event"
    FAST = "fast"


class Hint(StrEnum):
    """OpenVINO's performance hints."""

    LATENCY = "latency"
    THROUGHPUT = "throughput"


def run_command(
    hw: HwOption,
    asked: ModelOptions,
    overrides: SetOption = None,
    xamba: RulesOption = None,
    engine: Annotated[Engine, typer.Option(help="Reference engine, or the single-pass one.")] = Engine.EVENT,
    hint: Annotated[
        Hint | None,
        typer.Option(
            help="Compile as this performance hint of OpenVINO does, and say what is seen from outside: wall time of "
            "an inference, or time between results.  [default: all tiles, one inference inside the NPU]"
        ),
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
    as_json: Annotated[bool, typer.Option("--json", help="Print run.json instead of the summary.")] = False,
) -> None:
    """Simulate a model on an NPU and report where the time goes."""
    began = time.perf_counter()
    source = asked.source()
    with progress() as step:
        step("reading the hardware")
        from npusim.hardware import doubts, load_hardware
        from npusim.hints import compiled_for, seen

        machine = load_hardware(hw, overrides or ())
        hardware = compiled_for(machine, hint.value) if hint else machine
        step("reading the model" if asked.model else "building the model")
        from npusim import api
        from npusim.analysis.explain import explain as explained
        from npusim.explore.rewrites import graph_for
        from npusim.report import write_report
        from npusim.report.document import document_text, run_document
        from npusim.report.subject import Subject

        warn_of_size(source, hardware)
        graph = graph_for(source, xamba or "", hardware)
        graph = replace(graph, notes=(*graph.notes, *doubts(hw, overrides or ())))
        step("lowering")
        program, entries = api.lower_explained(graph, hardware)
        step("simulating")
        result = api.simulate(program, hardware, engine=engine.value, allow_guess=allow_guess)
        explanation = explained(result.timeline, entries, explain) if explain else None
        from_outside = seen(graph, machine, hint.value, allow_guess) if hint else None
        subject = Subject(
            workload=source.name,
            hardware_file=hw,
            overrides=tuple(overrides or ()),
            phase=source.phase if source.file is None else "",
            tokens=source.tokens_per_inference,
            command=command_line(
                "run",
                [
                    ("--hw", hw), *source.options(), ("--set", overrides), ("--xamba", xamba),
                    ("--engine", None if engine == Engine.EVENT else engine), ("--hint", hint),
                    ("--allow-guess", allow_guess),
                ],
            ),
        )  # fmt: skip
        document = run_document(result, subject, time.perf_counter() - began)
        folder = out
        if out is None and not no_report:
            asked_parts = (*asked_of_hardware(overrides or ()), xamba or "", hint or "")
            plain = default_folder(source.name, *asked_of_model(source), hw, *asked_parts)
            folder = free_folder(plain, "run.json", document)
        if folder is not None:
            step("writing the report")
            write_report(
                result, folder, subject, html=not no_report, wall_s=document["wall_s"], entries=entries
            )
            point_latest(folder)
    wall_s = time.perf_counter() - began
    if as_json:
        more = {"seen": from_outside, "explanation": explanation}
        document |= {key: asdict(value) for key, value in more.items() if value is not None}
        print_json_text(document_text({**document, "wall_s": round(wall_s, 3)}))
        return
    from npusim.cli.summary import print_summary

    print_summary(result, subject, folder, wall_s)
    if from_outside is not None:
        what = "wall time of an inference" if hint == Hint.LATENCY else "time between results"
        tiles = f"{from_outside.streams} at a time on {from_outside.tiles} tiles each"
        print(f"Seen from outside with the hint {hint}: {what} {from_outside.us:,.1f} µs ({tiles}).")
    if explanation is not None:
        from npusim.cli.explanation import print_explanation

        print_explanation(explanation, result)
