"""What the page says of every op: what lowering decided about it, and what its queues waited for."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable
from math import isfinite
from typing import Any

from npusim.analysis.explain import waits
from npusim.api import Result
from npusim.program.journal import Entry
from npusim.report.page import packed
from npusim.text import printable

#: What an op's record holds: the number of its name among ``names``, and of each decision among ``decisions``.
Record = tuple[int, list[int]]


def decisions(result: Result, entries: Iterable[Entry]) -> dict[str, str]:
    """The record of every op of the Program, as ``npusim run --explain`` prints it, packed.

    Unpacked it is ``names``; ``decisions``, each [stage, what, [[alternative, µs or null where it does not fit], ...]];
    ``ops``, for each op a Record of itself and of all that were fused into it; and ``waits``, for each op [the number
    of the op waited for, engine, µs]. Equal decisions of many ops stand once.
    """
    about: dict[str, list[Entry]] = defaultdict(list)
    for entry in entries:
        about[entry.op].append(entry)
    ops = result.program.ops
    number_of = {op.name: number for number, op in enumerate(ops)}
    names: dict[str, int] = {}
    kept: dict[tuple[str, str, tuple[tuple[str, float], ...]], int] = {}

    def record(name: str) -> Record:
        numbers = [kept.setdefault((e.stage, e.what, e.costs_us), len(kept)) for e in about[name]]
        return names.setdefault(name, len(names)), numbers

    records = [[record(name) for name in (op.name, *op.fused) if about[name]] for op in ops]
    return packed(
        {
            "names": [printable(name) for name in names],
            "decisions": [_decision(*one) for one in kept],
            "ops": records,
            "waits": [
                [(number_of[wait.op], wait.engine, round(wait.us, 2)) for wait in some]
                for some in waits(result.timeline)
            ],
        }
    )


def _decision(stage: str, what: str, costs_us: Iterable[tuple[str, float]]) -> tuple[str, str, list[Any]]:
    weighed = [(printable(name), round(us, 3) if isfinite(us) else None) for name, us in costs_us]
    return printable(stage), printable(what), weighed
