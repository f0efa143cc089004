"""Workers that die cost no result but that of the call that kills them."""

from __future__ import annotations

import os
import signal
from pathlib import Path

from npusim.workers import Died, Machines, pool_of, run_all


def die_at(call: tuple[int, str]) -> int:
    """The number; 3 takes its process down always, 5 the first time only."""
    number, mark = call
    if number == 3 or (number == 5 and not Path(mark).exists()):
        Path(mark).touch()
        os.kill(os.getpid(), signal.SIGKILL)
    return number


def test_a_worker_that_dies_costs_only_what_kills_it(tmp_path: Path) -> None:
    calls = [(number, str(tmp_path / "mark")) for number in range(12)]
    with pool_of(Machines(2)) as pool:
        found = list(run_all(die_at, calls, pool))
    assert sorted(call for call, _ in found) == calls
    assert {call[0]: result for call, result in found if not isinstance(result, Died)} == {
        number: number for number in range(12) if number != 3
    }
