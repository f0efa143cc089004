"""How many ops and tasks a model becomes: bounded, and told as soon as it is known, a twentieth of the way.

Tasks are what lowering and simulating take time and memory for, and nothing but the plans says how many there are: a
model of a few lines can have millions, and a large one few.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar

from npusim.errors import UserError

#: Of one op: ten times those of the largest op of a prompt of 8,192 tokens (Mamba-2 2.7B), and 1.5 GiB.
MOST_OP_TASKS = 1 << 21
#: Of a model: three times those of that prompt, and more than a machine's memory holds.
MOST_TASKS = 1 << 25
#: Above these it is told: from here on it takes more than some seconds.
MANY_TASKS = 250_000
#: Ops of a model, of which the largest networks have some thousands: a recurrence of as many steps as the longest
#: prompts has eight to a step. And tasks that a small op is, about.
MOST_OPS, OP_TASKS = 1 << 19, 16
#: What lowering and simulating one take: time of one core of 2025, and memory.
US_PER_TASK, KIB_PER_TASK = 20, 0.5

_TOLD: ContextVar[Callable[[int], None] | None] = ContextVar("told", default=None)


@contextmanager
def telling(tell: Callable[[int], None]) -> Iterator[None]:
    """Have ``tell`` called with the number of tasks, about, of a schedule of more than MANY_TASKS, before it is made,
    and of another one that has more than twice as many."""
    most = 0

    def once(tasks: int) -> None:
        nonlocal most
        if tasks > max(2 * most, MANY_TASKS):
            most = tasks
            tell(tasks)

    before = _TOLD.set(once)
    try:
        yield
    finally:
        _TOLD.reset(before)


def check_ops(ops: int) -> None:
    """Tell about how many tasks so many ops are. Raises UserError for more than any model has."""
    if ops > MOST_OPS:
        raise UserError(
            f"more than {MOST_OPS:,} ops, loops and recurrences step by step: give its inputs smaller sizes with "
            "--shape or --dim, or cut the model before the loop"
        )
    _tell(OP_TASKS * ops)


def check_op(name: str, tasks: int) -> None:
    """Tell how many tasks an op is. Raises UserError for more than any has."""
    if tasks > MOST_OP_TASKS:
        raise UserError(
            f"'{name}' would be {tasks:,} tasks, and no op of a network has more than {MOST_OP_TASKS:,}: give the "
            "model's inputs smaller sizes with --shape or --dim, or other dimensions"
        )
    _tell(tasks)


def check_size(tasks: int) -> None:
    """Tell how many tasks there are. Raises UserError for more than memory holds."""
    if tasks > MOST_TASKS:
        raise UserError(
            f"about {tasks / 1e6:.1f} million tasks, of which no more than {MOST_TASKS / 1e6:.0f} are held: give the "
            "model's inputs smaller sizes with --shape or --dim, fewer --tokens or fewer --layers"
        )
    _tell(tasks)


def _tell(tasks: int) -> None:
    if tell := _TOLD.get():
        tell(tasks)


def about_time(tasks: int) -> str:
    """What a schedule of so many tasks will take, for people."""
    return (
        f"about {tasks / 1e6:.1f} million tasks, up to {tasks * US_PER_TASK / 1e6:.0f} s and "
        f"{tasks * KIB_PER_TASK / (1 << 20):.1f} GiB from here"
    )
