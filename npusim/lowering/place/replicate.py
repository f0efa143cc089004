"""Placement of all nodes, in which blocks that repeat are placed until they come out alike, and then copied."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cache, cached_property

from npusim.hardware.schema import Hardware
from npusim.lowering.ir.nodes import Node
from npusim.lowering.ir.plan import Plan
from npusim.lowering.ir.repeat import Repeat, decisions, find_repeat, looks
from npusim.lowering.ir.values import Value
from npusim.lowering.place.batch import with_own_weights
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
        return _settled([plan for node in nodes for plan in placer.place(node)], hw), None
    plans = [plan for node in nodes[: repeat.start] for plan in placer.place(node)]
    block = _Block([], [])
    decided: list[Entry] = []
    done, steady = 0, False
    while done < repeat.count and not steady:
        before = len(entered())
        placed = [(nodes[i], plan) for i in repeat.block(done) for plan in placer.place(nodes[i])]
        previous, block = block, _Block(placed, block.made)
        steady = previous.content == block.content
        plans.extend(plan for _, plan in placed)
        decided, done = entered()[before:], done + 1
    first, made = len(plans) - 2 * len(block.placed) if steady else 0, block.made
    for number in range(done, repeat.count):
        blocks = zip(repeat.block(done - 1), repeat.block(number), strict=True)
        pairs = [(nodes[i], nodes[j]) for i, j in blocks]
        copies = list(_copies(placer, block, pairs, made))
        made = [plan.output.storage for plan in copies]
        plans.extend(copies)
        names = {mine.name: theirs.name for mine, theirs in pairs}
        for entry in decided:
            note(entry.stage, names[entry.op], entry.what, dict(entry.costs_us))
    rest = nodes[repeat.block(repeat.count).start :]
    plans.extend(plan for node in rest for plan in placer.place(node))
    return _settled(plans, hw), Repeat(first, len(block.placed), 2 + repeat.count - done) if steady else None


def _settled(plans: Sequence[Plan], hw: Hardware) -> list[Plan]:
    """The plans of a model once all are known."""
    return with_own_weights(linked(plans), hw)


@dataclass(frozen=True)
class _Block:
    """The plans of a block, each with its node. ``before`` are the storages that the plans of the block before make."""

    placed: Sequence[_Placed]
    before: Sequence[int]

    @cached_property
    def made(self) -> list[int]:
        """The storages that its plans make."""
        return [plan.output.storage for _, plan in self.placed]

    def chain(self, plan: Plan) -> tuple[str, int]:
        """Which plan begins the chain that a plan is of: one of this block or of the block before, by its place there,
        or one further ahead, by its storage."""
        for where, made in {"here": self.made, "before": self.before}.items():
            if plan.chain in made:
                return where, made.index(plan.chain)
        return "", plan.chain

    @cached_property
    def content(self) -> list[tuple[object, ...]]:
        """All of its plans but names and storages: blocks in which it is equal leave what the next one will see equal
        (``Neighbours.remember``)."""
        return [
            (decisions(plan), [*map(looks, plan.inputs)], looks(plan.output), self.chain(plan))
            for _, plan in self.placed
        ]


def _copies(
    placer: Placer, block: _Block, pairs: Sequence[tuple[Node, Node]], before: Sequence[int]
) -> Iterator[Plan]:
    """The plans of a block, from those of one that it corresponds to, node by node (``pairs``), with which they share
    slices. ``before`` are the storages that the plans of the block before it make."""
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

    made: list[int] = []
    for node, plan in block.placed:
        own = instead[id(node)]
        where, number = block.chain(plan)
        copy = replace(
            plan,
            node=own if plan.node is node else _as(plan.node, own, moved),
            inputs=[moved(value) for value in plan.inputs],
            output=moved(plan.output),
            chain={"here": made, "before": before}[where][number] if where else number,
        )
        made.append(copy.output.storage)
        placer.near.remember(copy)
        yield copy
    placer.near.remember_as(storages)


def _as(node: Node, own: Node, moved: Callable[[Value], Value]) -> Node:
    """What placing has made of a node, as it would make it of the node ``own`` that corresponds to it."""
    inputs, output = tuple(map(moved, node.inputs)), moved(node.output)
    return replace(node, name=own.name, fused=own.fused, inputs=inputs, output=output)
