"""The Program: tasks on in-order queues, with the work of each, barriers and CMX buffers."""

from npusim.program.program import ENGINES, CmxBuffer, Engine, Program, ProgramOp, Queue, engines_of
from npusim.program.tasks import Indices, Lists, Task, Tasks

__all__ = [
    "ENGINES", "CmxBuffer", "Engine", "Indices", "Lists", "Program", "ProgramOp", "Queue", "Task", "Tasks",
    "engines_of",
]  # fmt: skip
