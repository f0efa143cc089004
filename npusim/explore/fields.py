"""Fields of the hardware by path: what may stand there."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Annotated, Any, get_args

from pydantic import TypeAdapter, ValidationError

from npusim.errors import UserError
from npusim.hardware.base import Section
from npusim.hardware.errors import told
from npusim.hardware.paths import inside, values
from npusim.hardware.schema import Hardware
from npusim.text import did_you_mean

#: Axes that shape the model: fields of ModelSource; and that of rewrites.
MODEL_AXES = ("workload", "phase", "tokens", "layers", "batch", "chunk")
XAMBA_AXIS = "xamba"
#: What the axis of a dynamic dimension of a model file begins with: ``dim.sequence``.
DIM_AXIS = "dim."
AXES_OF_THE_MODEL = (*MODEL_AXES, XAMBA_AXIS)


@dataclass(frozen=True, slots=True)
class Field:
    """One value of the hardware: its path, what checks it, and whether it is a whole number."""

    path: str
    adapter: TypeAdapter[Any]
    whole: bool

    def read(self, value: Any, where: str) -> Any:
        """``value`` as the hardware holds it (an integer for a float field becomes a float).

        Raises UserError that begins with ``where`` for one that the schema refuses.
        """
        try:
            return self.adapter.validate_json(json.dumps(value), strict=True)
        except ValidationError as error:
            first = error.errors(include_url=False)[0]
            words = told(first["type"], first["input"], first.get("ctx", {}))
            raise UserError(f"{where}: {self.path} {words}") from None


def number_field(hw: Hardware, path: str, where: str) -> Field:
    """The single value at ``path``. Raises UserError for a path that ``hw`` has not, and for a section or a list."""
    keys = path.split(".")
    kind: Any = Hardware
    here: Any = hw
    for depth, key in enumerate(keys):
        known = inside(here)
        if known is None:
            parent = ".".join(keys[:depth])
            what = "is null here: give it values with --set" if here is None else "is a single value"
            raise UserError(f"{where}: {parent} {what}; it has no '{key}'")
        if key not in known:
            raise UserError(f"{where}: {_unknown(key, keys[:depth], known, hw)}")
        if isinstance(here, Section):
            field = type(here).model_fields[key]
            kind = Annotated[field.annotation, *field.metadata] if field.metadata else field.annotation
            here = getattr(here, key)
        else:
            kind = get_args(kind)[1]
            here = here[key]
        kind = _plain(kind) if isinstance(here, dict) else kind
    if isinstance(here, Section | dict | tuple):
        known = inside(here)
        hint = f"one value in it, such as {path}.{next(iter(known))}" if known else "single values"
        raise UserError(
            f"{where}: {path} is {'a list' if isinstance(here, tuple) else 'a section'}; an axis varies {hint}"
        )
    return Field(path, TypeAdapter(kind), type(here) is int)


def _plain(kind: Any) -> Any:
    """The mapping in ``Annotated[dict[...], ...]`` or ``dict[...] | None``."""
    if getattr(kind, "__origin__", None) is dict:
        return kind
    return (
        next(found for part in get_args(kind) if (found := _plain(part)) is not None)
        if get_args(kind)
        else None
    )


def _unknown(key: str, parents: Sequence[str], known: Mapping[str, Any], hw: Hardware) -> str:
    if parents:
        return f"there is no '{key}' in {'.'.join(parents)}{did_you_mean(key, list(known))}"
    elsewhere = [path for path in paths(hw) if path.rpartition(".")[2] == key]
    near = (
        f"; did you mean '{elsewhere[0]}'?" if elsewhere else did_you_mean(key, [*known, *AXES_OF_THE_MODEL])
    )
    return f"there is no '{key}' in the hardware, nor is it an axis of the model{near}"


def paths(hw: Hardware) -> list[str]:
    """Paths of all single values of a hardware, but for those of ``scheduled_for``."""
    return [path for path in values(hw) if not path.startswith("scheduled_for.")]
