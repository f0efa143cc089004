"""Passes: a lowering is a list of them, each a small function from one Module to the next.

A pass says which laws it relies on (``requires``) and which hold from then on (``ensures``). Those that cost next to
nothing are checked in every run; tests, and any run with ``NPUSIM_CHECK=1`` in its environment, check all laws so far
after every pass, and name the pass that broke one.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field

from npusim.errors import BrokenLaw
from npusim.graph.ir import Graph, Op
from npusim.hardware.schema import Hardware
from npusim.lowering.ir.nodes import Node
from npusim.lowering.ir.plan import Plan
from npusim.lowering.ir.repeat import Repeat
from npusim.lowering.ir.values import Value
from npusim.program import Program
from npusim.program.journal import note, recording
from npusim.size import check_ops

#: Environment variable that has every law checked after every pass.
CHECK = "NPUSIM_CHECK"


@dataclass(frozen=True, slots=True)
class Module:
    """A model on its way from Graph to Program: what is made of it so far, the rest empty.

    ``nodes`` and the values ``outputs`` that the model returns come from fusion; ``homes`` says which storage is
    written in the place of another; ``plans`` come from placement, with the blocks of them that ``repeat``.
    """

    graph: Graph
    nodes: Sequence[Node] = ()
    outputs: Sequence[Value] = ()
    homes: Mapping[int, int] = field(default_factory=dict)
    plans: Sequence[Plan] = ()
    repeat: Repeat | None = None
    program: Program | None = None

    @property
    def returned(self) -> set[int]:
        """The storages that the model returns."""
        return {value.storage for value in self.outputs}


@dataclass(frozen=True, slots=True)
class Law:
    """Something that holds of a Module on a machine: ``fault`` says in a line what does not, or None. ``always``: it
    costs next to nothing, and is checked in every lowering after the pass that ensures it."""

    name: str
    fault: Callable[[Module, Hardware], str | None]
    always: bool = False


@dataclass(frozen=True, slots=True)
class Pass:
    """One step of lowering. ``name`` is what a user sees; the docstring of ``run`` says what it does and why."""

    name: str
    run: Callable[[Module, Hardware], Module]
    requires: tuple[Law, ...] = ()
    ensures: tuple[Law, ...] = ()


def run_passes(passes: Sequence[Pass], module: Module, hw: Hardware) -> Module:
    """Run ``passes`` in order. Raises BrokenLaw where one leaves a law broken: a law that is always checked, or under
    ``NPUSIM_CHECK=1`` any that holds so far."""
    check = os.environ.get(CHECK, "") not in ("", "0")
    laws: dict[str, Law] = {}
    done: list[str] = []
    for one in passes:
        check_ops(len(module.graph.ops))
        after = one.run(module, hw)
        if recording() and after.graph is not module.graph:
            _record(one, module.graph, after.graph)
        module = after
        done.append(one.name)
        if check:
            laws.update({law.name: law for law in one.ensures})
            _check(laws.values(), module, hw, done)
        else:
            _check((law for law in one.ensures if law.always), module, hw, done)
    return module


def _check(laws: Iterable[Law], module: Module, hw: Hardware, done: Sequence[str]) -> None:
    for law in laws:
        fault = law.fault(module, hw)
        if fault:
            raise BrokenLaw(f"{law.name}: {fault} (after the passes {', '.join(done)})")


def _record(one: Pass, before: Graph, after: Graph) -> None:
    """Enter in the journal what a pass changed in a Graph, op by op."""
    old, new = ({op.name: op for op in graph.ops} for graph in (before, after))
    for name, op in old.items():
        now = new.get(name)
        if now is None:
            note(one.name, name, f"this {op.type} becomes part of other ops")
        elif now.type != op.type:
            note(one.name, name, f"this {op.type} becomes a {now.type}")
        elif _operands(before, op) != _operands(after, now):
            note(one.name, name, f"this {op.type} gets other operands")
    for name in new.keys() - old.keys():
        note(one.name, name, f"this {new[name].type} is made")


def _operands(graph: Graph, op: Op) -> list[tuple[str, tuple[int, ...]]]:
    return [(graph.tensors[id].name, graph.tensors[id].shape) for id in op.inputs]
