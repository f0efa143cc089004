"""Local processes that end with their parent, and at once where it is interrupted."""

from __future__ import annotations

import gc
import os
import signal
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import Executor, Future, ProcessPoolExecutor
from contextlib import contextmanager
from multiprocessing import active_children, connection, parent_process
from multiprocessing.context import SpawnContext, SpawnProcess
from typing import Any

#: Objects made before Python looks for cycles: lowering makes half a million that are none.
_COLLECT_AFTER = 500_000


class Here(Executor):
    """Calls in this process, at once."""

    def submit(self, fn: Callable[..., Any], /, *args: Any, **kwargs: Any) -> Future[Any]:
        """A Future that is done."""
        future: Future[Any] = Future()
        try:
            future.set_result(fn(*args, **kwargs))
        except Exception as error:  # handed on by the Future
            future.set_exception(error)
        return future


#: Held while a process starts: until it has read what it is to do, it cannot end without a traceback.
_STARTING = threading.Lock()
_ENDS = (signal.SIGINT, signal.SIGTERM)


class _Worker(SpawnProcess):
    """A process to which Ctrl-C is nothing, from its first moment on: that is its parent's to answer."""

    def start(self) -> None:
        """Start it with the signal blocked, which it inherits; one that comes meanwhile is answered afterwards."""
        with _put_off(), _STARTING:
            super().start()


@contextmanager
def _put_off() -> Iterator[None]:
    """Signals that end a process wait until the block has ended. A mask alone does not do: it is a thread's own, and
    where a library's thread takes the signal, Python answers in its main thread all the same."""
    if not hasattr(signal, "pthread_sigmask"):
        yield
        return
    came: list[int] = []
    main = threading.current_thread() is threading.main_thread()
    handlers = (
        {number: signal.signal(number, lambda n, _: came.append(n)) for number in _ENDS} if main else {}
    )
    mask = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, mask)
        for number, handler in handlers.items():
            signal.signal(number, handler)
        if came:
            signal.raise_signal(came[0])


class _Context(SpawnContext):
    """Processes are started afresh: a fork of a process in which OpenVINO runs threads may hang."""

    Process = _Worker


def processes(workers: int, fresh: bool) -> Executor:
    """An executor of ``workers`` processes; ``fresh`` ones take a single call each."""
    return ProcessPoolExecutor(
        workers, _Context(), initializer=_begin, max_tasks_per_child=1 if fresh else None
    )


def kill_workers() -> None:
    """End all processes of `processes`, whatever they are at."""
    with _STARTING:
        for child in active_children():
            if isinstance(child, _Worker):
                child.kill()


def _begin() -> None:
    """No worker outlives its parent, which may be killed without a word."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    gc.set_threshold(_COLLECT_AFTER)
    threading.Thread(target=_end_with_parent, daemon=True).start()


def _end_with_parent() -> None:
    parent = parent_process()
    if parent is not None:
        connection.wait([parent.sentinel])
        os._exit(1)
