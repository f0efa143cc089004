"""Ctrl-C and SIGTERM end a command within a second, whatever it is at, and leave nothing behind.

Either raises KeyboardInterrupt in the main thread, so that files and workers are cleaned up by those who own them. A
thread watches that this happens: a long call of a library, in which Python's handlers do not run, is not waited for.
"""

from __future__ import annotations

import os
import signal
import socket
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import NoReturn

_CODES = {signal.SIGINT: 130, signal.SIGTERM: 143}
_PATIENCE_S = 0.7
#: Signals that have asked this process to end.
_asked: list[int] = []


@contextmanager
def answered() -> Iterator[None]:
    """Signals are answered so while the block runs; in a thread other than the main one nothing is changed."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    ours, watched = socket.socketpair()
    ours.setblocking(False)
    before = {number: signal.getsignal(number) for number in _CODES}
    for number, handler in before.items():
        if handler != signal.SIG_IGN:  # as in the background
            signal.signal(number, _end)
    fd = signal.set_wakeup_fd(ours.fileno(), warn_on_full_buffer=False)
    watcher = threading.Thread(target=_watch, args=(watched,), daemon=True)
    watcher.start()
    try:
        yield
    finally:
        if not _asked:  # else the watcher still sees to it that the process ends
            signal.set_wakeup_fd(fd)
            for number, handler in before.items():
                signal.signal(number, handler)
            ours.close()
            watcher.join()
            watched.close()


def asked_code() -> int | None:
    """The exit code of a process that was asked to end, whatever else came of it; None where nobody asked."""
    return _CODES[signal.Signals(_asked[0])] if _asked else None


def _end(number: int, _: object) -> NoReturn:
    _asked.append(number)
    raise KeyboardInterrupt


def _watch(signals: socket.socket) -> None:
    """End the process where the main thread does not, soon after a signal that should end it."""
    while received := signals.recv(1):
        if received[0] in _CODES and signal.getsignal(received[0]) == _end:
            time.sleep(_PATIENCE_S)
            from npusim.files.writing import remove_workshops
            from npusim.workers.local import kill_workers

            kill_workers()
            remove_workshops()
            os._exit(_CODES[signal.Signals(received[0])])
