"""``npusim llm``: time to the first token, tokens a second, energy and memory of a language model as people run it."""

from __future__ import annotations

import json
import shlex
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from npusim.cli.folders import asked_of_hardware, default_folder, free_folder, point_latest
from npusim.cli.options import (
    GuessOption,
    HwOption,
    JsonOption,
    NoReportOption,
    RulesOption,
    SetOption,
)
from npusim.cli.progress import progress
from npusim.cli.terminal import print_json
from npusim.errors import UserError
from npusim.jobs.commands import command_line
from npusim.source import MOST_TOKENS

if TYPE_CHECKING:
    from npusim.hardware.schema import Hardware
    from npusim.llm.calls import LanguageModel
    from npusim.llm.predict import Answer, Predictor


def llm_command(
    hw: HwOption,
    models: Annotated[
        list[str] | None,
        typer.Argument(
            metavar="[MODEL]...",
            help="Folder or .xml of optimum-intel, ONNX with past keys and values, folder with a config.json, or a "
            "published name (qwen3-8b); several stand on one page.",
        ),
    ] = None,
    hf_config: Annotated[
        Path | None, typer.Option(metavar="FILE", help="Build the model of a config.json; nothing is downloaded.")
    ] = None,
    weights: Annotated[
        str | None,
        typer.Option(
            metavar="FORMAT",
            help="Weights of a model that is built: fp16, int8, int4 or int4:128 (a scale a channel, or for 128 "
            "numbers).  [default: int4]",
        ),
    ] = None,
    prompt: Annotated[str, typer.Option(metavar="N[,N...]", help="Tokens of the prompt; several are a sweep.")] = "512",
    generate: Annotated[
        int, typer.Option(min=1, max=MOST_TOKENS, metavar="N", help="Tokens that are generated.")
    ] = 128,
    cache: Annotated[
        int | None,
        typer.Option(
            min=2, max=MOST_TOKENS, metavar="N",
            help="Tokens that the model is compiled for, prompt and answer.  [default: 1,152, or as many as needed]",
        ),
    ] = None,
    rows: Annotated[
        str | None,
        typer.Option(
            metavar="SPEC", help="Rows of several kinds in one call, too: prefill:64@512,decode:8@1024,verify:4@900."
        ),
    ] = None,
    speculate: Annotated[
        str | None, typer.Option(metavar="DRAFT", help="A small model drafts on the same NPU, this one verifies.")
    ] = None,
    accept: Annotated[
        float, typer.Option(min=0, max=1, help="Chance that a drafted token is accepted.")
    ] = 0.7,
    draft: Annotated[int, typer.Option(min=1, max=64, help="Tokens that are drafted a round.")] = 4,
    overrides: SetOption = None,
    xamba: RulesOption = None,
    stock: Annotated[
        bool, typer.Option("--stock", help="With --xamba: every model as it stands, too, on the same page.")
    ] = False,
    allow_guess: GuessOption = False,
    out: Annotated[Path | None, typer.Option(metavar="DIR", help="Report folder.  [default: npusim-out/...]")] = None,
    no_report: NoReportOption = False,
    as_json: JsonOption = False,
) -> None:  # fmt: skip
    """How many tokens a second, how long until the first, and why: a language model as OpenVINO runs it."""
    prompts = parse_prompts(prompt)
    texts = models or []
    if bool(texts) == (hf_config is not None):
        raise UserError(
            "which model? give a file, a folder, a published name such as qwen3-8b, or --hf-config FILE"
        )
    with progress() as step:
        step("reading the hardware")
        from npusim.hardware import load_hardware
        from npusim.llm import runtime
        from npusim.llm.document import document, rows_document, speculation_document
        from npusim.llm.predict import Predictor, answers
        from npusim.llm.rows import parse_rows, together
        from npusim.llm.source import find
        from npusim.llm.speculate import speculate as speculated

        machine = load_hardware(hw, overrides or ())
        room = None if cache is None else runtime.window_of(cache, generate)
        step("reading the model")
        asked_rows = parse_rows(rows) if rows else None
        found = _models(
            texts or [hf_config or ""], weights, ["", xamba] if xamba and stock else [xamba or ""], machine
        )
        drafting = Predictor(find(speculate, weights), machine, room, allow_guess) if speculate else None
        told, documents = [], []
        for model in found:
            step(f"simulating {model.name}")
            predictor = Predictor(model, machine, room, allow_guess)
            given = answers(predictor, prompts, generate)
            told.append((predictor, given))
            documents.append(document(predictor, given))
            if asked_rows is not None:
                documents[-1]["rows"] = rows_document(together(predictor, asked_rows), rows or "")
            if drafting is not None:
                speculation = speculated(predictor, drafting, given[-1].steps[-1][1].cache, draft, accept)
                documents[-1]["speculation"] = speculation_document(speculation)
        result = _result(documents)
        folder = out
        if out is None and not no_report:
            more = (prompt, str(generate), str(cache or ""), *asked_of_hardware(overrides or ()), xamba or "")
            plain = default_folder("llm", *(one["model"] for one in documents), hw, *more)
            folder = free_folder(plain, "llm.json", result)
        if folder is not None:
            step("writing the report")
            options = [
                ("--hw", hw), ("--hf-config", hf_config), ("--weights", weights), ("--prompt", prompt),
                ("--generate", generate), ("--cache", cache), ("--rows", rows), ("--speculate", speculate),
                ("--accept", accept if speculate else None), ("--draft", draft if speculate else None),
                ("--set", overrides), ("--xamba", xamba), ("--stock", stock), ("--allow-guess", allow_guess),
            ]  # fmt: skip
            _write(
                folder, told, documents, " ".join([command_line("llm", options), *map(shlex.quote, texts)])
            )
    if as_json:
        print_json(result)
        return
    from npusim.cli.llm_tables import print_documents

    print_documents(documents)
    if folder is not None:
        print(f"\nReport in {folder}/")


def _models(
    asked: Sequence[str | Path], weights: str | None, pipelines: Sequence[str], machine: Hardware
) -> list[LanguageModel]:
    """Every model after every pipeline of rewrites. A path is that of a config.json."""
    from npusim.explore.rewrites import rewrite_for
    from npusim.llm.source import configured, find

    return [
        (
            configured(one, weights, passes, rewrite)
            if isinstance(one, Path)
            else find(one, weights, passes, rewrite)
        )
        for one in asked
        for passes in pipelines
        for rewrite in [rewrite_for(passes, machine)]
    ]


def _result(documents: list[dict[str, Any]]) -> dict[str, Any]:
    """One model's document, or those of several."""
    return documents[0] if len(documents) == 1 else {"models": documents}


def _write(
    folder: Path,
    told: list[tuple[Predictor, list[Answer]]],
    documents: list[dict[str, Any]],
    command: str,
) -> None:
    """The page, the document and the table."""
    from npusim.files import all_or_nothing
    from npusim.llm.document import frame
    from npusim.report.llm_page import llm_page

    files = {
        "report.html": llm_page(told, documents, command),
        "llm.json": json.dumps(_result(documents), indent=2, ensure_ascii=False) + "\n",
        "llm.csv": frame(documents).to_csv(index=False),
    }
    with all_or_nothing(folder) as workshop:
        for name, text in files.items():
            (workshop / name).write_text(text, encoding="utf-8", newline="\n")
    point_latest(folder)


def parse_prompts(text: str) -> list[int]:
    """``128,512`` to [128, 512]. Raises UserError for any other form."""
    parts = text.split(",")
    if not all(part.strip().isascii() and part.strip().isdigit() and len(part) < 10 for part in parts):
        raise UserError(f"--prompt {text}: must be whole numbers such as 512 or 128,512,1024")
    prompts = [int(part) for part in parts]
    if not all(1 <= one <= MOST_TOKENS for one in prompts):
        raise UserError(f"--prompt {text}: must be at least 1 and at most {MOST_TOKENS:,}")
    return prompts
