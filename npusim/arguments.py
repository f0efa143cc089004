"""What public functions are given is checked against their own annotations: one way for every choice, number and name.

``Literal`` names the choices, ``Annotated[int, range(1, 9)]`` the numbers that may be,
``Annotated[str, "such as 17w"]`` adds words, and ``**size: Unpack[Size]`` are the keywords of a TypedDict. So what a
type checker refuses, a user without one is told in a line.
"""

from __future__ import annotations

import inspect
import operator
import reprlib
from collections.abc import Callable, Iterable, Mapping, Sequence
from functools import cache, wraps
from numbers import Integral, Real
from pathlib import Path
from types import NoneType, SimpleNamespace, UnionType
from typing import Annotated, Any, Literal, ParamSpec, TypeVar, Union, get_args, get_origin, get_type_hints

from npusim.errors import UserError
from npusim.text import did_you_mean

P = ParamSpec("P")
R = TypeVar("R")

_WORDS = {
    str: "text", int: "a whole number", float: "a number", bool: "a bool", Path: "a path",
    Sequence: "a list", Iterable: "a list", Mapping: "a mapping", NoneType: "None",
}  # fmt: skip
_LISTS = (Sequence, Iterable)
#: Numbers of any library, as Python's.
_NUMBERS: dict[Any, Callable[[Any], Any]] = {int: operator.index, float: float}
#: What an error quotes; of anything else it names the type.
_SHORT = (str, int, float, list, tuple, dict, NoneType)


class _Misfit(Exception):
    """A value that is not what its place is for."""

    def __init__(self, kind: Any, value: Any, place: str = "") -> None:
        """``value`` stands where a ``kind`` belongs, at ``place`` within mappings (``input: ``)."""
        super().__init__()
        self.kind, self.value, self.place = kind, value, place


def checked(function: Callable[P, R]) -> Callable[P, R]:
    """``function``, which raises UserError for what does not fit its annotations and for keywords that it has not."""
    signature = inspect.signature(function)

    @wraps(function)
    def call(*given: P.args, **named: P.kwargs) -> R:
        kinds = _kinds(function)
        for name in named:
            if name not in kinds:
                known = did_you_mean(name, kinds) or f": it has {', '.join(kinds)}"
                raise UserError(f"{function.__name__}() has no '{name}'{known}")
        try:
            bound = signature.bind(*given, **named)
        except TypeError as error:
            raise UserError(f"{function.__name__}(): {error}") from None
        for name, value in bound.arguments.items():
            if name in kinds:
                bound.arguments[name] = _taken(name, kinds[name], value)
            elif signature.parameters[name].kind is inspect.Parameter.VAR_KEYWORD:
                bound.arguments[name] = {each: _taken(each, kinds[each], one) for each, one in value.items()}
        return function(*bound.args, **bound.kwargs)

    return call


def texts_of(given: str | Iterable[str]) -> list[str]:
    """Texts, of which there may be one alone."""
    return [given] if isinstance(given, str) else list(given)


@cache
def _kinds(function: Callable[..., Any]) -> dict[str, Any]:
    """The keywords of a function and what each is for, those of an unpacked TypedDict among them."""
    asked = {name: kind for name, kind in function.__annotations__.items() if name != "return"}
    made = SimpleNamespace(__annotations__=asked, __globals__=function.__globals__)
    kinds: dict[str, Any] = {}
    for name, kind in get_type_hints(made, include_extras=True).items():
        if inspect.signature(function).parameters[name].kind is inspect.Parameter.VAR_KEYWORD:
            (keywords,) = get_args(kind)
            kinds |= get_type_hints(keywords, include_extras=True)
        else:
            kinds[name] = kind
    return kinds


def _taken(name: str, kind: Any, value: Any) -> Any:
    """``value`` as the function has it. Raises UserError."""
    try:
        return fitted(kind, value)
    except _Misfit as wrong:
        meant = ""
        if get_origin(wrong.kind) is Literal and isinstance(wrong.value, str):
            meant = did_you_mean(wrong.value, get_args(wrong.kind))
        raise UserError(
            f"{name}: {wrong.place}must be {described(wrong.kind)} (got {shown(wrong.value)}){meant}"
        ) from None


def fitted(kind: Any, value: Any) -> Any:
    """``value`` if it is a ``kind``, an annotation; a list, mapping or number as Python's own.

    Raises _Misfit for the innermost part that is none.
    """
    origin, parts = get_origin(kind) or kind, get_args(kind)
    if origin is Any or origin is object:
        return value
    if origin is Annotated:
        try:
            found = fitted(parts[0], value)
        except _Misfit:
            raise _Misfit(kind, value) from None
        if not all(found in limit for limit in parts[1:] if isinstance(limit, range)):
            raise _Misfit(kind, value)
        return found
    if origin in (Union, UnionType):
        return _one_of(kind, value)
    if origin is Literal:
        fits = isinstance(value, str) and value in parts
    elif origin in _NUMBERS:
        fits = isinstance(value, Integral if origin is int else Real) and not isinstance(value, bool)
    else:
        fits = isinstance(value, NoneType if origin is None else origin)
        fits = fits and not (origin in _LISTS and isinstance(value, str | bytes | Mapping))
    if not fits:
        raise _Misfit(kind, value)
    if origin is Mapping:
        return {fitted(parts[0], name): _item(parts[1], one, name) for name, one in value.items()}
    if origin in _LISTS:
        return [fitted(parts[0], one) for one in value]
    return _NUMBERS[origin](value) if origin in _NUMBERS else value


def _item(kind: Any, value: Any, name: object) -> Any:
    try:
        return fitted(kind, value)
    except _Misfit as wrong:
        raise _Misfit(wrong.kind, wrong.value, f"{name}: {wrong.place}") from None


def _one_of(kind: Any, value: Any) -> Any:
    """``value`` if it is one of a union. Where a list or mapping that may be has one wrong item, that is told."""
    parts = [part for part in get_args(kind) if part is not NoneType]
    if value is None and len(parts) < len(get_args(kind)):
        return None
    if len(parts) == 1:
        return fitted(parts[0], value)
    within: list[_Misfit] = []
    for part in parts:
        try:
            return fitted(part, value)
        except _Misfit as wrong:
            if wrong.value is not value:
                within.append(wrong)
    raise within[0] if len(within) == 1 else _Misfit(kind, value)


def described(kind: Any) -> str:
    """An annotation in words: 'latency' or 'throughput'; a whole number from 1 to 8."""
    origin, parts = get_origin(kind) or kind, get_args(kind)
    if origin is Annotated:
        more = [f"from {one[0]} to {one[-1]:,}" if isinstance(one, range) else one for one in parts[1:]]
        return " ".join([described(parts[0]), *more])
    if origin in (Union, UnionType):
        return _listed([described(part) for part in parts if part is not NoneType])
    if origin is Literal:
        return _listed([repr(part) for part in parts])
    return _WORDS.get(origin) or f"a {origin.__name__}"


def _listed(words: Sequence[str]) -> str:
    *most, last = words
    return f"{', '.join(most)} or {last}" if most else last


def shown(value: Any) -> str:
    """A value as an error quotes it: short, and of what has no short text its type."""
    return reprlib.repr(value) if isinstance(value, _SHORT) else f"a {type(value).__name__}"
