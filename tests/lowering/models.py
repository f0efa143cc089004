"""Random small OpenVINO models: chains of the ops that lowering knows, over shapes of two to four dimensions."""

from __future__ import annotations

import numpy as np
import openvino as ov
from hypothesis import strategies as st
from openvino import opset15 as op

_UNARY = ("exp", "sigmoid", "tanh", "relu", "abs", "sqrt", "softplus", "negative", "erf")
_BINARY = ("add", "multiply", "subtract", "divide", "maximum")


@st.composite
def models(draw: st.DrawFn, most_ops: int = 6) -> ov.Model:
    """A model of one input, one or two results and up to ``most_ops`` ops in a row."""
    rank = draw(st.integers(2, 4))
    size = st.sampled_from((1, 2, 3, 7, 16, 24, 48, 64, 100, 160))
    shape = [draw(size) for _ in range(rank)]
    start = op.parameter(shape, np.float16, name="x")
    node = start
    seen = [start]
    for _ in range(draw(st.integers(1, most_ops))):
        node = draw(_step(node, seen))
        seen.append(node)
    results = [node] if draw(st.booleans()) or len(seen) < 3 else [node, seen[len(seen) // 2]]
    return ov.Model([op.result(r) for r in results], [start], "random")


@st.composite
def _step(draw: st.DrawFn, node: ov.Node, seen: list[ov.Node]) -> ov.Node:
    shape = list(node.get_output_shape(0))
    rank = len(shape)
    axis = draw(st.integers(0, rank - 1))
    kind = draw(
        st.sampled_from(("unary", "binary", "const", "matmul", "transpose", "reduce", "softmax", "cumsum", "slice",
                         "concat", "reshape", "mask"))
    )  # fmt: skip
    if kind == "unary":
        return getattr(op, draw(st.sampled_from(_UNARY)))(node)
    if kind == "binary":
        same = [s for s in seen if list(s.get_output_shape(0)) == shape]
        return getattr(op, draw(st.sampled_from(_BINARY)))(node, draw(st.sampled_from(same)))
    if kind == "const":
        broadcast = [s if draw(st.booleans()) else 1 for s in shape]
        return getattr(op, draw(st.sampled_from(_BINARY)))(node, np.full(broadcast, 0.5, np.float16))
    if kind == "matmul":
        n = draw(st.sampled_from((1, 16, 24, 80)))
        return op.matmul(node, np.ones((n, shape[-1]), np.float16), False, True)
    if kind == "transpose":
        return op.transpose(node, np.array(draw(st.permutations(range(rank)))))
    if kind == "reduce":
        keep = rank <= 2 or draw(st.booleans())
        return draw(st.sampled_from((op.reduce_sum, op.reduce_mean, op.reduce_max)))(
            node, np.array([axis]), keep
        )
    if kind == "softmax":
        return op.softmax(node, axis)
    if kind == "cumsum":
        return op.cum_sum(node, np.array(axis))
    if kind == "slice":
        stop = draw(st.integers(1, shape[axis]))
        return op.slice(node, np.array([0]), np.array([stop]), np.array([1]), np.array([axis]))
    if kind == "concat":
        return op.concat([node, node], axis)
    if kind == "mask":
        return op.select(np.tri(shape[-2], shape[-1], dtype=bool), np.float16(0), node)
    return op.reshape(node, np.array([1, *shape] if rank < 4 else [shape[0] * shape[1], *shape[2:]]), False)
