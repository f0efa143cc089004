"""Operations that a model writes out in smaller ones are one op again, in the forms in which OpenVINO's common
transformations find them before the compiler sees the model: softmax, layer and L2 norms, GELU, Mish, softplus.

Forms that stay written out there stay so here (a layer norm by a reciprocal of the root, a GELU by Power whose half
comes last), and cost what their ops do. tests/lowering/test_written_out.py has each form with what the compiler makes
of it.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace

from npusim.graph.ir import Graph, Op
from npusim.lowering.rewrite.activations import clamp, gated, gelu_erf, gelu_tanh, hard_swish, softplus
from npusim.lowering.rewrite.finder import Finder, Found
from npusim.lowering.rewrite.rotary import rotary


def join_written_out(graph: Graph) -> Graph:
    """The Graph with every operation that is written out in a known form as one op; a joined one may be part of another
    (the clamp of a hard swish)."""
    while (joined := _join(graph)) is not graph:
        graph = joined
    return graph


def _join(graph: Graph) -> Graph:
    finder = Finder(graph)
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


# -- forms ------------------------------------------------------------------------------------------------------------


def _softmax(find: Finder, op: Op) -> Found | None:
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


def _only_axis(find: Finder, reduction: Op) -> int | None:
    axes = find.axes(reduction)
    ranks = {len(find.index.tensor(id).shape) for id in (reduction.inputs[0], reduction.outputs[0])}
    return axes[0] if axes is not None and len(axes) == len(ranks) == 1 else None


def _layer_norm(find: Finder, op: Op) -> Found | None:
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


def _constant(find: Finder, op: Op) -> int:
    split = find.index.split_constant(op)
    assert split is not None
    return split[1]


def _l2_norm(find: Finder, op: Op) -> Found | None:
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


_FORMS: Mapping[str, tuple[Callable[[Finder, Op], Found | None], ...]] = {
    "Divide": (_softmax, _layer_norm, _l2_norm, hard_swish),
    "Multiply": (gelu_erf, gelu_tanh, gated, hard_swish),
    "Log": (softplus,),
    "Add": (rotary,),
    "Maximum": (clamp,),
    "Minimum": (clamp,),
}
