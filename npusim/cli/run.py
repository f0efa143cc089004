"""``npusim run``: simulate one model on one NPU, say where the time goes, and write a report folder."""

from __future__ import annotations

import time
from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer

from npusim.cli.options import command_line, default_folder, parse_shapes, refuse_together
from npusim.cli.progress import progress
from npusim.errors import UserError

DEFAULT_WORKLOAD = "mamba2-130m"
DEFAULT_TOKENS = 256


class Phase(StrEnum):
    """What part of a language model's work is run."""

    PREFILL = "prefill"
    DECODE = "decode"


class Engine(StrEnum):
    """Which simulator runs the Program."""

    EVENT = "event"
    FAST = "fast"


def run_command(
    hw: Annotated[str, typer.Option("--hw", metavar="FILE", help="Hardware file, yours or a shipped one.")],
    workload: Annotated[
        str | None, typer.Option(metavar="NAME", help=f"Built-in workload.  [default: {DEFAULT_WORKLOAD}]")
    ] = None,
    model: Annotated[
        Path | None,
        typer.Option(metavar="FILE", help="Model file instead: IR, ONNX, TensorFlow, TFLite, Paddle."),
    ] = None,
    shape: Annotated[
        list[str] | None,
        typer.Option(metavar="NAME=[1,256]", help="Static shape of an input; may be repeated."),
    ] = None,
    phase: Annotated[
        Phase | None, typer.Option(help="Prefill of a prompt, or one step of decoding.  [default: prefill]")
    ] = None,
    layers: Annotated[int | None, typer.Option(min=1, help="Only the first layers.  [default: all]")] = None,
    tokens: Annotated[
        int | None, typer.Option(min=1, help=f"Prompt length of a prefill.  [default: {DEFAULT_TOKENS}]")
    ] = None,
    batch: Annotated[int | None, typer.Option(min=1, help="Sequences run together.  [default: 1]")] = None,
    overrides: Annotated[
        list[str] | None,
        typer.Option(
            "--set", metavar="PATH=VALUE", help="Change one value of the hardware; may be repeated."
        ),
    ] = None,
    xamba: Annotated[
        str | None,
        typer.Option(metavar="RULES", help="Rewrite the model first, by rules such as cumba,reduba."),
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
    shapes = parse_shapes(shape or ())
    if model is not None:
        shaped = {"--layers": layers, "--tokens": tokens, "--batch": batch, "--phase": phase}
        refuse_together("--model", {"--workload": workload, **shaped})
    elif shapes:
        raise UserError("--shape needs --model; a workload is shaped by --tokens, --batch and --layers")
    name = workload or DEFAULT_WORKLOAD
    folder = out or (None if no_report else default_folder(str(model or name), hw))
    with progress() as step:
        step("reading the hardware")
        from npusim.hardware import load_hardware

        hardware = load_hardware(hw, overrides or ())
        step("reading the model" if model else "building the model")
        from npusim import api
        from npusim.report import write_report
        from npusim.report.document import run_document
        from npusim.report.subject import Subject

        if model:
            graph = api.load_model(model, shapes, passes=xamba or "")
        else:
            count = tokens or (DEFAULT_TOKENS if phase != Phase.DECODE else None)
            graph = api.build_workload(
                name,
                phase=(phase or Phase.PREFILL).value,
                tokens=count,
                layers=layers,
                batch=batch or 1,
                passes=xamba or "",
            )
        step("lowering")
        program = api.lower(graph, hardware)
        step("simulating")
        result = api.simulate(program, hardware, engine=engine.value, allow_guess=allow_guess)
        subject = Subject(
            workload=str(model or name),
            hardware_file=hw,
            overrides=tuple(overrides or ()),
            phase="" if model else (phase or Phase.PREFILL).value,
            tokens=None if model else (batch or 1) * (1 if phase == Phase.DECODE else tokens or DEFAULT_TOKENS),
            command=command_line(
                "run",
                [
                    ("--hw", hw), ("--workload", None if model else name), ("--model", model), ("--shape", shape),
                    ("--phase", phase), ("--layers", layers), ("--tokens", tokens), ("--batch", batch),
                    ("--set", overrides), ("--xamba", xamba), ("--engine", None if engine == Engine.EVENT else engine),
                    ("--allow-guess", allow_guess),
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
