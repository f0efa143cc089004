"""The one place where texts reach a terminal or a pipe: nothing in them drives it, and nothing of them is lost unsaid.

Standard output and error are replaced by streams that show control characters as such; what rich draws goes through a
Console whose texts are cleaned before its own colours are added.
"""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, redirect_stderr, redirect_stdout
from typing import TYPE_CHECKING, Any, TextIO, cast

from npusim.errors import UserError
from npusim.text import escaped, showable

if TYPE_CHECKING:
    from rich.console import Console


class ReaderLeft(Exception):
    """Who read standard output (head, less) has left. No OSError, which typer would take for its own."""


class _Told:
    """A text stream whose failures are ours to tell."""

    def __init__(self, raw: TextIO) -> None:
        self.raw = raw

    def write(self, text: str) -> int:
        """Write ``text``; its length."""
        try:
            return self.raw.write(text)
        except BrokenPipeError:
            raise ReaderLeft from None
        except OSError as error:
            raise unwritable(error) from None

    def flush(self) -> None:
        """Hand on what is in the buffer."""
        try:
            self.raw.flush()
        except BrokenPipeError:
            raise ReaderLeft from None
        except OSError as error:
            raise unwritable(error) from None

    def __getattr__(self, name: str) -> Any:
        return getattr(self.raw, name)


def unwritable(error: OSError) -> UserError:
    """What is told where standard output takes no more; what is in its buffer is given up."""
    discard_output()
    return UserError(f"cannot write to the standard output: {error.strerror}")


class _Clean:
    """A text stream that shows what cannot be shown as a replacement character."""

    def __init__(self, told: _Told) -> None:
        self.told = told

    def write(self, text: str) -> int:
        """Write ``text``; its length as given."""
        self.told.write(showable(text))
        return len(text)

    def writelines(self, lines: Iterable[str]) -> None:
        """Write all of ``lines``."""
        for line in lines:
            self.write(line)

    def __getattr__(self, name: str) -> Any:
        return getattr(self.told, name)


@contextmanager
def clean_streams() -> Iterator[None]:
    """Standard output and error as clean streams for as long as the block runs."""
    out, error = (cast("TextIO", _Clean(_Told(stream))) for stream in (sys.stdout, sys.stderr))
    with redirect_stdout(out), redirect_stderr(error):
        yield


def console(*, stderr: bool = False, **options: Any) -> Console:
    """A rich Console for texts as they are: no markup, no highlighting, no control characters but its own."""
    from rich.console import Console, ConsoleOptions, RenderableType
    from rich.segment import Segment

    class CleanConsole(Console):
        def render(
            self, renderable: RenderableType, options: ConsoleOptions | None = None
        ) -> Iterable[Segment]:
            for segment in super().render(renderable, options):
                text, style, control = segment
                yield segment if control else Segment(showable(text), style)

        def on_broken_pipe(self) -> None:
            raise ReaderLeft

    stream = sys.stderr if stderr else sys.stdout
    told = cast("TextIO", stream.told) if isinstance(stream, _Clean) else stream
    return CleanConsole(file=told, highlight=False, markup=False, emoji=False, **options)


def print_json(document: object) -> None:
    """One JSON document on standard output."""
    print_json_text(json.dumps(document, indent=2, ensure_ascii=False, allow_nan=False) + "\n")


def print_json_text(text: str) -> None:
    """JSON text on standard output; what a terminal would obey is escaped in it."""
    sys.stdout.write(escaped(text))


def discard_output() -> None:
    """Send what is still in the buffer of standard output nowhere: its reader has left, or its device is full."""
    nowhere = os.open(os.devnull, os.O_WRONLY)
    os.dup2(nowhere, sys.stdout.fileno())
    os.close(nowhere)
