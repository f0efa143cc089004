"""Blocks that several pages are made of, as the dictionaries that page.render takes."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from math import isfinite
from typing import Any

import numpy as np

from npusim.text import printable

Block = dict[str, Any]


def tab(name: str, title: str, *blocks: Block) -> dict[str, Any]:
    """A tab; ``name`` becomes its address (``report.html#name``)."""
    return {"id": name, "title": title, "blocks": list(blocks)}


def card(label: str, text: str, hint: str = "", tone: str = "") -> dict[str, str]:
    """A card with one figure: ``text`` is a number, a space and its unit; ``tone`` is empty, ``main`` or ``warn``."""
    value, _, unit = text.partition(" ")
    return {
        "label": label, "value": printable(value), "unit": printable(unit), "hint": printable(hint), "tone": tone
    }  # fmt: skip


def facts(title: str, items: Iterable[tuple[str, str]], width: str = "half") -> Block:
    """Names and values, one pair a line."""
    shown = [(printable(name), printable(value)) for name, value in items]
    return {"kind": "facts", "width": width, "title": title, "items": shown}


def command(text: str, width: str = "half", title: str = "The same again") -> list[Block]:
    """A command to copy, by default the one that gives the same numbers; nothing where there is none."""
    return [{"kind": "command", "width": width, "title": title, "text": printable(text)}] if text else []


def notes(items: Sequence[str], title: str = "Notes") -> list[Block]:
    """Remarks; nothing where there are none."""
    return [{"kind": "notes", "title": title, "items": [printable(item) for item in items]}] if items else []


def plot(title: str, figure: Mapping[str, Any], lead: str = "", width: str = "") -> Block:
    """A figure (Plotly's ``data`` and ``layout``, ``height`` in pixels, ``label`` for screen readers) in a frame."""
    return {"kind": "plot", "title": title, "lead": lead, "width": width, **figure}


def text_column(key: str, title: str, values: Iterable[object]) -> dict[str, Any]:
    """A column of texts; None is empty."""
    shown = ["" if value is None else printable(str(value)) for value in values]
    return {"key": key, "title": printable(title), "kind": "text", "values": shown}


def number_column(
    key: str, title: str, unit: str, values: Iterable[float], digits: int, *, blank_zero: bool = False
) -> dict[str, Any]:
    """A column of numbers, shown with ``digits`` places (one more is kept); what is not finite is left empty."""
    rounded = np.round(np.fromiter(values, float), digits + 1 if digits else 0)
    shown = [_plain(value) for value in rounded.tolist()]
    return {
        "key": key, "title": printable(title), "unit": unit, "kind": "number", "digits": digits,
        "blankZero": blank_zero, "values": shown,
    }  # fmt: skip


def _plain(value: float) -> float | int | None:
    if not isfinite(value):
        return None
    return int(value) if value == int(value) else value
