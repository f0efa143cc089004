"""What rewrites that write a Graph anew share: new tensors, ops and parts of tensors."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from npusim.graph.ir import Graph, Op, Tensor


class Writer:
    """A Graph being written: ``tensors`` are those of the old one and the new ones, ``ops`` those written so far."""

    def __init__(self, graph: Graph) -> None:
        """Nothing written yet."""
        self.graph = graph
        self.tensors: list[Tensor] = list(graph.tensors)
        self.ops: list[Op] = []
        self.readers: dict[int, list[Op]] = {}
        for op in graph.ops:
            for id in op.inputs:
                self.readers.setdefault(id, []).append(op)

    def bias(self, op: Op) -> Op | None:
        """The sum with a constant a channel that alone reads a convolution: a part of it to the compiler."""
        readers = self.readers.get(op.outputs[0], [])
        if len(readers) != 1 or readers[0].type != "Add" or op.outputs[0] in self.graph.outputs:
            return None
        others = [self.tensors[i] for i in readers[0].inputs if i != op.outputs[0]]
        channels = self.tensors[op.outputs[0]].shape[1]
        biased = len(others) == 1 and others[0].constant and others[0].elements in (1, channels)
        return readers[0] if biased else None

    def written(self) -> Graph:
        """The Graph of what was written."""
        return replace(self.graph, tensors=tuple(self.tensors), ops=tuple(self.ops))

    def tensor(self, like: Tensor, shape: Sequence[int]) -> int:
        """A new tensor like another one, of another shape."""
        self.tensors.append(replace(like, id=len(self.tensors), shape=tuple(shape), value=None))
        return len(self.tensors) - 1

    def emit(
        self, name: str, type: str, inputs: tuple[int, ...], shape: Sequence[int], **attrs: object
    ) -> int:
        """Write an op; the tensor that it makes, of its first operand's type."""
        made = self.tensor(self.tensors[inputs[0]], shape)
        self.ops.append(Op(name, type, inputs, (made,), attrs))
        return made

    def part(self, name: str, data: int, axis: int, begin: int, end: int) -> int:
        """Elements ``begin`` to ``end`` of a tensor along an axis; of a constant, such a constant."""
        shape = list(self.tensors[data].shape)
        if (begin, end) == (0, shape[axis]):
            return data
        shape[axis] = end - begin
        if self.tensors[data].constant:
            return self.tensor(self.tensors[data], shape)
        return self.emit(name, "Slice", (data,), shape, axis=axis, begin=begin, end=end)

    def makes(self, made: int, wanted: int) -> None:
        """Let the last op make ``wanted`` instead of ``made``."""
        last = self.ops[-1]
        self.ops[-1] = replace(last, outputs=tuple(wanted if i == made else i for i in last.outputs))
