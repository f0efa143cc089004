"""Lowering: from Graph and Hardware to Program, as the vendor's compiler would."""

from __future__ import annotations

from npusim.graph.ir import Graph
from npusim.hardware.schema import Hardware
from npusim.lowering.fuse.fuse import fuse
from npusim.lowering.ir.nodes import Node
from npusim.lowering.layout.in_place import write_in_place
from npusim.lowering.layout.orders import write_as_read
from npusim.lowering.place.replicate import place_all
from npusim.lowering.rewrite.long_sums import split_sums
from npusim.lowering.rewrite.ones import fold_ones
from npusim.lowering.rewrite.projections import split_projections
from npusim.lowering.rewrite.slices import raise_slices
from npusim.lowering.rewrite.tables import fold_tables
from npusim.lowering.rewrite.types import settle
from npusim.lowering.schedule.hoist import hoist
from npusim.lowering.schedule.scheduler import schedule
from npusim.lowering.tile.refit import refit
from npusim.lowering.view import compiler_view, lowering_key
from npusim.program import Program, ProgramOp
from npusim.program.names import layer_of


def _engines(hw: Hardware) -> Hardware:
    """The hardware with the DMA engines that the compiler uses: no more than tiles (one in all 4000 schedules of one
    tile, two from two tiles on)."""
    if hw.dma.engines <= hw.tiles:
        return hw
    return hw.model_copy(update={"dma": hw.dma.model_copy(update={"engines": hw.tiles})})


def lower(graph: Graph, hw: Hardware) -> Program:
    """The Program that the compiler generation of ``hw.software`` would make of a Graph on this hardware.

    Raises UserError: an op that is not known (named), an op that cannot be sliced to fit CMX.
    """
    hw = _engines(compiler_view(hw))
    graph = fold_tables(settle(graph, hw), hw.dpu.ppe.lut)
    if hw.software.contract_multiply_reduce and hw.software.contract_ones:
        graph = fold_ones(graph)
    graph = raise_slices(graph)
    if hw.software.split_projections:
        graph = split_projections(graph)
    nodes, outputs = fuse(split_sums(graph), hw.software, hw.tiles)
    made = {node.output.storage for node in nodes}
    loose = [value for value in outputs if value.storage not in made or value.partial]
    if loose:
        nodes.append(Node("copy", graph.tensors[graph.outputs[0]].name, "Result", loose, loose[0]))
    nodes = hoist(nodes, hw)
    homes = write_in_place(nodes)
    returned = {value.storage for value in outputs}
    placed, repeat = place_all(write_as_read(nodes, returned), hw, returned)
    plans = [refit(plan, hw) for plan in placed]
    ops: list[ProgramOp] = []
    index: dict[str, int] = {}
    for plan in plans:
        node = plan.node
        if node.name not in index:
            index[node.name] = len(ops)
            ops.append(
                ProgramOp(
                    node.name, node.type, node.fused, layer_of(node.name), plan.strategy, node.output.shape
                )
            )
        plan.op = index[node.name]
    return schedule(plans, ops, returned, homes, graph.name, hw, graph.notes, repeat)


__all__ = ["lower", "lowering_key"]
