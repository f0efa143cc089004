"""Order of nodes: SHAVE kernels run while the DPU waits (the compiler keeps a queue for each engine)."""

from __future__ import annotations

from collections.abc import Sequence

from npusim.hardware.schema import Hardware
from npusim.lowering.ir.kernels import KERNELS
from npusim.lowering.ir.nodes import Bmm, Concat, Eltwise, Kernel, Node, Transpose, Unary
from npusim.lowering.ir.plan import cmx_capacity


def hoist(nodes: Sequence[Node], hw: Hardware) -> list[Node]:
    """The nodes, with kernels behind a batched MatMul moved in front of it where they do not need it and fit CMX
    beside it: it waits for the operand that is transposed just before it and comes back through DDR (CumSum to Exp_2
    of Mamba-2 run while the operand of ReduceSum_2 is stored, 4000 with 1 to 6 tiles)."""
    ordered: list[Node] = []
    left = list(nodes)
    while left:
        node = left.pop(0)
        if ordered and isinstance(node, Bmm) and _feeds(ordered[-1], node):
            room = cmx_capacity(hw) - _bytes(node) // hw.tiles
            while left and _moves(left[0], node, room, hw):
                ordered.append(left.pop(0))
        ordered.append(node)
    return ordered


def _feeds(maker: Node, reader: Node) -> bool:
    return isinstance(maker, Transpose) and any(v.storage == maker.output.storage for v in reader.inputs)


def _bytes(node: Node) -> int:
    return sum(v.bytes for v in node.inputs) + node.output.bytes


def _moves(node: Node, before: Node, room: int, hw: Hardware) -> bool:
    """Whether a node may run before another one, whose successors it does not read either: those come behind it."""
    needs = any(v.storage == before.output.storage for v in node.inputs)
    kernel = isinstance(node, Kernel) and KERNELS[node.kernel].on_dpu
    on_dpu = kernel or (isinstance(node, Eltwise) and node.scaled)  # in the order of the model
    kernel_or_copy = isinstance(node, Unary | Eltwise | Concat) and not on_dpu
    return kernel_or_copy and not needs and _bytes(node) // hw.tiles <= room


__all__ = ["hoist"]
