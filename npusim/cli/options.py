"""Options that several commands share, what their values mean, and which of them contradict each other."""

from __future__ import annotations

import re
import shlex
from collections.abc import Iterable
from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer

from npusim.errors import UserError
from npusim.source import (
    DEFAULT_TOKENS,
    DEFAULT_WORKLOAD,
    MOST_DIMENSION,
    MOST_LAYERS,
    MOST_RANK,
    MOST_SEQUENCES,
    MOST_TOKENS,
    ModelSource,
)


class Phase(StrEnum):
    """What part of a language model's work is run."""

    PREFILL = "prefill"
    DECODE = "decode"


HwOption = Annotated[str, typer.Option("--hw", metavar="FILE", help="Hardware file, yours or a shipped one.")]
WorkloadOption = Annotated[
    str | None,
    typer.Option("--workload", metavar="NAME", help=f"Built-in workload.  [default: {DEFAULT_WORKLOAD}]"),
]
ModelOption = Annotated[
    Path | None,
    typer.Option("--model", metavar="FILE", help="Model file instead: IR, ONNX, TensorFlow, TFLite, Paddle."),
]
ShapeOption = Annotated[
    list[str] | None,
    typer.Option("--shape", metavar="NAME=[1,256]", help="Static shape of an input; may be repeated."),
]
PhaseOption = Annotated[
    Phase | None,
    typer.Option("--phase", help="Prefill of a prompt, or one step of decoding.  [default: prefill]"),
]
LayersOption = Annotated[
    int | None,
    typer.Option("--layers", min=1, max=MOST_LAYERS, help="Only the first layers.  [default: all]"),
]
TokensOption = Annotated[
    int | None,
    typer.Option(
        "--tokens", min=1, max=MOST_TOKENS, help=f"Prompt length of a prefill.  [default: {DEFAULT_TOKENS}]"
    ),
]
BatchOption = Annotated[
    int | None,
    typer.Option("--batch", min=1, max=MOST_SEQUENCES, help="Sequences run together.  [default: 1]"),
]
ChunkOption = Annotated[
    int | None,
    typer.Option("--chunk", min=1, max=MOST_TOKENS, help="Mamba-2's chunk length in tokens.  [default: 256]"),
]
SetOption = Annotated[
    list[str] | None,
    typer.Option("--set", metavar="PATH=VALUE", help="Change one value of the hardware; may be repeated."),
]


def model_source(
    workload: str | None,
    model: Path | None,
    shape: list[str] | None,
    phase: Phase | None,
    layers: int | None,
    tokens: int | None,
    batch: int | None,
    chunk: int | None,
) -> ModelSource:
    """The model that the options above ask for. Raises UserError where two of them contradict each other."""
    shapes = parse_shapes(shape or ())
    if model is not None:
        shaped = {
            "--phase": phase,
            "--layers": layers,
            "--tokens": tokens,
            "--batch": batch,
            "--chunk": chunk,
        }
        refuse_together("--model", {"--workload": workload, **shaped})
        return ModelSource(file=model, shapes=shapes)
    if shapes:
        raise UserError(
            "--shape needs --model; a workload is shaped by --tokens, --batch, --layers and --chunk"
        )
    return ModelSource(
        workload or DEFAULT_WORKLOAD,
        phase=(phase or Phase.PREFILL).value,
        tokens=tokens,
        layers=layers,
        batch=batch or 1,
        chunk=chunk,
    )


_SHAPE = re.compile(r"\[?\s*(\d+(?:\s*,\s*\d+)*)?\s*\]?", re.ASCII)
#: Digits of the largest dimension there may be, leading zeros forgiven.
_MOST_DIGITS = 20


def parse_shapes(texts: Iterable[str]) -> dict[str, list[int]]:
    """``input=[1,256]`` to ``{"input": [1, 256]}``. Raises UserError for any other form."""
    shapes: dict[str, list[int]] = {}
    for text in texts:
        name, equals, dims = text.rpartition("=")
        match = _SHAPE.fullmatch(dims.strip())
        if not (equals and name and match and dims.count("[") == dims.count("]")):
            raise UserError(f"--shape {text}: must have the form NAME=[1,256]")
        if name in shapes:
            raise UserError(f"--shape {text}: '{name}' is given twice")
        dims_given = [dim.strip() for dim in (match[1] or "").split(",") if dim.strip()]
        shapes[name] = [int(dim) if len(dim) <= _MOST_DIGITS else MOST_DIMENSION + 1 for dim in dims_given]
        if not all(1 <= dim <= MOST_DIMENSION for dim in shapes[name]):
            raise UserError(f"--shape {text}: a dimension must be at least 1 and at most {MOST_DIMENSION:,}")
        if len(shapes[name]) > MOST_RANK:
            raise UserError(f"--shape {text}: more than {MOST_RANK} dimensions")
    return shapes


def refuse_together(first: str, others: dict[str, object]) -> None:
    """Raise UserError if any of ``others`` (option to value, None where not given) is given beside ``first``."""
    given = [option for option, value in others.items() if value is not None and value != []]
    if given:
        raise UserError(f"{first} and {given[0]} contradict each other: leave one out")


def command_line(command: str, options: Iterable[tuple[str, object]]) -> str:
    """The shell command that asks for the same run: options that are None or empty are left out."""
    words = ["npusim", command]
    for option, value in options:
        for each in value if isinstance(value, list) else [value]:
            if each is True:
                words.append(option)
            elif each not in (None, False):
                words += [option, str(each)]
    return shlex.join(words)


def default_folder(subject: str, hardware: str) -> Path:
    """``npusim-out/SUBJECT-HARDWARE``, from a workload's name or a model's path and a hardware file."""
    parts = [
        re.sub(r"[^\w.+-]+", "_", Path(part).stem if part.endswith(_KNOWN) else part)
        for part in (subject, hardware)
    ]
    return Path("npusim-out") / "-".join(parts)


_KNOWN = (".yaml", ".yml", ".xml", ".onnx", ".pb", ".tflite", ".pdmodel")
