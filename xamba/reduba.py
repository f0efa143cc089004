"""ReduBA: sums and means as products with a vector of ones (XAMBA section 3, https://arxiv.org/abs/2502.06924).

    y = ReduceSum(x, axis)   ->   y = x @ ones^T  (last axis),   y = ones @ x  (the one before)

Neighbouring axes are summed together, after a Reshape that merges them; axes apart from each other one after the other,
from the last on. A mean has a vector of 1/n in place of the ones. One vector serves all sums of a length.
"""

from __future__ import annotations

from contextlib import suppress
from dataclasses import dataclass
from itertools import groupby
from math import prod

from openvino import Node, Type
from openvino import opset15 as op

from npusim.xamba.contract import Contract
from npusim.xamba.maker import Maker, Value
from npusim.xamba.options import option, yes_or_no
from npusim.xamba.rule import Rewritten, Rule, Skip, lengths, real, static_axes


@dataclass(frozen=True, slots=True)
class _Sum:
    """Axes to be summed of a shape in which -1 is a dynamic length (then there is one axis, of the last two)."""

    axes: tuple[int, ...]
    shape: tuple[int, ...]
    mean: bool
    keep_dims: bool
    kind: Type


@dataclass(frozen=True)
class ReduBA(Rule[_Sum]):
    """ReduceSum and ReduceMean over any axes become a MatMul with a vector of ones, or of 1/n."""

    name = "reduba"
    types = ("ReduceSum", "ReduceMean")

    norms: bool = option(
        False,
        yes_or_no,
        "yes also takes the mean of squares of RMS norms, which NPU compilers run as one kernel.",
    )

    def check(self, node: Node) -> _Sum:
        """Element type, axes and the lengths that the product needs to know."""
        kind, shape = real(node), lengths(node.input_value(0))
        axes = tuple(static_axes(node.input_value(1), len(shape)))
        if not axes:
            raise Skip("there are no axes to sum over")
        if any(shape[a] < 0 for a in axes):
            raise Skip("the axis length is dynamic")
        if -1 in shape and (len(axes) > 1 or axes[0] < len(shape) - 2):
            raise Skip("the shape is dynamic, and it is not one of the last two axes alone that is summed")
        if not self.norms and _in_rms_norm(node):
            raise Skip(
                "it is part of an RMS norm, which NPU compilers run as one kernel (norms=yes takes it)"
            )
        return _Sum(
            axes, shape, node.get_type_name() == "ReduceMean", node.get_attributes()["keep_dims"], kind
        )

    def rewrite(self, node: Node, found: _Sum, make: Maker) -> Rewritten:
        """A product for each run of neighbouring axes."""
        name, x = node.get_friendly_name(), node.input_value(0)
        terms = [found.shape[a] for a in found.axes]
        if prod(terms) == 1:
            return Rewritten(node, _shaped(make, name, x, found), "a Reshape: one element is summed")
        product = ""
        with suppress(Skip):
            elements = Contract().check(node).elements
            product = f"; the product of {elements:,} before it is made, which contract avoids"
        if -1 in found.shape:
            y = _product(make, name, x, found, found.shape[-1] if found.axes[0] < len(found.shape) - 1 else 1)
        else:
            y = self._grouped(make, name, x, found)
        what = f"{'1/n' if found.mean else 'ones'}, n = {' x '.join(str(t) for t in terms if t > 1)}"
        note = f"a MatMul with a vector of {what}{product}"
        return Rewritten(node, _shaped(make, name, y, found), note)

    def _grouped(self, make: Maker, name: str, x: Value, found: _Sum) -> Value:
        """Runs of summed axes from the last to the first, each in the middle of [before, length, behind]."""
        real = [(d in found.axes, size) for d, size in enumerate(found.shape) if size > 1]
        runs = [
            (summed, prod(size for _, size in group)) for summed, group in groupby(real, lambda item: item[0])
        ]
        sizes = [size for _, size in runs]
        for i in reversed(range(len(runs))):
            if not runs[i][0]:
                continue
            before, length, behind = prod(sizes[:i]), sizes[i], prod(sizes[i + 1 :])
            label = name if sum(summed for summed, _ in runs) == 1 else f"{name}/{i}"
            shape = tuple(
                s for s, wanted in ((before, before > 1), (length, True), (behind, behind > 1)) if wanted
            )
            if len(shape) == 1:
                shape = (1, *shape)
            if _needs_no_merge(found, behind):
                shape = found.shape
            x = make.reshape(f"{label}/merge", x, shape)
            x = _product(make, label, x, found, behind, length)
            sizes[i] = 1
        return x


def _needs_no_merge(found: _Sum, behind: int) -> bool:
    """One axis, the last or, with something behind it, the last but one: it can be summed in place."""
    return found.axes == (len(found.shape) - (2 if behind > 1 else 1),) and len(found.shape) > 1


def _product(make: Maker, name: str, x: Value, found: _Sum, behind: int, length: int | None = None) -> Node:
    """x [..., length] @ ones^T, or ones @ x [..., length, behind]."""
    ones = make.ones(length or found.shape[found.axes[0]], found.kind, mean=found.mean)
    if behind == 1:
        return make.matmul(f"{name}/ones", x, ones, transpose_b=True)
    return make.matmul(f"{name}/ones", ones, x)


def _shaped(make: Maker, name: str, y: Value, found: _Sum) -> Node:
    """y as the op would have shaped it."""
    if -1 in found.shape:
        if found.keep_dims:
            return y if isinstance(y, Node) else y.get_node()
        return make.node(f"{name}/squeeze", op.squeeze(y, make.integers(found.axes)))
    shape = [
        1 if d in found.axes else size
        for d, size in enumerate(found.shape)
        if found.keep_dims or d not in found.axes
    ]
    if not shape:  # OpenVINO's CPU plugin (2026.4.1) crashes on a Reshape to a scalar
        return make.node(f"{name}/shape", op.squeeze(y))
    return make.node(f"{name}/shape", op.reshape(y, make.integers(tuple(shape)), special_zero=False))


def _in_rms_norm(node: Node) -> bool:
    """Whether this is the mean of x * x that is read by Add and then Sqrt, or a Power."""
    if node.get_type_name() != "ReduceMean":
        return False
    square = node.input_value(0).get_node()
    if square.get_type_name() == "Multiply":
        squared = square.input_value(0) == square.input_value(1)
    else:
        squared = square.get_type_name() == "Power"
    readers = [port.get_node() for port in node.output(0).get_target_inputs()]
    if not squared or len(readers) != 1 or readers[0].get_type_name() != "Add":
        return False
    roots = [port.get_node().get_type_name() for port in readers[0].output(0).get_target_inputs()]
    return bool(roots) and all(root in ("Sqrt", "Power") for root in roots)
