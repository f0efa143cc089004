"""Texts of strangers made fit to be shown: names in models, files and options may hold anything."""

from __future__ import annotations

import difflib
import re
from collections.abc import Iterable, Sequence

#: What drives a terminal or cannot be encoded: control characters but line breaks and tabs, marks that turn the
#: direction of writing, lone surrogates.
_UNSHOWABLE = re.compile(
    "[\x00-\x08\x0b-\x1f\x7f-\x9f\u200b-\u200f\u2028-\u202e\u2060-\u2069\ud800-\udfff\ufeff]"
)
_REPLACEMENT = "\ufffd"
#: An error is read at a glance: of a longer one the middle is left out.
_LONGEST_LINE = 500


def did_you_mean(word: str, known: Iterable[str]) -> str:
    """``; did you mean 'x'?`` for the known word nearest to ``word``, else nothing."""
    near = nearest(word, known)
    return f"; did you mean '{near}'?" if near else ""


def nearest(word: str, known: Iterable[str]) -> str:
    """The known word that ``word`` may be a slip of; empty if there is none."""
    return next(iter(difflib.get_close_matches(word.lower(), list(known), n=1, cutoff=0.6)), "")


def told_apart(rows: Sequence[Sequence[str]]) -> list[str]:
    """A label for each row of texts: what is not the same in all of them; numbered, where rows are equal."""
    differ = [column for column, texts in enumerate(zip(*rows, strict=True)) if len(set(texts)) > 1]
    labels = [" ".join(row[column] for column in differ) for row in rows]
    if len(set(labels)) == len(labels):
        return labels
    return [f"{label} #{number}".strip() for number, label in enumerate(labels, 1)]


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
