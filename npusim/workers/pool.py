"""Calls handed out to whatever machines there are; a worker that dies costs no result but that of the call at fault."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import FIRST_COMPLETED, BrokenExecutor, CancelledError, Executor, Future, wait
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TypeVar

from npusim.errors import UserError
from npusim.workers.local import Here, kill_workers, processes

Call = TypeVar("Call")
Result = TypeVar("Result")

#: Calls that are handed out for every worker: one to work on, one to go on with.
_AHEAD = 2


@dataclass(frozen=True, slots=True)
class Machines:
    """What evaluates: ``workers`` local processes (1: this one; ``fresh``: each for a single call, which gives its
    memory back), or the Dask cluster at ``cluster``."""

    workers: int = 1
    cluster: str | None = None
    fresh: bool = False


#: How the text of a Died begins.
DIED = "died "


class Died(Exception):
    """The process that was at a call ended before it was done, and so did the next one that tried."""

    def __init__(self, how: str) -> None:
        """``how`` it came about."""
        super().__init__(f"{DIED}{how} (out of memory?)")


def run_all(
    function: Callable[[Call], Result], calls: Sequence[Call], pool: Pool
) -> Iterator[tuple[Call, Result | Died]]:
    """``function`` of every call, as they are done, in any order; both must be picklable.

    A worker that dies (killed, out of memory) costs nothing but time: what it was at is tried again, one call at a
    time, so that the one that takes its process down is found; it comes back as Died. Raises what ``function`` raises,
    and UserError where all workers are gone for good.
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
                yield call, Died("twice with the process that ran it")
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
        """What a call gave; None where its worker died and it is to be tried again. Raises UserError where a cluster
        went away."""
        try:
            error = future.exception()
        except CancelledError:  # Dask, of every call that its scheduler had
            raise UserError(
                "the scheduler of the cluster went away; what was done is kept: run the command again when it is back, "
                "or without --cluster"
            ) from None
        if error is None:
            return future.result()
        if isinstance(error, BrokenExecutor):
            return None
        if type(error).__name__ == "KilledWorker":  # Dask has tried it on several workers
            return Died("with the workers that ran it")
        raise error


@contextmanager
def pool_of(machines: Machines) -> Iterator[Pool]:
    """The workers of some machines, for as long as the block runs; where it fails or is interrupted, local ones end at
    once. Raises UserError where no cluster answers."""
    if machines.cluster is not None:
        from npusim.workers.cluster import cluster_executor

        with cluster_executor(machines.cluster) as (executor, threads):
            yield Pool(lambda: executor, threads * _AHEAD)
        return
    workers, fresh = machines.workers, machines.fresh
    pool = (
        Pool(Here, 1)
        if workers == 1 and not fresh
        else Pool(lambda: processes(workers, fresh), workers * _AHEAD)
    )
    try:
        yield pool
    except BaseException:
        kill_workers()
        pool.executor.shutdown(cancel_futures=True)  # waits for its thread, which would be torn at the exit
        raise
    pool.executor.shutdown()
