"""Where points are evaluated: in this process, in local processes, or on a Dask cluster; one code path for all three."""

from __future__ import annotations

import gc
import os
import signal
import threading
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import FIRST_COMPLETED, BrokenExecutor, Executor, Future, ProcessPoolExecutor, wait
from contextlib import contextmanager
from dataclasses import dataclass
from multiprocessing import connection, get_context, parent_process
from typing import Any, TypeVar

from npusim.errors import UserError

Call = TypeVar("Call")
Result = TypeVar("Result")

#: Seconds that a Dask scheduler has to answer.
_ANSWER_S = 20
#: Calls that are handed out for every worker: one to work on, one to go on with.
_AHEAD = 2
#: Objects made before Python looks for cycles: lowering makes half a million that are none.
_COLLECT_AFTER = 500_000


@dataclass(frozen=True, slots=True)
class Machines:
    """What evaluates: ``workers`` local processes (1: this one), or the Dask cluster at ``cluster``."""

    workers: int = 1
    cluster: str | None = None


class Died(Exception):
    """The process that evaluated a call ended before it was done, each time that it was tried."""


def run_all(
    function: Callable[[Call], Result], calls: Sequence[Call], machines: Machines
) -> Iterator[tuple[Call, Result | Died]]:
    """``function`` of every call, as they are done, in any order; both must be picklable.

    A worker that dies (killed, out of memory) costs nothing but time: what it was at is given to another. A call that
    takes a process down by itself comes back as Died. Raises what ``function`` raises, and UserError where no cluster
    answers.
    """
    todo, suspects = deque(calls), deque[Call]()
    while todo or suspects:
        with _executor(machines) as (executor, width):
            running: dict[Future[Result], Call] = {}
            try:
                while todo or suspects or running:
                    while (suspects and not running) or (todo and not suspects and len(running) < width):
                        call = suspects.popleft() if suspects else todo.popleft()
                        running[executor.submit(function, call)] = call
                        if width == 1 or suspects:
                            break
                    done, _ = wait(running, return_when=FIRST_COMPLETED)
                    for future in done:
                        alone = len(running) == 1
                        result = _result(future)
                        call = running.pop(future)
                        if isinstance(result, Died) and not (alone or result.args):
                            suspects.append(call)
                        else:
                            yield call, result
            except BrokenExecutor:  # a local pool does not outlive a dead worker: start another one
                if len(running) == 1:
                    yield running.popitem()[1], Died("its process died")
                suspects.extend(running.values())
