"""Graph to Graph before fusion: convolutions of volumes as convolutions of their slices.

The DPU's windows have two dimensions. For every slice of the result the compiler convolves the slices of the volume
that it depends on, each with the kernel's slice for it, and adds them up; then it puts the slices side by side.
"""

from __future__ import annotations

from dataclasses import replace

from npusim.graph.ir import Graph, Op
from npusim.lowering.rewrite.writer import Writer


def slice_volumes(graph: Graph) -> Graph:
    """The Graph with every dense convolution of three dimensions in such parts."""
    return _Volumes(graph).rewritten() if any(_is_volume(op) for op in graph.ops) else graph


def _is_volume(op: Op) -> bool:
    return op.type == "Convolution" and len(op.attrs["strides"]) == 3


class _Volumes(Writer):
    """Writes a Graph anew."""

    def rewritten(self) -> Graph:
        for op in self.graph.ops:
            if _is_volume(op):
                self._convolution(op)
            else:
                self.ops.append(op)
        return self.written()

    def _convolution(self, op: Op) -> None:
        data, weights, out = (self.tensors[i] for i in (*op.inputs[:2], op.outputs[0]))
        depth, taps = data.shape[2], weights.shape[2]
        step, gap, before = (int(op.attrs[k][0]) for k in ("strides", "dilations", "pads_begin"))
        image = (*data.shape[:2], *data.shape[3:])
        slices = [
            self.emit(op.name, "Reshape", (self.part(op.name, op.inputs[0], 2, d, d + 1),), image)
            for d in range(depth)
        ]
        kernels = [self.tensor(weights, (*weights.shape[:2], *weights.shape[3:])) for _ in range(taps)]
        flat = {k: list(op.attrs[k])[1:] for k in ("strides", "pads_begin", "pads_end", "dilations")}
        plane = (*out.shape[:2], *out.shape[3:])
        made = []
        for d in range(out.shape[2]):
            places = ((d * step - before + tap * gap, tap) for tap in range(taps))
            inside = [(at, tap) for at, tap in places if 0 <= at < depth]
            parts = [  # a plane of padding alone costs what one of a single tap does
                self.emit(op.name, "Convolution", (slices[at], kernels[tap]), plane, **flat)
                for at, tap in inside or [(0, 0)]
            ]
            total = parts[0]
            for part in parts[1:]:
                total = self.emit(op.name, "Add", (total, part), plane)
            made.append(self.emit(op.name, "Reshape", (total,), (*out.shape[:2], 1, *out.shape[3:])))
        self.ops.append(replace(op, type="Concat", inputs=tuple(made), attrs={"axis": 2}))
