"""One case op by op: what npusim and the vendor's compiler make of the same model, side by side.

Ops are matched by the model's own names. Where one side fuses what the other keeps apart, all of it is one row; a part
of an op that one side names after it (``MatMul_1/softmax``) belongs to that op.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from npusim.analysis.bottleneck import critical_path
from npusim.analysis.intervals import grouped_union_length
from npusim.api import Result
from npusim.graph import Graph
from npusim.program import ENGINES
from npusim.program.work import DmaWork

#: The row of transfers that bring no data: descriptors, barriers.
DESCRIPTORS = "(task descriptors)"
_STEPS = 4
_PORT = re.compile(r"/(?:sink_port|fq_output|fq_input)_\d+$")


@dataclass(frozen=True, slots=True)
class Side:
    """What one side does for an op. ``ops`` are its own names for it; ``tasks`` and ``busy_us`` (the union of its
    tasks' time) are by engine; ``exposed_us`` is its time on the critical path: over all ops the whole latency."""

    ops: tuple[str, ...]
    tasks: Mapping[str, int]
    busy_us: Mapping[str, float]
    start_us: float
    end_us: float
    exposed_us: float

    @property
    def engines(self) -> str:
        """Engines that run anything of it, ``dma+dpu``."""
        return "+".join(engine for engine in ENGINES if self.tasks[engine])


@dataclass(frozen=True, slots=True)
class OpPair:
    """An op on both sides, None where a side has no task for it."""

    name: str
    type: str
    vendor: Side | None
    ours: Side | None

    @property
    def gap_us(self) -> float:
        """By how much it makes our latency longer than the vendor's (shorter, if negative)."""
        ours, vendor = (side.exposed_us if side else 0.0 for side in (self.ours, self.vendor))
        return ours - vendor


def compare(ours: Result, vendor: Result, graph: Graph) -> list[OpPair]:
    """The ops of both, in the order in which the vendor starts them (ours, where it has none), of one model."""
    groups = Groups(op.name for op in vendor.program.ops)
    for op in ours.program.ops:
        groups.join([op.name, *op.fused])
    for named, meant in _renamed(vendor, graph):
        groups.join([named, meant])
    theirs, own = (sides(result, groups) for result in (vendor, ours))
    types = {
        groups.of(op.name): op.type
        for result in (ours, vendor)
        for op in reversed(result.program.ops)
        if op.type
    }
    types[DESCRIPTORS] = ""
    found = [OpPair(group, types[group], theirs.get(group), own.get(group)) for group in {**theirs, **own}]
    return sorted(found, key=_when)


def _when(pair: OpPair) -> tuple[float, float, str]:
    first = pair.vendor or pair.ours
    return (first.start_us, first.end_us, pair.name) if first else (0.0, 0.0, pair.name)


def _renamed(vendor: Result, graph: Graph) -> Iterator[tuple[str, str]]:
    """Vendor ops called by a reshape or the like that follows them, which their type tells: (name, op of that type)."""
    maker = {tensor: op for op in graph.ops for tensor in op.outputs}
    by_name = {op.name: op for op in graph.ops}
    for theirs in vendor.program.ops:
        op = by_name.get(canonical(theirs.name))
        for _ in range(_STEPS):
            if op is None or op.type == theirs.type:
                break
            op = maker.get(op.inputs[0]) if op.inputs else None
        if op is not None and op.type == theirs.type and op.name != theirs.name:
            yield theirs.name, op.name


class Groups:
    """Names that mean one op: sets of names, each called by its first vendor name, or its first name."""

    def __init__(self, vendor: Iterable[str]) -> None:
        """Groups of one name each: those of ``vendor``, which lend their names to what joins them."""
        self._vendor = list(vendor)
        self._canonical = {canonical(name): name for name in reversed(self._vendor)}
        self._leader: dict[str, str] = {}

    def join(self, names: Sequence[str]) -> None:
        """Let ``names`` mean one op with whatever vendor ops they mean."""
        known = [vendor for vendor in map(self._vendor_name, names) if vendor is not None]
        leaders = list(dict.fromkeys(self.of(name) for name in (*known, *names)))
        self._leader.update(dict.fromkeys(leaders[1:], leaders[0]))

    def of(self, name: str) -> str:
        """What the op that ``name`` means is called."""
        while name in self._leader:
            name = self._leader[name]
        return name

    def _vendor_name(self, name: str) -> str | None:
        """The vendor's op of this name, or the one that it is named as a part of."""
        name = canonical(name)
        while name:
            if name in self._canonical:
                return self._canonical[name]
            name = name.rpartition("/")[0]
        return None


def canonical(name: str) -> str:
    """A name without the port that the vendor adds for results and quantised tensors."""
    return _PORT.sub("", name)


def sides(result: Result, groups: Groups) -> dict[str, Side]:
    """What one side does, by group, and DESCRIPTORS as a group of their own."""
    program, timeline = result.program, result.timeline
    of_op = [groups.of(op.name) for op in program.ops]
    of_task = [
        DESCRIPTORS
        if isinstance(task.work, DmaWork) and task.work.kind in ("fetch", "sync")
        else of_op[task.op]
        for task in program.tasks
    ]
    names = list(dict.fromkeys(of_task))
    index = {name: number for number, name in enumerate(names)}
    group = np.array([index[name] for name in of_task], np.int64)
    engine = program.engine
    cell, cells = group * len(ENGINES) + engine, len(names) * len(ENGINES)
    tasks = np.bincount(cell, minlength=cells).reshape(-1, len(ENGINES)).tolist()
    busy = (
        grouped_union_length(timeline.start_us, timeline.end_us, cell, cells)
        .reshape(-1, len(ENGINES))
        .tolist()
    )
    start, end = np.full(len(names), np.inf), np.zeros(len(names))
    np.minimum.at(start, group, timeline.start_us)
    np.maximum.at(end, group, timeline.end_us)
    path = critical_path(timeline, result.prices)
    exposed = np.bincount(group[path.tasks], path.kind_us.sum(axis=1), minlength=len(names))
    members: dict[str, list[str]] = {name: [] for name in names}
    for op, name in zip(program.ops, of_op, strict=True):
        members.setdefault(name, []).append(op.name)
    return {
        name: Side(
            ops=tuple(members[name]),
            tasks=dict(zip(ENGINES, tasks[number], strict=True)),
            busy_us=dict(zip(ENGINES, busy[number], strict=True)),
            start_us=float(start[number]),
            end_us=float(end[number]),
            exposed_us=float(exposed[number]),
        )
        for number, name in enumerate(names)
    }
