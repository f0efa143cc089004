"""Work is conserved: a Program does at least what its Graph asks for, whatever was split, fused or cut on the way.

Padding counts more; what takes work away is a pass of its own that says so. The laws are checked where the work is
decided: fusion keeps the products of the Graph, a plan does all of its node and loads all of its weights, and a Program
reads all that its nodes read whole and writes all that the model returns. All but the reads are checked in every
lowering; those in tests and under NPUSIM_CHECK, as what a kernel picks from is not known here.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from math import prod
from typing import Literal

from npusim.graph.ir import Graph, Op
from npusim.hardware.schema import Hardware
from npusim.lowering.ir.nodes import (
    AttentionKernel,
    Bmm,
    Depthwise,
    Kernel,
    Node,
    Pool,
    Product,
    Reduce,
    Resize,
    Scale,
)
from npusim.lowering.ir.plan import CONSTANT, Plan
from npusim.lowering.passes import Law, Module
from npusim.program import Program
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
    if isinstance(node, AttentionKernel):
        query, key = node.inputs[:2]
        return query.elements // query.shape[-1] * key.shape[-2] * (query.shape[-1] + node.output.shape[-1])
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
    for plan in _distinct(module.plans):
        expected, found = _expected(plan), _found(plan)
        if found < expected:
            node = plan.node
            return f"op '{node.name}' ({node.type}) asks for {expected:,} operations, its plan has {found:,}"
    return None


def _distinct(plans: Iterable[Plan]) -> Iterable[Plan]:
    """One of all plans that share their slices, as those of equal layers do."""
    return {id(plan.slices): plan for plan in plans}.values()


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
        return int(macs_of_node(node) * _inside(node))
    return node.output.elements if isinstance(node, Kernel | Pool) else 0


def _inside(node: Product | Depthwise) -> float:
    """Share of a window that an image smaller than it has at most: the rest is beside it, and need not be computed."""
    if node.window is None:
        return 1.0
    taps = prod(node.window.kernel)
    return min(taps, prod(node.inputs[0].shape[2:])) / taps


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


def _weights_loaded(module: Module, hw: Hardware) -> str | None:
    for plan in _distinct(module.plans):
        expected = _weight_bytes(plan)
        if expected and (found := _loaded_bytes(plan)) < expected:
            node = plan.node
            return (
                f"op '{node.name}' ({node.type}) has {expected:,} bytes of weights, its plan loads {found:,}"
            )
    return None


def _weight_bytes(plan: Plan) -> int:
    """Bytes of a plan's constant weights as they are stored, those that are zero left out."""
    node = plan.node
    if not isinstance(node, Product | Depthwise) or plan.output.storage != node.output.storage:
        return 0
    weights = next((v for v in node.inputs[1:] if v.constant and not v.partial and v.storage >= 0), None)
    kept = 1 - node.zeros if isinstance(node, Product) else 1
    return int(weights.elements * kept * weights.stored_bits // 8) if weights else 0


def _loaded_bytes(plan: Plan) -> int:
    """Bytes of constants that a plan loads."""
    return sum(
        load.work.read_bytes
        for part in plan.slices
        for load in part.loads
        if load.operand == CONSTANT or plan.inputs[load.operand].constant
    )


def _operands_read(module: Module, hw: Hardware) -> str | None:
    expected = sum(_operand_bytes(module.nodes).values())
    found = _traffic(module.program, "read_bytes")
    if found is None or found >= expected:
        return None
    return f"the operands that come from DDR are {expected:,} bytes, {found:,} are read"


def _operand_bytes(nodes: Sequence[Node]) -> dict[int, int]:
    """Bytes that each storage which no node writes, a parameter or constant, must be read for: the largest whole view
    of it that a node computes on. Sparse weights are not counted, nor single numbers: those may be the task's own."""
    made = {node.output.storage for node in nodes}
    found: dict[int, int] = {}
    for node in nodes:
        if not isinstance(node, Product | Depthwise | Kernel | Pool | Scale | Reduce):
            continue
        if isinstance(node, Resize):  # of an image made smaller rows are left out
            continue
        for value in node.inputs:
            sparse = value.constant and isinstance(node, Product) and node.zeros
            number = value.constant and value.elements == 1
            if value.storage in made or value.storage < 0 or value.partial or sparse or number:
                continue
            size = value.elements * value.stored_bits // 8
            found[value.storage] = max(size, found.get(value.storage, 0))
    return found


def _traffic(program: Program | None, name: Literal["read_bytes", "ddr_write_bytes"]) -> int | None:
    """Bytes that all transfers of a Program read from DDR or write to it, and those read from tiers in its place."""
    if program is None:
        return None
    counts = program.tasks.count_of_work().tolist()
    return sum(
        getattr(work, name, 0) * count for work, count in zip(program.tasks.works, counts, strict=True)
    )


def _results_moved(module: Module, hw: Hardware) -> str | None:
    returned = {value.storage: value for value in module.outputs if not value.constant}
    expected = sum(value.elements * value.stored_bits // 8 for value in returned.values())
    written = _traffic(module.program, "ddr_write_bytes")
    if written is None or written >= expected:
        return None
    return f"the results are {expected:,} bytes, {written:,} are written"


PRODUCTS_KEPT = Law("the nodes do all products of the Graph", _products_kept, always=True)
WORK_PLANNED = Law("a plan does all the work of its node", _work_planned, always=True)
WEIGHTS_LOADED = Law("a plan loads all of its weights", _weights_loaded, always=True)
OPERANDS_READ = Law("every byte that is computed on is read", _operands_read)
RESULTS_MOVED = Law("every byte that the model returns is written", _results_moved, always=True)
