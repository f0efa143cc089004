"""What an ONNX file says and OpenVINO does not keep: names for dimensions of its inputs (``batch``, ``sequence``), and
which other files its weights are in.

The file is protobuf. Of it a few messages are read, down to the shapes of the inputs, and everything else is skipped,
weights unread; the numbers of the fields are those of onnx.proto in the ONNX specification.
"""

from __future__ import annotations

import mmap
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import TypeVar

_GRAPH, _WEIGHTS, _INPUT = 7, 5, 11
_OUTSIDE, _KEY, _VALUE = 13, 1, 2
_NAME, _TYPE, _TENSOR, _SHAPE, _DIM, _PARAM = 1, 2, 1, 2, 1, 2
_VARINT, _FIXED64, _BYTES, _FIXED32 = 0, 1, 2, 5
#: Bytes of a number on the wire at most.
_MOST_VARINT = 10

#: Where a message lies in the file.
Span = tuple[int, int]
T = TypeVar("T")


def dimension_names(path: Path) -> dict[str, list[str]]:
    """By input, the name of every dimension; empty where it has a number or no name. Nothing for a file that is no
    ONNX model: what is wrong with it is for who reads it as a model to say."""
    return dict(_read(path, lambda data, graph: (_input(data, one) for one in _fields(data, graph, _INPUT))))


def outside_files(path: Path) -> set[Path]:
    """The files that an ONNX model's weights are in beside its own; nothing for a file that is none."""
    return {path.parent / name for name in _read(path, _locations)}


def _locations(data: mmap.mmap, graph: Span) -> Iterator[str]:
    for tensor in _fields(data, graph, _WEIGHTS):
        for entry in _fields(data, tensor, _OUTSIDE):
            if _text(data, entry, _KEY) == "location":
                yield _text(data, entry, _VALUE)


def _read(path: Path, read: Callable[[mmap.mmap, Span], Iterable[T]]) -> list[T]:
    """What ``read`` finds in the graphs of a file; nothing where the file is none."""
    try:
        with path.open("rb") as file, mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as data:
            return [found for graph in _fields(data, (0, len(data)), _GRAPH) for found in read(data, graph)]
    except (OSError, ValueError):
        return []


def _input(data: mmap.mmap, value: Span) -> tuple[str, list[str]]:
    """Name and dimensions of a ValueInfoProto."""
    spans = [value]
    for field in (_TYPE, _TENSOR, _SHAPE, _DIM):
        spans = [inner for span in spans for inner in _fields(data, span, field)]
    return _text(data, value, _NAME), [_text(data, span, _PARAM) for span in spans]


def _text(data: mmap.mmap, span: Span, field: int) -> str:
    return next((data[begin:end].decode() for begin, end in _fields(data, span, field)), "")


def _fields(data: mmap.mmap, span: Span, wanted: int) -> Iterator[Span]:
    """The messages and texts of one field of a message. Raises ValueError where it is none."""
    at, end = span
    while at < end:
        key, at = _varint(data, at, end)
        field, kind = key >> 3, key & 7
        if kind == _VARINT:
            _, at = _varint(data, at, end)
        elif kind in (_FIXED32, _FIXED64):
            at += 4 if kind == _FIXED32 else 8
        elif kind == _BYTES:
            length, at = _varint(data, at, end)
            if at + length > end:
                raise ValueError("a field ends beyond its message")
            if field == wanted:
                yield at, at + length
            at += length
        else:
            raise ValueError(f"no such kind of field: {kind}")


def _varint(data: mmap.mmap, at: int, end: int) -> tuple[int, int]:
    """A number of seven bits a byte, and where the next thing begins."""
    value = 0
    for place in range(min(_MOST_VARINT, end - at)):
        byte = data[at + place]
        value |= (byte & 0x7F) << (7 * place)
        if byte < 0x80:
            return value, at + place + 1
    raise ValueError("a number does not end")
