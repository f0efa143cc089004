"""Pieces of a Pad are written straight into it."""

from __future__ import annotations

from npusim.lowering.ir.nodes import Concat, Copy, Node


def write_in_place(nodes: list[Node]) -> dict[int, int]:
    """The value of a Pad that an op computes is written straight into it: storage of the value -> of the Pad.

    What it cannot have written for it (inputs, constants, parts of other values) is copied, and so are the pieces of a
    Concat (4 and 64 steps of Mamba on 4000 and 5010, the 144 heads of bert on 3720 and 4000, the states of Mamba-2).
    """
    made: dict[int, Node] = {}
    homes: dict[int, int] = {}
    for node in nodes:
        for value in node.inputs if node.type == "Pad" else ():
            maker = made.get(value.storage)
            copied = maker is None or isinstance(maker, Concat | Copy) or value.partial
            if not copied and value.storage not in homes:
                homes[value.storage] = node.output.storage
        made[node.output.storage] = node
    return homes
