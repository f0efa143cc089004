"""Why an op of a model runs as it does: what every stage of lowering decided about it, and what it waited for."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from difflib import get_close_matches

import numpy as np

from npusim.engine.timeline import WAIT_REASONS, Timeline
from npusim.errors import UserError
from npusim.program import ENGINES
from npusim.program.journal import Entry

#: Waits that an explanation names, the longest first.
MOST_WAITS = 5


@dataclass(frozen=True, slots=True)
class Wait:
    """Time that the queues of an op stood still before its tasks: ``us`` in all, for the tasks of ``op`` on ``engine``
    (its own, where it is the op that waits)."""

    op: str
    engine: str
    us: float


@dataclass(frozen=True, slots=True)
class Explanation:
    """One op: ``name`` and ``type`` as the model has them; ``runs_in`` is the op of the Program that its work is
    accounted to (another one, if it was fused; empty, if it costs nothing). ``decisions`` are in the order in which
    they were taken."""

    name: str
    type: str
    runs_in: str
    decisions: tuple[Entry, ...]
    waits: tuple[Wait, ...]


def explain(timeline: Timeline, entries: Iterable[Entry], asked: str) -> Explanation:
    """The explanation of the op named ``asked``, or of the only one whose name contains that, or whose type that is,
    both without regard to case.

    ``entries`` are the journal of the lowering that made the Program. Raises UserError where none or several are meant.
    """
    program, kept = timeline.program, list(entries)
    homes = {name: op.name for op in program.ops for name in (*op.fused, op.name)}
    kinds = {op.name: op.type for op in program.ops}
    name = _meant(asked, [*homes, *(entry.op for entry in kept)], kinds)
    home = homes.get(name, "")
    about = {name, home}
    decisions = tuple(entry for entry in kept if entry.op in about)
    index = next((i for i, op in enumerate(program.ops) if op.name == home), None)
    waited = () if index is None else waits(timeline)[index]
    return Explanation(name, kinds.get(name, ""), home, decisions, waited)


def _meant(asked: str, names: Sequence[str], kinds: Mapping[str, str]) -> str:
    known, word = list(dict.fromkeys(names)), asked.lower()
    found = (
        [name for name in known if asked == name]
        or [name for name in known if asked in name]
        or [name for name in known if word in name.lower() or word == kinds.get(name, "").lower()]
    )
    if len(found) == 1:
        return found[0]
    some = ", ".join((found or get_close_matches(asked, known, 5, 0.3))[:5])
    if found:
        raise UserError(
            f"--explain: {len(found)} ops have '{asked}' in their names or as their type, such as {some}; give a whole "
            "name"
        )
    raise UserError(
        f"--explain: no op has '{asked}' in its name" + (f"; did you mean one of {some}?" if some else "")
    )


def waits(timeline: Timeline) -> list[tuple[Wait, ...]]:
    """What the queues of every op of the Program stood still for before its tasks, the longest first."""
    program, tasks = timeline.program, timeline.program.tasks
    gaps = np.zeros(len(tasks))
    for queue in range(len(program.queues)):
        own = np.flatnonzero(tasks.queue == queue)
        ended = np.maximum.accumulate(timeline.end_us[own])
        gaps[own] = timeline.start_us[own] - np.concatenate(([0.0], ended[:-1]))[: len(own)]
    at_head = timeline.wait_reason == WAIT_REASONS.index("barrier")
    stood = np.flatnonzero((gaps > 0) & (timeline.wait_for >= 0) & at_head)
    causes = timeline.wait_for[stood]
    pairs = np.stack((tasks.op[stood], tasks.op[causes], program.engine[causes]))
    kinds, kind_of = np.unique(pairs, axis=1, return_inverse=True)
    sums = np.bincount(kind_of, gaps[stood], kinds.shape[1])
    found: list[list[Wait]] = [[] for _ in program.ops]
    for number in np.lexsort((*kinds[:0:-1], -sums)):
        op, other, engine = kinds[:, number]
        if len(found[op]) < MOST_WAITS:
            found[op].append(Wait(program.ops[other].name, ENGINES[engine], float(sums[number])))
    return [tuple(some) for some in found]
