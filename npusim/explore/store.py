"""Results on disk: a journal that survives being killed, and the tables made from it."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping, Sequence
from contextlib import suppress
from itertools import count
from math import inf, isfinite
from pathlib import Path
from time import monotonic
from typing import TYPE_CHECKING, Any, BinaryIO

from npusim.errors import UserError
from npusim.files import all_or_nothing, parse_json, spreadsheet_cell
from npusim.files.writing import check_plain, lock_file
from npusim.workers import DIED

if TYPE_CHECKING:
    import pandas as pd

#: What a finished point is: a value for every column.
Row = dict[str, Any]

#: Columns of a row after those of the axes: name and what it says.
COLUMNS = {
    "latency_us": "latency, µs",
    "tokens_per_s": "tokens per second, all sequences together; empty for a model file",
    "energy_uj": "energy, µJ",
    "dma_us": "time in which DMA runs, µs",
    "dpu_us": "time in which a DPU runs, µs",
    "shave_us": "time in which a SHAVE runs, µs",
    "idle_us": "time in which nothing runs, µs",
    "bound": "what most of the latency goes to on the critical path (as in ops.csv)",
    "guess_share": "share of the latency that rests on guessed costs",
    "tasks": "tasks of the Program",
    "macs_per_cycle": "area proxy: 8-bit multiply-accumulates a cycle of all tiles together",
    "cmx_bytes": "area proxy: scratchpad of all tiles together, bytes",
    "error": "why there is no result; empty if there is",
}
#: Columns that hold words; the others numbers, or nothing.
WORDS = ("bound", "error")

JOURNAL = "journal.jsonl"
CSV = "results.csv"
PARQUET = "results.parquet"
_VERSION = 1
_SYNC_EVERY_S = 1.0
#: The first line has all values of all axes.
_LONGEST_LINE = 16 << 20


class Journal:
    """Finished points, one JSON line each, handed to the system as they come (a kill of the process loses nothing of
    them) and to the disk every second (nor does a loss of power, but of the last second's).

    The first line is the identity of what is being explored; a folder that holds another one is refused. A line that
    was cut short by a kill is dropped when the journal is opened again; of two lines of one point the later counts.
    """

    def __init__(self, folder: Path, identity: Mapping[str, Any], retry_failed: bool = True) -> None:
        """Open ``folder``, which is made where it does not exist, and read what is there; with ``retry_failed`` but
        for the points whose process died: they may do where there is more memory.

        Raises UserError where the folder cannot be written, belongs to another exploration, or another process is at
        work in it.
        """
        self.rows: dict[str, Row] = {}
        self._synced_s = -inf
        self._retry_failed = retry_failed
        path = folder / JOURNAL
        try:
            folder.mkdir(parents=True, exist_ok=True)
            check_plain(path)
            self._file: BinaryIO = path.open("a+b")
        except OSError as error:
            raise _cannot_write(folder, error) from None
        self._folder = folder
        header = json.loads(json.dumps({"npusim": _VERSION, **identity}))
        try:
            if not lock_file(self._file):
                raise UserError(
                    f"{folder}: another npusim is at work there: wait for it, or choose another --out"
                )
            self._read(folder, header)
        except BaseException:
            self._file.close()
            raise

    def _read(self, folder: Path, header: dict[str, Any]) -> None:
        self._file.seek(0)
        whole = 0
        for number in count(1):
            line = self._file.readline(_LONGEST_LINE)
            if not line.endswith(b"\n") and len(line) < _LONGEST_LINE:
                break
            entry = _entry(line, f"{folder / JOURNAL}:{number}")
            if number == 1:
                _refuse_other(folder, entry, header)
            elif _is_row(entry):
                self._take(entry["point"], entry["row"])
            else:
                raise _no_line(f"{folder / JOURNAL}:{number}")
            whole += len(line)
        self._file.truncate(whole)
        if not whole:
            self._append([header])

    def _take(self, point: str, row: Row) -> None:
        if self._retry_failed and row["error"].startswith(DIED):
            self.rows.pop(point, None)
        else:
            self.rows[point] = row

    def add(self, rows: Mapping[str, Row]) -> None:
        """Note points that were finished together; one that is there already stays as it is."""
        new = {key: row for key, row in rows.items() if key not in self.rows}
        self._append([{"point": key, "row": row} for key, row in new.items()])
        self.rows |= new

    def _append(self, entries: Sequence[dict[str, Any]]) -> None:
        lines = [json.dumps(entry, separators=(",", ":")) + "\n" for entry in entries]
        try:
            self._file.write("".join(lines).encode())
            self._file.flush()
            if monotonic() - self._synced_s > _SYNC_EVERY_S:
                os.fsync(self._file.fileno())
                self._synced_s = monotonic()
        except OSError as error:
            raise _cannot_write(self._folder, error) from None

    def __enter__(self) -> Journal:
        """Itself."""
        return self

    def __exit__(self, *_: object) -> None:
        """Close the file."""
        with suppress(OSError):  # told already where the line was written
            os.fsync(self._file.fileno())
        with suppress(OSError):
            self._file.close()


def _entry(line: bytes, where: str) -> Any:
    try:
        return parse_json(line, where, "a line of a journal")
    except UserError:
        raise _no_line(where) from None


def _no_line(where: str) -> UserError:
    return UserError(f"{where}: not a line of a journal; remove the file")


def _is_row(entry: Any) -> bool:
    """Whether it is a point with a value of its kind for every column that there must be."""
    if not (
        isinstance(entry, dict) and isinstance(entry.get("point"), str) and isinstance(entry.get("row"), dict)
    ):
        return False
    row = entry["row"]
    if not all(isinstance(row.get(name, ""), str) for name in WORDS) or "error" not in row:
        return False
    numbers = [row[name] for name in COLUMNS if name not in WORDS and row.get(name) is not None]
    told = all(row.get(name) is not None for name in ("latency_us", "energy_uj", "tasks"))
    return (told or bool(row["error"])) and all(type(n) in (int, float) and isfinite(n) for n in numbers)


def _cannot_write(folder: Path, error: OSError) -> UserError:
    return UserError(f"cannot write to {folder}: {error.strerror or error}")


def _refuse_other(folder: Path, found: object, wanted: dict[str, Any]) -> None:
    if found == wanted:
        return
    known = found if isinstance(found, dict) else {}
    what = next((key for key in wanted if known.get(key) != wanted[key]), "form")
    raise UserError(
        f"{folder} holds the results of another exploration (its {what} differs): choose another --out, or remove it"
    )


def write_tables(folder: Path, table: pd.DataFrame) -> None:
    """``results.csv`` and ``results.parquet`` of a table; they appear together. Raises UserError where it cannot."""
    with all_or_nothing(folder) as workshop:
        shown = table.map(lambda value: spreadsheet_cell(value) if isinstance(value, str) else value)
        shown.to_csv(workshop / CSV, index=False, lineterminator="\n")
        table.to_parquet(workshop / PARQUET, index=False)
