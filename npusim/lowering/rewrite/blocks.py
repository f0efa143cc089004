"""Graph to Graph, first of all: what units beside the tiles take (``blocks`` of the hardware file) is one op a call."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from fnmatch import fnmatchcase
from math import prod

from npusim.errors import UserError
from npusim.graph.ir import Graph, Op
from npusim.hardware.blocks import Block
from npusim.lowering.conservation import macs_of_op
from npusim.program.journal import note

#: The type of a call; its attributes are ``block``, ``macs`` and ``levels``.
CALL = "BlockCall"


def give_to_blocks(graph: Graph, blocks: Mapping[str, Block]) -> Graph:
    """The Graph with calls of blocks in the place of what they take. Raises UserError where that is not in one piece,
    gives several results, or has a larger fan-in than fixed logic."""
    notes = list(graph.notes)
    for name, block in blocks.items():
        calls = _calls(graph, block)
        notes.append(
            f"blocks.{name} takes {sum(map(len, calls))} ops in {len(calls)} call{'s' * (len(calls) != 1)}"
        )
        for ops in calls:
            graph = _with_call(graph, name, block, ops)
    return replace(graph, notes=tuple(notes))


def _calls(graph: Graph, block: Block) -> list[list[Op]]:
    """The ops that a block takes, those that lie side by side together."""
    taken = [op for op in graph.ops if any(fnmatchcase(op.name, pattern) for pattern in block.takes)]
    group: dict[str, list[Op]] = {}
    maker = {id: op for op in taken for id in op.outputs}
    for op in taken:
        mine = group[op.name] = [op]
        for before in (maker[id] for id in op.inputs if id in maker):
            if group[before.name] is not mine:
                mine = group[before.name] + mine
                group.update({one.name: mine for one in mine})
    calls = {id(ops): ops for ops in group.values()}
    return [ops for ops in calls.values() if any(not _constant(graph, op) for op in ops)]


def _constant(graph: Graph, op: Op) -> bool:
    return all(graph.tensors[id].constant for id in op.outputs)


def _with_call(graph: Graph, name: str, block: Block, ops: Sequence[Op]) -> Graph:
    """The Graph with one call in the place of some ops."""
    own = {op.name for op in ops}
    made = {id for op in ops for id in op.outputs}
    read = dict.fromkeys(
        id for op in ops for id in op.inputs if id not in made and not graph.tensors[id].constant
    )
    others = [op for op in graph.ops if op.name not in own]
    wanted = {*graph.outputs, *(id for op in others for id in op.inputs)}
    results = [id for id in made if id in wanted]
    first = ops[0].name
    between = _between(others, made, set(read))
    if between:
        raise UserError(
            f"blocks.{name}: '{between}' lies between the ops that it takes at '{first}'; let it take that, too"
        )
    if len(results) != 1:
        raise UserError(
            f"blocks.{name}: what it takes at '{first}' has {len(results)} results, a call has one; let it take what "
            "joins them, too, or less"
        )
    _check_fan_in(graph, name, block, ops)
    attrs = {"block": name, "macs": sum(macs_of_op(graph, op) for op in ops), "levels": _depth(graph, ops)}
    call = Op(ops[-1].name, CALL, tuple(read), (results[0],), attrs)
    for op in ops:
        note("blocks", op.name, f"this {op.type} runs on {name}, a unit beside the tiles")
    last = max(number for number, op in enumerate(graph.ops) if op.name in own)
    kept = [
        call if number == last else op
        for number, op in enumerate(graph.ops)
        if number == last or op.name not in own
    ]
    return replace(graph, ops=tuple(kept))


def _between(others: Sequence[Op], made: set[int], read: set[int]) -> str:
    """An op on a way from what a call makes to what it reads; empty where there is none."""
    after = set(made)
    for op in others:
        if after.intersection(op.inputs):
            if read.intersection(op.outputs):
                return op.name
            after.update(op.outputs)
    return ""


def _depth(graph: Graph, ops: Sequence[Op]) -> int:
    """The products that lie one behind the other; 1 where there are none."""
    depth: dict[int, int] = {}
    for op in ops:
        below = max((depth.get(id, 0) for id in op.inputs), default=0)
        depth.update(dict.fromkeys(op.outputs, below + (macs_of_op(graph, op) > 0)))
    return max(*depth.values(), 1)


def _check_fan_in(graph: Graph, name: str, block: Block, ops: Sequence[Op]) -> None:
    """Raise where a result depends on more bits than fixed logic has inputs."""
    if block.levels is None or block.levels.fan_in_bits is None:
        return
    most, bits = block.levels.fan_in_bits, block.levels.input_bits
    for op in ops:
        macs = macs_of_op(graph, op)
        weights = graph.tensors[op.inputs[1]] if macs else None
        if weights is None:
            continue
        terms = macs / prod(graph.tensors[op.outputs[0]].shape)
        asked = round(terms * (1 - weights.coding.zeros)) * bits
        if asked > most:
            raise UserError(
                f"blocks.{name}: a result of '{op.name}' depends on {asked:,} bits, its logic has {most} inputs; "
                f"levers: prune{{share={max(1 - most / bits / terms, 0):.3f}}}, a larger fan_in_bits"
            )
