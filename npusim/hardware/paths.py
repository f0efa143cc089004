"""Single values of a hardware description by path (``clocks.dpu_mhz``, ``shave.kernels.exp.per_cycle``)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from npusim.hardware.base import Section
from npusim.hardware.schema import Hardware


def values(hw: Hardware) -> dict[str, Any]:
    """All single values by path, in the schema's order; lists count as one value."""
    return dict(_values(hw, ()))


def with_values(hw: Hardware, given: Sequence[tuple[str, Any]]) -> Hardware:
    """``hw`` with other values at some paths, which must exist. The values are not checked."""
    for path, value in given:
        hw = _with(hw, path.split("."), value)
    return hw


def inside(here: Any) -> Mapping[str, Any] | None:
    """What a section or a table holds, by key; None for a single value."""
    if isinstance(here, Section):
        return {key: getattr(here, key) for key in type(here).model_fields}
    return here if isinstance(here, dict) else None


def _values(here: Any, keys: tuple[str, ...]) -> list[tuple[str, Any]]:
    known = inside(here)
    if known is None:
        return [(".".join(keys), here)]
    return [found for key, value in known.items() for found in _values(value, (*keys, key))]


def _with(here: Any, keys: Sequence[str], value: Any) -> Any:
    if not keys:
        return value
    key, rest = keys[0], keys[1:]
    if isinstance(here, Section):
        return here.model_copy(update={key: _with(getattr(here, key), rest, value)})
    return {**here, key: _with(here[key], rest, value)}
