"""``npusim list``: what is built in."""

from __future__ import annotations

from typing import Annotated

import typer

from npusim.cli.options import JsonOption
from npusim.cli.tables import width_of_output
from npusim.cli.terminal import print_json
from npusim.errors import UserError


def list_command(
    word: Annotated[
        str | None, typer.Argument(metavar="[WORD]", help="Only what has this in its name or description.")
    ] = None,
    as_json: JsonOption = False,
) -> None:
    """List the shipped hardware files, the built-in workloads and the published language models, one a line."""
    from npusim import workloads
    from npusim.hardware import load_hardware, shipped, supposed

    def asked(*texts: str) -> bool:
        return word is None or any(word.lower() in text.lower() for text in texts)

    hardware = [(name, load_hardware(name)) for name in (*shipped(), *supposed())]
    hardware = [(name, hw) for name, hw in hardware if asked(name, hw.name, hw.platform)]
    models = [(name, workloads.describe(name)) for name in workloads.names()]
    models = [(name, text) for name, text in models if asked(name, text)]
    spoken = [(name, text) for name, text in _language_models() if asked(name, text)]
    if not hardware and not models and not spoken:
        raise UserError(f"nothing built in has '{word}' in its name or description; npusim list shows all")
    if as_json:
        document = {
            "hardware": [
                {
                    "file": file,
                    "name": hw.name,
                    "platform": hw.platform,
                    "tiles": hw.tiles,
                    "software": hw.software.name,
                }
                for file, hw in hardware
            ],
            "workloads": [{"name": name, "description": text} for name, text in models],
            "language_models": [{"name": name, "description": text} for name, text in spoken],
        }
        print_json(document)
        return
    blocks = []
    if hardware:
        machines = [(file, f"{hw.name}, platform {hw.platform}, {hw.tiles} tiles") for file, hw in hardware]
        blocks.append(_block("Hardware (--hw)", machines))
    if models and word is not None:
        blocks.append(_block("Workloads (--workload)", models, whole=True))
    elif models:
        variants = workloads.variants()
        lines = [
            (f"{name}{' *' if variants[name] else ''}", text) for name, text in models if name in variants
        ]
        also = ", ".join(f"-{end}" for end in max(variants.values(), key=len))
        blocks.append(_block("Workloads (--workload)", lines))
        blocks.append(f"* also with {also} behind the name:\n  npusim list WORD lists them one by one")
    if spoken:
        blocks.append(_block("Language models (npusim llm NAME)", spoken))
    print("\n\n".join(blocks))


def _language_models() -> list[tuple[str, str]]:
    """The published language models, by name, and their size."""
    from npusim.report.units import count_text
    from npusim.workloads.llm import published, published_names

    configs = map(published, published_names())
    return [
        (one.name, f"{count_text(one.parameters)} parameters, {one.layers} layers of {one.width:,}")
        for one in configs
    ]


def _block(title: str, lines: list[tuple[str, str]], *, whole: bool = False) -> str:
    """Names and descriptions, one pair a line, the description cut at the width unless it is to be shown ``whole``."""
    longest = max(len(name) for name, _ in lines)
    room = max(width_of_output() - longest - 4, 2)
    shown = ((name, text if whole or len(text) <= room else f"{text[: room - 1]}…") for name, text in lines)
    return "\n".join([title, *(f"  {name:<{longest}}  {text}" for name, text in shown)])
