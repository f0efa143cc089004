"""One input, as one line that reproduces it, and what must hold whatever the input."""

from __future__ import annotations

import base64
import contextlib
import io
import json
import os
import re
import resource
import signal
import tempfile
import time
import zlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

#: Of processor time, which other processes of the machine do not change; and of memory.
SECONDS, MEBIBYTES = 10, 2048
#: A command that says how long it takes may take that, half as much again, and no longer than this.
_LONGEST_SECONDS = 60
_TOLD = re.compile(r"^note: about .* million tasks, up to (\d+) s", re.MULTILINE)
_LONGEST_ERROR = 520


@dataclass(frozen=True)
class Case:
    """A command line, and the files that it finds in its folder."""

    argv: tuple[str, ...]
    files: dict[str, bytes] = field(default_factory=dict)

    def line(self) -> str:
        """The case as one line of text."""
        packed = {name: base64.b85encode(zlib.compress(data)).decode() for name, data in self.files.items()}
        return json.dumps([list(self.argv), packed])

    @staticmethod
    def of(line: str) -> Case:
        """The case of a line."""
        argv, packed = json.loads(line)
        return Case(
            tuple(argv), {name: zlib.decompress(base64.b85decode(data)) for name, data in packed.items()}
        )


class Broken(AssertionError):
    """A law does not hold."""


class _Late(BaseException):
    """The time is up."""


class _LongAsTold(BaseException):
    """It takes as long as it has said, which is longer than is waited here."""


def check(case: Case, read: Sequence[str] = ()) -> tuple[str, ...]:
    """Run a case in this process; what it wrote to standard output and error, or the texts of its files ``read``.

    Raises Broken where a law does not hold:

    exit code 0, or 2 with one printable line on standard error; no traceback; nothing written but what was asked for;
    in bounded time and memory.
    """
    with tempfile.TemporaryDirectory(prefix="npusim-fuzz-") as name:
        folder = Path(name)
        for file, data in case.files.items():
            (folder / file).write_bytes(data)
        before = set(folder.rglob("*"))
        code, out, error = _run(case.argv, folder)
        if "Traceback" in error or code not in (0, 2):
            raise Broken(f"exit code {code}: {error[-1500:]}")
        if code == 2:
            error = "".join(
                line for line in error.splitlines(keepends=True) if not line.startswith("warning: ")
            )
            if (
                out
                or not error.startswith("error: ")
                or error.count("\n") != 1
                or len(error) > _LONGEST_ERROR
            ):
                raise Broken(f"not one line: {error[:600]!r} {out[:100]!r}")
            if not error[:-1].isprintable():
                raise Broken(f"not printable: {error!r}")
        elif unshowable := [c for c in out + error if not (c.isprintable() or c in "\n\t")]:
            raise Broken(f"control characters: {unshowable[:5]!r}")
        new = set(folder.rglob("*")) - before
        allowed = {
            folder / "out",
            folder / "out.csv",
            folder / "out.md",
            folder / "out.yaml",
            folder / "out.xml",
            folder / "out.bin",
            folder / "npusim-out",
        }
        strays = [path for path in new if not any(path == one or one in path.parents for one in allowed)]
        if strays or any(".npusim-" in path.name for path in new):
            raise Broken(f"left behind: {strays or new}")
        texts = tuple((folder / name).read_text() for name in read)
    if (used := resource.getrusage(resource.RUSAGE_SELF).ru_maxrss >> 10) > MEBIBYTES:
        raise Broken(f"{used} MiB of memory")
    return texts or (out, error)


def _run(argv: tuple[str, ...], folder: Path) -> tuple[int, str, str]:
    from npusim.cli.main import main

    out, error = io.StringIO(), io.StringIO()
    here = Path.cwd()
    os.chdir(folder)
    try:
        with _deadline(error), contextlib.redirect_stdout(out), contextlib.redirect_stderr(error):
            main(argv)
    except SystemExit as ended:
        return int(ended.code or 0), out.getvalue(), error.getvalue()
    except _LongAsTold:
        return 0, "", ""
    except _Late:
        raise Broken(f"over {SECONDS} s") from None
    finally:
        os.chdir(here)


@contextlib.contextmanager
def _deadline(error: io.StringIO) -> Iterator[None]:
    """Raise _Late where the block takes longer than SECONDS and than it says on ``error``."""
    began = time.process_time()

    def late(*_: Any) -> None:
        told = max(map(int, _TOLD.findall(error.getvalue())), default=None)
        allowed = SECONDS if told is None else 1.5 * told
        if allowed > _LONGEST_SECONDS < time.process_time() - began:
            raise _LongAsTold
        if time.process_time() - began > allowed:
            raise _Late
        signal.setitimer(signal.ITIMER_PROF, min(1, SECONDS))

    signal.signal(signal.SIGPROF, late)
    signal.setitimer(signal.ITIMER_PROF, SECONDS)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_PROF, 0)
