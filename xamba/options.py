"""Options of rules: how their values are read from a pipeline."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import field
from pathlib import Path
from typing import Any, Literal

#: Of a file of shares: 10,000 ops.
_MOST_BYTES = 1 << 20


def option(default: Any, read: Callable[[str], Any], about: str) -> Any:
    """A field of a rule that a pipeline can set; `read` raises ValueError with what is expected."""
    return field(default=default, metadata={"read": read, "about": about})


def count(text: str) -> int:
    """A whole number of at least 1."""
    try:
        value = int(text)
    except ValueError:
        value = 0
    if value < 1:
        raise ValueError("expected a whole number of at least 1")
    return value


def proportion(text: str) -> float:
    """A number above 0 and below 1."""
    try:
        value = float(text)
    except ValueError:
        value = 0.0
    if not 0 < value < 1:
        raise ValueError("expected a share above 0 and below 1")
    return value


def ratios(text: str) -> tuple[tuple[str, float], ...]:
    """A YAML file of names and shares, in its order."""
    import yaml

    try:
        if not (path := Path(text)).is_file() or path.stat().st_size > _MOST_BYTES:
            raise ValueError(
                f"the file cannot be read: no plain file of at most {_MOST_BYTES >> 10} KiB is there"
            )
        read = yaml.safe_load(path.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError, RecursionError, yaml.YAMLError) as error:
        raise ValueError(f"the file cannot be read: {' '.join(str(error).split())}") from None
    if not isinstance(read, dict) or not read or not all(map(_is_share, read.items())):
        raise ValueError("expected a file of lines such as 'layers.3.*: 0.75'")
    return tuple((name, proportion(str(value))) for name, value in read.items())


def _is_share(line: tuple[object, object]) -> bool:
    """Whether a line has a name and a number, not something that either would have to be made of."""
    name, value = line
    return isinstance(name, str) and isinstance(value, float | int)


def share_or_ratios(text: str) -> tuple[tuple[str, float], ...]:
    """A share for all ops, or a YAML file of shares by op."""
    try:
        float(text)
    except ValueError:
        return ratios(text)
    return (("*", proportion(text)),)


def share_or_numbers(text: str) -> tuple[int, ...] | float:
    """A share above 0 and below 1, or whole numbers joined by +."""
    parts = text.split("+")
    if all(part.isdigit() for part in parts):
        return tuple(map(int, parts))
    try:
        return proportion(text)
    except ValueError:
        raise ValueError("expected a share above 0 and below 1, or numbers such as 3+7") from None


def one_of(*known: str) -> Callable[[str], str]:
    """A reader of one name of several."""

    def read(text: str) -> str:
        if text not in known:
            raise ValueError(f"expected one of {', '.join(known)}")
        return text

    return read


def glob(text: str) -> str:
    """A pattern of names: * stands for anything, ? for one sign."""
    if not text:
        raise ValueError("expected a name, in which * stands for anything")
    return text


def yes_or_no(text: str) -> bool:
    """yes or no"""
    if text not in ("yes", "no"):
        raise ValueError("expected yes or no")
    return text == "yes"


def interval(text: str) -> tuple[float, float]:
    """LOW:HIGH"""
    low, _, high = text.partition(":")
    try:
        values = float(low), float(high)
    except ValueError:
        values = 0.0, 0.0
    if not (values[0] < values[1] and all(map(math.isfinite, values))):
        raise ValueError("expected LOW:HIGH, two numbers of which the first is smaller")
    return values


def interval_or_observed(text: str) -> tuple[float, float] | Literal["observed"]:
    """LOW:HIGH, or observed"""
    return "observed" if text == "observed" else interval(text)


def one_or_more(known: tuple[str, ...]) -> Callable[[str], tuple[str, ...]]:
    """A reader of names joined by +."""

    def read(text: str) -> tuple[str, ...]:
        given = tuple(part.strip() for part in text.split("+"))
        unknown = [name for name in given if name not in known]
        if unknown:
            raise ValueError(f"'{unknown[0]}' is none of {', '.join(known)}; several are joined by +")
        return given

    return read
