"""One bounded reader for all documents: a file's bytes, its text, JSON and tables, each with a limit that says so.

What is larger than any honest document of its kind is refused before it is taken apart, so that a few hundred bytes
(of gzip, of aliases, of digits) cannot ask for gigabytes. YAML is read by `npusim.hardware.nodes`, within the same
limits.
"""

from __future__ import annotations

import csv
import errno
import io
import json
import os
import select
import zlib
from collections.abc import Iterator
from math import isfinite
from pathlib import Path
from typing import Any

from npusim.errors import UserError

#: Documents that people or tools write: a table of a million rows, a measurement of a hundred thousand layers.
MOST_DOCUMENT_BYTES = 64 << 20
#: Schedules: over a million tasks; as Python's objects they are seven times as large.
MOST_TRACE_BYTES = 256 << 20
#: A whole number of more digits than nanoseconds have is neither a count nor a time; it is read as a float.
_MOST_DIGITS = 20
_GZIP = b"\x1f\x8b"
#: How long a named pipe may lie there before its writer opens it: shells start both ends at about the same time.
_WRITER_OPENS_S = 3.0


def read_bytes(path: Path, most: int = MOST_DOCUMENT_BYTES, label: str = "") -> bytes:
    """The bytes of a file. Raises UserError, which begins with ``label`` (default: the path), where it cannot be read
    or is larger than ``most`` bytes."""
    label = label or str(path)
    try:
        if path.is_fifo():
            data = _piped(path, most + 1)
        else:
            with path.open("rb") as stream:
                data = stream.read(most + 1)
    except OSError as error:
        raise UserError(f"{label}: cannot be read: {error.strerror}") from None
    except ValueError:  # a NUL in its name
        raise UserError(f"{label}: not the name of a file") from None
    if len(data) > most:
        raise _too_large(label, most)
    return data


def _piped(path: Path, most: int) -> bytes:
    """Up to so many bytes of a pipe. Raises OSError where nobody writes to it: a reader would wait for ever."""
    pipe = os.fdopen(os.open(path, os.O_RDONLY | os.O_NONBLOCK), "rb", buffering=0)
    with io.BufferedReader(pipe) as stream:
        select.select([pipe], [], [], _WRITER_OPENS_S)
        first = pipe.read(1)  # None: it has a writer, who has written nothing yet
        if first == b"":
            raise OSError(errno.EPIPE, "it is a pipe that nothing is written to")
        os.set_blocking(pipe.fileno(), True)
        return (first or b"") + stream.read(most - len(first or b""))


def read_text(path: Path, most: int = MOST_DOCUMENT_BYTES, label: str = "") -> str:
    """The text of a UTF-8 file, with or without a byte order mark. Raises UserError as `read_bytes` does."""
    return text_of(read_bytes(path, most, label), label or str(path))


def text_of(data: bytes, label: str) -> str:
    """UTF-8 bytes as text. Raises UserError at the place of the first that is not."""
    try:
        return data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = data.count(b"\n", 0, error.start) + 1
        column = error.start - data.rfind(b"\n", 0, error.start)
        raise UserError(f"{label}:{line}:{column}: not UTF-8 text") from None


def unpacked(data: bytes, label: str, most: int = MOST_TRACE_BYTES) -> bytes:
    """The bytes themselves, or what is gzipped in them, never more than ``most``. Raises UserError beyond that, and
    where the gzip is broken."""
    if not data.startswith(_GZIP):
        return data
    out = bytearray()
    try:
        while data.startswith(_GZIP):  # a file may have several members
            stream = zlib.decompressobj(wbits=31)
            out += stream.decompress(data, most + 1 - len(out))
            if len(out) > most:
                raise _too_large(label, most, " unpacked")
            if not stream.eof:
                raise UserError(f"{label}: is not a gzip file: it ends too early")
            data = stream.unused_data
    except zlib.error as error:
        raise UserError(f"{label}: is not a gzip file: {error}") from None
    return bytes(out)


def _too_large(label: str, most: int, how: str = "") -> UserError:
    return UserError(f"{label}: larger than {most >> 20} MiB{how}, which nothing of its kind needs")


def parse_json(text: str | bytes, label: str, what: str) -> Any:
    """The value of a JSON text; ``what`` it is to be stands in errors. Raises UserError, with the place, for anything
    else, and for a number that is not finite. Whole numbers of more than 20 digits are floats."""
    try:
        return json.loads(text, parse_int=_int, parse_float=_finite, parse_constant=_finite)
    except UnicodeDecodeError:
        raise UserError(f"{label}: is not {what}: not UTF-8 text") from None
    except json.JSONDecodeError as error:
        where = f"line {error.lineno}, column {error.colno}"
        raise UserError(f"{label}: is not {what}: not JSON: {error.msg} ({where})") from None
    except RecursionError:
        raise UserError(f"{label}: is not {what}: nested too deeply") from None
    except OverflowError as error:
        raise UserError(f"{label}: is not {what}: {error}") from None


def _int(digits: str) -> int | float:
    return int(digits) if len(digits) <= _MOST_DIGITS else _finite(digits)


def _finite(text: str) -> float:
    number = float(text)
    if not isfinite(number):
        raise OverflowError(f"{text:.20} is no number that can be counted with")
    return number


def read_table(text: str, label: str, delimiter: str = ",") -> Iterator[tuple[int, list[str]]]:
    """Line number and cells of every row of a CSV text. Raises UserError, with the line, where it is none."""
    reader = csv.reader(io.StringIO(text, newline=""), delimiter=delimiter)
    try:
        for cells in reader:
            yield reader.line_num, cells
    except csv.Error as error:
        raise UserError(f"{label}:{reader.line_num}: is not a CSV file: {error}") from None


def read_records(text: str, label: str) -> tuple[list[tuple[int, dict[str, str]]], list[str]]:
    """Rows of a CSV text with a header, by column (empty where a row is short) and with their line numbers; and its
    columns. Raises UserError as `read_table` does."""
    rows = read_table(text, label)
    _, columns = next(rows, (0, []))
    filled = ((line, [*cells, *[""] * len(columns)]) for line, cells in rows if cells)
    return [(line, dict(zip(columns, cells, strict=False))) for line, cells in filled], columns


def exists(path: Path) -> bool:
    """Whether there is such a file or folder; a name that no file can have names none."""
    try:
        return path.exists()
    except (OSError, ValueError):  # too long a name, a NUL in it, a folder that may not be looked into
        return False
