"""A hardware file to begin with: another one's values as comments, each under what it means."""

from __future__ import annotations

import textwrap
from collections.abc import Iterator, Mapping
from typing import Any, get_args

import yaml
from pydantic import BaseModel

from npusim.hardware.dump import tidy
from npusim.hardware.schema import Hardware

#: Keys that the file states itself, and the compiler's view, which a file states only to change what is scheduled.
_STATED, _LEFT_OUT = ("name", "role"), ("scheduled_for",)
#: Rows of a table that are shown; all are like them.
_MOST_ROWS = 3
_WIDTH = 100

_HEAD = """\
# yaml-language-server: $schema=npusim-hardware.schema.json
# (written by `npusim hw schema --editor > npusim-hardware.schema.json`; editors then complete keys and check values)
#
# Everything that is not stated here is as in {parent}. Lines that begin with one # are its values: take the # away, of
# the sections above a value too, and change it. Lines that begin with two say what a value means.
# `npusim hw check {file}` says what is wrong, `npusim hw diff {parent} {file}` what differs.
extends: {parent}

name: {name}
role: software
"""


def new_file(parent_file: str, parent: Hardware, file: str, name: str) -> str:
    """The text of a hardware file that is ``parent`` by another ``name``, all its values there as comments."""
    parts = {"parent": parent_file, "file": file, "name": yaml.safe_dump(name, width=1000).splitlines()[0]}
    sections = "\n".join(_section(parent, 0))
    return f"{_HEAD.format(**parts)}\n{sections}\n"


def _section(section: BaseModel, depth: int) -> Iterator[str]:
    for key, field in type(section).model_fields.items():
        if depth == 0 and key in (*_STATED, *_LEFT_OUT):
            continue
        value = getattr(section, key)
        if depth == 0:
            yield ""
        yield from _meaning(field.description or _of_section(field.annotation), depth)
        yield from _entry(key, value, depth)


def _entry(key: str, value: Any, depth: int) -> Iterator[str]:
    if isinstance(value, BaseModel):
        yield _line(f"{key}:", depth)
        yield from _section(value, depth + 1)
    elif isinstance(value, Mapping) and value:
        yield _line(f"{key}:", depth)
        rows = list(value.items())
        for name, row in rows[:_MOST_ROWS]:
            yield _line(f"{name}: {_flow(row)}", depth + 1)
        if len(rows) > _MOST_ROWS:
            yield from _meaning(
                f"... and {len(rows) - _MOST_ROWS} more: npusim hw show lists them", depth + 1
            )
    else:
        yield _line(f"{key}: {_flow(value)}", depth)


def _flow(value: Any) -> str:
    plain = value.model_dump(mode="json", exclude_defaults=True) if isinstance(value, BaseModel) else value
    plain = list(plain) if isinstance(plain, tuple) else plain
    text = yaml.safe_dump(tidy(plain), default_flow_style=True, width=10_000, allow_unicode=True)
    return text.removesuffix("...\n").strip()


def _line(text: str, depth: int) -> str:
    return f"#{'  ' * depth}{text}"


def _meaning(text: str | None, depth: int) -> Iterator[str]:
    if text:
        indent = f"## {'  ' * depth}"
        yield from textwrap.wrap(
            " ".join(text.split()), _WIDTH, initial_indent=indent, subsequent_indent=indent
        )


def _of_section(annotation: Any) -> str | None:
    """What a section's class says of itself, where its field says nothing."""
    kinds = (annotation, *get_args(annotation))
    section = next((k for k in kinds if isinstance(k, type) and issubclass(k, BaseModel)), None)
    return section.__doc__ if section is not None else None
