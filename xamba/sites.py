"""Sites: the places in a model that a rule looked at."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Site:
    """One op that a rule could apply to.

    `op` and `type` are its friendly name and type before the rewrite. `note` says what it became, or, where it was
    not `taken`, why. `error_bound` is the largest absolute error of an approximation within the range it was made for,
    or of a weight that was pruned or stored narrower (None: the rewrite is exact up to rounding); the note tells the
    range, and the error outside.
    """

    rule: str
    op: str
    type: str
    taken: bool
    note: str
    error_bound: float | None = None
