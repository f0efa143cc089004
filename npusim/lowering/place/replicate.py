"""Placement of all nodes, in which blocks that repeat are placed until they come out alike, and then copied."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from functools import cache

from npusim.hardware.schema import Hardware
from npusim.lowering.ir.nodes import Node
from npusim.lowering.ir.plan import Plan
from npusim.lowering.ir.repeat import Repeat, decisions, find_repeat, looks
from npusim.lowering.ir.values import Value
from npusim.lowering.place.neighbours import Neighbours
from npusim.lowering.place.placer import MADE, Placer
from npusim.lowering.place.settle import linked
from npusim.lowering.rewrite.debatch import JOIN_BATCH
from npusim.program.journal import Entry, entered, note

#: A node and one of its plans.
_Placed = tuple[Node, Plan]


def place_all(
    nodes: Sequence[Node], hw: Hardware, outputs: set[int], homes: Mapping[int, int]
) -> tuple[list[Plan], Repeat | None]:
    """The plans of ``nodes``, in order, and which of them repeat: blocks of plans that are equal but for names.

    ``outputs`` are the storages that the model returns, ``homes`` those that are written into others.
    What one image of a batch returns counts as returned.
    """
    readers: dict[int, list[Node]] = {}
    joins = [node for node in nodes if node.type == JOIN_BATCH]
    outputs = outputs.union(value.storage for node in joins for value in node.inputs)
    for node in nodes:
        if node.type == JOIN_BATCH:
            continue
        for value in node.inputs:
            readers.setdefault(value.storage, []).append(node)
    makers = {node.output.storage: node for node in nodes}
    placer = Placer(Neighbours(hw, readers, makers, outputs, homes))
    repeat = find_repeat(nodes, outputs)
    if repeat is None:
        return linked([plan for node in nodes for plan in placer.place(node)]), None
    plans = [plan for node in nodes[: repeat.start] for plan in placer.place(node)]
    previous: list[_Placed] = []
    decided: list[Entry] = []
    done, steady = 0, False
    while done < repeat.count and not steady:
        before = len(entered())
        block = [(nodes[i], plan) for i in repeat.block(done) for plan in placer.place(nodes[i])]
        steady = bool(previous) and _alike(previous, block)
        plans.extend(plan for _, plan in block)
        decided = entered()[before:]
        previous, done = block, done + 1
    first = len(plans) - 2 * len(previous) if steady else 0
    for number in range(done, repeat.count):
        blocks = zip(repeat.block(done - 1), repeat.block(number), strict=True)
        pairs = [(nodes[i], nodes[j]) for i, j in blocks]
        plans.extend(_copies(placer, previous, pairs))
        names = {mine.name: theirs.name for mine, theirs in pairs}
        for entry in decided:
            note(entry.stage, names[entry.op], entry.what, dict(entry.costs_us))
    rest = nodes[repeat.block(repeat.count).start :]
    plans.extend(plan for node in rest for plan in placer.place(node))
    return linked(plans), Repeat(first, len(previous), 2 + repeat.count - done) if steady else None


def _alike(one: Sequence[_Placed], other: Sequence[_Placed]) -> bool:
    """Whether two blocks came out equal, and so leave what the next one will see equal (``Neighbours.remember``)."""
    return [_content(plan) for _, plan in one] == [_content(plan) for _, plan in other]


def _content(plan: Plan) -> tuple[object, ...]:
    """All of a plan but names, storages and the number of its chain."""
    return decisions(plan), [*map(looks, plan.inputs)], looks(plan.output)


def _copies(placer: Placer, placed: Sequence[_Placed], pairs: Sequence[tuple[Node, Node]]) -> Iterator[Plan]:
    """The plans of a block, from those of one that it corresponds to, node by node (``pairs``). They share slices."""
    storages = {
        a.storage: b.storage
        for mine, theirs in pairs
        for a, b in zip((*mine.inputs, mine.output), (*theirs.inputs, theirs.output), strict=True)
    }
    instead = {id(mine): theirs for mine, theirs in pairs}

    @cache
    def moved(value: Value) -> Value:
        if value.storage not in storages:
            storages[value.storage] = placer.fresh(value).storage if value.storage >= MADE else value.storage
        return replace(value, storage=storages[value.storage])

    for node, plan in placed:
        own = instead[id(node)]
        copy = replace(
            plan,
            node=own if plan.node is node else replace(plan.node, name=own.name, fused=own.fused),
            inputs=[moved(value) for value in plan.inputs],
            output=moved(plan.output),
            chain=storages.get(plan.chain, plan.chain),
        )
        placer.near.remember(copy)
        yield copy
