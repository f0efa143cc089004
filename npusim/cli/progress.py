"""What is going on, on stderr, and only where somebody watches."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from npusim.cli.terminal import console


@contextmanager
def progress() -> Iterator[Callable[[str], None]]:
    """A function that shows the present step beside a spinner; it does nothing where stderr is not a terminal."""
    if not sys.stderr.isatty():
        yield lambda text: None
        return
    with console(stderr=True).status("starting") as status:
        yield status.update


@contextmanager
def progress_bar(what: str, total: int) -> Iterator[Callable[[int], None]]:
    """A function that is told how much of ``total`` is done, shown as a bar; nothing where stderr is no terminal."""
    if not sys.stderr.isatty():
        yield lambda done: None
        return
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

    columns = (TextColumn(what), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    with Progress(*columns, console=console(stderr=True), transient=True) as bar:
        task = bar.add_task(what, total=total)
        yield lambda done: bar.update(task, completed=done)
