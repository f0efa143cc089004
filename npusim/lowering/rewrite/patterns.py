"""Patterns: groups of model ops that the compiler runs as one (RMSNorm, Swish, broadcast Multiply + ReduceSum)."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from math import prod

import numpy as np

from npusim.graph.ir import Graph, Op, Tensor
from npusim.hardware.schema import Software

#: Multiply-accumulates of one group from which a sum of products becomes a grouped MatMul (npu_compiler,
#: IE/transforms/passes/fuse_ops_to_matmul.cpp, 2026).
LEAST_GROUP = 4096


@dataclass(frozen=True, slots=True)
class Match:
    """A group of ops that becomes one node where its last op (``root``) stands.

    ``kind`` is the name of the kernel that runs it, or ``contract`` or ``factor``; ``inputs`` are the tensors that it
    reads, ``axis`` is the one that a sum runs over.
    """

    kind: str
    root: Op
    covered: tuple[Op, ...]
    inputs: tuple[int, ...]
    axis: int = -1


class Index:
    """Who makes and who reads each tensor of a Graph."""

    def __init__(self, graph: Graph) -> None:
        """Index a Graph."""
        self.graph = graph
        self.maker: dict[int, Op] = {t: op for op in graph.ops for t in op.outputs}
        self.readers: Counter[int] = Counter(t for op in graph.ops for t in op.inputs)
        self.readers.update(graph.outputs)
        self.reader: dict[int, Op] = {t: op for op in graph.ops for t in op.inputs}

    def tensor(self, id: int) -> Tensor:
        """The tensor with this id."""
        return self.graph.tensors[id]

    def made_by(self, id: int, *types: str) -> Op | None:
        """The op that makes a tensor, if it has one of the types and nobody else reads the tensor."""
        op = self.maker.get(id)
        return op if op is not None and op.type in types and self.readers[id] == 1 else None

    def scalar(self, id: int) -> float | None:
        """The value of a one-element constant; None for anything else."""
        t = self.tensor(id)
        if not t.constant or t.elements != 1 or t.value is None:
            return None
        return float(np.asarray(t.value).reshape(-1)[0])

    def split_constant(self, op: Op) -> tuple[int, int] | None:
        """(activation, constant) of a binary op with exactly one constant operand."""
        a, b = op.inputs
        if self.tensor(a).constant == self.tensor(b).constant:
            return None
        return (b, a) if self.tensor(a).constant else (a, b)


def _root_mean_square(index: Index, id: int) -> tuple[int, tuple[Op, ...]] | None:
    """x and the ops of ``sqrt(mean(x^2) + eps)`` (or its Power -0.5) that make tensor ``id``. A sum in the mean's place
    is taken so too where the square is a product, with or without eps."""
    sqrt = index.made_by(id, "Sqrt", "Power")
    if sqrt is None:
        return None
    add = index.made_by(sqrt.inputs[0], "Add")
    split = index.split_constant(add) if add else None
    total = index.made_by(split[0] if split else sqrt.inputs[0], "ReduceMean", "ReduceSum")
    square = index.made_by(total.inputs[0], "Power", "Multiply") if total else None
    if total is None or square is None or (total.type == "ReduceSum" and square.type == "Power"):
        return None
    if square.type == "Power" and (add is None or index.scalar(square.inputs[1]) not in (2.0, None)):
        return None
    if square.type == "Multiply" and square.inputs[0] != square.inputs[1]:
        return None
    return square.inputs[0], (square, total, *((add,) if add else ()), sqrt)


def _match_rms(index: Index, op: Op) -> Match | None:
    """x * (1 / sqrt(mean(x^2) + eps)), with a gain behind it, or x / sqrt(mean(x^2) + eps) (gain apart)."""
    if op.type == "Divide":
        found = _root_mean_square(index, op.inputs[1])
        if found and found[0] == op.inputs[0]:
            return Match("rms", op, (*found[1], op), (found[0],))
        return None
    if op.type != "Multiply":
        return None
    for x, inverse in (op.inputs, op.inputs[::-1]):
        divide = index.made_by(inverse, "Divide")
        found = _root_mean_square(index, divide.inputs[1] if divide else inverse)
        if found and found[0] == x:
            covered = (*found[1], *((divide,) if divide else ()), op)
            gain = index.reader.get(op.outputs[0]) if index.readers[op.outputs[0]] == 1 else None
            split = index.split_constant(gain) if gain is not None and gain.type == "Multiply" else None
            width = index.tensor(x).shape[-1]
            if gain is None or split is None or index.tensor(split[1]).elements != width != 1:
                return Match("rms", op, covered, (x,))
            return Match("rms", gain, (*covered, gain), (x, split[1]))
    return None


def _match_swish(index: Index, op: Op) -> Match | None:
    """x * sigmoid(x)."""
    if op.type != "Multiply":
        return None
    for x, gate in (op.inputs, op.inputs[::-1]):
        sigmoid = index.made_by(gate, "Sigmoid")
        if sigmoid is not None and sigmoid.inputs[0] == x:
            return Match("swish", op, (sigmoid, op), (x,))
    return None


def _summed_product(index: Index, op: Op) -> tuple[Op, int] | None:
    """The Multiply that a ReduceSum over one axis sums, if nobody else reads the product, and the axis."""
    if op.type != "ReduceSum":
        return None
    product = index.made_by(op.inputs[0], "Multiply")
    axes = index.tensor(op.inputs[1]).value
    if product is None or axes is None or np.size(axes) != 1 or not index.tensor(product.outputs[0]).shape:
        return None
    return product, int(np.reshape(axes, -1)[0]) % len(index.tensor(product.outputs[0]).shape)


def is_outer(index: Index, product: Op, axis: int) -> bool:
    """Whether the factors of a product that is summed over an axis are shaped like those of an outer product."""
    shape = index.tensor(product.outputs[0]).shape
    a, b = (index.tensor(i) for i in product.inputs)
    if a.constant or b.constant:
        return False
    sa, sb = ((1,) * (len(shape) - len(t.shape)) + t.shape for t in (a, b))
    shared = sa[axis] == sb[axis] == shape[axis] > 1
    a_only = any(x > 1 and y == 1 for x, y in zip(sa, sb, strict=True))
    b_only = any(y > 1 and x == 1 for x, y in zip(sa, sb, strict=True))
    return shared and a_only and b_only


def _match_contract(index: Index, op: Op) -> Match | None:
    """ReduceSum of a broadcast Multiply whose factors are shaped like an outer product: a MatMul in disguise."""
    found = _summed_product(index, op)
    if found is None or not is_outer(index, *found):
        return None
    product, axis = found
    return Match("contract", op, (product, op), product.inputs, axis)


def _pays_in_groups(index: Index, match: Match, groups: int) -> bool:
    """Whether a contraction is one that runs as a grouped MatMul of the DPU: of each factor one axis is broadcast, the
    other axes, but the summed one, are at least ``groups`` groups, and a group is not tiny."""
    shape = index.tensor(match.covered[0].outputs[0]).shape
    a, b = (index.tensor(i).shape for i in match.inputs)
    if not len(a) == len(b) == len(shape):
        return False
    rows = [d for d, s in enumerate(shape) if s > 1 == b[d]]
    columns = [d for d, s in enumerate(shape) if s > 1 == a[d]]
    if len(rows) != 1 or len(columns) != 1:
        return False
    one = shape[rows[0]] * shape[columns[0]] * shape[match.axis]
    return one >= LEAST_GROUP and prod(shape) // one >= groups


def _match_factor(index: Index, op: Op) -> Match | None:
    """ReduceSum of a Multiply with a factor that does not vary along the reduced axis: the factor moves out of the sum.

    ``inputs`` are the summed tensor and the factor.
    """
    found = _summed_product(index, op)
    if found is None:
        return None
    product, axis = found
    rank = len(index.tensor(product.outputs[0]).shape)
    for summed, factor in (product.inputs, product.inputs[::-1]):
        a, b = (index.tensor(i) for i in (summed, factor))
        if len(a.shape) == len(b.shape) == rank and a.shape[axis] > 1 == b.shape[axis]:
            return None if a.constant else Match("factor", op, (product, op), (summed, factor), axis)
    return None


#: Groups that one kernel runs, named as ``Match.kind``.
KERNEL_GROUPS: tuple[Callable[[Index, Op], Match | None], ...] = (_match_rms, _match_swish)


def find(graph: Graph, software: Software, tiles: int) -> tuple[Index, dict[int, Match], set[int]]:
    """The matches by the tensor their root makes, and the identities of all ops that they cover. Each op is covered
    once."""
    index = Index(graph)

    def contract(index: Index, op: Op) -> Match | None:
        match = _match_contract(index, op)
        if match is None or software.contraction_engine == "shave" or op.attrs.get("ones"):
            return match
        return match if _pays_in_groups(index, match, tiles) else None

    contracts = (contract,) if software.contract_multiply_reduce else ()
    rules = (*KERNEL_GROUPS, *contracts, _match_factor)
    matches: dict[int, Match] = {}
    covered: set[int] = set()
    for op in graph.ops:
        for rule in rules:
            match = rule(index, op)
            if match and not covered & {id(o) for o in match.covered}:
                matches[op.outputs[0]] = match
                covered.update(id(o) for o in match.covered)
                break
    return index, matches, covered
