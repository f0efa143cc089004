"""Options that several commands share, what their values mean, and which of them contradict each other."""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass, replace
from enum import StrEnum
from pathlib import Path
from typing import Annotated, Any

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


def hardware_files(incomplete: str) -> list[str]:
    """Shipped hardware files, for completion in a shell."""
    from npusim.hardware import shipped, supposed

    return [name for name in (*shipped(), *supposed()) if name.startswith(incomplete)]


def workload_names(incomplete: str) -> list[str]:
    """Built-in workloads, for completion in a shell."""
    from npusim import workloads

    return [name for name in workloads.names() if name.startswith(incomplete)]


HwOption = Annotated[
    str,
    typer.Option(
        "--hw", metavar="FILE", help="Hardware file, yours or a shipped one.", autocompletion=hardware_files
    ),
]
SetOption = Annotated[
    list[str] | None,
    typer.Option("--set", metavar="PATH=VALUE", help="Change one value of the hardware; may be repeated."),
]
GuessOption = Annotated[
    bool, typer.Option("--allow-guess", help="Guess the cost of SHAVE kernels that none is known for.")
]
RulesOption = Annotated[
    str | None,
    typer.Option(
        "--xamba", metavar="RULES", help="Rewrite the model first: rules such as cumba,reduba, or auto."
    ),
]
NoReportOption = Annotated[
    bool, typer.Option("--no-report", help="No report.html; and no files at all unless --out is given.")
]
MarkdownOption = Annotated[
    bool, typer.Option("--markdown", help="Print a summary in GitHub's Markdown, for a pull request.")
]
JsonOption = Annotated[bool, typer.Option("--json", help="Print one JSON document.")]


@dataclass(frozen=True, kw_only=True)
class ModelOptions:
    """The model that a command is about."""

    workload: Annotated[
        str | None,
        typer.Option(
            "--workload",
            metavar="NAME",
            help=f"Built-in workload.  [default: {DEFAULT_WORKLOAD}]",
            autocompletion=workload_names,
        ),
    ] = None
    model: Annotated[
        Path | None,
        typer.Option(
            "--model", metavar="FILE", help="Model file instead: IR, ONNX, TensorFlow, TFLite, Paddle."
        ),
    ] = None
    gemm: Annotated[
        str | None,
        typer.Option(
            "--gemm",
            metavar="MxNxK",
            help="A product of matrices instead, or a CSV file of them: name, M, N, K.",
        ),
    ] = None
    shape: Annotated[
        list[str] | None,
        typer.Option("--shape", metavar="NAME=[1,256]", help="Static shape of an input; may be repeated."),
    ] = None
    dim: Annotated[
        list[str] | None,
        typer.Option(
            "--dim",
            metavar="NAME=128",
            help="Size of a dynamic dimension, wherever it occurs; may be repeated.",
        ),
    ] = None
    phase: Annotated[
        Phase | None,
        typer.Option("--phase", help="Prefill of a prompt, or one step of decoding.  [default: prefill]"),
    ] = None
    layers: Annotated[
        int | None,
        typer.Option("--layers", min=1, max=MOST_LAYERS, help="Only the first layers.  [default: all]"),
    ] = None
    tokens: Annotated[
        int | None,
        typer.Option(
            "--tokens",
            min=1,
            max=MOST_TOKENS,
            help=f"Prompt length of a prefill.  [default: {DEFAULT_TOKENS}]",
        ),
    ] = None
    batch: Annotated[
        int | None,
        typer.Option("--batch", min=1, max=MOST_SEQUENCES, help="Sequences run together.  [default: 1]"),
    ] = None
    chunk: Annotated[
        int | None,
        typer.Option(
            "--chunk", min=1, max=MOST_TOKENS, help="Mamba-2's chunk length in tokens.  [default: 256]"
        ),
    ] = None

    def given(self) -> dict[str, object]:
        """What was asked of a workload, by option; None where it was not."""
        names = ("workload", "phase", "layers", "tokens", "batch", "chunk")
        return {f"--{name}": getattr(self, name) for name in names}

    def source(self) -> ModelSource:
        """The model that is asked for. Raises UserError where two of the options contradict each other."""
        shapes, dims = parse_shapes(self.shape or ()), parse_dims(self.dim or ())
        if self.gemm is not None:
            refuse_together("--gemm", {"--model": self.model, "--workload": self.workload})
            return replace(self, gemm=None, **_products(self.gemm)).source()
        if self.model is not None:
            refuse_together("--model", self.given())
            return ModelSource(file=self.model, shapes=shapes, dims=dims)
        if shapes or dims:
            option = "--shape" if shapes else "--dim"
            raise UserError(
                f"{option} needs --model; a workload is shaped by --tokens, --batch, --layers and --chunk"
            )
        return ModelSource(
            self.workload or DEFAULT_WORKLOAD,
            phase=(self.phase or Phase.PREFILL).value,
            tokens=self.tokens,
            layers=self.layers,
            batch=self.batch or 1,
            chunk=self.chunk,
        )


@dataclass(frozen=True, kw_only=True)
class GivenModel(ModelOptions):
    """The same where the model file is the command's argument, and nothing is taken for granted."""

    model: Annotated[
        Path | None,
        typer.Argument(metavar="[MODEL]", help="Model file: IR, ONNX, TensorFlow, TFLite, Paddle."),
    ] = None

    def required(self, done: str) -> ModelSource:
        """``source``. Raises UserError, too, where no model is given that could be ``done`` something to."""
        if self.model is None and self.workload is None:
            raise UserError(f"what is to be {done}? give a model file or --workload NAME")
        return self.source()


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


def _products(text: str) -> dict[str, Any]:
    """The option that --gemm stands for. Raises UserError for what is neither sizes nor a CSV file."""
    if text.endswith(".csv"):
        return {"model": Path(text)}
    form = re.fullmatch(r"\d+x\d+x\d+(?:-(.+))?", text, re.ASCII)
    if not form:
        raise UserError(
            f"--gemm {text}: must have the form MxNxK, such as 256x768x3072, or be a CSV file of them"
        )
    from npusim.workloads.nets import PRECISIONS

    if form[1] is not None and form[1] not in PRECISIONS:
        raise UserError(f"--gemm {text}: {form[1]}: no such precision; there are {', '.join(PRECISIONS)}")
    return {"workload": f"gemm-{text}"}


def parse_dims(texts: Iterable[str]) -> dict[str, int]:
    """``sequence=128`` to ``{"sequence": 128}``. Raises UserError for any other form."""
    dims: dict[str, int] = {}
    for text in texts:
        name, _, size = text.rpartition("=")
        if not (name and size.isascii() and size.isdecimal()):
            raise UserError(f"--dim {text}: must have the form NAME=128")
        if name in dims:
            raise UserError(f"--dim {text}: '{name}' is given twice")
        dims[name] = int(size) if len(size) <= _MOST_DIGITS else MOST_DIMENSION + 1
        if not 1 <= dims[name] <= MOST_DIMENSION:
            raise UserError(f"--dim {text}: a size must be at least 1 and at most {MOST_DIMENSION:,}")
    return dims


def refuse_together(first: str, others: dict[str, object]) -> None:
    """Raise UserError if any of ``others`` (option to value, None where not given) is given beside ``first``."""
    given = [option for option, value in others.items() if value is not None and value != []]
    if given:
        raise UserError(f"{first} and {given[0]} contradict each other: leave one out")
