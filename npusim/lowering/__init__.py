"""Lowering: from Graph and Hardware to Program, as the vendor's compiler would. ``PASSES`` is all of it, in order."""

from __future__ import annotations

import gc
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from functools import partial

from npusim.graph.ir import Graph
from npusim.hardware.schema import Hardware
from npusim.lowering import conservation, laws
from npusim.lowering.fuse.fuse import fuse
from npusim.lowering.fuse.zeros import rectified
from npusim.lowering.ir.nodes import Copy
from npusim.lowering.ir.plan import cmx_capacity
from npusim.lowering.layout.in_place import write_in_place
from npusim.lowering.layout.orders import write_as_read
from npusim.lowering.passes import Module, Pass, run_passes
from npusim.lowering.place.replicate import place_all
from npusim.lowering.rewrite.attention import share_heads
from npusim.lowering.rewrite.blocks import give_to_blocks
from npusim.lowering.rewrite.debatch import debatch
from npusim.lowering.rewrite.long_rows import turn_long_rows
from npusim.lowering.rewrite.long_sums import reloaded_parts, short_parts, split_sums
from npusim.lowering.rewrite.ones import fold_ones
from npusim.lowering.rewrite.projections import split_projections
from npusim.lowering.rewrite.quantisers import merge_quantisers
from npusim.lowering.rewrite.recurrent import write_out_cells
from npusim.lowering.rewrite.slices import raise_slices
from npusim.lowering.rewrite.tables import fold_tables
from npusim.lowering.rewrite.transposed import split_transposed
from npusim.lowering.rewrite.types import settle
from npusim.lowering.rewrite.volumes import slice_volumes
from npusim.lowering.rewrite.weights import decode_weights, join_grouped
from npusim.lowering.rewrite.windows import split_windows
from npusim.lowering.rewrite.written_out import join_written_out
from npusim.lowering.schedule.hoist import hoist
from npusim.lowering.schedule.residency import decide
from npusim.lowering.schedule.scheduler import schedule
from npusim.lowering.schedule.tiers import keep
from npusim.lowering.tile.refit import refit
from npusim.lowering.tile.reloads import pieces
from npusim.lowering.view import compiler_view, lowering_key
from npusim.program import Program
from npusim.size import check_size


def _blocks(module: Module, hw: Hardware) -> Module:
    """Give to units beside the tiles what they take, where a machine has such units."""
    return replace(module, graph=give_to_blocks(module.graph, hw.blocks)) if hw.blocks else module


def _debatch(module: Module, hw: Hardware) -> Module:
    """Run a small batch image by image, where the compiler does."""
    return replace(module, graph=debatch(module.graph)) if hw.software.debatch else module


def _weights(module: Module, hw: Hardware) -> Module:
    """Store weights as FP16 that the DPU can not read as they are."""
    return replace(module, graph=decode_weights(module.graph, hw))


def _quantisers(module: Module, hw: Hardware) -> Module:
    """Change a tensor to 8 bits once for all who read it so."""
    return replace(module, graph=merge_quantisers(module.graph))


def _settle(module: Module, hw: Hardware) -> Module:
    """Give every tensor an element type that the DPU has."""
    return replace(module, graph=settle(module.graph, hw))


def _written(module: Module, hw: Hardware) -> Module:
    """Find operations that the model writes out in smaller ones."""
    return replace(module, graph=join_written_out(module.graph))


def _attention(module: Module, hw: Hardware) -> Module:
    """Lay out attention as the compiler does: scaled queries, whole masks, heads of keys that are shared read once."""
    return replace(module, graph=share_heads(module.graph, hw))


def _tables(module: Module, hw: Hardware) -> Module:
    """Make activations that a model writes as piecewise-linear tables one op each, where the DPU has such tables."""
    return replace(module, graph=fold_tables(module.graph, hw.dpu.ppe.lut))


def _ones(module: Module, hw: Hardware) -> Module:
    """Make MatMuls with ones the sums that they are, where the compiler contracts sums itself."""
    rules = hw.software
    folds = rules.contract_multiply_reduce and rules.contract_ones
    return replace(module, graph=fold_ones(module.graph)) if folds else module


def _cells(module: Module, hw: Hardware) -> Module:
    """Write out the gates of recurrent cells for which there is no kernel."""
    return replace(module, graph=write_out_cells(module.graph))


def _transposed(module: Module, hw: Hardware) -> Module:
    """Write transposed convolutions that double an image as convolutions, and spread few depths by transposed ones."""
    return replace(module, graph=split_transposed(module.graph, hw.software))


def _windows(module: Module, hw: Hardware) -> Module:
    """Cut convolutions of volumes, and those whose windows or strides are larger than the DPU's; turn rows that are."""
    return replace(module, graph=split_windows(turn_long_rows(slice_volumes(module.graph))))


def _slices(module: Module, hw: Hardware) -> Module:
    """Move slices above what can work on the part alone."""
    return replace(module, graph=raise_slices(module.graph))


def _projections(module: Module, hw: Hardware) -> Module:
    """Cut MatMuls whose parts alone are read."""
    return replace(module, graph=split_projections(module.graph)) if hw.software.split_projections else module


def _sums(module: Module, hw: Hardware) -> Module:
    """Cut products over more terms than the DPU adds up at once, or than share a scale, or than are loaded once."""
    graph = split_sums(join_grouped(module.graph), partial(short_parts, hw))
    return replace(module, graph=split_sums(graph, partial(reloaded_parts, partial(pieces, hw))))


def _fuse(module: Module, hw: Hardware) -> Module:
    """Make nodes of ops; outputs that no node makes whole are copied."""
    nodes, outputs = fuse(module.graph, hw)
    made = {node.output.storage for node in nodes}
    loose = [value for value in outputs if value.storage not in made or value.partial]
    if loose:
        name = module.graph.tensors[module.graph.outputs[0]].name
        nodes.append(Copy(name, "Result", tuple(loose), loose[0]))
    return replace(module, nodes=nodes, outputs=outputs)


def _rectified(module: Module, hw: Hardware) -> Module:
    """Mark the products whose activation has the zeros of a ReLU, where the DPU skips those."""
    return replace(module, nodes=rectified(module.nodes, hw.dpu.sparsity))


def _hoist(module: Module, hw: Hardware) -> Module:
    """Run SHAVE kernels while the DPU waits."""
    return replace(module, nodes=hoist(module.nodes, hw))


def _in_place(module: Module, hw: Hardware) -> Module:
    """Let pieces be written straight into the whole that they are padded to."""
    return replace(module, homes=write_in_place(list(module.nodes), hw, module.returned))


def _orders(module: Module, hw: Hardware) -> Module:
    """Write results in the memory order in which they are read."""
    return replace(module, nodes=write_as_read(list(module.nodes), module.returned))


def _place(module: Module, hw: Hardware) -> Module:
    """Choose engine, split and slices of every node; equal layers are planned once."""
    plans, repeat = place_all(module.nodes, hw, module.returned, module.homes)
    check_size(sum(plan.tasks for plan in plans))
    return replace(module, plans=plans, repeat=repeat)


def _refit(module: Module, hw: Hardware) -> Module:
    """Cut slices again that are too large for the scratchpad."""
    return replace(module, plans=[refit(plan, hw) for plan in module.plans])


def _tiers(module: Module, hw: Hardware) -> Module:
    """Let tensors stay in the tiers of memory that a machine has. Blocks that repeat need not keep the same ones."""
    tiers = hw.memory.tiers
    if not tiers:
        return module
    found = decide(module.plans, module.returned, hw.tiles, cmx_capacity(hw))
    plans, notes = keep(found, tiers, {*module.returned, *module.homes, *module.homes.values()})
    graph = replace(module.graph, notes=(*module.graph.notes, *notes))
    return replace(module, graph=graph, plans=plans, repeat=None)


def _schedule(module: Module, hw: Hardware) -> Module:
    """Decide what stays in the scratchpad and what is loaded ahead, and emit the tasks."""
    graph = module.graph
    homes = dict(module.homes)
    program = schedule(module.plans, module.returned, homes, graph.name, hw, graph.notes, module.repeat)
    return replace(module, program=program)


_GRAPH, _NODES = (laws.OPS_IN_ORDER,), (laws.NODES_IN_ORDER, laws.OUTPUTS_MADE)

#: What lowering does, in order.
PASSES: tuple[Pass, ...] = (
    Pass("give to blocks", _blocks, ensures=_GRAPH),
    Pass("debatch", _debatch, ensures=_GRAPH),
    Pass("decode weights", _weights, requires=_GRAPH),
    Pass("merge quantisers", _quantisers, requires=_GRAPH, ensures=_GRAPH),
    Pass("settle types", _settle, ensures=(laws.OPS_IN_ORDER, laws.TYPES_SETTLED)),
    Pass("join written out", _written, requires=_GRAPH),
    Pass("share heads", _attention, requires=_GRAPH),
    Pass("fold tables", _tables, requires=_GRAPH),
    Pass("fold ones", _ones, requires=_GRAPH),
    Pass("write out cells", _cells, requires=_GRAPH),
    Pass("split transposed", _transposed, requires=_GRAPH, ensures=_GRAPH),
    Pass("split windows", _windows, requires=_GRAPH),
    Pass("raise slices", _slices, requires=_GRAPH),
    Pass("split projections", _projections, requires=_GRAPH),
    Pass("split sums", _sums, requires=_GRAPH, ensures=(laws.SUMS_SHORT,)),
    Pass(
        "fuse",
        _fuse,
        requires=(*_GRAPH, laws.TYPES_SETTLED, laws.SUMS_SHORT),
        ensures=(*_NODES, conservation.PRODUCTS_KEPT),
    ),
    Pass("mark zeros", _rectified, requires=_NODES, ensures=_NODES),
    Pass("hoist kernels", _hoist, requires=_NODES),
    Pass("write in place", _in_place, requires=_NODES),
    Pass("write as read", _orders, requires=_NODES),
    Pass("place", _place, requires=_NODES, ensures=(laws.NODES_PLANNED,)),
    Pass(
        "refit",
        _refit,
        requires=(laws.NODES_PLANNED,),
        ensures=(laws.SLICES_FIT, conservation.WORK_PLANNED, conservation.WEIGHTS_LOADED),
    ),
    Pass("keep in tiers", _tiers, requires=(laws.NODES_PLANNED,), ensures=(laws.NODES_PLANNED,)),
    Pass(
        "schedule",
        _schedule,
        requires=(laws.NODES_PLANNED, laws.SLICES_FIT),
        ensures=(laws.EXECUTABLE, conservation.OPERANDS_READ, conservation.RESULTS_MOVED),
    ),
)


def _engines(hw: Hardware) -> Hardware:
    """The hardware with the DMA engines that the compiler uses: no more than tiles (one in all 4000 schedules of one
    tile, two from two tiles on)."""
    if hw.dma.engines <= hw.tiles:
        return hw
    return hw.model_copy(update={"dma": hw.dma.model_copy(update={"engines": hw.tiles})})


@contextmanager
def _collector_paused() -> Iterator[None]:
    """Run the block without Python's collector of cycles: lowering makes many objects and no cycles, and the collector
    would look at all of them again and again, for a fifth of the time."""
    running = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if running:
            gc.enable()


def lower(graph: Graph, hw: Hardware) -> Program:
    """The Program that the compiler generation of ``hw.software`` would make of a Graph on this hardware.

    Raises UserError: an op that is not known (named), an op that cannot be sliced to fit CMX.
    """
    with _collector_paused():
        program = run_passes(PASSES, Module(graph), _engines(compiler_view(hw))).program
    assert program is not None
    return program


__all__ = ["PASSES", "lower", "lowering_key"]
