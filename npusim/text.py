"""Texts of strangers made fit to be shown: names in models, files and options may hold anything."""

from __future__ import annotations

import difflib
import json
from collections.abc import Callable, Iterable, Sequence

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
    """Text, lines and all, without what would drive a terminal or is no character: what ``str.isprintable`` refuses."""
    return _replaced(text, lambda character: _REPLACEMENT, "\n\t")


def printable(text: str) -> str:
    """Text on one line without control characters: a name among others."""
    return _replaced(text, lambda character: _REPLACEMENT)


def escaped(json_text: str) -> str:
    """JSON text that says the same without such characters."""
    return _replaced(json_text, lambda character: json.dumps(character)[1:-1], "\n\t")


def _replaced(text: str, instead: Callable[[str], str], kept: str = "") -> str:
    strange = {c for c in set(text) if not c.isprintable() and c not in kept}
    return text.translate({ord(character): instead(character) for character in strange}) if strange else text


def one_line(text: str) -> str:
    """A message as one line that fits a screen."""
    line = printable(" ".join(text.split()))
    if len(line) <= _LONGEST_LINE:
        return line
    half = _LONGEST_LINE // 2
    return f"{line[:half]} ... {line[-half:]}"
