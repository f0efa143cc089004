"""Parsing of option values."""

from __future__ import annotations

import pytest

from npusim.cli.main import main
from npusim.cli.options import parse_shapes
from npusim.errors import UserError
from npusim.jobs.commands import command_line
from npusim.text import escaped, printable, showable


@pytest.mark.parametrize(
    ("texts", "shapes"),
    [
        (["input=[1,256]"], {"input": [1, 256]}),
        (["a:0=1,2", "b=[ 3 , 4 ]"], {"a:0": [1, 2], "b": [3, 4]}),
        (["scalar=[]"], {"scalar": []}),
        (["odd=name=[7]"], {"odd=name": [7]}),
    ],
)
def test_shapes(texts: list[str], shapes: dict[str, list[int]]) -> None:
    assert parse_shapes(texts) == shapes


@pytest.mark.parametrize(
    "text", ["input", "=[1]", "a=[1", "a=1]", "a=[1,-2]", "a=[1.5]", "a=[0]", "a=[?,2]", "a=[1,,2]"]
)
def test_bad_shapes(text: str) -> None:
    with pytest.raises(UserError, match="--shape"):
        parse_shapes([text])


def test_a_shape_given_twice() -> None:
    with pytest.raises(UserError, match="twice"):
        parse_shapes(["a=[1]", "a=[2]"])


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["run", "--hw", "a", "--hw", "b"], "--hw is given 2 times, and takes one value"),
        (["compare", "--hw", "a", "--hw", "b", "--model", "x", "--model", "y"], "--model is given 2 times"),
    ],
)
def test_no_value_is_lost_because_another_came_after_it(
    arguments: list[str], said: str, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit, match="2"):
        main(arguments)
    assert capsys.readouterr().err.startswith(f"error: {said}")


def test_command_line_quotes_and_leaves_out() -> None:
    options = [
        ("--hw", "my file.yaml"),
        ("--set", ["a=1", "b=2"]),
        ("--layers", None),
        ("--no", False),
        ("--yes", True),
    ]
    assert command_line("run", options) == "npusim run --hw 'my file.yaml' --set a=1 --set b=2 --yes"


def test_terminal_text_has_no_control_characters() -> None:
    assert printable("\x1b[31mred\x07\n") == "�[31mred��"
    assert showable("a line\n\tand \U0004f604, which is no character\u202e") == (
        "a line\n\tand �, which is no character�"
    )
    assert escaped('"\x1b \U0004f604 �"\n') == '"\\u001b \\ud8fd\\ude04 �"\n'
