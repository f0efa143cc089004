"""Hardware files to ``Hardware``: find, read, merge with the parent, override, validate.

A file may say ``extends: parent.yaml``: mappings are merged key by key, everything else of the child's replaces the
parent's, and so does a mapping that is tagged ``!replace``.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar, get_args, get_origin

from pydantic import BaseModel, ValidationError

from npusim.arguments import checked
from npusim.hardware import override
from npusim.hardware.errors import HardwareError, shown, told
from npusim.hardware.files import File, find, find_parent, same
from npusim.hardware.nodes import Node, parse
from npusim.hardware.schema import Hardware
from npusim.text import did_you_mean, nearest

if TYPE_CHECKING:
    from pydantic_core import ErrorDetails

#: Mistakes that one message names.
_MOST_TOLD = 20
#: Mistakes that are looked at: finding what a key was to be takes a tenth of a millisecond.
_MOST_READ = 1000

Kind = TypeVar("Kind", bound=BaseModel)


@checked
def load_hardware(path_or_name: str | Path, overrides: Sequence[str] = ()) -> Hardware:
    """The hardware that a file describes, with ``overrides`` (``section.key=value``) applied.

    A relative path or a name is looked up in the current folder first, then among the shipped files; ``.yaml`` may
    be left out. Raises HardwareError, in one line that gives the position, for every mistake.
    """
    return validate(resolve(path_or_name, overrides))


def resolve(path_or_name: str | Path, overrides: Sequence[str] = ()) -> Node:
    """The tree of a file with its parents merged in and ``overrides`` applied, not yet validated."""
    tree = _merged_with_parents(find(path_or_name), ())
    return override.apply(tree, overrides)


def validate(tree: Node) -> Hardware:
    """The Hardware that ``tree`` says. Raises HardwareError with the places of all mistakes."""
    return validate_as(Hardware, tree)


def validate_as(kind: type[Kind], tree: Node) -> Kind:
    """What ``tree`` says, as a ``kind``. Raises HardwareError with the places of all mistakes."""
    try:
        return kind.model_validate_json(json.dumps(tree.plain()), strict=True)
    except ValidationError as error:
        raise HardwareError(_message(kind, tree, error)) from None


def _merged_with_parents(file: File, children: tuple[File, ...]) -> Node:
    lineage = (*children, file)
    tree = parse(file.text(), file.label)
    if not isinstance(tree.value, dict):
        what = (
            "is empty" if tree.value is None else f"must be a mapping (key: value), not {shown(tree.value)}"
        )
        raise HardwareError(f"{tree.place}: a hardware file {what}")
    entries = dict(tree.value)
    extends = entries.pop("extends", None)
    tree = Node(entries, tree.place)
    if extends is None:
        return tree
    if not isinstance(extends.value, str) or not extends.value:
        raise HardwareError(
            f"{extends.place}: extends: must be the name of one file (got {shown(extends.value)})"
        )
    try:
        parent = find_parent(extends.value, file)
    except HardwareError as error:
        raise HardwareError(f"{extends.place}: extends: {error}") from None
    if any(same(parent.path, known.path) for known in lineage):
        cycle = " -> ".join(known.label for known in (*lineage, parent))
        raise HardwareError(f"{extends.place}: extends: a circle: {cycle}")
    return _merged(_merged_with_parents(parent, lineage), tree)


def _merged(parent: Node, child: Node) -> Node:
    """The child's values over the parent's: mappings key by key, all else (and ``!replace``) as the child has it."""
    if child.replace or not (isinstance(parent.value, dict) and isinstance(child.value, dict)):
        return child
    entries = dict(parent.value)
    for key, node in child.value.items():
        entries[key] = _merged(entries[key], node) if key in entries else node
    return Node(entries, child.place)


def _message(kind: type[BaseModel], tree: Node, error: ValidationError) -> str:
    """All mistakes in reading order, then the keys that are missing, but for those that were misspelt."""
    details = sorted(error.errors(include_url=False), key=lambda detail: _reading_order(tree, detail))
    missing = [detail for detail in details if detail["type"] == "missing"]
    wrong = [detail for detail in details if detail["type"] != "missing"]
    wrong, unread = wrong[:_MOST_READ], len(wrong[_MOST_READ:])
    misspelt = {_misspelt(kind, tree, detail) for detail in wrong if detail["type"] == "extra_forbidden"}
    missing = [
        detail
        for detail in missing
        if (*_locate(tree, detail["loc"])[1], str(detail["loc"][-1])) not in misspelt
    ]
    told = list(dict.fromkeys(_mistake(kind, tree, detail) for detail in wrong))
    left = len(told[_MOST_TOLD:]) + unread
    more = [f"(and {left} more)"] if left else []
    return "; ".join([*told[:_MOST_TOLD], *([_missing(tree, missing)] if missing else []), *more])


def _reading_order(tree: Node, detail: ErrorDetails) -> tuple[int, int]:
    at = _locate(tree, detail["loc"])[0].place
    return at.line, at.column


def _misspelt(root: type[BaseModel], tree: Node, detail: ErrorDetails) -> tuple[str, ...]:
    """The path of the key that an unknown one was probably to be."""
    *parents, key = _locate(tree, detail["loc"])[1]
    return (*parents, nearest(key, keys_of(parents, root)))


def _missing(tree: Node, details: Sequence[ErrorDetails]) -> str:
    """All keys that are missing, section by section."""
    sections: dict[str, list[str]] = {}
    for detail in details:
        node, keys = _locate(tree, detail["loc"])
        where = f"{node.place}: {'.'.join(keys)}: " if keys else f"{node.place}: "
        sections.setdefault(where, []).append(f"'{detail['loc'][-1]}'")
    return "; ".join(
        f"{where}missing key{'s' if len(keys) > 1 else ''} {', '.join(keys)}"
        for where, keys in sections.items()
    )


def _mistake(root: type[BaseModel], tree: Node, detail: ErrorDetails) -> str:
    node, keys = _locate(tree, detail["loc"])
    kind = detail["type"]
    at, path = node.place, ".".join(keys)
    if kind == "extra_forbidden":
        key = str(detail["loc"][-1])
        path = ".".join(keys[:-1]) if keys and keys[-1] == key else path
        words = _unknown(root, key, keys[:-1])
    else:
        words = told(kind, detail["input"], detail.get("ctx", {}))
    own_words = at.source.startswith("--set") and kind == "extra_forbidden"
    label = "" if own_words or not path else f"{path}: "
    return f"{at}: {label}{words}"


def _locate(tree: Node, loc: tuple[int | str, ...]) -> tuple[Node, list[str]]:
    """The node nearest to a pydantic location, and the keys that lead to it."""
    node, keys = tree, []
    for step in loc:
        if isinstance(node.value, dict) and str(step) in node.value:
            node = node.value[str(step)]
            keys.append(str(step))
        elif isinstance(node.value, list) and isinstance(step, int) and step < len(node.value):
            node = node.value[step]
            keys.append(f"{step}")
    return node, keys


def _unknown(root: type[BaseModel], key: str, parents: Sequence[str]) -> str:
    return f"unknown key '{key}'{did_you_mean(key, keys_of(parents, root))}"


def keys_of(path: Sequence[str], root: type[BaseModel] = Hardware) -> list[str]:
    """The keys that the schema of ``root`` knows for the section at ``path``; none where any key may stand (tables)."""
    kind: Any = root
    for key in path:
        if get_origin(kind) is dict:
            kind = get_args(kind)[1]
        else:
            field = kind.model_fields.get(key) if _is_section(kind) else None
            kind = _mapping_in(field.annotation) if field else None
    names = list(kind.model_fields) if _is_section(kind) else []
    return names if path or root is not Hardware else [*names, "extends"]


def _is_section(kind: Any) -> bool:
    return isinstance(kind, type) and issubclass(kind, BaseModel)


def _mapping_in(annotation: Any) -> Any:
    """The section or table in ``X`` or ``X | None``."""
    if _is_section(annotation) or get_origin(annotation) is dict:
        return annotation
    return next((part for part in get_args(annotation) if _mapping_in(part)), None)
