"""Texts of strangers made fit to be shown: names in models, files and options may hold anything."""

from __future__ import annotations

import re

#: What drives a terminal or cannot be encoded: control characters but line breaks and tabs, marks that turn the
#: direction of writing, lone surrogates.
_UNSHOWABLE = re.compile(
    "[\x00-\x08\x0b-\x1f\x7f-\x9f\u200b-\u200f\u2028-\u202e\u2060-\u2069\ud800-\udfff\ufeff]"
)
_REPLACEMENT = "\ufffd"
#: An error is read at a glance: of a longer one the middle is left out.
_LONGEST_LINE = 500


def showable(text: str) -> str:
    """Text, lines and all, without what would drive a terminal."""
    return _UNSHOWABLE.sub(_REPLACEMENT, text)


def printable(text: str) -> str:
    """Text on one line without control characters: a name among others."""
    return "".join(character if character.isprintable() else _REPLACEMENT for character in text)


def escaped(json_text: str) -> str:
    """JSON text that says the same without such characters."""
    return _UNSHOWABLE.sub(lambda found: f"\\u{ord(found[0]):04x}", json_text)


def one_line(text: str) -> str:
    """A message as one line that fits a screen."""
    line = printable(" ".join(text.split()))
    if len(line) <= _LONGEST_LINE:
        return line
    half = _LONGEST_LINE // 2
    return f"{line[:half]} ... {line[-half:]}"
