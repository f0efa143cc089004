"""Lowering: from Graph and Hardware to Program, as the vendor's compiler would."""

from __future__ import annotations

import re

from npusim.graph.ir import Graph
from npusim.hardware.schema import Hardware
from npusim.lowering.fuse import fuse
from npusim.lowering.hoist import hoist
from npusim.lowering.nodes import Node
from npusim.lowering.ones import fold_ones
from npusim.lowering.orders import write_as_read
from npusim.lowering.program import CmxBuffer, Program, ProgramOp, Queue, Task, Tasks
from npusim.lowering.refit import refit
from npusim.lowering.replicate import place_all
from npusim.lowering.rewrite import raise_slices
from npusim.lowering.rewrite_split import split_projections
from npusim.lowering.rewrite_sums import split_sums
from npusim.lowering.schedule import schedule
from npusim.lowering.tables import fold_tables
from npusim.lowering.types import settle
from npusim.lowering.view import compiler_view, lowering_key

_LAYER = re.compile(r"(?:layers?|blocks?|h|b|stages?)[./](\d+)(?=[./_]|$)")


def layer_of(name: str) -> str:
    """The repeated block of the network that an op is named after (``layers.3``); empty where there is none."""
    match = _LAYER.search(name)
    return match[0].replace("/", ".") if match else ""


def _write_in_place(nodes: list[Node]) -> dict[int, int]:
    """The value of a Pad that an op computes is written straight into it: storage of the value -> of the Pad.

    What it cannot have written for it (inputs, constants, parts of other values) is copied, and so are the pieces of a
    Concat (4 and 64 steps of Mamba on 4000 and 5010, the 144 heads of bert on 3720 and 4000, the states of Mamba-2).
    """
    made: dict[int, Node] = {}
    homes: dict[int, int] = {}
    for node in nodes:
        if node.kind == "concat" and node.type == "Pad":
            direct = []
            for i, value in enumerate(node.inputs):
                maker = made.get(value.storage)
                if (
                    maker
                    and maker.kind not in ("concat", "copy")
                    and not value.partial
                    and value.storage not in homes
                ):
                    homes[value.storage] = node.output.storage
                    direct.append(i)
            node.params["direct"] = direct
        made[node.output.storage] = node
    return homes


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
    homes = _write_in_place(nodes)
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


__all__ = ["CmxBuffer", "Program", "ProgramOp", "Queue", "Task", "Tasks", "layer_of", "lower", "lowering_key"]
