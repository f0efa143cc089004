"""A limit of the processor's time for a block of code."""

from __future__ import annotations

import contextlib
import signal
from collections.abc import Iterator
from types import FrameType


class Hangs(BaseException):
    """Something takes too long."""


@contextlib.contextmanager
def limited(seconds: int) -> Iterator[None]:
    """Raise Hangs in the block where it takes more of the processor's time."""

    def stop(number: int, frame: FrameType | None) -> None:
        raise Hangs

    before = signal.signal(signal.SIGPROF, stop)
    signal.setitimer(signal.ITIMER_PROF, seconds)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_PROF, 0)
        signal.signal(signal.SIGPROF, before)
