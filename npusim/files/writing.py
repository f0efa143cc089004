"""One writer for all outputs: files appear together and whole, or not at all.

Files are written to a hidden folder beside their target and moved there at the end. It is locked while its process
lives, so that what a killed process left behind is known, and removed by the next that writes there.
"""

from __future__ import annotations

import os
import shutil
import tempfile
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path
from stat import S_ISREG
from typing import IO, Any

from npusim.errors import UserError

try:
    import fcntl as _fcntl
except ImportError:  # Windows: nothing is locked, and nothing of others removed
    fcntl: Any = None
else:
    fcntl = _fcntl

_WORKSHOP = ".npusim-"
#: Those of this process that are at work.
_workshops: set[Path] = set()
#: How a text begins that a spreadsheet would compute.
_FORMULA = ("=", "+", "-", "@", "\t", "\r")


@contextmanager
def all_or_nothing(target: Path) -> Iterator[Path]:
    """An empty folder whose files appear in ``target`` together when the block ends, and vanish where it fails.

    ``target`` and its parents are made then, too; files that are in it already and are not written again stay. Raises
    UserError where it cannot be written (no such place, no rights, no space), before the block is entered if that can
    be told.
    """
    try:
        if target.exists() and not target.is_dir():
            raise UserError(f"cannot write to {target}: it is a file, not a folder")
        near = next(parent for parent in (target, *target.absolute().parents) if parent.exists())
        _sweep(near)
        workshop = Path(tempfile.mkdtemp(prefix=_WORKSHOP, dir=near))
    except (OSError, ValueError) as error:
        raise _cannot(target, error) from None
    _workshops.add(workshop)
    lock = locked(workshop)
    try:
        yield workshop
        target.mkdir(parents=True, exist_ok=True)
        for path in sorted(workshop.iterdir()):
            path.replace(target / path.name)
    except OSError as error:
        raise _cannot(target, error) from None
    finally:
        shutil.rmtree(workshop, ignore_errors=True)
        _workshops.discard(workshop)
        if lock is not None:
            os.close(lock)


def remove_workshops() -> None:
    """Remove what is being written, for a process that ends without unwinding."""
    for workshop in tuple(_workshops):
        shutil.rmtree(workshop, ignore_errors=True)


@contextmanager
def new_file(path: Path) -> Iterator[Callable[[str], None]]:
    """A function that takes the text of ``path``, which appears, or is replaced, only when the block ends well.

    Raises UserError before the block is entered if the file cannot be written there, and at its end if it cannot then.
    """
    with new_files(path) as (write,):
        assert write is not None
        yield write


@contextmanager
def new_files(*paths: Path | None) -> Iterator[list[Callable[[str], None] | None]]:
    """For every path a function that takes its text, as `new_file` gives one, for None nothing: of several files all
    appear, or none."""
    for asked in filter(None, paths):
        _check_writable(asked)
    texts: list[list[str]] = [[] for _ in paths]
    yield [parts.append if path else None for path, parts in zip(paths, texts, strict=True)]
    with ExitStack() as drafts:
        for path, parts in zip(paths, texts, strict=True):
            if path:
                _draft(drafts.enter_context(all_or_nothing(path.parent)), path, "".join(parts))


def check_plain(path: Path) -> None:
    """Raise UserError where ``path``, which is to be gone on with, is there and no file of its folder: a link would
    have another file written to."""
    if path.is_symlink() or (path.exists() and not path.is_file()):
        raise UserError(f"cannot write to {path}: it is there and not a plain file; remove it")


def _check_writable(path: Path) -> None:
    """Raise UserError where no file ``path`` can be written."""
    try:
        with suppress(FileNotFoundError):
            if not S_ISREG(path.stat().st_mode):
                raise UserError(f"cannot write {path}: it is there and not a plain file")
        if not path.parent.is_dir():
            raise UserError(f"cannot write {path}: there is no folder {path.parent}")
        Path(tempfile.mkdtemp(prefix=_WORKSHOP, dir=path.parent)).rmdir()
    except (OSError, ValueError) as error:
        raise _cannot(path, error) from None


def _draft(workshop: Path, path: Path, text: str) -> None:
    try:
        (workshop / path.name).write_text(text, encoding="utf-8", errors="replace", newline="")
    except OSError as error:
        raise _cannot(path, error) from None


def spreadsheet_cell(text: str) -> str:
    """A text that a spreadsheet shows as it is: one that it would take for a formula gets an apostrophe in front."""
    return f"'{text}" if text.startswith(_FORMULA) else text


def _cannot(target: Path, error: OSError | ValueError) -> UserError:
    why = error.strerror if isinstance(error, OSError) and error.strerror else str(error)
    return UserError(f"cannot write to {target}: {why}")


def locked(folder: Path) -> int | None:
    """A descriptor that holds the lock of ``folder`` until it is closed, by whatever end of its process; None where
    another one has it, or nothing can be locked."""
    if fcntl is None:
        return None
    with suppress(OSError):
        lock = os.open(folder, os.O_RDONLY)
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            os.close(lock)
        else:
            return lock
    return None


def lock_file(file: IO[bytes]) -> bool:
    """Lock an open file until it is closed, by whatever end of its process; False where another one has it. Where the
    file system knows no locks nobody has it."""
    try:
        if fcntl is not None:
            fcntl.flock(file.fileno(), fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    except OSError:
        pass
    return True


def _sweep(folder: Path) -> None:
    """Remove what killed processes have left in ``folder``."""
    for left in folder.glob(f"{_WORKSHOP}*"):
        lock = locked(left)
        if lock is not None:
            shutil.rmtree(left, ignore_errors=True)
            os.close(lock)
