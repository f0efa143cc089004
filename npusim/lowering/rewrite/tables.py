"""Graph to Graph before fusion: activations written out as tables of straight lines become one op again.

The pattern is that of xamba.actiba: Clamp, Bucketize, two Gathers, Multiply and Add, the Bucketize named
``NAME/xamba.pwl.FUNCTION``. One pass of the DPU's look-up table does it all while results are written
(``dpu.ppe.lut``); where there is no such table, a SHAVE kernel of the function's name does.
"""

from __future__ import annotations

import re
from dataclasses import replace

from npusim.graph.ir import Graph, Op
from npusim.hardware.dpu import PpeLut
from npusim.lowering.ir.kernels import KERNELS
from npusim.lowering.ir.optypes import WEIGHTED
from npusim.lowering.rewrite.patterns import Index

_NAME = re.compile(r"(.+)/xamba\.pwl\.(\w+)")


def fold_tables(graph: Graph, lut: PpeLut | None) -> Graph:
    """The Graph with each table as one op of its function's type.

    Its attributes: ``pwl``, the number of lines between the outermost knots, and ``lut``, whether the DPU's table takes
    it (it lists the function, and has as many segments). One that it takes moves above a Slice that alone keeps it from
    the DPU op before.
    """
    index = Index(graph)
    inside: dict[int, Op] = {}  # id of a covered op -> the table's op
    swap: dict[int, Op] = {}  # id of an op -> what stands in its place
    for op in graph.ops:
        found = _table(index, op, lut) if op.type == "Bucketize" else None
        if found is None:
            continue
        table, covered = found
        inside.update((id(o), table) for o in covered)
        swap[id(covered[-1])] = table
        cut = index.made_by(table.inputs[0], "Slice") if table.attrs["lut"] else None
        if cut is not None and _behind_dpu(index, cut.inputs[0]):
            whole = replace(graph.tensors[cut.inputs[0]], id=len(graph.tensors))
            graph = replace(graph, tensors=(*graph.tensors, whole))
            index.graph = graph
            swap[id(cut)] = replace(table, inputs=(cut.inputs[0],), outputs=(whole.id,))
            swap[id(covered[-1])] = replace(cut, inputs=(whole.id, *cut.inputs[1:]), outputs=table.outputs)
    ops = (swap.get(id(op), op) for op in graph.ops if id(op) in swap or id(op) not in inside)
    return replace(graph, ops=tuple(ops)) if inside else graph


def _table(index: Index, bucketize: Op, lut: PpeLut | None) -> tuple[Op, tuple[Op, ...]] | None:
    """The op of a table and the ops that it covers, the last of which makes its result."""
    name = _NAME.fullmatch(bucketize.name)
    clamp = index.maker.get(bucketize.inputs[0])
    lines = [op for op in index.graph.ops if op.type == "Gather" and op.inputs[1] == bucketize.outputs[0]]
    if name is None or name[2] not in KERNELS or clamp is None or clamp.type != "Clamp" or len(lines) != 2:
        return None
    multiply = index.reader.get(lines[0].outputs[0])
    add = index.reader.get(lines[1].outputs[0])
    if multiply is None or add is None or (multiply.type, add.type) != ("Multiply", "Add"):
        lines.reverse()
        multiply, add = add, multiply
    if multiply is None or add is None or (multiply.type, add.type) != ("Multiply", "Add"):
        return None
    if clamp.outputs[0] not in multiply.inputs or multiply.outputs[0] not in add.inputs:
        return None
    segments = index.tensor(bucketize.inputs[1]).elements - 1
    fits = lut is not None and name[2] in lut.functions and segments <= lut.segments
    attrs = {"pwl": segments, "lut": fits}
    covered = (clamp, bucketize, *lines, multiply, add)
    return Op(name[1], KERNELS[name[2]].ops[0], clamp.inputs[:1], add.outputs, attrs), covered


def _behind_dpu(index: Index, id: int) -> bool:
    """Whether a DPU op with nothing but a constant bias behind it makes a tensor that one op reads."""
    add = index.made_by(id, "Add")
    split = index.split_constant(add) if add is not None else None
    return index.made_by(split[0] if split else id, *WEIGHTED) is not None
