"""Operations that a model writes out in smaller ones are one op again, in the forms in which OpenVINO's common
transformations find them before the compiler sees the model: softmax, layer and L2 norms, GELU, Mish, softplus.

Forms that stay written out there stay so here (a layer norm by a reciprocal of the root, a GELU by Power whose half
comes last), and cost what their ops do. tests/lowering/test_written_out.py has each form with what the compiler makes
of it.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Mapping
from dataclasses import replace
from math import inf, isclose, pi, sqrt

import numpy as np

from npusim.graph.ir import Graph, Op
from npusim.lowering.rewrite.patterns import Index

#: How far a constant of a formula may lie from the exact one: FP16 rounds to 0.05 %.
ROUNDING = 2e-3


def join_written_out(graph: Graph) -> Graph:
    """The Graph with every operation that is written out in a known form as one op; a joined one may be part of another
    (the clamp of a hard swish)."""
    while (joined := _join(graph)) is not graph:
        graph = joined
    return graph


def _join(graph: Graph) -> Graph:
    finder = _Finder(graph)
    made: dict[int, Op] = {}
    gone: set[int] = set()
    for op in graph.ops:
        for find in _FORMS.get(op.type, ()):
            found = find(finder, op)
            if found is None:
                continue
            one, covered = found
            inner = {id(each) for each in covered}
            if not inner & gone and finder.closed(inner, op):
                made[id(op)] = replace(one, name=op.name, outputs=op.outputs)
                gone |= inner
                break
    if not made:
        return graph
    ops = tuple(made.get(id(op), op) for op in graph.ops if id(op) in made or id(op) not in gone)
    return replace(graph, ops=ops)


_Found = tuple[Op, tuple[Op, ...]]
"""The op that stands for a written-out one (its name and outputs are filled in), and the ops that it covers."""


class _Finder:
    """Looks backwards from an op, through ops that may have several readers."""

    def __init__(self, graph: Graph) -> None:
        """Index a Graph."""
        self.index = Index(graph)
        self.outputs = set(graph.outputs)
        self.consumers: dict[int, list[Op]] = defaultdict(list)
        for op in graph.ops:
            for id in dict.fromkeys(op.inputs):
                self.consumers[id].append(op)

    def closed(self, covered: set[int], root: Op) -> bool:
        """Whether nobody outside reads what the covered ops make, but for the root."""
        makers = {t: op for t, op in self.index.maker.items() if id(op) in covered and op is not root}
        return not any(
            t in self.outputs or any(id(reader) not in covered for reader in self.consumers[t])
            for t in makers
        )

    def made(self, tensor: int, *types: str) -> Op | None:
        """The op that makes a tensor, if it has one of the types."""
        op = self.index.maker.get(tensor)
        return op if op is not None and op.type in types else None

    def number(self, op: Op | None, value: float) -> int | None:
        """The operand of a binary op whose other operand is this number."""
        if op is None or len(op.inputs) != 2:
            return None
        for operand, constant in (op.inputs, op.inputs[::-1]):
            found = self.index.scalar(constant)
            if found is not None and isclose(found, value, rel_tol=ROUNDING):
                return operand
        return None

    def shifted(self, tensor: int) -> tuple[int, Op] | None:
        """What a small number is added to, and the Add."""
        add = self.made(tensor, "Add")
        split = self.index.split_constant(add) if add else None
        if add is None or split is None or self.index.scalar(split[1]) is None:
            return None
        return split[0], add

    def squared(self, tensor: int, by: tuple[str, ...]) -> tuple[int, Op] | None:
        """What a tensor is the square of, written as Power or as a product, and the op."""
        op = self.made(tensor, *by)
        if op is None:
            return None
        if op.type == "Multiply":
            return (op.inputs[0], op) if op.inputs[0] == op.inputs[1] else None
        return (op.inputs[0], op) if self.index.scalar(op.inputs[1]) == 2.0 else None

    def axes(self, reduction: Op) -> list[int] | None:
        """The axes that an op reduces, ascending; None where they are not known."""
        found = self.index.tensor(reduction.inputs[1]).value
        rank = len(self.index.tensor(reduction.inputs[0]).shape)
        return None if found is None else sorted(int(axis) % rank for axis in np.reshape(found, -1))

    def factors(self, op: Op) -> tuple[list[int], list[Op]]:
        """The factors of a product of products, and the ops that multiply them; constants among them divided out."""
        inputs, covered = [], [op]
        for operand in op.inputs:
            inner = self.index.made_by(operand, "Multiply")
            if inner is None or inner.inputs[0] == inner.inputs[1]:
                inputs.append(operand)
                continue
            more, ops = self.factors(inner)
            inputs += more
            covered += ops
        return inputs, covered


# -- forms ------------------------------------------------------------------------------------------------------------


def _softmax(find: _Finder, op: Op) -> _Found | None:
    """exp(x) / sum(exp(x)), of x itself or less its maximum."""
    exp, total = find.made(op.inputs[0], "Exp"), find.made(op.inputs[1], "ReduceSum")
    if exp is None or total is None or total.inputs[0] != op.inputs[0]:
        return None
    axis = _only_axis(find, total)
    if axis is None:
        return None
    x, covered = exp.inputs[0], [op, exp, total]
    less = find.made(x, "Subtract")
    most = find.made(less.inputs[1], "ReduceMax") if less else None
    if less is not None and most is not None and most.inputs[0] == less.inputs[0]:
        if _only_axis(find, most) != axis:
            return None
        x = less.inputs[0]
        covered += [less, most]
    return Op("", "Softmax", (x,), (), {"axis": axis}), tuple(covered)


def _only_axis(find: _Finder, reduction: Op) -> int | None:
    axes = find.axes(reduction)
    ranks = {len(find.index.tensor(id).shape) for id in (reduction.inputs[0], reduction.outputs[0])}
    return axes[0] if axes is not None and len(axes) == len(ranks) == 1 else None


def _layer_norm(find: _Finder, op: Op) -> _Found | None:
    """c / sqrt(mean(c²) + e) with c = x - mean(x)."""
    root = find.made(op.inputs[1], "Sqrt")
    shifted = find.shifted(root.inputs[0]) if root else None
    mean = find.made(shifted[0], "ReduceMean") if shifted else None
    square = find.squared(mean.inputs[0], ("Power", "Multiply")) if mean else None
    less = find.made(op.inputs[0], "Subtract")
    if root is None or shifted is None or mean is None or square is None or less is None:
        return None
    middle = find.made(less.inputs[1], "ReduceMean")
    if middle is None or middle.inputs[0] != less.inputs[0] or square[0] != less.outputs[0]:
        return None
    if find.axes(mean) is None or find.axes(mean) != find.axes(middle):
        return None
    covered = (op, root, shifted[1], mean, square[1], less, middle)
    attrs = {"normalize_variance": True, "eps": find.index.scalar(_constant(find, shifted[1]))}
    return Op("", "MVN", (less.inputs[0], mean.inputs[1]), (), attrs), covered


def _constant(find: _Finder, op: Op) -> int:
    split = find.index.split_constant(op)
    assert split is not None
    return split[1]


def _l2_norm(find: _Finder, op: Op) -> _Found | None:
    """x / sqrt(sum(x²) + e) with the square as a Power, or x / max(its L2 norm, e)."""
    x = op.inputs[0]
    least = find.made(op.inputs[1], "Maximum", "Clamp")
    norm = find.made(least.inputs[0], "ReduceL2") if least else None
    if least is not None and norm is not None and norm.inputs[0] == x:
        return Op("", "NormalizeL2", (x, norm.inputs[1]), ()), (op, least, norm)
    root = find.made(op.inputs[1], "Sqrt")
    shifted = find.shifted(root.inputs[0]) if root else None
    total = find.made(shifted[0], "ReduceSum") if shifted else None
    square = find.squared(total.inputs[0], ("Power",)) if total else None
    if root is None or shifted is None or total is None or square is None or square[0] != x:
        return None
    return Op("", "NormalizeL2", (x, total.inputs[1]), ()), (op, root, shifted[1], total, square[1])


def _gelu_erf(find: _Finder, op: Op) -> _Found | None:
    """x · ½ · (1 + erf(x / √2)), in any order."""
    return _halved(find, op, lambda tensor: _erf_of(find, tensor))


def _gelu_tanh(find: _Finder, op: Op) -> _Found | None:
    """x · ½ · (1 + tanh(√(2/π) (x + 0.044715 x³))); by Power only with the half beside x."""
    found = _halved(find, op, lambda tensor: _tanh_of(find, tensor))
    power = found is not None and any(one.type == "Power" for one in found[1])
    if found is not None and power and any(find.index.scalar(i) is not None for i in op.inputs):
        return None
    return found


def _halved(
    find: _Finder, op: Op, inner: Callable[[int], tuple[int, tuple[Op, ...]] | None]
) -> _Found | None:
    factors, products = find.factors(op)
    halves = [
        f for f in factors if (n := find.index.scalar(f)) is not None and isclose(n, 0.5, rel_tol=ROUNDING)
    ]
    rest = [f for f in factors if f not in halves]
    if len(halves) != 1 or len(rest) != 2:
        return None
    for x, other in (rest, rest[::-1]):
        add = find.made(other, "Add")
        one = find.number(add, 1.0)
        found = inner(one) if one is not None else None
        if add is not None and found is not None and found[0] == x:
            return Op("", "Gelu", (x,), ()), (*products, add, *found[1])
    return None


def _erf_of(find: _Finder, tensor: int) -> tuple[int, tuple[Op, ...]] | None:
    erf = find.made(tensor, "Erf")
    scaled = find.made(erf.inputs[0], "Multiply", "Divide") if erf else None
    if erf is None or scaled is None:
        return None
    x = find.number(scaled, sqrt(0.5) if scaled.type == "Multiply" else sqrt(2))
    return (x, (erf, scaled)) if x is not None else None


def _tanh_of(find: _Finder, tensor: int) -> tuple[int, tuple[Op, ...]] | None:
    tanh = find.made(tensor, "Tanh")
    scaled = find.made(tanh.inputs[0], "Multiply") if tanh else None
    total = find.number(scaled, sqrt(2 / pi))
    add = find.made(total, "Add") if total is not None else None
    if tanh is None or scaled is None or add is None:
        return None
    for x, term in (add.inputs, add.inputs[::-1]):
        weighted = find.made(term, "Multiply")
        cube = find.number(weighted, 0.044715)
        cubed = _cube_of(find, cube) if cube is not None else None
        if weighted is not None and cubed is not None and cubed[0] == x:
            return x, (tanh, scaled, add, weighted, *cubed[1])
    return None


def _cube_of(find: _Finder, tensor: int) -> tuple[int, tuple[Op, ...]] | None:
    power = find.made(tensor, "Power")
    if power is not None:
        return (power.inputs[0], (power,)) if find.index.scalar(power.inputs[1]) == 3.0 else None
    product = find.made(tensor, "Multiply")
    if product is None:
        return None
    for x, other in (product.inputs, product.inputs[::-1]):
        square = find.squared(other, ("Multiply",))
        if square is not None and square[0] == x:
            return x, (product, square[1])
    return None


def _gated(find: _Finder, op: Op) -> _Found | None:
    """x · sigmoid(c · x) is a swish, x · tanh(softplus(x)) is Mish."""
    for x, gate in (op.inputs, op.inputs[::-1]):
        sigmoid = find.made(gate, "Sigmoid")
        scaled = find.made(sigmoid.inputs[0], "Multiply") if sigmoid else None
        split = find.index.split_constant(scaled) if scaled else None
        known = split is not None and split[0] == x and find.index.scalar(split[1]) is not None
        if sigmoid is not None and scaled is not None and split is not None and known:
            return Op("", "Swish", (x, split[1]), ()), (op, sigmoid, scaled)
        tanh = find.made(gate, "Tanh")
        soft = find.made(tanh.inputs[0], "SoftPlus") if tanh else None
        if tanh is not None and soft is not None and soft.inputs[0] == x:
            return Op("", "Mish", (x,), ()), (op, tanh, soft)
    return None


def _hard_swish(find: _Finder, op: Op) -> _Found | None:
    """x · clamp(x + 3, 0, 6) / 6, the sixth taken of the product or of the clamp."""
    if op.type == "Divide":
        product = find.index.made_by(find.number(op, 6.0) or -1, "Multiply")
        if product is None or op.inputs[0] not in product.outputs:
            return None
        found = _clamped_product(find, list(product.inputs))
        return None if found is None else (found[0], (op, product, *found[1]))
    factors, products = find.factors(op)
    sixths = [
        f for f in factors if (n := find.index.scalar(f)) is not None and isclose(6 * n, 1, rel_tol=ROUNDING)
    ]
    if sixths:
        found = _clamped_product(find, [f for f in factors if f not in sixths])
        return None if found is None else (found[0], (*products, *found[1]))
    for x, other in (op.inputs, op.inputs[::-1]):
        divide = find.made(other, "Divide")
        inner = find.number(divide, 6.0)
        if divide is not None and inner == divide.inputs[0]:
            found = _clamped_product(find, [x, inner])
            if found is not None:
                return found[0], (op, divide, *found[1])
    return None


def _clamped_product(find: _Finder, factors: list[int]) -> _Found | None:
    """HSwish of the one of two factors that the other is a clamp of."""
    if len(factors) != 2:
        return None
    for x, other in (factors, factors[::-1]):
        clamp = find.made(other, "Clamp")
        add = find.made(clamp.inputs[0], "Add") if clamp else None
        bounds = (float(clamp.attrs["min"]), float(clamp.attrs["max"])) if clamp else None
        if clamp is not None and add is not None and bounds == (0.0, 6.0) and find.number(add, 3.0) == x:
            return Op("", "HSwish", (x,), ()), (clamp, add)
    return None


def _clamp(find: _Finder, op: Op) -> _Found | None:
    """The least and the greatest of x and one number each; of one alone, a clamp without the other bound."""
    split = find.index.split_constant(op)
    bound = find.index.scalar(split[1]) if split else None
    if split is None or bound is None:
        return None
    opposite = "Minimum" if op.type == "Maximum" else "Maximum"
    behind = find.consumers[op.outputs[0]]
    if len(behind) == 1 and behind[0].type == opposite and find.index.split_constant(behind[0]):
        return None  # that one takes this with it
    x, low, high = split[0], -inf, inf
    covered: tuple[Op, ...] = (op,)
    low, high = (bound, high) if op.type == "Maximum" else (low, bound)
    inner = find.made(x, opposite)
    more = find.index.split_constant(inner) if inner and find.index.readers[x] == 1 else None
    other = find.index.scalar(more[1]) if more else None
    if inner is not None and more is not None and other is not None:
        x, covered = more[0], (op, inner)
        low, high = (low, other) if op.type == "Maximum" else (other, high)
    return Op("", "Clamp", (x,), (), {"min": low, "max": high}), covered


def _softplus(find: _Finder, op: Op) -> _Found | None:
    """log(exp(x) + 1)."""
    add = find.made(op.inputs[0], "Add")
    one = find.number(add, 1.0)
    exp = find.made(one, "Exp") if one is not None else None
    if add is None or exp is None:
        return None
    return Op("", "SoftPlus", (exp.inputs[0],), ()), (op, add, exp)


_FORMS: Mapping[str, tuple[Callable[[_Finder, Op], _Found | None], ...]] = {
    "Divide": (_softmax, _layer_norm, _l2_norm, _hard_swish),
    "Multiply": (_gelu_erf, _gelu_tanh, _gated, _hard_swish),
    "Log": (_softplus,),
    "Maximum": (_clamp,),
    "Minimum": (_clamp,),
}
