"""``npusim llm``: time to the first token, tokens a second, energy and memory of a language model as people run it."""

from __future__ import annotations

import json
import shlex
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
from npusim.cli.terminal import console, print_json
from npusim.errors import UserError
from npusim.jobs.commands import command_line
from npusim.source import MOST_TOKENS

if TYPE_CHECKING:
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
    overrides: SetOption = None,
    xamba: RulesOption = None,
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
        from npusim.llm.document import document
        from npusim.llm.predict import Predictor, answers
        from npusim.llm.source import configured, find

        machine = load_hardware(hw, overrides or ())
        room = None
        if cache is not None:
            response = min(runtime.padded(generate), cache - 1)
            room = runtime.Window(cache - response, response)
        step("reading the model")
        found: list[LanguageModel] = (
            [configured(hf_config, weights, xamba or "")]
            if hf_config is not None
            else [find(text, weights, xamba or "") for text in texts]
        )
        told = []
        for model in found:
            step(f"simulating {model.name}")
            predictor = Predictor(model, machine, room, allow_guess)
            told.append((predictor, answers(predictor, prompts, generate)))
        documents = [document(*one) for one in told]
        result = documents[0] if len(documents) == 1 else {"models": documents}
        folder = out
        if out is None and not no_report:
            more = (prompt, str(generate), str(cache or ""), *asked_of_hardware(overrides or ()), xamba or "")
            plain = default_folder("llm", *(one["model"] for one in documents), hw, *more)
            folder = free_folder(plain, "llm.json", result)
        if folder is not None:
            step("writing the report")
            options = [
                ("--hw", hw), ("--hf-config", hf_config), ("--weights", weights), ("--prompt", prompt),
                ("--generate", generate), ("--cache", cache), ("--set", overrides), ("--xamba", xamba),
                ("--allow-guess", allow_guess),
            ]  # fmt: skip
            _write(
                folder,
                told,
                documents,
                result,
                " ".join([command_line("llm", options), *map(shlex.quote, texts)]),
            )
    if as_json:
        print_json(result)
        return
    for one in documents:
        print_answers(one)
    if folder is not None:
        print(f"\nReport in {folder}/")


def _write(
    folder: Path,
    told: list[tuple[Predictor, list[Answer]]],
    documents: list[dict[str, Any]],
    result: dict[str, Any],
    command: str,
) -> None:
    """The page, the document and the table."""
    from npusim.files import all_or_nothing
    from npusim.llm.document import frame
    from npusim.report.llm_page import llm_page

    files = {
        "report.html": llm_page(told, documents, command),
        "llm.json": json.dumps(result, indent=2, ensure_ascii=False) + "\n",
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


def print_answers(one: dict[str, Any]) -> None:
    """A model's answers as tables."""
    from rich.table import Table
    from rich.text import Text

    from npusim.text import printable

    screen = console(wide=120)
    runtime = one["runtime"]
    calls = "all layers one call" if runtime["one_graph"] else "a call a layer"
    screen.print(
        Text.assemble(
            (printable(one["model"]), "bold"), " on ", (printable(one["hardware"]), "bold"),
            f", OpenVINO {runtime['version']}, {one['layers']} layers, {calls}",
        )
    )  # fmt: skip
    table = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0), header_style="dim")
    for name in (
        "prompt",
        "generated",
        "first token, ms",
        "tokens/s",
        "ms a token",
        "second",
        "mJ a token",
        "MiB",
    ):
        table.add_column(name, justify="right")
    for row in one["prompts"]:
        table.add_row(
            f"{row['prompt']:,}", f"{row['generate']:,}", f"{row['ttft_ms']:,.0f}", f"{row['tokens_per_s']:.2f}",
            f"{row['tpot_ms']['mean']:.2f}", f"{row['tpot_ms']['first']:.1f}", f"{row['energy_mj_per_token']:,.1f}",
            f"{row['memory_mib']:,.0f}",
        )  # fmt: skip
    screen.print(table)
    token = one["prompts"][-1]["token"]
    whole = sum(token[name] for name in ("weights_ms", "cache_ms", "engines_ms", "calls_ms", "host_ms"))
    screen.print(
        f"A token of {whole:.2f} ms: weights {token['weights_ms']:.2f}, cache of {token['cache']:,} tokens "
        f"{token['cache_ms']:.2f}, engines and latencies {token['engines_ms']:.2f}, calls {token['calls_ms']:.2f}, "
        f"host {token['host_ms']:.2f}; bytes over bandwidth alone are {token['floor_ms']:.2f} ms."
    )
