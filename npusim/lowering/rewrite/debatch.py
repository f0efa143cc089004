"""Graph to Graph before fusion: a small batch runs image by image, each as a call of one function of the model.

The compiler of 4000 and 5010 ("debatching") cuts the inputs along their first axis by copies in DDR, calls the model's
body once an image and joins the results by copies again. Nothing is kept or prefetched from one call to the next, so
that weights are read for every image: a model whose rows are no batch had better have an input of rank 3 with 1 in
front.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from npusim.graph.ir import Graph, Op, Tensor
from npusim.hardware.schema import Hardware

#: Images up to which a batch is run one by one (10 is, 11 is not, of any rank).
MOST_IMAGES = 10
#: Fewest nodes of a model that is: its parameters, constants, ops and results (12 is, 11 is not).
FEWEST_NODES = 12
#: Op of the rewritten Graph that copies each image of its operand to a tensor of its own.
SPLIT_BATCH = "SplitBatch"
#: Op that copies the results of all images side by side.
JOIN_BATCH = "JoinBatch"
_WEIGHTED = frozenset(
    {"Convolution", "GroupConvolution", "ConvolutionBackpropData", "GroupConvolutionBackpropData"}
)


def debatch(graph: Graph) -> Graph:
    """The Graph as one run of its ops for each image of the batch, with a note that says so; the same Graph where the
    compiler leaves it alone. Ops of one image carry ``function``: what bears different ones is scheduled apart."""
    images = _images(graph)
    if images is None:
        return graph
    return _Unrolled(graph, images).graph()


def gives_each_tile_an_image(graph: Graph, hw: Hardware) -> bool:
    """Whether a model that would be run image by image is not (3720), and has an image for each tile."""
    return not hw.software.debatch and hw.tiles > 1 and _images(graph) == hw.tiles


def _images(graph: Graph) -> int | None:
    """The size of the batch, or None for a model that is not run image by image: too few nodes, no batch of 2 to
    ``MOST_IMAGES`` in front of every input, an op that would mix images or that reads from two inputs, or a tensor
    between whose first axis is another one."""
    tensors = graph.tensors
    constants = {id for op in graph.ops for id in op.inputs if tensors[id].constant}
    nodes = len(graph.inputs) + len(constants) + len(graph.ops) + len(graph.outputs)
    sizes = {tensors[id].shape[:1] for id in graph.inputs}
    if nodes < FEWEST_NODES or len(sizes) != 1 or sizes == {()}:
        return None
    ((images,),) = sizes
    if not 2 <= images <= MOST_IMAGES:
        return None
    origin = {id: id for id in graph.inputs}
    for op in graph.ops:
        sources = {origin[id] for id in op.inputs if id in origin}
        if len(sources) > 1 or _mixes(op, tensors, images):
            return None
        for source in sources:
            if any(tensors[id].shape[:1] != (images,) for id in op.outputs):
                return None
            origin.update(dict.fromkeys(op.outputs, source))
    return images if all(id in origin for id in graph.outputs) else None


def _mixes(op: Op, tensors: tuple[Tensor, ...], images: int) -> bool:
    """Whether an op needs the batch: it moves that axis or picks from it, constants have it, or it keeps a state."""
    operands = [tensors[id] for id in op.inputs]
    constants = [tensor for tensor in operands if tensor.constant]
    rank = len(tensors[op.outputs[0]].shape) if op.outputs else 0
    match op.type:
        case "ReadValue" | "Assign":
            return True
        case "Transpose":
            return _first(operands[1:2]) != 0
        case "Reshape" | "Broadcast":
            return _first(operands[1:2]) == images
        case "Gather" if not operands[0].constant:
            return _first(operands[2:3]) == 0
        case "ShuffleChannels":
            return int(op.attrs["axis"]) % rank == 0
        case "MatMul" if rank == 2:
            return not constants
        case kind if kind in _WEIGHTED:
            return False
    return any(len(tensor.shape) == rank and tensor.shape[:1] == (images,) for tensor in constants)


def _first(operands: list[Tensor]) -> int | None:
    """The first number of a constant operand; None where it is not known."""
    values = [tensor.value for tensor in operands if tensor.value is not None and np.size(tensor.value)]
    return int(np.reshape(values[0], -1)[0]) if values else None


class _Unrolled:
    """Makes the Graph of so many calls."""

    def __init__(self, graph: Graph, images: int) -> None:
        self.old, self.images = graph, images
        self.tensors = list(graph.tensors)
        self.ops: list[Op] = []

    def graph(self) -> Graph:
        """The Graph: the inputs' images, the calls, the results side by side."""
        old, results = self.old, []
        pieces = {id: [self._one(id) for _ in range(self.images)] for id in old.inputs}
        for id, parts in pieces.items():
            self.ops.append(Op(old.tensors[id].name, SPLIT_BATCH, (id,), tuple(parts)))
        for number in range(self.images):
            renamed = {id: parts[number] for id, parts in pieces.items()}
            for op in old.ops:
                self.ops.append(self._called(op, renamed, number))
            results.append(renamed)
        for id in dict.fromkeys(old.outputs):
            ends = tuple(renamed[id] for renamed in results)
            self.ops.append(Op(old.tensors[id].name, JOIN_BATCH, ends, (id,), {"function": "joined"}))
        note = (
            f"the batch of {self.images} is run one by one, as the compiler does, and the weights are read for each; "
            "where axis 0 is no batch, give the input an axis of 1 in front of it"
        )
        return replace(old, tensors=tuple(self.tensors), ops=tuple(self.ops), notes=(*old.notes, note))

    def _called(self, op: Op, renamed: dict[int, int], number: int) -> Op:
        """One op of one image; constants are read anew by each."""
        for id in (*op.inputs, *op.outputs):
            if id not in renamed:
                renamed[id] = self._one(id)
        return replace(
            op,
            inputs=tuple(renamed[id] for id in op.inputs),
            outputs=tuple(renamed[id] for id in op.outputs),
            attrs={**op.attrs, "function": f"image {number}"},
        )

    def _one(self, id: int) -> int:
        """A tensor like another one, of one image where it is no constant."""
        like = self.old.tensors[id]
        shape = like.shape if like.constant else (1, *like.shape[1:])
        self.tensors.append(replace(like, id=len(self.tensors), shape=shape))
        return self.tensors[-1].id
