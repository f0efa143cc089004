"""``npusim hw``: look at hardware files."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Annotated

import typer

from npusim.cli.options import JsonOption, hardware_files
from npusim.cli.terminal import print_json

#: What a line of a comparison has of a value; a longer one goes on below.
_MOST_VALUE = 32

hw_app = typer.Typer(
    help="Make, show, compare and check hardware files.", rich_markup_mode=None, no_args_is_help=False
)

File = Annotated[
    str,
    typer.Argument(
        metavar="FILE", help="A hardware file, yours or a shipped one.", autocompletion=hardware_files
    ),
]
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
    from npusim.lowering.ir.kernels import called_kernels

    hw = load_hardware(file, overrides or ())
    for warning in check(file, overrides or (), called_kernels()):
        print(f"warning: {warning}")
    print(f"{file}: ok: {hw.name}, platform {hw.platform}, {hw.tiles} tiles, software {hw.software.name}")


@hw_app.command("new")
def new(
    file: Annotated[Path, typer.Argument(metavar="FILE", help="The file to write.")],
    parent: Annotated[
        str,
        typer.Option(
            "--from",
            metavar="FILE",
            help="What it is like but for what you change.",
            autocompletion=hardware_files,
        ),
    ],
    name: Annotated[
        str | None, typer.Option(metavar="TEXT", help="What reports call it.  [default: the file's name]")
    ] = None,
) -> None:
    """Write a hardware file to begin with: all values of another one as comments, with what they mean."""
    from npusim.errors import UserError
    from npusim.files import exists, new_file
    from npusim.hardware import load_hardware
    from npusim.hardware import new_file as text_of

    hw = load_hardware(parent)
    if exists(file):
        raise UserError(f"{file}: is there already; choose another name, or remove it first")
    inside = os.path.relpath(parent, file.parent) if exists(Path(parent)) else parent
    with new_file(file) as write:
        write(text_of(inside, hw, str(file), name or file.stem))
    print(f"{file}: {hw.name} by another name; npusim hw check {file}, then npusim run --hw {file}")


@hw_app.command("diff")
def diff(
    a: Annotated[str, typer.Argument(metavar="A", help="A hardware file, yours or a shipped one.")],
    b: Annotated[str, typer.Argument(metavar="B", help="Another.")],
    as_json: JsonOption = False,
) -> None:
    """Print every value in which two hardware files differ."""
    from npusim.cli.tables import WHOLE, Column, fitted, width_of_output
    from npusim.cli.terminal import console
    from npusim.hardware import load_hardware
    from npusim.hardware.paths import values

    mine, theirs = (values(load_hardware(file)) for file in (a, b))
    paths = [path for path in {**mine, **theirs} if mine.get(path, "-") != theirs.get(path, "-")]
    if as_json:
        print_json({path: [mine.get(path), theirs.get(path)] for path in paths})
        return
    rows = [(path, *_sides(mine.get(path, "-"), theirs.get(path, "-"))) for path in paths]
    width = width_of_output(WHOLE)
    sides = (Column(side, most=_MOST_VALUE, folds=True) for side in (a, b))
    table = fitted((Column("path", folds=True), *sides), rows, width)
    console(width=width).print(table if rows else f"{a} and {b} say the same")


@hw_app.command("path")
def path_of(file: File) -> None:
    """Print where a hardware file lies, to be looked at or copied."""
    from npusim.hardware.files import find

    print(find(file).path.resolve())


@hw_app.command("schema")
def schema(
    file: Annotated[
        str | None, typer.Argument(metavar="[FILE]", help="A hardware file to add as the example.")
    ] = None,
    editor: Annotated[
        bool, typer.Option("--editor", help="For files that extend others: no key is required.")
    ] = False,
    markdown: Annotated[bool, typer.Option("--markdown", help="The reference, docs/hardware.md.")] = False,
) -> None:
    """Print the JSON schema of hardware files, for programs or for an editor that completes keys; or the reference."""
    if markdown:
        from npusim.hardware.reference import reference

        print(reference(), end="")
        return
    from npusim.hardware import editor_schema, json_schema, load_hardware

    document = editor_schema() if editor else json_schema()
    if file is not None:
        document["examples"] = [load_hardware(file).model_dump(mode="json")]
    print_json(document)


def _sides(a: object, b: object) -> tuple[str, str]:
    """Two values as texts; of lists, what only one has."""
    if isinstance(a, list | tuple) and isinstance(b, list | tuple):
        left, right = ([x for x in one if x not in other] for one, other in ((a, b), (b, a)))
        return f"only {_shown(left)}" if left else "", f"only {_shown(right)}" if right else ""
    return _shown(a), _shown(b)


def _shown(value: object) -> str:
    if value is None:
        return "null"
    if isinstance(value, list | tuple):
        return ", ".join(map(str, value))
    return f"{value:g}" if isinstance(value, float) else str(value)
