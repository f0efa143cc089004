"""Writing a report folder: all of its files, or none."""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from npusim.errors import UserError


@contextmanager
def all_or_nothing(target: Path) -> Iterator[Path]:
    """An empty folder whose files appear in ``target`` together when the block ends, and vanish where it fails.

    ``target`` and its parents are made then, too; files that are in it already and are not written again stay. Raises
    UserError where it cannot be written, before the block is entered if that can be told.
    """
    try:
        if target.exists() and not target.is_dir():
            raise UserError(f"cannot write to {target}: it is a file, not a folder")
        near = next(parent for parent in (target, *target.absolute().parents) if parent.exists())
        workshop = Path(tempfile.mkdtemp(prefix=".npusim-", dir=near))
    except OSError as error:
        raise UserError(f"cannot write to {target}: {error.strerror}") from None
    try:
        yield workshop
        target.mkdir(parents=True, exist_ok=True)
        for path in sorted(workshop.iterdir()):
            path.replace(target / path.name)
    except OSError as error:
        raise UserError(f"cannot write to {target}: {error.strerror}") from None
    finally:
        shutil.rmtree(workshop, ignore_errors=True)
