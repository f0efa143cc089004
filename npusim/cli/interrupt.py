"""Ctrl-C and SIGTERM end a command within a second, whatever it is at, and leave nothing behind.

Either raises in the main thread, so that files and workers are cleaned up by those who own them. A thread watches that
this happens: a long call of a library, in which Python's handlers do not run, is not waited for.
"""

from __future__ import annotations

import os
import signal
import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import NoReturn

INTERRUPTED, TERMINATED = 130, 143
_PATIENCE_S = 0.7


@contextmanager
def answered() -> Iterator[None]:
    """Signals are answered so while the block runs; in a thread other than the main one nothing is changed."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    ours, watched = socket.socketpair()
    ours.setblocking(False)
    before = (
        signal.signal(signal.SIGTERM, _terminate),
        signal.set_wakeup_fd(ours.fileno(), warn_on_full_buffer=False),
    )
    watcher = threading.Thread(target=_watch, args=(watched, threading.Event()), daemon=True)
    watcher.start()
    try:
        yield
    finally:
        signal.set_wakeup_fd(before[1])
        signal.signal(signal.SIGTERM, before[0])
        if not _asked:
            ours.close()
            watcher.join()
            watched.close()


#: Signals that have asked this process to end; empty unless one has.
_asked: list[int] = []


def _terminate(*_: object) -> NoReturn:
    raise SystemExit(TERMINATED)


def _watch(signals: socket.socket, forever: threading.Event) -> None:
    """End the process where the main thread does not, soon after a signal that should end it."""
    while received := signals.recv(1):
        number = received[0]
        if number in (signal.SIGINT, signal.SIGTERM):
            _asked.append(number)
            forever.wait(_PATIENCE_S)
            from npusim.files.writing import remove_workshops
            from npusim.workers.local import kill_workers

            kill_workers()
            remove_workshops()
            os._exit(INTERRUPTED if number == signal.SIGINT else TERMINATED)
