"""Options that several commands share stand once: each means the same wherever it is."""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass
from typing import Annotated

import pytest
import typer
from typer.testing import CliRunner

from npusim.cli.app import COMMANDS, load
from npusim.cli.groups import grouped


@dataclass(frozen=True, kw_only=True)
class Pair:
    """Two options."""

    left: Annotated[int, typer.Option("--left")] = 1
    right: Annotated[list[str] | None, typer.Option("--right")] = None


def test_a_group_becomes_its_options() -> None:
    seen: list[object] = []

    def command(name: str, pair: Pair, last: Annotated[bool, typer.Option("--last")] = False) -> None:
        """Does it."""
        seen.append((name, pair, last))

    small = typer.Typer()
    small.command()(grouped(command))
    done = CliRunner().invoke(small, ["a", "--right", "x", "--right", "y", "--last"])
    assert done.exit_code == 0, done.output
    assert seen == [("a", Pair(right=["x", "y"]), True)]


@pytest.mark.parametrize(
    "option",
    [
        "--workload",
        "--shape",
        "--phase",
        "--layers",
        "--tokens",
        "--batch",
        "--chunk",
        "--set",
        "--allow-guess",
    ],
)
def test_an_option_of_a_model_is_the_same_everywhere(option: str) -> None:
    found = defaultdict(list)
    for name in COMMANDS:
        for parameter in load(name).params:
            if option in parameter.opts and name != "validate" and (option, name) != ("--shape", "verify"):
                found[parameter.help, parameter.metavar, parameter.multiple].append(name)
    assert len(found) == 1
    assert len(*found.values()) > 3
