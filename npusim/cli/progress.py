"""What is going on, on stderr, and only where somebody watches."""

from __future__ import annotations

import re
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from npusim.cli.terminal import console

_COUNTED = re.compile(r"(\d+) of (\d+)(:?)")


@contextmanager
def progress() -> Iterator[Callable[[str], None]]:
    """A function that shows the present step beside a spinner; it does nothing where stderr is not a terminal."""
    if not sys.stderr.isatty():
        yield lambda text: None
        return
    began = time.perf_counter()
    with console(stderr=True).status("starting") as status:
        yield lambda text: status.update(with_time_left(text, time.perf_counter() - began))


def with_time_left(text: str, elapsed_s: float) -> str:
    """``text`` and, where it counts (``3 of 8 rows`` done, or ``3 of 8: the third``), how much is done in per cent and
    how long the rest takes if it goes on like that."""
    match = _COUNTED.search(text)
    if match is None:
        return text
    done, total = int(match[1]) - bool(match[3]), int(match[2])
    if not 0 < done <= total:
        return text
    left_s = round(elapsed_s * (total - done) / done)
    return f"{text} · {done / total:.0%} · {left_s // 60}:{left_s % 60:02} left"


@contextmanager
def progress_bar(what: str, total: int) -> Iterator[Callable[[int], None]]:
    """A function that is told how much of ``total`` is done, shown as a bar; nothing where stderr is no terminal."""
    if not sys.stderr.isatty():
        yield lambda done: None
        return
    from rich.progress import (
        BarColumn,
        MofNCompleteColumn,
        Progress,
        TaskProgressColumn,
        TextColumn,
        TimeRemainingColumn,
    )

    columns = (
        TextColumn(what),
        BarColumn(),
        TaskProgressColumn(),
        MofNCompleteColumn(),
        TimeRemainingColumn(),
    )
    with Progress(*columns, console=console(stderr=True), transient=True) as bar:
        task = bar.add_task(what, total=total)
        yield lambda done: bar.update(task, completed=done)
