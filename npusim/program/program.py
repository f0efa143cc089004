"""The Program: tasks on in-order queues, with barriers and CMX buffers; what a compiler would have emitted."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np

from npusim.program.tasks import Indices, Lists, Task, Tasks

Engine = Literal["dma", "dpu", "shave", "block"]
#: Engine kinds, in the order in which arrays number them.
ENGINES: tuple[Engine, ...] = ("dma", "dpu", "shave", "block")


def engines_of(program: Program) -> tuple[Engine, ...]:
    """The engine kinds of a Program: those of every NPU, and blocks where there are any."""
    return ENGINES if any(queue.engine == "block" for queue in program.queues) else ENGINES[:-1]


@dataclass(frozen=True, slots=True)
class Queue:
    """An in-order FIFO and the servers that drain it.

    ``unit`` is the DMA engine for ``dma`` queues, the tile for ``dpu`` and ``shave`` ones, and the number of a unit
    beside the tiles (``block``); ``channel`` is the
    memory a DMA queue reads from (``ddr`` or ``cmx``), empty where it reads from both and on other queues.
    """

    name: str
    engine: Engine
    unit: int
    channel: str = ""
    servers: int = 1


@dataclass(frozen=True, slots=True)
class ProgramOp:
    """What tasks are accounted to: one op of the model, or several that were fused.

    ``name`` and ``type`` are the model's; ``fused`` the other model ops it stands for; ``layer`` groups ops of one
    block of the network (``layers.3``) or is empty; ``strategy`` says how it was split, for people
    (``SOK over 4 tiles, 2 slices``); ``shape`` is the output's.
    """

    name: str
    type: str
    fused: tuple[str, ...] = ()
    layer: str = ""
    strategy: str = ""
    shape: tuple[int, ...] = ()


@dataclass(frozen=True, slots=True)
class CmxBuffer:
    """Bytes of scratchpad, as they are on the fullest tile (an upper bound for every tile), taken from the start of the
    first of the tasks ``writers`` to the end of the last of ``readers`` and ``writers``.

    What is live at any moment never exceeds the capacity, whatever the durations; fragmentation is not modelled.
    """

    bytes: int
    writers: tuple[int, ...]
    readers: tuple[int, ...]


@dataclass(frozen=True, slots=True, repr=False)
class Program:
    """Tasks in issue order (a task never waits on a barrier that only later tasks of its own queue release).

    ``barriers`` is how many barriers there are; they are numbered from 0. ``notes`` are remarks for the user.
    """

    name: str
    queues: tuple[Queue, ...]
    tasks: Tasks
    ops: tuple[ProgramOp, ...]
    barriers: int
    buffers: tuple[CmxBuffer, ...] = ()
    cmx_bytes_per_tile: int = 0
    tiles: int = 1
    notes: tuple[str, ...] = ()

    def __repr__(self) -> str:
        """Short: a Program may have a million tasks."""
        return f"<Program: {self.name}, {len(self.ops):,} ops, {len(self.tasks):,} tasks, {self.tiles} tiles>"

    @property
    def engine(self) -> Indices:
        """The engine kind of every task, as an index into ENGINES; shape (tasks,)."""
        return np.array([ENGINES.index(queue.engine) for queue in self.queues], np.int32)[self.tasks.queue]


__all__ = [
    "ENGINES",
    "CmxBuffer",
    "Engine",
    "Indices",
    "Lists",
    "Program",
    "ProgramOp",
    "Queue",
    "Task",
    "Tasks",
    "engines_of",
]
