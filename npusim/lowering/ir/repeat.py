"""Repeats: blocks of nodes that follow each other and are alike but for names, such as the layers of a network.

What lowering decides about a node hangs on the node, on what it reads and on who reads its result. Blocks in which all
of these correspond, one by one, therefore come out alike; they are lowered once (``replicate.py``).
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Callable, Sequence
from dataclasses import dataclass, fields
from functools import cache
from operator import attrgetter
from typing import Any

import numpy as np

from npusim.lowering.ir.nodes import Node
from npusim.lowering.ir.plan import Plan
from npusim.lowering.ir.values import Value

#: What differs between nodes, and plans, that are alike: names, and values by their storages.
_NAMES = frozenset({"name", "fused", "inputs", "output"})
_NAMED = frozenset({"node", "inputs", "output", "chain"})
_STORAGE = frozenset({"storage"})
#: Fewest blocks that are worth looking at: the first are lowered one by one until two in a row come out alike.
_FEWEST = 4
#: Periods that are tried, those that could cover most of the network first.
_MOST_PERIODS = 8
#: Lengths of runs of nodes that are looked for again.
_RUNS = (1, 8)
_Keys = np.ndarray[tuple[int], np.dtype[np.int64]]


@dataclass(frozen=True, slots=True)
class Repeat:
    """``count`` blocks of ``period`` nodes each, from node ``start`` on. Every one of them is followed by a block that
    looks the same too (which need not be followed by one)."""

    start: int
    period: int
    count: int

    def block(self, number: int) -> range:
        """The nodes of a block."""
        first = self.start + number * self.period
        return range(first, first + self.period)


def find_repeat(nodes: Sequence[Node], outputs: set[int]) -> Repeat | None:
    """The longest repeat of ``nodes``; ``outputs`` are the storages that the model returns."""
    numbers = _numbers([_key(node, outputs) for node in nodes])
    keys, links = np.array(numbers), _Links(nodes, numbers)
    best: Repeat | None = None
    for period in _periods(keys):
        begin, length = _longest_run(keys[:-period] == keys[period:])
        if length < (_FEWEST - 1) * period:
            continue
        same = np.array([links.correspond(i, period) for i in range(begin, begin + length)])
        run, length = _longest_run(same)
        count = length // period
        if count >= _FEWEST - 1 and (best is None or count * period > best.count * best.period):
            best = Repeat(begin + run, period, count)
    return best


def decisions(plan: Plan) -> tuple[object, ...]:
    """All of a plan but names, values and the number of its chain."""
    node, constant = plan.node, [value.constant for value in plan.inputs]
    kind: Any = type(node)
    return kind, _but(kind, _NAMES)(node), _but(Plan, _NAMED)(plan), plan.chain >= 0, constant


def looks(value: Value) -> tuple[object, ...]:
    """All of a value but its storage."""
    return _but(Value, _STORAGE)(value)


def _key(node: Node, outputs: set[int]) -> tuple[object, ...]:
    """All of a node but names and storages."""
    kind: Any = type(node)
    returned = node.output.storage in outputs
    return kind, _but(kind, _NAMES)(node), *map(looks, node.inputs), looks(node.output), returned


@cache
def _but(kind: type[Any], left_out: frozenset[str]) -> Callable[[Any], tuple[object, ...]]:
    """What gives all fields of a dataclass but some."""
    return attrgetter(*(field.name for field in fields(kind) if field.name not in left_out))


def _numbers(keys: list[tuple[object, ...]]) -> list[int]:
    known: dict[tuple[object, ...], int] = {}
    return [known.setdefault(key, len(known)) for key in keys]


def _periods(keys: _Keys) -> list[int]:
    """Distances at which equal nodes, or equal runs of them, follow each other, those that span most of the network
    first: a block may have no node that is there but once."""
    distances: Counter[int] = Counter()
    for length in _RUNS:
        runs = np.lib.stride_tricks.sliding_window_view(keys, min(length, len(keys)))
        numbers = np.unique(runs, axis=0, return_inverse=True)[1].reshape(-1)
        order = np.argsort(numbers, kind="stable")
        same = numbers[order[1:]] == numbers[order[:-1]]
        distances |= Counter(np.diff(order)[same].tolist())
    return sorted(distances, key=lambda d: (-d * distances[d], d))[:_MOST_PERIODS]


def _longest_run(flags: np.ndarray[tuple[int], np.dtype[np.bool_]]) -> tuple[int, int]:
    """Where the longest run of True begins, and its length."""
    edges = np.flatnonzero(np.diff(np.r_[False, flags, False]))
    if not len(edges):
        return 0, 0
    lengths = edges[1::2] - edges[::2]
    at = int(np.argmax(lengths))
    return int(edges[2 * at]), int(lengths[at])


class _Links:
    """Who makes and who reads the storages of some nodes."""

    def __init__(self, nodes: Sequence[Node], keys: list[int]) -> None:
        self.nodes, self.keys = nodes, keys
        self.made_by: list[list[int]] = []  # node and operand -> the node that made it, or read it first
        self.readers: defaultdict[int, list[int]] = defaultdict(list)
        origin: dict[int, int] = {}
        for i, node in enumerate(nodes):
            self.made_by.append([origin.setdefault(value.storage, i) for value in node.inputs])
            for value in node.inputs:
                self.readers[value.storage].append(i)
            origin[node.output.storage] = i

    def correspond(self, i: int, period: int) -> bool:
        """Whether what node ``i`` reads, and what reads its result, corresponds for the node ``period`` later. All that
        a block reads must come from itself or the block before it, or be the same for both."""
        one, other = self.nodes[i], self.nodes[i + period]
        for k, (mine, theirs) in enumerate(zip(one.inputs, other.inputs, strict=True)):
            apart = i - self.made_by[i][k], i + period - self.made_by[i + period][k]
            near = apart[0] == apart[1] < 2 * period
            if not (near or mine.storage == theirs.storage or mine.constant):
                return False
        mine_to, theirs_to = (self.readers[node.output.storage] for node in (one, other))
        return [self.keys[r] for r in mine_to] == [self.keys[r] for r in theirs_to]
