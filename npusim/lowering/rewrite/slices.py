"""Graph to Graph before fusion: slices moved up to where they save work (evidence/lowering.md#1.4)."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace

import numpy as np

from npusim.graph.ir import Graph, Op, Tensor
from npusim.lowering.ir.kernels import KERNEL_OF
from npusim.lowering.ir.optypes import RESHAPES, WEIGHTED


class _Slices:
    """One sweep over a Graph that moves slices one op up wherever that is possible."""

    def __init__(self, graph: Graph) -> None:
        self.graph = graph
        self.tensors: list[Tensor] = list(graph.tensors)
        self.maker = {t: op for op in graph.ops for t in op.outputs}
        self.readers: Counter[int] = Counter(t for op in graph.ops for t in op.inputs)
        self.readers.update(graph.outputs)
        self.before: dict[int, list[Op]] = {}  # id(op) -> ops to put before it
        self.swap: dict[int, Op | None] = {}  # id(op) -> its replacement (None: gone)
        self.renamed: dict[int, int] = {}

    def tensor(self, like: Tensor, shape: tuple[int, ...]) -> int:
        new = replace(like, id=len(self.tensors), shape=shape, value=None)
        self.tensors.append(new)
        return new.id

    def range_of(self, op: Op) -> tuple[int, int, int] | None:
        """(axis, begin, end) of a Slice of one axis with step 1."""
        if "axis" in op.attrs:
            return op.attrs["axis"], op.attrs["begin"], op.attrs["end"]
        values = [self.tensors[i].value for i in op.inputs[1:]]
        if len(values) != 4 or any(v is None or np.size(v) != 1 for v in values):
            return None
        begin, end, step, axis = (int(np.reshape(v, -1)[0]) for v in values)
        shape = self.tensors[op.inputs[0]].shape
        axis %= len(shape)
        size = shape[axis]
        begin, end = (min(max(v + size if v < 0 else v, 0), size) for v in (begin, end))
        return (axis, begin, end) if step == 1 else None

    def move(self, op: Op) -> bool:
        """Move one slice above the op that makes its operand."""
        source = op.inputs[0]
        above = self.maker.get(source)
        where = self.range_of(op)
        if above is None or where is None or self.readers[source] != 1 or id(above) in self.swap:
            return False
        axis, begin, end = where
        kernel = KERNEL_OF.get(above.type)
        if kernel is not None and kernel.slices_first:
            return self._above_eltwise(op, above, axis, begin, end)
        if above.type in RESHAPES:
            return self._above_view(op, above, axis, begin, end)
        if above.type == "Pad":
            return self._above_pad(op, above, axis, begin, end)
        return False

    def _slice(self, name: str, data: int, axis: int, begin: int, end: int) -> tuple[Op, int]:
        shape = self.tensors[data].shape
        out = self.tensor(self.tensors[data], (*shape[:axis], end - begin, *shape[axis + 1 :]))
        return Op(name, "Slice", (data,), (out,), {"axis": axis, "begin": begin, "end": end}), out

    def _above_eltwise(self, op: Op, above: Op, axis: int, begin: int, end: int) -> bool:
        if self._bias(above):
            return False
        rank = len(self.tensors[above.outputs[0]].shape)
        inputs, slices = [], []
        for operand in above.inputs:
            shape = self.tensors[operand].shape
            place = axis - (rank - len(shape))
            if place < 0 or shape[place] == 1:
                inputs.append(operand)
            elif self.tensors[operand].constant:
                inputs.append(
                    self.tensor(self.tensors[operand], (*shape[:place], end - begin, *shape[place + 1 :]))
                )
            else:
                new, out = self._slice(op.name, operand, place, begin, end)
                slices.append(new)
                inputs.append(out)
        self.swap[id(above)] = None
        self.swap[id(op)] = replace(above, inputs=tuple(inputs), outputs=op.outputs)
        self.before[id(op)] = slices
        return True

    def _bias(self, op: Op) -> bool:
        """Whether an op only adds a constant to what a DPU op makes, which that op does on the way out."""
        makers = [self.maker.get(i) for i in op.inputs if not self.tensors[i].constant]
        return len(makers) == 1 and makers[0] is not None and makers[0].type in WEIGHTED

    def _above_view(self, op: Op, above: Op, axis: int, begin: int, end: int) -> bool:
        """Through a view that only adds or drops unit dimensions."""
        inner, outer = (self.tensors[i].shape for i in (above.inputs[0], above.outputs[0]))
        kept = [d for d, s in enumerate(outer) if s != 1]
        source = [d for d, s in enumerate(inner) if s != 1]
        if [outer[d] for d in kept] != [inner[d] for d in source] or axis not in kept:
            return False
        new, out = self._slice(op.name, above.inputs[0], source[kept.index(axis)], begin, end)
        self.swap[id(above)] = None
        self.swap[id(op)] = replace(above, inputs=(out, *above.inputs[1:]), outputs=op.outputs)
        self.before[id(op)] = [new]
        return True

    def _above_pad(self, op: Op, above: Op, axis: int, begin: int, end: int) -> bool:
        """A slice that keeps none of what the pad added along its only padded axis."""
        inner, outer = (self.tensors[i].shape for i in (above.inputs[0], above.outputs[0]))
        changed = [d for d in range(len(inner)) if inner[d] != outer[d]]
        before = self.tensors[above.inputs[1]].value
        if changed != [axis] or before is None:
            return False
        offset = int(np.reshape(before, -1)[axis])
        if begin < offset or end > offset + inner[axis]:
            return False
        if end - begin == inner[axis]:
            self.renamed[op.outputs[0]] = above.inputs[0]
            self.swap[id(op)] = None
        else:
            new, _ = self._slice(op.name, above.inputs[0], axis, begin - offset, end - offset)
            self.swap[id(op)] = replace(new, outputs=op.outputs)
        self.swap[id(above)] = None
        return True

    def run(self) -> tuple[Graph, bool]:
        """The Graph after one sweep, and whether anything moved."""
        moved = sum(self.move(op) for op in self.graph.ops if op.type == "Slice")
        if not moved:
            return self.graph, False
        ops: list[Op] = []
        for op in self.graph.ops:
            ops.extend(self.before.get(id(op), ()))
            new = self.swap.get(id(op), op)
            if new is not None:
                ops.append(new)

        def name(tensor: int) -> int:
            while tensor in self.renamed:
                tensor = self.renamed[tensor]
            return tensor

        return (
            replace(
                self.graph,
                tensors=tuple(self.tensors),
                ops=tuple(replace(op, inputs=tuple(name(i) for i in op.inputs)) for op in ops),
                outputs=tuple(name(i) for i in self.graph.outputs),
            ),
            True,
        )


def raise_slices(graph: Graph) -> Graph:
    """The Graph with slices moved above elementwise ops, unit-dimension views and pads, as far as they go."""
    moved = True
    while moved:
        graph, moved = _Slices(graph).run()
    return graph
