"""Gated units: the product of what two MatMuls make, an activation behind one of them."""

from __future__ import annotations

from collections.abc import Mapping

from npusim.lowering.ir.nodes import Conv, Node, Unary


def is_product(node: Node) -> bool:
    """Whether two values of the size of the result are multiplied."""
    alike = {v.storage for v in node.inputs if v.elements == node.output.elements}
    return node.runs("multiply") and len(alike) == 2


def is_gated(node: Node, makers: Mapping[int, Node]) -> bool:
    """A product of what two MatMuls make, whose channels lie innermost (of two inputs, or of one MatMul with itself, it
    is none). ``makers``: the node that makes a storage."""
    return is_product(node) and all(_multiplies(makers.get(v.storage), makers) for v in node.inputs)


def _multiplies(maker: Node | None, makers: Mapping[int, Node]) -> bool:
    """Whether a node is a MatMul, or an activation behind one."""
    if isinstance(maker, Unary) and maker.axis is None and len(maker.inputs) == 1:
        maker = makers.get(maker.inputs[0].storage)
    return isinstance(maker, Conv)
