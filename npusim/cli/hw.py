"""``npusim hw``: look at hardware files."""

from __future__ import annotations

from typing import Annotated

import typer

from npusim.cli.terminal import print_json

hw_app = typer.Typer(help="Show and check hardware files.", rich_markup_mode=None, no_args_is_help=False)

File = Annotated[str, typer.Argument(metavar="FILE", help="A hardware file, yours or a shipped one.")]
Overrides = Annotated[
    list[str] | None,
    typer.Option("--set", metavar="PATH=VALUE", help="Change one value of the file; may be repeated."),
]


@hw_app.command("show")
def show(file: File, overrides: Overrides = None) -> None:
    """Print the whole hardware as YAML, with parents and --set resolved."""
    from npusim.hardware import dump, load_hardware

    print(dump(load_hardware(file, overrides or ())), end="")


@hw_app.command("check")
def check_file(file: File, overrides: Overrides = None) -> None:
    """Check a hardware file: mistakes are told as file:line:column, unlikely values as warnings."""
    from npusim.hardware import check, load_hardware

    hw = load_hardware(file, overrides or ())
    for warning in check(file, overrides or ()):
        print(f"warning: {warning}")
    print(f"{file}: ok: {hw.name}, platform {hw.platform}, {hw.tiles} tiles, software {hw.software.name}")


@hw_app.command("schema")
def schema(
    file: Annotated[
        str | None, typer.Argument(metavar="[FILE]", help="A hardware file to add as the example.")
    ] = None,
) -> None:
    """Print the JSON schema of hardware files, for editors."""

    from npusim.hardware import json_schema, load_hardware

    document = json_schema()
    if file is not None:
        document["examples"] = [load_hardware(file).model_dump(mode="json")]
    print_json(document)
