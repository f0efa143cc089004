"""Writing a file whole or not at all."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from npusim.errors import UserError


@contextmanager
def new_file(path: Path) -> Iterator[Callable[[str], object]]:
    """A function that writes the text of ``path``, which appears, or is replaced, only when the block ends well.

    Raises UserError before the block is entered if the file cannot be written there.
    """
    draft = path.with_name(f".{path.name}.{os.getpid()}")
    try:
        if path.exists() and not path.is_file():
            raise UserError(f"cannot write {path}: it is there and not a plain file")
        file = draft.open("x", encoding="utf-8", newline="")
    except OSError as error:
        raise UserError(f"cannot write {path}: {error.strerror}") from None
    try:
        with file:
            yield file.write
        draft.replace(path)
    finally:
        draft.unlink(missing_ok=True)
