"""ActiBA: activations as piecewise-linear tables (XAMBA section 3, https://arxiv.org/abs/2502.06924).

The pattern, by which lowering knows a table again (npusim.lowering.rewrite.tables), for an activation `NAME` of
a function such as swish:

    x ─ Clamp ─┬─ Bucketize(knots [K+1], right bound included) ─┬─ Gather(slopes [K+2]) ─┐
               │   named NAME/xamba.pwl.swish                   │                        │
               ├────────────────────────────────────────────────┼──────────── Multiply ──┤
               │                                                └─ Gather(intercepts) ── Add    named NAME

Bucketize counts the knots below x, the Gathers pick that line's slope and intercept, and the Add gives
slope * x + intercept, in the element type of x. Tables are constants that equal sites share. The Clamp cuts x at the
range where the function is flat outside (so that 0 * infinity does not arise), and else at the largest finite number.
Plain names are what says so, and not rt_info, since a saved model keeps only those.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal

import numpy as np
from openvino import Node, Output, Type
from openvino import opset15 as op

from npusim.xamba.maker import Maker
from npusim.xamba.options import count, interval_or_observed, one_or_more, option
from npusim.xamba.pwl import FUNCTIONS, Table, check_segments, fit
from npusim.xamba.rule import Rewritten, Rule, Skip, real

_FUNCTION = {
    "Exp": "exp", "Gelu": "gelu", "Sigmoid": "sigmoid", "SoftPlus": "softplus", "Swish": "swish", "Tanh": "tanh"
}  # fmt: skip
_NAMES = tuple(sorted(_FUNCTION.values()))
_DEFAULTS = ", ".join(f"{name} {f.low:g}:{f.high:g}" for name, f in FUNCTIONS.items())


@dataclass(frozen=True, slots=True)
class _Activation:
    """A function of `x` that ends in `root`; `kind` is how lowering knows it, `table` how FUNCTIONS does."""

    kind: str
    x: Output
    root: Node
    table: str
    range: tuple[float, float]


@dataclass(frozen=True)
class ActiBA(Rule[_Activation]):
    """Swish, SoftPlus, Sigmoid, Tanh, Gelu and Exp become tables of straight lines."""

    name = "actiba"
    types = tuple(_FUNCTION)

    segments: int = option(32, count, "lines within the range (32).")
    range: tuple[float, float] | Literal["observed"] | None = option(
        None,
        interval_or_observed,
        f"where the lines are fitted, LOW:HIGH, or observed in calibration runs; without it {_DEFAULTS}.",
    )
    functions: tuple[str, ...] = option(_NAMES, one_or_more(_NAMES), f"which of {'+'.join(_NAMES)} (all).")
    observed: Mapping[str, tuple[float, float]] = field(default_factory=dict)
    """What xamba.observe saw, by op."""

    def __post_init__(self) -> None:
        """Refuse what no table can be fitted with."""
        for name in FUNCTIONS:
            if name.partition("_")[0] in self.functions:
                check_segments(name, self.segments, *self._range(name, None))

    def check(self, node: Node) -> _Activation | None:
        """Element type, and a Swish that is more than x * sigmoid(x)."""
        kind = _FUNCTION[node.get_type_name()]
        root, x = node, node.input_value(0)
        if kind == "sigmoid":
            gated = _gated(node)
            kind, root = ("swish", gated) if gated is not None else (kind, root)
        if kind not in self.functions:
            return None
        real(node)
        if node.get_type_name() == "Swish" and node.get_input_size() > 1:
            beta = node.input_value(1).get_node()
            if beta.get_type_name() != "Constant" or not (np.asarray(beta.data) == 1).all():
                raise Skip("its beta is not a constant 1")
        table = (
            "gelu_tanh" if kind == "gelu" and node.get_attributes()["approximation_mode"] == "TANH" else kind
        )
        return _Activation(kind, x, root, table, self._range(table, root.get_friendly_name()))

    def rewrite(self, node: Node, found: _Activation, make: Maker) -> Rewritten:
        """Clamp, Bucketize, two Gathers, Multiply and Add; the table is fitted once for all sites."""
        low, high = found.range
        table = fit(found.table, self.segments, low, high)
        name, kind = found.root.get_friendly_name(), node.get_output_element_type(0)
        label = f"xamba.pwl.{found.table} {self.segments} {low}:{high}"
        knots, slopes, intercepts = (
            make.exact(f"{label} {what}", kind, lambda values=values: values)  # type: ignore[misc]
            for what, values in (
                ("knots", table.knots),
                ("slopes", table.slopes),
                ("intercepts", table.intercepts),
            )
        )
        x = make.node(f"{name}/clamp", op.clamp(found.x, *_bounds(table, kind)))
        index = make.node(f"{name}/xamba.pwl.{found.kind}", op.bucketize(x, knots, "i32", True))
        slope = make.node(f"{name}/slope", op.gather(slopes, index, make.integers(0)))
        intercept = make.node(f"{name}/intercept", op.gather(intercepts, index, make.integers(0)))
        y = op.add(make.node(f"{name}/multiply", op.multiply(x, slope)), intercept)
        note = f"{self.segments} lines over {low:g}:{high:g}, error {table.error:.1e}"
        outside = (
            "unbounded above" if math.isinf(table.error_outside) else f"{table.error_outside:.1e} outside"
        )
        return Rewritten(found.root, y, f"{note}, {outside}", table.error)

    def _range(self, table: str, op: str | None) -> tuple[float, float]:
        """Where the table of an op is fitted (None: of any op)."""
        if isinstance(self.range, tuple):
            return self.range
        if self.range == "observed" and op is not None:
            if op not in self.observed:
                raise Skip(
                    "no finite value reached it in the calibration runs (which do not see bodies of If and Loop)"
                )
            return self.observed[op]
        return FUNCTIONS[table].low, FUNCTIONS[table].high


def _gated(sigmoid: Node) -> Node | None:
    """The Multiply that makes x * sigmoid(x), if nothing else reads the Sigmoid."""
    readers = [port.get_node() for port in sigmoid.output(0).get_target_inputs()]
    if len(readers) != 1 or readers[0].get_type_name() != "Multiply":
        return None
    factors = [readers[0].input_value(i) for i in (0, 1)]
    return readers[0] if sigmoid.input_value(0) in factors else None


def _bounds(table: Table, kind: Type) -> tuple[float, float]:
    """What x is cut at: just outside the range on flat sides, else the largest finite number."""
    number = np.float16 if kind == Type.f16 else np.float32
    largest = float(np.finfo(number).max)
    above = float(np.nextafter(number(table.knots[-1]), number(np.inf)))
    return float(table.knots[0]) if table.slopes[0] == 0 else -largest, above if table.slopes[
        -1
    ] == 0 else largest
