"""The Timeline: when every task started and ended, and why it waited."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from npusim.program import Program

Times = npt.NDArray[np.float64]

#: Why a task did not start earlier, as indices into Timeline.wait_reason.
WAIT_REASONS = ("none", "queue", "barrier", "server")


@dataclass(frozen=True, slots=True)
class Timeline:
    """Start and end of every task of a Program, in its order, in microseconds.

    ``wait_reason`` indexes WAIT_REASONS (``barrier``: it stood at the head and waited for producers; ``queue``: it
    could run the moment its queue got to it; ``server``: all servers of its queue were busy; ``none``: it started at
    0, or an imported schedule does not say); ``wait_for`` is the task whose end let it start, or -1. In a queue of
    several servers, a task that starts together with the one before it waited for the same as that.
    ``contended_us`` is how much longer a transfer took because DDR was shared. ``server`` numbers the server within
    the queue.
    """

    program: Program
    start_us: npt.NDArray[np.float64]
    end_us: npt.NDArray[np.float64]
    wait_reason: npt.NDArray[np.int8]
    wait_for: npt.NDArray[np.int64]
    contended_us: npt.NDArray[np.float64]
    server: npt.NDArray[np.int8]
    engine: str

    @property
    def latency_us(self) -> float:
        """End of the last task; 0 for an empty Program."""
        return float(self.end_us.max()) if len(self.end_us) else 0.0
