"""``npusim transform``: rewrite a model with xamba, say what was rewritten and what was not, and write the result."""

from __future__ import annotations

import json
from collections import Counter
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from npusim.cli.options import (
    BatchOption,
    ChunkOption,
    LayersOption,
    PhaseOption,
    ShapeOption,
    TokensOption,
    WorkloadOption,
    model_source,
)
from npusim.cli.progress import progress
from npusim.errors import UserError

if TYPE_CHECKING:
    from xamba import Site


def transform_command(
    model: Annotated[
        Path | None,
        typer.Argument(metavar="[MODEL]", help="Model file: IR, ONNX, TensorFlow, TFLite, Paddle."),
    ] = None,
    passes: Annotated[
        str, typer.Option(metavar="RULES", help="Rules in order, such as cumba,reduba or cumba{block=256}.")
    ] = "",
    out: Annotated[
        Path | None,
        typer.Option(
            "-o", "--out", metavar="OUT.xml", help="Where the result is written, with its .bin beside it."
        ),
    ] = None,
    workload: WorkloadOption = None,
    shape: ShapeOption = None,
    phase: PhaseOption = None,
    layers: LayersOption = None,
    tokens: TokensOption = None,
    batch: BatchOption = None,
    chunk: ChunkOption = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON document.")] = False,
) -> None:
    """Rewrite an OpenVINO model so that it runs better on an NPU."""
    if model is None and workload is None:
        raise UserError("what is to be rewritten? give a model file or --workload NAME")
    source = model_source(workload, model, shape, phase, layers, tokens, batch, chunk)
    import xamba

    if not passes.strip():
        raise UserError(f"--passes is missing; there are the rules {', '.join(xamba.names())}")
    if out is not None:
        _check_target(out)
    from xamba.pipeline import parse

    try:
        parse(passes)  # a mistake in it is told before a large model is read
    except xamba.PipelineError as error:
        raise UserError(f"--passes: {error}") from None
    with progress() as step:
        step("reading the model" if model else "building the model")
        stock, notes = source.read()
        step("rewriting")
        result, sites = xamba.apply(stock, passes)
        if out is not None:
            step("writing")
            _write(result, out)
    if as_json:
        print(json.dumps(_document(source.name, passes, out, sites, notes), indent=2, ensure_ascii=False))
    else:
        _print(sites, out, notes)


def _check_target(out: Path) -> None:
    if out.suffix != ".xml":
        raise UserError(f"-o {out}: must end in .xml (the weights go beside it as .bin)")
    for path in (out, out.with_suffix(".bin")):
        if path.is_dir():
            raise UserError(f"cannot write to {path}: it is a folder")


def _write(model: Any, out: Path) -> None:
    """The .xml and .bin together, or neither. Constants keep the types that they have."""
    from openvino import save_model

    from npusim.report.folder import all_or_nothing

    with all_or_nothing(out.parent) as workshop:
        try:
            save_model(model, workshop / out.name, compress_to_fp16=False)
        except RuntimeError as error:
            raise UserError(f"cannot write to {out}: {str(error).splitlines()[-1]}") from None


def _document(
    subject: str, passes: str, out: Path | None, sites: list[Site], notes: tuple[str, ...]
) -> dict[str, Any]:
    return {
        "schema": "npusim.transform/1",
        "model": subject,
        "passes": passes,
        "written": str(out) if out else None,
        "taken": sum(site.taken for site in sites),
        "skipped": sum(not site.taken for site in sites),
        "sites": [
            {
                "rule": site.rule,
                "op": site.op,
                "type": site.type,
                "taken": site.taken,
                "note": site.note,
                "error_bound": site.error_bound,
            }
            for site in sites
        ],
        "notes": list(notes),
    }


def _print(sites: list[Site], out: Path | None, notes: tuple[str, ...]) -> None:
    rows = [(s.rule, s.op, s.type, "taken" if s.taken else "skipped", s.note) for s in sites]
    table = [("rule", "op", "type", "", "what it became, or why not"), *rows]
    widths = [max(len(row[column]) for row in table) for column in range(4)]
    for row in table if rows else ():
        print("  ".join([*(text.ljust(width) for text, width in zip(row, widths, strict=False)), row[4]]))
    taken, skipped = (
        Counter(site.rule for site in sites if site.taken is wanted) for wanted in (True, False)
    )
    counts = [
        f"{rule}: {taken[rule]} taken, {skipped[rule]} skipped"
        for rule in dict.fromkeys(s.rule for s in sites)
    ]
    print(
        ("\n" if rows else "")
        + ("; ".join(counts) or "no site: the model has no op that these rules look at")
    )
    for note in notes:
        print(f"note: {note}")
    if out is not None:
        print(f"written: {out}, {out.with_suffix('.bin')}")
