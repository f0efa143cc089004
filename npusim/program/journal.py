"""The journal of a lowering: which stage decided what about which op, why, and what lost.

Decisions are functions of their arguments; whether somebody keeps a journal changes none of them, and costs nothing
where nobody does.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass, field


@dataclass(frozen=True, slots=True)
class Entry:
    """One decision: ``stage`` took it about the op of the model named ``op``; ``what`` says which and why.

    ``costs_us`` are the alternatives that were weighed and what each was estimated to take, µs; empty where a rule
    decided without weighing.
    """

    stage: str
    op: str
    what: str
    costs_us: tuple[tuple[str, float], ...] = ()


@dataclass(slots=True)
class Journal:
    """The entries of one lowering, in the order in which they were made; none twice."""

    entries: dict[Entry, None] = field(default_factory=dict)

    def about(self, op: str) -> list[Entry]:
        """What was decided about one op of the model."""
        return [entry for entry in self.entries if entry.op == op]


_CURRENT: ContextVar[Journal | None] = ContextVar("journal", default=None)


def recording() -> bool:
    """Whether somebody keeps a journal: what an entry needs beyond the decision is worked out only then."""
    return _CURRENT.get() is not None


def note(stage: str, op: str, what: str, costs_us: Mapping[str, float] | None = None) -> None:
    """Enter a decision, if somebody keeps a journal."""
    journal = _CURRENT.get()
    if journal is not None:
        journal.entries[Entry(stage, op, what, tuple((costs_us or {}).items()))] = None


def entered() -> list[Entry]:
    """What has been entered so far; nothing, if nobody keeps a journal."""
    journal = _CURRENT.get()
    return [] if journal is None else list(journal.entries)


@contextmanager
def journal() -> Iterator[Journal]:
    """Keep a journal of what is lowered inside the block, in this thread."""
    kept = Journal()
    token = _CURRENT.set(kept)
    try:
        yield kept
    finally:
        _CURRENT.reset(token)
