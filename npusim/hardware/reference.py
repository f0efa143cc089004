"""The reference of hardware files, from the schema: every key with its type, its default and what it means."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, get_args, get_origin

from pydantic import BaseModel
from pydantic_core import PydanticUndefined

from npusim.hardware.schema import Hardware

_HEAD = """\
# Hardware files, key by key

Written by `npusim hw schema --markdown` from the schema that checks them; a test holds it to that. A file may begin
with `extends: OTHER.yaml` and then state only what differs; `npusim hw new mine.yaml --from OTHER` writes one to begin
with. A key with a default may be left out. Where numbers come from stands in the shipped files, beside the numbers.
"""


def reference() -> str:
    """The page as Markdown."""
    return "\n".join([_HEAD, *_section("", Hardware, set())]) + "\n"


def _section(path: str, section: type[BaseModel], done: set[type[BaseModel]]) -> Iterator[str]:
    """A section's table, then those below it; one that several keys have is written once."""
    if section in done:
        return
    done.add(section)
    yield f"## {f'`{path}`' if path else 'The file'}"
    yield from ("", _line(section.__doc__ or ""), "", "| key | value | default | |", "|---|---|---|---|")
    for key, field in section.model_fields.items():
        default = "" if field.default is PydanticUndefined else f"`{_plain(field.default)}`"
        below, _ = _below(field.annotation)
        meaning = field.description or (below.__doc__ if below is not None else "")
        yield f"| `{key}` | {_kind(field.annotation)} | {default} | {_line(meaning or '')} |"
    yield ""
    for key, field in section.model_fields.items():
        below, name = _below(field.annotation)
        if below is not None:
            yield from _section(f"{path}.{key}{name}".lstrip("."), below, done)


def _below(annotation: Any) -> tuple[type[BaseModel] | None, str]:
    """The section in a key's type, and what stands between them in the path: a name, where it is a table."""
    if get_origin(annotation) is dict:
        return _below(get_args(annotation)[1])[0], ".NAME"
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return annotation, ""
    found = (_below(part) for part in get_args(annotation))
    return next((one for one in found if one[0] is not None), (None, ""))


def _kind(annotation: Any) -> str:
    if _below(annotation)[0] is not None:
        return "a table" if get_origin(annotation) is dict else "a section"
    names = {float: "number", int: "whole number", str: "text", bool: "true or false", type(None): "null"}
    if annotation in names:
        return names[annotation]
    parts = get_args(annotation)
    if get_origin(annotation) in (tuple, list, frozenset):
        return "a list"
    if parts and all(isinstance(part, str) for part in parts):
        return ", ".join(f"`{part}`" for part in parts)
    return " or ".join(dict.fromkeys(_kind(part) for part in parts if part is not Ellipsis)) or "text"


def _plain(value: Any) -> str:
    if isinstance(value, BaseModel):
        return "as its keys"
    if isinstance(value, bool) or value is None:
        return {None: "null", True: "true", False: "false"}[value]
    return f"{value:g}" if isinstance(value, float) else str(value)


def _line(text: str) -> str:
    return " ".join(text.split()).replace("|", "\\|").replace("``", "`")
