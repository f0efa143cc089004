"""Odd files of other frameworks are read by a copy of the process first: some end whoever reads them.

OpenVINO's front ends follow null pointers in some models that are none (an op that it does not know before one whose
operands may be left out): the whole process would end, without a word.
"""

from __future__ import annotations

import faulthandler
import os
import signal
import time
import warnings
from collections.abc import Callable
from pathlib import Path

from npusim.errors import UserError

#: Larger files are not tried: their weights were written by a framework, and reading them twice takes seconds.
MOST_BYTES = 64 << 20
#: A copy that takes longer waits for a thread that it has not, or reads what takes long: the process reads it then.
_MOST_SECONDS = 5.0
_POLL_S = 0.002


def try_reading(path: Path, read: Callable[[], object]) -> None:
    """Raise UserError where ``read`` of a file ends the process. Does nothing on systems that cannot copy a process."""
    if not hasattr(os, "fork") or path.is_dir() or path.stat().st_size > MOST_BYTES:
        return
    with warnings.catch_warnings():
        warnings.simplefilter(
            "ignore", DeprecationWarning
        )  # other threads: the copy touches nothing of theirs
        copy = os.fork()
    if not copy:
        _read_and_end(read)
    ended = _outcome(copy)
    if ended < 0:
        raise UserError(
            f"{path}: OpenVINO ends with {signal.Signals(-ended).name} when it reads this file: it is damaged, or has "
            "an op that OpenVINO does not know; check it with the framework that wrote it"
        )


def _read_and_end(read: Callable[[], object]) -> None:
    """What the copy does: whatever is wrong that can be told, the process itself finds and tells."""
    faulthandler.disable()
    try:
        read()
    finally:
        os._exit(0)


def _outcome(copy: int) -> int:
    """How the copy ended: below 0 by that signal; 0 also where it was ended here because it took long."""
    until = time.monotonic() + _MOST_SECONDS
    try:
        while time.monotonic() < until:
            if (found := os.waitpid(copy, os.WNOHANG)) != (0, 0):
                return os.waitstatus_to_exitcode(found[1])
            time.sleep(_POLL_S)
    except BaseException:
        _end(copy)
        raise
    _end(copy)
    return 0


def _end(copy: int) -> None:
    os.kill(copy, signal.SIGKILL)
    os.waitpid(copy, 0)
