"""``npusim run``: simulate one model on one NPU, say where the time goes, and write a report folder."""

from __future__ import annotations

import time
from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer

from npusim.cli.options import (
    BatchOption,
    ChunkOption,
    HwOption,
    LayersOption,
    ModelOption,
    PhaseOption,
    SetOption,
    ShapeOption,
    TokensOption,
    WorkloadOption,
    command_line,
    default_folder,
    model_source,
)
from npusim.cli.progress import progress


class Engine(StrEnum):
    """Which simulator runs the Program."""

    EVENT = "event"
    FAST = "fast"


def run_command(
    hw: HwOption,
    workload: WorkloadOption = None,
    model: ModelOption = None,
    shape: ShapeOption = None,
    phase: PhaseOption = None,
    layers: LayersOption = None,
    tokens: TokensOption = None,
    batch: BatchOption = None,
    chunk: ChunkOption = None,
    overrides: SetOption = None,
    xamba: Annotated[
        str | None,
        typer.Option(
            metavar="RULES",
            help="Rewrite the model first: rules such as cumba,reduba, or auto.",
        ),
    ] = None,
    engine: Annotated[Engine, typer.Option(help="Reference engine, or the single-pass one.")] = Engine.EVENT,
    allow_guess: Annotated[
        bool, typer.Option("--allow-guess", help="Guess the cost of SHAVE kernels that none is known for.")
    ] = False,
    out: Annotated[
        Path | None, typer.Option(metavar="DIR", help="Report folder.  [default: npusim-out/<workload>-<hw>]")
    ] = None,
    no_report: Annotated[
        bool, typer.Option("--no-report", help="No report.html; and no files at all unless --out is given.")
    ] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print run.json instead of the summary.")] = False,
) -> None:
    """Simulate a model on an NPU and report where the time goes."""
    began = time.perf_counter()
    source = model_source(workload, model, shape, phase, layers, tokens, batch, chunk)
    folder = out or (None if no_report else default_folder(source.name, hw))
    with progress() as step:
        step("reading the hardware")
        from npusim.hardware import load_hardware

        hardware = load_hardware(hw, overrides or ())
        step("reading the model" if model else "building the model")
        from npusim import api
        from npusim.explore.rewrites import graph_for
        from npusim.report import write_report
        from npusim.report.document import run_document
        from npusim.report.subject import Subject

        graph = graph_for(source, xamba or "", hardware)
        step("lowering")
        program = api.lower(graph, hardware)
        step("simulating")
        result = api.simulate(program, hardware, engine=engine.value, allow_guess=allow_guess)
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
                    ("--engine", None if engine == Engine.EVENT else engine), ("--allow-guess", allow_guess),
                ],
            ),
        )  # fmt: skip
        if folder is not None:
            step("writing the report")
            wall_s = time.perf_counter() - began
            write_report(result, folder, subject, html=not no_report, wall_s=wall_s)
    wall_s = time.perf_counter() - began
    if as_json:
        from npusim.report.document import document_text

        print(document_text(run_document(result, subject, wall_s)), end="")
    else:
        from npusim.cli.summary import print_summary

        print_summary(result, subject, folder, wall_s)
