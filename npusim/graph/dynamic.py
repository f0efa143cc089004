"""Dynamic dimensions of a model's inputs: what they are called, giving them sizes, and saying what is still missing."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from npusim.errors import UserError
from npusim.graph.onnx_dims import dimension_names

#: Sizes that are suggested for a dimension whose name has the word in it; the first that fits.
_SENSIBLE = (("batch", 1), ("channel", 3), ("height", 224), ("width", 224), ("past", 128), ("seq", 128))
#: Sizes by place where the name says nothing: of a first dimension, of an image's last two, and of all others.
_FIRST, _IMAGE, _ELSE = 1, 224, 128
#: Inputs of tokens have their sequence here.
_TOKENS = ("i64", "i32")
#: Inputs that an error gives one by one.
_MOST_SHOWN = 4


@dataclass(frozen=True, slots=True)
class Input:
    """An input with a dynamic shape: by axis a size, or what the dimension is called. No ``dims``: not even the number
    of dimensions is known."""

    name: str
    dims: tuple[int | str, ...] | None


def dynamic_inputs(model: Any, path: Path | None) -> list[Input]:
    """The inputs of an openvino.Model whose shapes are dynamic. Dimensions have the names that an ONNX file at ``path``
    gives them; without one ``batch`` (first), ``sequence`` (second of tokens), ``height`` and ``width`` (of images), or
    ``INPUT.AXIS``."""
    names = dimension_names(path) if path is not None and path.suffix == ".onnx" else {}
    return [_input(port, names) for port in model.inputs if port.get_partial_shape().is_dynamic]


def _input(port: Any, names: Mapping[str, Sequence[str]]) -> Input:
    known, shape = port.get_names(), port.get_partial_shape()
    name = next(iter(sorted(known)), port.get_node().get_friendly_name())
    if shape.rank.is_dynamic:
        return Input(name, None)
    given = next((names[each] for each in known if len(names.get(each, ())) == len(shape)), [""] * len(shape))
    usual = _usual(port.get_element_type().get_type_name(), len(shape))
    return Input(
        name,
        tuple(
            (given[axis] or usual.get(axis) or f"{name}.{axis}") if dim.is_dynamic else dim.get_length()
            for axis, dim in enumerate(shape)
        ),
    )


def _usual(dtype: str, rank: int) -> dict[int, str]:
    """What the axes of an input mostly are, by its type and rank."""
    if dtype in _TOKENS and rank == 2:
        return {0: "batch", 1: "sequence"}
    return {0: "batch", 2: "height", 3: "width"} if rank == 4 else {0: "batch"}


def give_sizes(model: Any, sizes: Mapping[str, int], path: Path | None) -> None:
    """Reshape ``model`` so that every dimension called by a name in ``sizes`` has that size.

    Raises UserError for a name that no dimension has, and for sizes that the model does not take.
    """
    found = {each.name: each.dims for each in dynamic_inputs(model, path) if each.dims}
    there = list(dict.fromkeys(dim for dims in found.values() for dim in dims if isinstance(dim, str)))
    unknown = next((name for name in sizes if name not in there), None)
    if unknown is not None:
        have = f"it has {', '.join(there)}" if there else "all its inputs have static shapes"
        raise UserError(
            f"--dim {unknown}={sizes[unknown]}: the model has no dynamic dimension '{unknown}'; {have}"
        )
    shapes = {
        name: [sizes.get(dim, -1) if isinstance(dim, str) else dim for dim in dims]
        for name, dims in found.items()
    }
    try:
        model.reshape(shapes)
    except Exception as error:  # of whatever type a library has for it
        said = next(
            (line for line in reversed(str(error).splitlines()) if line.strip()), type(error).__name__
        )
        raise UserError(f"--dim: the model does not take these sizes: {said.strip()}") from error


def missing_sizes(inputs: Iterable[Input]) -> str:
    """What to give for the dimensions that are still dynamic, with sizes that are likely: as --dim, and as --shape."""
    found = list(inputs)
    sizes: dict[str, int] = {}
    for each in found:
        for axis, dim in enumerate(each.dims or ()):
            if isinstance(dim, str):
                sizes.setdefault(dim, _sensible(dim, axis, len(each.dims or ())))
    dims = " ".join(f"--dim {_quoted(dim)}={size}" for dim, size in sizes.items())
    shapes = [f"--shape {_quoted(each.name)}={_static(each, sizes)}" for each in found[:_MOST_SHOWN]]
    more = f" ... ({len(found) - _MOST_SHOWN} more)" if len(found) > _MOST_SHOWN else ""
    return f"{dims} (or {' '.join(shapes)}{more})" if dims else " ".join(shapes) + more


def _sensible(dim: str, axis: int, rank: int) -> int:
    """A likely size of a dimension: by its name, and where that says nothing by its place."""
    named = next((size for word, size in _SENSIBLE if word in dim.lower()), None)
    if named is not None:
        return named
    if axis == 0 and rank > 1:
        return _FIRST
    return _IMAGE if rank == 4 and axis >= 2 else _ELSE


def _static(each: Input, sizes: Mapping[str, int]) -> str:
    dims = ["..."] if each.dims is None else [str(sizes[d] if isinstance(d, str) else d) for d in each.dims]
    return f"[{','.join(dims)}]"


def _quoted(name: str) -> str:
    return f"'{name}'" if any(not (c.isalnum() or c in "._-/:") for c in name) else name
