"""Graph to Graph before fusion: GRU and RNN cells, and sequences of them, as products and activations.

The compiler has a kernel for the gates of LSTM alone; the others it writes out, step by step.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from npusim.graph.ir import Graph, Op, Tensor
from npusim.lowering.rewrite.writer import Writer
from npusim.size import check_ops

_TYPES = ("GRUCell", "GRUSequence", "RNNCell", "RNNSequence")


def write_out_cells(graph: Graph) -> Graph:
    """The Graph with every such op written out."""
    return _Cells(graph).rewritten() if any(op.type in _TYPES for op in graph.ops) else graph


class _Cells(Writer):
    """Writes a Graph anew."""

    def rewritten(self) -> Graph:
        for op in self.graph.ops:
            if op.type not in _TYPES:
                self.ops.append(op)
            elif op.type.endswith("Cell"):
                w, r = op.inputs[2:4]
                self._cell(op)(op.inputs[0], op.inputs[1], w, r)
                self.makes(self.ops[-1].outputs[0], op.outputs[0])
            else:
                self._sequence(op)
        return self.written()

    def _cell(self, op: Op) -> Callable[[int, int, int, int], int]:
        step = self._gru if op.type.startswith("GRU") else self._rnn
        return lambda x, h, w, r: step(op.name, x, h, w, r)

    def _sequence(self, op: Op) -> None:
        """Steps one after the other, in one direction or both; the inputs are [batch, steps, width], the states
        [batch, directions, hidden], the weights [directions, gates, ...]."""
        x, first, _, w, r = op.inputs[:5]
        batch, steps, _ = self.tensors[x].shape
        directions, hidden = self.tensors[first].shape[1:]
        last, every = [], []
        for d in range(directions):
            weights = [self._squeezed(op.name, self.part(op.name, i, 0, d, d + 1), 0) for i in (w, r)]
            state = self._squeezed(op.name, self.part(op.name, first, 1, d, d + 1), 1)
            made = []
            begin = len(self.ops)
            for t in range(steps):
                now = self._squeezed(op.name, self.part(op.name, x, 1, t, t + 1), 1)
                state = self._cell(op)(now, state, *weights)
                made.append(self.emit(op.name, "Reshape", (state,), (batch, 1, 1, hidden)))
                if not t:
                    check_ops(directions * steps * (len(self.ops) - begin))
            last.append(self.emit(op.name, "Reshape", (state,), (batch, 1, hidden)))
            every.append(self._joined(op.name, made, 2, (batch, 1, steps, hidden)))
        for parts, wanted in ((every, op.outputs[0]), (last, op.outputs[1])):
            self.ops.append(Op(op.name, "Concat", tuple(parts), (wanted,), {"axis": 1}))

    def _squeezed(self, name: str, data: int, axis: int) -> int:
        shape = self.tensors[data].shape
        kept = (*shape[:axis], *shape[axis + 1 :])
        if self.tensors[data].constant:
            return self.tensor(self.tensors[data], kept)
        return self.emit(name, "Reshape", (data,), kept)

    def _joined(self, name: str, parts: list[int], axis: int, shape: tuple[int, ...]) -> int:
        return parts[0] if len(parts) == 1 else self.emit(name, "Concat", tuple(parts), shape, axis=axis)

    def _product(self, name: str, data: int, weights: int) -> int:
        shape = (self.tensors[data].shape[0], self.tensors[weights].shape[0])
        return self.emit(name, "MatMul", (data, weights), shape, transpose_a=False, transpose_b=True)

    def _same(self, name: str, type: str, *operands: int) -> int:
        return self.emit(name, type, operands, self.tensors[operands[0]].shape)

    def _rnn(self, name: str, x: int, h: int, w: int, r: int) -> int:
        return self._same(
            name, "Tanh", self._same(name, "Add", self._product(name, x, w), self._product(name, h, r))
        )

    def _gru(self, name: str, x: int, h: int, w: int, r: int) -> int:
        """z and r by a sigmoid of both sums, the candidate by a tanh, and the state between it and the old one."""
        hidden = self.tensors[h].shape[1]
        gates = [self.part(name, m, 0, 0, 2 * hidden) for m in (w, r)]
        own = [self.part(name, m, 0, 2 * hidden, 3 * hidden) for m in (w, r)]
        sums = self._same(name, "Add", self._product(name, x, gates[0]), self._product(name, h, gates[1]))
        opened = self._same(name, "Sigmoid", sums)
        z, reset = (self.part(name, opened, 1, a, a + hidden) for a in (0, hidden))
        kept = self._product(name, self._same(name, "Multiply", reset, h), own[1])
        candidate = self._same(name, "Tanh", self._same(name, "Add", self._product(name, x, own[0]), kept))
        new = self._same(name, "Multiply", self._same(name, "Subtract", self._ones(z), z), candidate)
        return self._same(name, "Add", new, self._same(name, "Multiply", z, h))

    def _ones(self, like: int) -> int:
        one = Tensor(
            len(self.tensors),
            "one",
            (1, 1),
            self.tensors[like].dtype,
            "f16",
            constant=True,
            value=np.ones((1, 1)),
        )
        self.tensors.append(one)
        return one.id
