"""The state of fusion: the nodes made so far, and the value that each tensor of the Graph has become."""

from __future__ import annotations

from dataclasses import replace
from math import prod
from typing import Any, TypeVar

import numpy as np

from npusim.errors import UserError
from npusim.graph.ir import BITS, Graph, Op
from npusim.hardware.schema import Software
from npusim.hardware.zeros import Sparsity
from npusim.lowering.ir.images import is_image, readers_channels_last
from npusim.lowering.ir.nodes import (
    Conv,
    Convert,
    Depthwise,
    Eltwise,
    Kernel,
    Node,
    Pool,
    Scale,
    Transpose,
    Unary,
)
from npusim.lowering.ir.optypes import IMAGE_BY_IMAGE, RESHAPES
from npusim.lowering.ir.values import Value
from npusim.lowering.rewrite.patterns import find

_Any = TypeVar("_Any", bound=Node)


class Fuser:
    """What handlers of ops read and write.

    ``values`` maps a tensor to its value, ``made`` a storage to the node that writes it, in execution order. A handler
    leaves a value for each output of its op, and the nodes that compute it, if any.
    """

    def __init__(
        self, graph: Graph, software: Software, tiles: int, shaves: int, sparsity: Sparsity | None, each: bool
    ) -> None:
        """Start with the values of a Graph's inputs and constants."""
        self.graph = graph
        self.software = software
        self.tiles, self.shaves, self.each = tiles, shaves, each
        self.sparsity = sparsity
        self.index, self.matches, self.covered = find(graph, software, tiles)
        self.values: dict[int, Value] = {}
        self.made: dict[int, Node] = {}
        self._fused: dict[
            str, int
        ] = {}  # storages of the nodes that ops were fused into, by the names of the ops
        self.region = ""  # of the op at hand: nodes that it makes are scheduled apart from those of others
        self.channels_last = readers_channels_last(graph)
        self.turned: dict[int, Value] = {}  # images channels last, by the storage of their planes
        self._storages = 0
        self._moved: dict[
            tuple[int, tuple[int, ...], tuple[int, ...]], tuple[int, list[tuple[int, ...]]]
        ] = {}
        self.readers: dict[int, list[Op]] = {}
        for op in graph.ops:
            for id in dict.fromkeys(op.inputs):
                self.readers.setdefault(id, []).append(op)
        for tensor in graph.tensors:
            if tensor.constant or tensor.id in graph.inputs:
                bits, stored = BITS[tensor.dtype], BITS[tensor.stored_dtype]
                self.values[tensor.id] = Value(
                    storage=self.storage(),
                    shape=tensor.shape,
                    bits=bits,
                    stored_bits=min(bits, stored)
                    if tensor.constant
                    else stored,  # FP32 weights: FP16 in the blob
                    constant=tensor.constant,
                )
        self._convert_inputs()

    def _convert_inputs(self) -> None:
        """Inputs that are wider than they are executed are narrowed before anything reads them: by kernels, where
        transfers do not, else by a copy, if a product sees them in the dimensions of an image or images of a batch are
        taken out one by one, so that the transfers that read them do not (evidence/lowering.md#1.6)."""
        for id in self.graph.inputs:
            value, tensor = self.values[id], self.graph.tensors[id]
            apart = not self.software.dma_convert or self._multiplied(id) or self._taken_one_by_one(id)
            if value.stored_bits > value.bits and apart:
                wide = replace(value, bits=value.stored_bits)
                self.values[id] = replace(value, storage=self.storage(), stored_bits=value.bits)
                self.add(Convert(tensor.name, "Parameter", (wide,), self.values[id]))

    def _multiplied(self, id: int) -> bool:
        """Whether a MatMul of more than one row reads a tensor, as it is or under another shape."""
        for op in self.readers.get(id, ()):
            rows = self.graph.tensors[op.outputs[0]].shape[:-1]
            if op.type == "MatMul" and prod(rows) > 1:
                return True
            if op.type in (*RESHAPES, "Transpose", "Convert", "Identity") and self._multiplied(op.outputs[0]):
                return True
        return False

    def _taken_one_by_one(self, id: int) -> bool:
        """Whether images of a batch are taken out of a tensor for convolutions or pools."""
        shape = self.graph.tensors[id].shape
        return (
            len(shape) == 4
            and shape[0] > 1
            and any(op.type in IMAGE_BY_IMAGE for op in self.readers.get(id, ()))
        )

    # -- the graph --------------------------------------------------------------------------------------------------

    def operands(self, op: Op) -> list[Value]:
        """The values of all inputs of an op."""
        return [self.values[i] for i in op.inputs]

    def shape(self, op: Op) -> tuple[int, ...]:
        """The shape of an op's first output."""
        return self.graph.tensors[op.outputs[0]].shape

    def constant(self, id: int) -> np.ndarray:
        """The numbers of a constant tensor. Raises UserError where they were too many to be kept."""
        value = self.graph.tensors[id].value
        if value is None:
            raise UserError(
                f"constant '{self.graph.tensors[id].name}' is needed to lower the model, and it is too large"
            )
        return np.asarray(value)

    def axes(self, id: int, rank: int) -> tuple[int, ...]:
        """The axes that a constant tensor names, ascending and not negative."""
        return tuple(sorted(int(a) % rank for a in self.constant(id).reshape(-1) if rank))

    def last_axis(self, id: int, rank: int) -> int | None:
        """The last axis that a constant tensor names, if it names any."""
        return max(self.axes(id, rank), default=None)

    def sole_reader(self, id: int) -> bool:
        """Whether a tensor is read once."""
        return self.index.readers[id] == 1

    def producer(self, source: int) -> Node | None:
        """The node that makes all of a tensor, if nobody else reads it."""
        value = self.values[source]
        node = self.made.get(value.storage)
        return node if node is not None and not value.partial and self.sole_reader(source) else None

    # -- new values and nodes ---------------------------------------------------------------------------------------

    def storage(self) -> int:
        """A new storage."""
        self._storages += 1
        return self._storages - 1

    def fresh(self, op: Op) -> Value:
        """A new value for an op's first output, row-major."""
        tensor = self.graph.tensors[op.outputs[0]]
        bits = BITS[tensor.dtype]
        return Value(storage=self.storage(), shape=tensor.shape, bits=bits, stored_bits=bits)

    def add(self, node: _Any) -> _Any:
        """Run a node next."""
        if (self.region and not node.region) or node.each != self.each:
            node = replace(node, region=node.region or self.region, each=self.each)
        self.made[node.output.storage] = node
        self._fused.update(dict.fromkeys(node.fused, node.output.storage))
        return node

    def doing(self, op: Op) -> Node | None:
        """The node that an op was fused into, if it was."""
        node = self.made.get(self._fused.get(op.name, -1))
        return node if node is not None and op.name in node.fused else None

    def emit(self, op: Op, node: _Any) -> _Any:
        """Run a node of an op next; it makes the op's first output."""
        self.values.setdefault(op.outputs[0], node.output)
        return self.add(node)

    def amend(self, node: _Any, **changes: Any) -> _Any:
        """Run a node with some fields changed in its stead."""
        return self.add(replace(node, **changes))

    def absorb(self, op: Op, source: int, **changes: Any) -> bool:
        """Fuse an elementwise op into the DPU op that makes its operand, as its post-processing."""
        node = self.producer(source)
        if node is None:
            return False
        self.apply_behind(node, op, source, **changes)
        return True

    def apply_behind(self, node: _Any, op: Op, source: int, **changes: Any) -> _Any:
        """Fuse an op into the node that makes its operand and that nobody else reads; an image that the op sees in
        another shape stays as it is."""
        seen = self.values[source]
        slides = isinstance(node, Conv | Depthwise | Pool) and node.window is not None
        image = slides and seen.shape != node.output.shape
        self.values[op.outputs[0]] = replace(seen, shape=self.shape(op))
        output = node.output if image else self.values[op.outputs[0]]
        return self.amend(node, fused=(*node.fused, op.name), output=output, **changes)

    def write_planes(self, id: int) -> None:
        """Let the convolution, pooling, activation or sum of images that makes a result write it as planes itself (the
        output data unit permutes), without a task for it; so does the shift of its channels."""
        value, node = self.values[id], self.producer(id)
        if node is None or node.output != value or value.plain or self.each:
            return
        images = isinstance(node, Eltwise) and node.runs("add") and len(value.shape) == 4
        alike = all(v.elements == value.elements and same_order(v, value.order) for v in node.inputs)
        shifted = isinstance(node, Scale) and node.additive and node.axis == 1
        activated = isinstance(node, Unary) and node.runs("relu", "leakyrelu") and is_image(value.shape)
        if isinstance(node, Conv | Depthwise | Pool) or (images and alike) or shifted or activated:
            self.values[id] = self.amend(node, output=replace(value, order=())).output

    def write_seen_planes(self, id: int) -> None:
        """The same where what is read of the image of a convolution is that image under another shape."""
        op = self.index.maker.get(id)
        if op is None or op.type not in RESHAPES or not self.sole_reader(op.inputs[0]):
            return
        image = op.inputs[0]
        if isinstance(self.producer(image), Conv | Depthwise | Pool) and is_image(self.values[image].shape):
            self.write_planes(image)
            seen = self.values[image].reshaped(self.values[id].shape)
            self.values[id] = self.values[id] if seen is None else seen

    def work_on_planes(self, id: int) -> None:
        """Let an activation work on planes where what makes its operand can write them: the split of the tiles over
        rows is the same, and nothing is left to be permuted."""
        value, node, op = self.values[id], self.producer(id), self.index.maker.get(id)
        alone = isinstance(node, Unary) and node.axis is None and len(node.inputs) == 1
        if op is None or node is None or not alone or not _is_planes(value.shape) or value.plain:
            return
        if op.type == "FakeQuantize":  # of a result, which stays as it is
            op = self.index.maker[op.inputs[0]]
        source = op.inputs[0]
        if (
            self.values.get(source) == node.inputs[0]
            and node.output == value
            and self.sole_reader(op.outputs[0])
        ):
            self.write_planes(source)
            if self.values[source].plain:
                planes = replace(value, order=())
                self.values[id] = self.amend(node, inputs=(self.values[source],), output=planes).output

    def plain(self, value: Value, op: Op) -> Value:
        """The value in row-major order, moved there by a transpose where it is not."""
        return value if value.plain else self.move(value, tuple(range(len(value.shape))), op)

    def move(self, value: Value, order: tuple[int, ...], op: Op) -> Value:
        """The value with its dimensions in memory as ``order`` says; one transpose serves all who ask for the same,
        whatever shape they see it in, and stores it once for each shape (X of Mamba-2, which ReduceSum_2 and
        ReduceSum_3 read: 4000 with 1 to 6 tiles, 5010)."""
        if replace(value, order=order).memory_order == value.memory_order:
            return value
        key = _way(value, order)
        if key in self._moved:
            storage, shapes = self._moved[key]
            node = self.made[storage]
            if value.shape not in shapes:
                shapes.append(value.shape)
                self.amend(node, copies=len(shapes))
            return replace(node.output, shape=value.shape, order=order)
        moved = Value(self.storage(), value.shape, value.bits, value.bits, order=order)
        late = is_outer(self.made.get(value.storage))
        self.add(Transpose(op.name, op.type, (value,), moved, reorder=late))
        if not value.partial:  # parts of one storage are not told apart
            self._moved[key] = moved.storage, [value.shape]
        return moved

    def written(self, value: Value, order: tuple[int, ...], op: Op) -> Value | None:
        """The value with its dimensions in memory as ``order`` says, if an outer product makes it, which can write it
        so for its only reader ``op`` (Mul_2, Mul_3 and Mul_4 of Mamba's single token, Where_1 of Mamba-2 before CumBA;
        with two chunks, which are a fourth dimension, it is moved)."""
        node = self.made.get(value.storage)
        reads = [self.index.readers[i] for i in op.inputs if self.values[i].storage == value.storage]
        if not isinstance(node, Eltwise) or not value.plain or node.output != value or reads != [1]:
            return None
        if len(value.memory_order) > 3:
            return None
        if any(v.elements == value.elements or not v.plain for v in node.inputs):
            return None
        return self.amend(node, output=replace(value, order=order)).output

    def moved(self, value: Value, op: Op) -> Value:
        """The value in row-major order if somebody has had it moved there (CumSum of Mamba-2 behind Where_1)."""
        known = not value.plain and _way(value, tuple(range(len(value.shape)))) in self._moved
        return self.plain(value, op) if known else value

    def ordered(self, value: Value, order: tuple[int, ...], op: Op) -> Value:
        """The value with its dimensions in memory as those of another one, moved there where they are not."""
        if same_order(value, order):
            return value
        return self.move(value, order or tuple(range(len(value.shape))), op)


def _is_planes(shape: tuple[int, ...]) -> bool:
    """Whether a shape is that of one image or signal of more than one channel."""
    return is_image(shape) or (len(shape) > 2 and shape[0] == 1 < min(shape[1:3]) and prod(shape[3:]) == 1)


def is_outer(node: Node | None) -> bool:
    """Whether a node makes a product that stays channels-last (``fuse.outer``)."""
    return isinstance(node, Kernel) and node.outer


def _way(value: Value, order: tuple[int, ...]) -> tuple[int, tuple[int, ...], tuple[int, ...]]:
    """What a move of a value to an order does to its storage: extents as they lie, and where each of them goes."""
    before, after = value.memory_order, replace(value, order=order).memory_order
    return value.storage, tuple(value.shape[d] for d in before), tuple(before.index(d) for d in after)


def padded(value: Value, rank: int) -> Value:
    """A value with unit dimensions in front, up to a rank."""
    missing = rank - len(value.shape)
    if not missing:
        return value
    order = tuple(range(missing)) + tuple(d + missing for d in (value.order or range(len(value.shape))))
    return replace(value, shape=(1,) * missing + value.shape, order=order if value.order else ())


def full_order(value: Value, order: list[int]) -> tuple[int, ...]:
    """An order of the non-unit dimensions completed with the unit ones."""
    return tuple(d for d in range(len(value.shape)) if d not in order) + tuple(order)


def same_order(value: Value, order: tuple[int, ...]) -> bool:
    """The non-unit dimensions of a value lie in memory in the given order of all dimensions."""
    want = tuple(d for d in (order or range(len(value.shape))) if value.shape[d] != 1)
    return value.memory_order == want
