"""Where points are evaluated: in this process, in local processes or on a Dask cluster, by one code path."""

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

from npusim import __version__
from npusim.errors import UserError

Call = TypeVar("Call")
Result = TypeVar("Result")

#: Seconds that a Dask scheduler has to answer.
_ANSWER_S = 10
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
    """The process that was at a call ended before it was done, and so did the next one that tried."""


def run_all(
    function: Callable[[Call], Result], calls: Sequence[Call], pool: Pool
) -> Iterator[tuple[Call, Result | Died]]:
    """``function`` of every call, as they are done, in any order; both must be picklable.

    A worker that dies (killed, out of memory) costs nothing but time: what it was at is tried again, one call at a
    time, so that the one that takes its process down is found; it comes back as Died. Raises what ``function`` raises.
    """
    waiting, suspects = deque(calls), deque[Call]()
    running: dict[Future[Result], Call] = {}
    while waiting or suspects or running:
        alone = bool(suspects) and not running
        if alone:
            call = suspects.popleft()
            running[pool.submit(function, call)] = call
        while waiting and not (alone or suspects) and len(running) < pool.width:
            call = waiting.popleft()
            running[pool.submit(function, call)] = call
        for future in wait(running, return_when=FIRST_COMPLETED).done:
            call = running.pop(future)
            outcome = pool.outcome(future)
            if outcome is not None:
                yield call, outcome
            elif alone:
                yield call, Died("the process that ran it died twice (out of memory?)")
            else:
                suspects.append(call)


class Pool:
    """Executors of concurrent.futures behind one face; ``width`` calls should be in flight."""

    def __init__(self, make: Callable[[], Executor], width: int) -> None:
        """``make`` starts the executor, and another one where it breaks."""
        self.make, self.width = make, width
        self.executor = make()

    def submit(self, function: Callable[[Call], Result], call: Call) -> Future[Result]:
        """Hand a call out; a local pool that a dead worker has broken is replaced first."""
        try:
            return self.executor.submit(function, call)
        except BrokenExecutor:
            self.executor.shutdown(wait=False)
            self.executor = self.make()
            return self.executor.submit(function, call)

    def outcome(self, future: Future[Result]) -> Result | Died | None:
        """What a call gave; None where its worker died and it is to be tried again."""
        error = future.exception()
        if error is None:
            return future.result()
        if isinstance(error, BrokenExecutor):
            return None
        if type(error).__name__ == "KilledWorker":  # Dask has tried it on several workers
            return Died("the workers that ran it died (out of memory?)")
        raise error


@contextmanager
def pool_of(machines: Machines) -> Iterator[Pool]:
    """The workers of some machines, for as long as the block runs. Raises UserError where no cluster answers."""
    if machines.cluster is not None:
        with _cluster(machines.cluster) as pool:
            yield pool
        return
    workers = machines.workers
    pool = Pool(_Here, 1) if workers == 1 else Pool(lambda: _processes(workers), workers * _AHEAD)
    try:
        yield pool
    finally:
        pool.executor.shutdown(cancel_futures=True)


class _Here(Executor):
    """Calls in this process, at once."""

    def submit(self, fn: Callable[..., Any], /, *args: Any, **kwargs: Any) -> Future[Any]:
        """A Future that is done."""
        future: Future[Any] = Future()
        try:
            future.set_result(fn(*args, **kwargs))
        except Exception as error:  # handed on by the Future
            future.set_exception(error)
        return future


def _processes(workers: int) -> Executor:
    # Started afresh: a fork of a process in which OpenVINO runs threads may hang.
    return ProcessPoolExecutor(workers, get_context("spawn"), initializer=_begin)


def _begin() -> None:
    """Ctrl-C is the parent's to answer; and no worker outlives its parent, which may be killed without a word."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    gc.set_threshold(_COLLECT_AFTER)
    threading.Thread(target=_end_with_parent, daemon=True).start()


def _end_with_parent() -> None:
    parent = parent_process()
    if parent is not None:
        connection.wait([parent.sentinel])
        os._exit(1)


@contextmanager
def _cluster(address: str) -> Iterator[Pool]:
    try:
        from distributed import Client
    except ImportError:
        raise UserError("--cluster needs the package distributed: pip install 'npusim[cluster]'") from None
    try:
        client = Client(address, timeout=_ANSWER_S, set_as_default=False)
    except (OSError, ValueError, TypeError) as error:
        said = str(error).partition("\n")[0]
        raise UserError(f"--cluster {address}: no Dask scheduler answers there ({said})") from None
    with client:
        for worker, version in client.run(_version).items():
            if version != __version__:
                raise UserError(
                    f"--cluster {address}: worker {worker} has npusim {version}, not {__version__}"
                )
        threads = sum(client.nthreads().values())
        if not threads:
            raise UserError(
                f"--cluster {address}: the cluster has no workers; start some with 'dask worker {address}'"
            )
        yield Pool(lambda: client.get_executor(pure=False), threads * _AHEAD)


def _version() -> str:
    """The version of npusim on a worker, or why there is none."""
    try:
        import npusim
    except ImportError as error:
        return f"missing ({error})"
    return npusim.__version__
