"""YAML text as a tree that knows where each value was written, so that an error can say so.

Scalars follow YAML 1.2 (``1e-3`` is a number, ``on`` and ``yes`` are text, ``010`` is ten). Equal keys, ``<<`` merge
keys, tags (but for ``!replace``, see load.py) and loops are refused; anchors and aliases are fine.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Any

import yaml

from npusim.hardware.errors import HardwareError, shown

try:
    from yaml import CBaseLoader as _BaseLoader
except ImportError:  # PyYAML built without libyaml: slower, same result
    from yaml import BaseLoader as _BaseLoader  # type: ignore[assignment]

_REPLACE_TAG = "!replace"
_PLAIN_TAG = "!plain"
_TEXT_TAG = "tag:yaml.org,2002:str"
_COLLECTION_TAGS = {"tag:yaml.org,2002:map", "tag:yaml.org,2002:seq"}
_INTEGER = re.compile(r"[-+]?[0-9][0-9_]*\Z", re.ASCII)
_FLOAT = re.compile(r"[-+]?(\.[0-9]+|[0-9][0-9_]*(\.[0-9_]*)?)([eE][-+]?[0-9]+)?\Z", re.ASCII)
_WORDS: dict[str, Any] = {
    **dict.fromkeys(("", "~", "null", "Null", "NULL"), None),
    **dict.fromkeys(("true", "True", "TRUE"), True),
    **dict.fromkeys(("false", "False", "FALSE"), False),
    **dict.fromkeys((".inf", "+.inf", ".Inf", "+.Inf"), float("inf")),
    **dict.fromkeys(("-.inf", "-.Inf"), float("-inf")),
    **dict.fromkeys((".nan", ".NaN"), float("nan")),
}
_MOST_DIGITS = 300
#: A resolved hardware file has two thousand values. An alias counts as all that it stands for.
_MOST_VALUES = 200_000
_MOST_LEVELS = 60


@dataclass(frozen=True, slots=True)
class Place:
    """Where a value was written: ``lunarlake.yaml:12:5``, or the override that set it."""

    source: str
    line: int = 0
    column: int = 0

    def __str__(self) -> str:
        """The place as messages begin with it."""
        return f"{self.source}:{self.line}:{self.column}" if self.line else self.source


@dataclass(frozen=True, slots=True)
class Node:
    """A value and its place (of a mapping's entry: the place of the key)."""

    value: dict[str, Node] | list[Node] | str | int | float | bool | None
    place: Place
    replace: bool = False
    """A mapping that takes the place of the parent file's, instead of being merged into it."""

    def plain(self) -> Any:
        """The bare value, without places."""
        if isinstance(self.value, dict):
            return {key: node.plain() for key, node in self.value.items()}
        if isinstance(self.value, list):
            return [node.plain() for node in self.value]
        return self.value


class _Loader(_BaseLoader):
    """Composes nodes, and only tells plain scalars from quoted ones."""

    def resolve(self, kind: type[yaml.Node], value: str | None, implicit: Any) -> str:
        if kind is yaml.ScalarNode:
            return _PLAIN_TAG if implicit[0] else _TEXT_TAG
        return str(super().resolve(kind, value, implicit))


def parse(text: str, source: str, inline: bool = False) -> Node:
    """The tree of a YAML text. Raises HardwareError, naming ``source`` and the position.

    ``inline`` text (the value of an override) has no positions worth telling: all of it is at ``source``.
    """
    reader = _Reader(source, inline)
    try:
        root = yaml.compose(text, Loader=_Loader)
        return reader.convert(root, reader.start) if root else Node(None, reader.start)
    except (yaml.reader.ReaderError, UnicodeEncodeError):
        found = yaml.reader.Reader.NON_PRINTABLE.search(text)
        words = f"not YAML: character {found[0]!r} is not allowed" if found else "not UTF-8 text"
        place = reader.place_at(text, found.start()) if found else reader.start
    except yaml.MarkedYAMLError as error:
        words, place = reader.syntax(error, text)
    except RecursionError:
        words, place = "nested too deeply", reader.start
    raise HardwareError(f"{place}: {words}")


class _Reader:
    """Turns PyYAML's nodes and errors into ours; an alias is converted once."""

    def __init__(self, source: str, inline: bool) -> None:
        self._source = source
        self._inline = inline
        self.start = self._place(0, 0)
        self._done: dict[int, tuple[Node, int]] = {}
        self._open: set[int] = set()
        self._values = 0

    def convert(self, node: yaml.Node, place: Place) -> Node:
        """``node``, told to be at ``place``."""
        if id(node) in self._done:
            known, values = self._done[id(node)]
            self._count(values, place)
            return Node(known.value, place, known.replace)
        if id(node) in self._open:
            raise HardwareError(f"{self._place_of(node)}: an alias that contains itself")
        before = self._values
        self._count(1, place)
        self._open.add(id(node))
        if len(self._open) > _MOST_LEVELS:
            raise HardwareError(f"{self._place_of(node)}: nested too deeply")
        made = self._new(node, place)
        self._open.discard(id(node))
        self._done[id(node)] = made, self._values - before
        return made

    def _count(self, values: int, place: Place) -> None:
        self._values += values
        if self._values > _MOST_VALUES:
            raise HardwareError(f"{place}: more than {_MOST_VALUES:,} values, aliases included")

    def _new(self, node: yaml.Node, place: Place) -> Node:
        if isinstance(node, yaml.ScalarNode):
            return Node(self._scalar(node), place)
        replace = node.tag == _REPLACE_TAG and isinstance(node, yaml.MappingNode)
        if not replace and node.tag not in _COLLECTION_TAGS:
            raise HardwareError(f"{self._place_of(node)}: unknown tag '{node.tag}'")
        if isinstance(node, yaml.SequenceNode):
            return Node([self.convert(item, self._place_of(item)) for item in node.value], place)
        entries: dict[str, Node] = {}
        for key_node, value_node in node.value:
            at = self._place_of(key_node)
            key = self._key(key_node, at)
            if key in entries:
                first = entries[key].place
                where = "" if self._inline else f" (first at {first.line}:{first.column})"
                raise HardwareError(f"{at}: key '{key}' is given twice{where}")
            entries[key] = self.convert(value_node, at)
        return Node(entries, place, replace)

    def _key(self, node: yaml.Node, at: Place) -> str:
        if not isinstance(node, yaml.ScalarNode):
            raise HardwareError(f"{at}: a key must be one word, not a list or a mapping")
        if node.value == "<<" and node.tag == _PLAIN_TAG:
            raise HardwareError(f"{at}: merge keys (<<) are not supported; use 'extends' or an alias")
        return str(node.value)

    def _scalar(self, node: yaml.ScalarNode) -> str | int | float | bool | None:
        text = str(node.value)
        if node.tag == _TEXT_TAG:
            return text
        if node.tag != _PLAIN_TAG:
            raise HardwareError(f"{self._place_of(node)}: unknown tag '{node.tag}'")
        if text in _WORDS:
            word: bool | float | None = _WORDS[text]
            return word
        if len(text) > _MOST_DIGITS and _FLOAT.match(text):
            raise HardwareError(f"{self._place_of(node)}: a number that is too long ({shown(text)})")
        if _INTEGER.match(text):
            return int(text.replace("_", "").lstrip("+"))
        if _FLOAT.match(text):
            return float(text.replace("_", ""))
        return text

    def syntax(self, error: yaml.MarkedYAMLError, text: str) -> tuple[str, Place]:
        """What PyYAML found wrong, and where."""
        mark = error.problem_mark or error.context_mark
        if mark is None:
            return f"not YAML: {error}", self.start
        lines = text.splitlines()
        line = lines[mark.line] if mark.line < len(lines) else ""
        words = ", ".join(part for part in (error.context, error.problem) if part)
        if "\t" in line[: mark.column + 1]:
            words = "a tab; YAML is indented by spaces"
        return f"not YAML: {words}", self._place(mark.line, mark.column)

    def place_at(self, text: str, offset: int) -> Place:
        """The place of a character of ``text``."""
        return self._place(text.count("\n", 0, offset), offset - text.rfind("\n", 0, offset) - 1)

    def _place_of(self, node: yaml.Node) -> Place:
        return self._place(node.start_mark.line, node.start_mark.column)

    def _place(self, line: int, column: int) -> Place:
        return Place(self._source) if self._inline else Place(self._source, line + 1, column + 1)
