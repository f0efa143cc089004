"""Results on disk: a journal that survives being killed, and the tables made from it."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping, Sequence
from math import inf
from pathlib import Path
from time import monotonic
from typing import TYPE_CHECKING, Any, BinaryIO

from npusim.errors import UserError

if TYPE_CHECKING:
    import pandas as pd

#: What a finished point is: a value for every column.
Row = dict[str, Any]

JOURNAL = "journal.jsonl"
CSV = "results.csv"
PARQUET = "results.parquet"
_VERSION = 1
_SYNC_EVERY_S = 1.0


class Journal:
    """Finished points, one JSON line each, handed to the system as they come (a kill of the process loses nothing of
    them) and to the disk every second (nor does a loss of power, but of the last second's).

    The first line is the identity of what is being explored; a folder that holds another one is refused. A line that
    was cut short by a kill is dropped when the journal is opened again.
    """

    def __init__(self, folder: Path, identity: Mapping[str, Any]) -> None:
        """Open ``folder``, which is made where it does not exist, and read what is there.

        Raises UserError where the folder cannot be written, or belongs to another exploration.
        """
        self.rows: dict[str, Row] = {}
        self._synced_s = -inf
        path = folder / JOURNAL
        try:
            folder.mkdir(parents=True, exist_ok=True)
            self._file: BinaryIO = path.open("a+b")
        except OSError as error:
            raise UserError(f"cannot write to {folder}: {error.strerror}") from None
        header = json.loads(json.dumps({"npusim": _VERSION, **identity}))
        try:
            self._read(folder, header)
        except BaseException:
            self._file.close()
            raise

    def _read(self, folder: Path, header: dict[str, Any]) -> None:
        self._file.seek(0)
        whole = 0
        for number, line in enumerate(self._file):
            if not line.endswith(b"\n"):
                break
            try:
                entry = json.loads(line)
            except ValueError:
                raise UserError(
                    f"{folder / JOURNAL}:{number + 1}: not a line of a journal; remove the file"
                ) from None
            if number == 0:
                _refuse_other(folder, entry, header)
            else:
                self.rows.setdefault(entry["point"], entry["row"])
            whole += len(line)
        self._file.truncate(whole)
        if not whole:
            self._append([header])

    def add(self, rows: Mapping[str, Row]) -> None:
        """Note points that were finished together; one that is there already stays as it is."""
        new = {key: row for key, row in rows.items() if key not in self.rows}
        self._append([{"point": key, "row": row} for key, row in new.items()])
        self.rows |= new

    def _append(self, entries: Sequence[dict[str, Any]]) -> None:
        lines = [json.dumps(entry, separators=(",", ":")) + "\n" for entry in entries]
        self._file.write("".join(lines).encode())
        self._file.flush()
        if monotonic() - self._synced_s > _SYNC_EVERY_S:
            os.fsync(self._file.fileno())
            self._synced_s = monotonic()

    def __enter__(self) -> Journal:
        """Itself."""
        return self

    def __exit__(self, *_: object) -> None:
        """Close the file."""
        os.fsync(self._file.fileno())
        self._file.close()


def _refuse_other(folder: Path, found: object, wanted: dict[str, Any]) -> None:
    if found == wanted:
        return
    known = found if isinstance(found, dict) else {}
    what = next((key for key in wanted if known.get(key) != wanted[key]), "form")
    raise UserError(
        f"{folder} holds the results of another exploration (its {what} differs): choose another --out, or remove it"
    )


def write_tables(folder: Path, table: pd.DataFrame) -> None:
    """``results.csv`` and ``results.parquet`` of a table; each appears at once. Raises UserError where it cannot."""
    try:
        for name, write in ((CSV, _to_csv), (PARQUET, _to_parquet)):
            draft = folder / f".{name}.{os.getpid()}"
            write(table, draft)
            draft.replace(folder / name)
    except OSError as error:
        raise UserError(f"cannot write to {folder}: {error.strerror}") from None


def _to_csv(table: pd.DataFrame, path: Path) -> None:
    table.to_csv(path, index=False, lineterminator="\n")


def _to_parquet(table: pd.DataFrame, path: Path) -> None:
    table.to_parquet(path, index=False)
