"""Work is conserved: a Program does at least what its Graph asks for, whatever was split, fused or cut on the way.

Padding counts more; what takes work away is a pass of its own that says so. The three laws here are checked where the
work is decided: fusion keeps the products of the Graph, a plan does all of its node, and a Program moves all that the
model returns and all weights that are read whole.
"""

from __future__ import annotations

from math import prod

from npusim.graph.ir import Graph, Op
from npusim.hardware.schema import Hardware
from npusim.lowering.ir.nodes import Bmm, Depthwise, Kernel, Node, Pool, Product
from npusim.lowering.ir.plan import Plan
from npusim.lowering.passes import Law, Module
from npusim.program.work import DpuWork, ShaveWork

_CONVOLUTIONS = ("Convolution", "GroupConvolution")


def macs_of_op(graph: Graph, op: Op) -> int:
    """Multiply-accumulates that an op of a Graph asks for; 0 for one that is no product."""
    if op.type == "MatMul":
        data = graph.tensors[op.inputs[0]].shape
        terms = data[-2] if op.attrs.get("transpose_a") and len(data) > 1 else data[-1]
        return graph.tensors[op.outputs[0]].elements * terms
    if op.type in _CONVOLUTIONS:
        weights, out = (graph.tensors[i] for i in (op.inputs[1], op.outputs[0]))
        return out.elements * (weights.elements // out.shape[1])
    if op.type == "ScaledDotProductAttention":
        query, key = (graph.tensors[i] for i in op.inputs[:2])
        value, out = graph.tensors[op.inputs[2]], graph.tensors[op.outputs[0]]
        rows = prod(out.shape[:-1])
        return rows * key.shape[-2] * (query.shape[-1] + value.shape[-1])
    return 0


def macs_of_node(node: Node) -> int:
    """Multiply-accumulates that a node asks for."""
    if isinstance(node, Bmm):
        return node.batch * node.m * node.n * node.k
    if isinstance(node, Product):
        if node.window is None:
            return node.m * node.n * node.k
        weights = node.inputs[1]
        channels = (
            weights.shape[0] if node.window.width else node.n
        )  # pixels that are folded count as channels
        return node.output.elements * (weights.elements // channels)
    if isinstance(node, Depthwise):
        return node.output.elements * prod(node.window.kernel)
    return 0


def _products_kept(module: Module, hw: Hardware) -> str | None:
    expected = sum(macs_of_op(module.graph, op) for op in module.graph.ops)
    found = sum(macs_of_node(node) for node in module.nodes)
    if found >= expected:
        return None
    return f"the Graph asks for {expected:,} multiply-accumulates, its nodes for {found:,}"


def _work_planned(module: Module, hw: Hardware) -> str | None:
    for plan in module.plans:
        expected, found = _expected(plan), _found(plan)
        if found < expected:
            node = plan.node
            return f"op '{node.name}' ({node.type}) asks for {expected:,} operations, its plan has {found:,}"
    return None


def _expected(plan: Plan) -> int:
    """Operations of a plan's node, if the plan is what makes its result by computing (not one that only brings an
    operand to the order that a product or window reads)."""
    node = plan.node
    if isinstance(node, Product | Depthwise) and len(node.inputs) < 2:
        return 0
    computes = any(isinstance(w, DpuWork | ShaveWork) for part in plan.slices for _, w in part.computes)
    if plan.output.storage != node.output.storage or not computes:
        return 0
    if isinstance(node, Product | Depthwise):
        return macs_of_node(node)
    return node.output.elements if isinstance(node, Kernel | Pool) else 0


def _found(plan: Plan) -> int:
    """Operations that a plan does: multiply-accumulates for a product, else elements."""
    product = isinstance(plan.node, Product)
    total = 0
    for part in plan.slices:
        for _, work in part.computes:
            if isinstance(work, DpuWork):
                total += (
                    work.height
                    * work.width
                    * work.out_channels
                    * work.kernel_h
                    * work.kernel_w
                    * work.in_channels
                )
            elif isinstance(work, ShaveWork):
                total += work.macs if product else work.out_elements
    return total


def _results_moved(module: Module, hw: Hardware) -> str | None:
    program = module.program
    if program is None:
        return None
    works, counts = program.tasks.works, program.tasks.work
    written = sum(getattr(works[i], "ddr_write_bytes", 0) for i in counts)
    returned = {value.storage: value for value in module.outputs if not value.constant}
    expected = sum(value.elements * value.stored_bits // 8 for value in returned.values())
    return f"the results are {expected:,} bytes, {written:,} are written" if written < expected else None


PRODUCTS_KEPT = Law("the nodes do all products of the Graph", _products_kept)
WORK_PLANNED = Law("a plan does all the work of its node", _work_planned)
RESULTS_MOVED = Law("every byte that the model returns is written", _results_moved)
