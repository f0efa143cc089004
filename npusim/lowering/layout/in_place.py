"""Pieces of a Pad or Concat that are written straight into it."""

from __future__ import annotations

from collections import Counter
from math import prod

from npusim.hardware.schema import Hardware
from npusim.lowering.ir.nodes import Bmm, Concat, Conv, Copy, Eltwise, Node, Reduce, Unary
from npusim.lowering.ir.shapes import CHANNELS
from npusim.lowering.rewrite.attention_patterns import FUSED


def write_in_place(nodes: list[Node], hw: Hardware, returned: set[int]) -> dict[int, int]:
    """Storages of values that are written straight into a Pad or Concat -> its storage.

    What an op computes has a place in a Pad; what it cannot have written for it (inputs, constants, parts of other
    values) is copied. The pieces of a Concat are copied too, but for what a kernel of one operand makes, and what
    leaves CMX whole and lies in a row. What has two places, twice in a Concat or in a result (``returned``: their
    storages) too, is copied to the second.
    """
    made: dict[int, Node] = {}
    homes: dict[int, int] = {}
    for node in nodes:
        made[node.output.storage] = node
        if not isinstance(node, Concat):
            continue
        pieces = Counter(value.storage for value in node.inputs)
        for value in node.inputs:
            maker = made.get(value.storage)
            elsewhere = value.storage in returned or value.storage in homes or pieces[value.storage] > 1
            if maker is None or isinstance(maker, Concat | Copy) or value.partial or elsewhere:
                continue
            placed = isinstance(maker, Unary) or (_in_a_row(node) and _leaves_whole(maker, hw))
            joined = node.type == "Concat" or _joins_heads(node, hw)
            if node.type == "Pad" or (joined and value.plain and placed):
                homes[value.storage] = node.output.storage
    return homes


def _joins_heads(node: Concat, hw: Hardware) -> bool:
    """Whether the results of attention's heads are stored where they belong: one behind the other everywhere, beside
    each other where attention is no op of the compiler's own."""
    return node.type == FUSED and (node.output.plain or hw.software.attention_scale == "scores")


def _in_a_row(node: Concat) -> bool:
    """Whether the pieces of a Concat lie one behind the other in memory."""
    return prod(node.output.shape[: node.axis]) == 1


def _leaves_whole(maker: Node, hw: Hardware) -> bool:
    """Whether what an op makes is not a part of what the DPU has in CMX, whose channels are a multiple of 16: such a
    part is stored by itself, and copied from there. Groups of a MatMul are stored where they belong."""
    if isinstance(maker, Bmm) and hw.software.grouped_matmul and maker.batch >= hw.tiles:
        return True
    if isinstance(maker, Bmm | Conv):
        return hw.software.real_channels or maker.n % CHANNELS == 0
    if isinstance(maker, Reduce):
        return hw.software.real_channels
    return isinstance(maker, Eltwise | Unary) and maker.output.shape[-1] % CHANNELS == 0
