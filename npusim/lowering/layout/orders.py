"""Nodes to Nodes before placement: elementwise kernels write their result in the order in which it is read."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace

from npusim.lowering.ir.nodes import Eltwise, Node, Transpose
from npusim.lowering.ir.values import Value

#: Most dimensions of a result, those of one element left out, that a kernel writes in another order.
MOST_DIMENSIONS = 3


def write_as_read(nodes: list[Node], returned: set[int]) -> list[Node]:
    """The nodes without transposes of the result of an elementwise kernel to whose operands the order makes no
    difference: constants, which are laid out when the model is compiled, and values that vary along one of the
    dimensions that change places (Where_1 before the CumBA MatMul of Mamba-2 with one chunk; two chunks are four
    dimensions, and transposed)."""
    readers = Counter(value.storage for node in nodes for value in node.inputs)
    makers = {node.output.storage: i for i, node in enumerate(nodes)}
    made = list(nodes)
    gone = set()
    for i, node in enumerate(nodes):
        source = node.inputs[0].storage if isinstance(node, Transpose) else -1
        maker = makers.get(source)
        if maker is None or readers[source] > 1 or source in returned:
            continue
        if _indifferent(nodes[maker], node.inputs[0], node.output):
            made[maker] = replace(nodes[maker], output=node.output)
            gone.add(i)
    return [node for i, node in enumerate(made) if i not in gone]


def _indifferent(maker: Node, before: Value, after: Value) -> bool:
    if not isinstance(maker, Eltwise) or maker.output != before or not before.plain:
        return False
    orders = before.memory_order, after.memory_order
    if before.shape != after.shape or len(orders[0]) > MOST_DIMENSIONS:
        return False
    moved = [a for a, b in zip(*orders, strict=True) if a != b]
    return all(
        value.constant
        or (len(value.shape) == len(before.shape) and sum(value.shape[d] > 1 for d in moved) < 2)
        for value in maker.inputs
    )
