"""Activations that models write out: GELU, swish, Mish, hard swish, clamps, softplus."""

from __future__ import annotations

from collections.abc import Callable
from math import inf, isclose, pi, sqrt

from npusim.graph.ir import Op
from npusim.lowering.rewrite.finder import ROUNDING, Finder, Found


def gelu_erf(find: Finder, op: Op) -> Found | None:
    """x · ½ · (1 + erf(x / √2)), in any order."""
    return _halved(find, op, lambda tensor: _erf_of(find, tensor))


def gelu_tanh(find: Finder, op: Op) -> Found | None:
    """x · ½ · (1 + tanh(√(2/π) (x + 0.044715 x³))); by Power only with the half beside x."""
    found = _halved(find, op, lambda tensor: _tanh_of(find, tensor))
    power = found is not None and any(one.type == "Power" for one in found[1])
    if found is not None and power and any(find.index.scalar(i) is not None for i in op.inputs):
        return None
    return found


def _halved(find: Finder, op: Op, inner: Callable[[int], tuple[int, tuple[Op, ...]] | None]) -> Found | None:
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


def _erf_of(find: Finder, tensor: int) -> tuple[int, tuple[Op, ...]] | None:
    erf = find.made(tensor, "Erf")
    scaled = find.made(erf.inputs[0], "Multiply", "Divide") if erf else None
    if erf is None or scaled is None:
        return None
    x = find.number(scaled, sqrt(0.5) if scaled.type == "Multiply" else sqrt(2))
    return (x, (erf, scaled)) if x is not None else None


def _tanh_of(find: Finder, tensor: int) -> tuple[int, tuple[Op, ...]] | None:
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


def _cube_of(find: Finder, tensor: int) -> tuple[int, tuple[Op, ...]] | None:
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


def gated(find: Finder, op: Op) -> Found | None:
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


def hard_swish(find: Finder, op: Op) -> Found | None:
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


def _clamped_product(find: Finder, factors: list[int]) -> Found | None:
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


def clamp(find: Finder, op: Op) -> Found | None:
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


def softplus(find: Finder, op: Op) -> Found | None:
    """log(exp(x) + 1)."""
    add = find.made(op.inputs[0], "Add")
    one = find.number(add, 1.0)
    exp = find.made(one, "Exp") if one is not None else None
    if add is None or exp is None:
        return None
    return Op("", "SoftPlus", (exp.inputs[0],), ()), (op, add, exp)
