"""Why every task waited, from starts and ends alone: what the event engine records as it goes.

Importing this module imports numba.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from npusim.engine.compile import Arrays
from npusim.engine.jit import kernel
from npusim.engine.timeline import WAIT_REASONS, Times

Codes = npt.NDArray[np.signedinteger]

NONE, QUEUE, BARRIER, SERVER = range(len(WAIT_REASONS))


@kernel
def explain(arrays: Arrays, start: Times, end: Times, reason: Codes, cause: Codes, server: Codes) -> None:
    """``wait_reason``, ``wait_for`` and ``server`` of a Timeline, to ``reason``, ``cause`` and ``server``.

    A task runs on the server that has been free for longest, the lowest-numbered of equals. It starts at the latest
    of: the start of the task before it in its queue, the end of the one that ran before it on its server, and the
    release of its barriers. Of equal times the first in this list is the reason. It names whatever the earlier task
    waited for, or the one on the server, or the last producer to end (the last in the Program's order of equals).
    """
    barriers, queues = len(arrays.producers), len(arrays.fifo_at) - 1
    released, last = np.empty(barriers), np.empty(barriers, np.int32)
    for barrier in range(barriers):
        released[barrier], last[barrier] = 0.0, -1
    for task in range(len(start)):
        for update in range(arrays.updates_at[task], arrays.updates_at[task + 1]):
            barrier = arrays.updates[update]
            if end[task] >= released[barrier]:
                released[barrier], last[barrier] = end[task], task

    free, ran = (
        np.empty(arrays.servers_at[-1]),
        np.empty(arrays.servers_at[-1], np.int32),
    )  # by server: end, last task
    for one in range(len(free)):
        free[one], ran[one] = 0.0, -1
    for queue in range(queues):
        servers = arrays.servers_at[queue + 1] - arrays.servers_at[queue]
        at_head, why, whom = 0.0, NONE, -1
        for place in range(arrays.fifo_at[queue], arrays.fifo_at[queue + 1]):
            task = arrays.fifo[place]
            on = arrays.servers_at[queue]
            for other in range(on + 1, arrays.servers_at[queue + 1]):
                if free[other] < free[on]:
                    on = other
            if start[task] > max(at_head, free[on]):
                why, whom = BARRIER, -1
                for wait in range(arrays.waits_at[task], arrays.waits_at[task + 1]):
                    barrier = arrays.waits[wait]
                    if released[barrier] == start[task]:
                        whom = max(whom, last[barrier])
            elif free[on] > at_head:
                why, whom = (SERVER if servers > 1 else QUEUE), ran[on]
            elif why != NONE:
                why = QUEUE
            reason[task], cause[task], server[task] = why, whom, on - arrays.servers_at[queue]
            at_head, free[on], ran[on] = start[task], end[task], task
