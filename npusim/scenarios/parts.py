"""Parts of a Graph, as graphs of their own: what lies behind one op and before another, and where a cut may go."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass, replace

from npusim.errors import UserError
from npusim.graph.ir import BITS, Graph
from npusim.text import did_you_mean


@dataclass(frozen=True, slots=True)
class Cut:
    """A place between the first ``count`` ops of a Graph and the rest: the op that it is behind, and what crosses it
    (tensors that are made before and read after, or results)."""

    op: str
    count: int
    crossing: tuple[int, ...]


def part_of(graph: Graph, after: str | None, until: str | None, loops: Collection[str] = ()) -> Graph:
    """The part of a Graph that lies behind the op ``after`` and goes up to ``until``. Raises UserError."""
    begin = _cut_at(graph, after, loops).count if after else 0
    end = _cut_at(graph, until, loops).count if until else len(graph.ops)
    if begin >= end:
        raise UserError(f"{graph.name}: nothing lies behind '{after}' and before the end of '{until}'")
    return section(graph, begin, end)


def section(graph: Graph, begin: int, end: int) -> Graph:
    """The ops from ``begin`` to ``end`` as a Graph: it reads what they read of others, and gives what others read.

    What crosses the cuts is FP16 on both sides, as it is between two ops.
    """
    ops = graph.ops[begin:end]
    made = {id for op in ops for id in op.outputs}
    read = dict.fromkeys(id for op in ops for id in op.inputs if id not in made)
    wanted = {id for op in graph.ops[end:] for id in op.inputs} | set(graph.outputs)
    inputs = tuple(id for id in read if not graph.tensors[id].constant)
    outputs = tuple(id for op in ops for id in op.outputs if id in wanted)
    crossing = (set(inputs) - set(graph.inputs)) | (set(outputs) - set(graph.outputs))
    tensors = tuple(replace(t, stored_dtype=t.dtype) if t.id in crossing else t for t in graph.tensors)
    name = graph.name if (begin, end) == (0, len(graph.ops)) else f"{graph.name}[{begin}:{end}]"
    return replace(graph, name=name, tensors=tensors, ops=ops, inputs=inputs, outputs=outputs)


def cuts(graph: Graph, at: Sequence[str] = (), loops: Collection[str] = ()) -> list[Cut]:
    """Where a Graph can be cut in two, in order: before everything, behind the ops ``at``, and behind everything.

    Without ``at`` behind every op that one tensor leaves, and nothing else. ``loops`` are the names of ops whose steps
    stand in the Graph. Raises UserError for an op that there is not, or that is inside a loop.
    """
    if at:
        inner = [_cut_at(graph, name, loops) for name in at]
    else:
        inner = [cut for cut in _every(graph) if len(cut.crossing) == 1 and not _around(cut.op, loops)]
    first = Cut("", 0, tuple(graph.inputs))
    return [first, *sorted(inner, key=lambda cut: cut.count), Cut(graph.ops[-1].name, len(graph.ops), ())]


def _every(graph: Graph) -> Iterable[Cut]:
    """Behind every op but the last."""
    last = {id: number for number, op in enumerate(graph.ops) for id in op.inputs}
    last |= dict.fromkeys(graph.outputs, len(graph.ops))
    alive: dict[int, None] = {id: None for id in graph.inputs if id in last}
    for number, op in enumerate(graph.ops[:-1]):
        alive |= {id: None for id in op.outputs if id in last}
        alive = {id: None for id in alive if last[id] > number}
        yield Cut(op.name, number + 1, tuple(alive))


def _cut_at(graph: Graph, name: str, loops: Collection[str]) -> Cut:
    found = [cut for cut in _every(graph) if cut.op == name]
    names = [op.name for op in graph.ops]
    around = _around(name, loops) or next(
        (_around(one, loops) for one in names if one.endswith(f"/{name}") and _around(one, loops)), ""
    )
    if around and (not found or found[-1].op != around):
        raise UserError(
            f"{graph.name}: '{name}' is inside the loop '{around}', which is one op of the model: cut before or behind "
            "it"
        )
    if found:
        return found[-1]
    if names and names[-1] == name:
        raise UserError(f"{graph.name}: nothing lies behind '{name}', its last op")
    raise UserError(f"{graph.name}: there is no op '{name}'{did_you_mean(name, names)}")


def _around(name: str, loops: Collection[str]) -> str:
    """The loop that an op is a step of; empty where there is none."""
    return next((loop for loop in loops if name.startswith(f"{loop}/")), "")


def sent_bytes(graph: Graph, cut: Cut, bits: int) -> float:
    """Bytes that cross, at so many bits a number, or what a narrower one has."""
    sizes = [graph.tensors[i] for i in cut.crossing]
    return sum(one.elements * min(bits, BITS[one.dtype]) / 8 for one in sizes)
