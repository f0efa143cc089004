"""How mistakes in a hardware file are told: one line, with the place and, where it can be guessed, the cure."""

from __future__ import annotations

from typing import Any

from npusim.errors import UserError

_LONGEST_VALUE = 40
_BOUNDS = {
    "greater_than": ("gt", "greater than"),
    "greater_than_equal": ("ge", "at least"),
    "less_than": ("lt", "less than"),
    "less_than_equal": ("le", "at most"),
}
_KINDS = {
    "float": "a number",
    "int": "a whole number",
    "string": "text",
    "bool": "true or false",
    "tuple": "a list",
    "list": "a list",
    "dict": "a mapping (key: value)",
    "model": "a mapping (key: value)",
    "finite": "a finite number",
}


class HardwareError(UserError):
    """A mistake in a hardware file, its name, or an override of it."""


def shown(value: Any) -> str:
    """A value as an error message quotes it: short, on one line, in YAML's words."""
    if value is None:
        return "null"
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, dict):
        return "a mapping"
    if isinstance(value, list | tuple):
        return "a list"
    text = repr(value)
    return text if len(text) <= _LONGEST_VALUE else text[:_LONGEST_VALUE] + "..."


def told(kind: str, value: Any, context: dict[str, Any]) -> str:
    """One validation error of pydantic's in plain words: its ``type``, ``input`` and ``ctx``."""
    if kind in _BOUNDS:
        key, words = _BOUNDS[kind]
        return f"must be {words} {context[key]:.15g} (got {shown(value)})"
    if kind == "literal_error":
        return f"must be one of {context['expected']} (got {shown(value)})"
    if kind == "value_error":
        return str(context["error"])
    if kind in ("too_short", "too_long"):
        key, words = ("min_length", "at least") if kind == "too_short" else ("max_length", "at most")
        entries = "entry" if context[key] == 1 else "entries"
        return f"must have {words} {context[key]:,} {entries} (it has {context['actual_length'] or 'none'})"
    what = _KINDS.get(kind.partition("_")[0])
    if what is None:
        return f"is not allowed (got {shown(value)})"
    return f"must be {what} (got {shown(value)})"
