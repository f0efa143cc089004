"""A signal that comes while a worker starts is answered when it has started: half-started ones end in a traceback."""

from __future__ import annotations

import signal
from multiprocessing.context import SpawnProcess
from typing import Never

import pytest

from npusim.workers.local import kill_workers, processes


def _interrupted(*_: object) -> Never:
    raise KeyboardInterrupt


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_waits_for_the_start(number: signal.Signals, monkeypatch: pytest.MonkeyPatch) -> None:
    start, started = SpawnProcess.start, []

    def asked_to_end(self: SpawnProcess) -> None:
        signal.raise_signal(number)
        start(self)
        started.append(self)

    monkeypatch.setattr(SpawnProcess, "start", asked_to_end)
    before = signal.signal(number, _interrupted)
    try:
        with pytest.raises(KeyboardInterrupt):
            processes(1, fresh=False).submit(abs, -1)
    finally:
        signal.signal(number, before)
        kill_workers()
    assert len(started) == 1
