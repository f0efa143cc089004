"""Random valid graphs of OpenVINO's ops, of rank 0 to 6 and of odd sizes, on random machines; saved as model files."""

from __future__ import annotations

import tempfile
from pathlib import Path

import numpy as np
import openvino as ov
from hypothesis import reject
from hypothesis import strategies as st
from openvino import opset13 as op

from benchmarks.fuzzing.case import Case

_UNARY = (
    "abs", "acos", "ceiling", "cos", "elu1", "erf", "exp", "floor", "gelu", "hsigmoid", "hswish", "log", "mish",
    "negative", "relu", "selu1", "sigmoid", "sign", "sin", "softplus", "sqrt", "swish", "tan", "tanh", "clamp1",
    "convert1", "logical1", "round1",
)  # fmt: skip
_BINARY = (
    "add", "divide", "maximum", "minimum", "multiply", "power", "squared_difference", "subtract", "mod",
    "floor_mod", "less", "equal",
)  # fmt: skip
_REDUCE = ("reduce_sum", "reduce_mean", "reduce_max", "reduce_min", "reduce_prod", "reduce_l1", "reduce_l2")
_SIZES = (1, 2, 3, 5, 7, 13, 16, 17, 24, 31, 32, 48, 64, 97, 100, 128, 251, 257, 512)
_MOST_ELEMENTS = 1 << 18
#: Matrices of a batch: each is some tasks a tile, and half a million tasks take longer than ``case.SECONDS``.
_MOST_MATRICES = 1 << 11
MACHINES = (
    "arrowlake", "lunarlake", "lunarlake-2025", "lunarlake-vpunn", "meteorlake", "meteorlake-vpunn",
    "pantherlake", "pantherlake-vpunn",
)  # fmt: skip

_MORE = ((), ("--engine", "fast"), ("--hint", "throughput"), ("--xamba", "cumba,reduba,actiba"))


@st.composite
def graphs(draw: st.DrawFn) -> Case:
    """A graph, a machine, and what is asked about them."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "m.xml"
        try:
            ov.save_model(draw(models()), path, compress_to_fp16=False)
        except RuntimeError:  # a few OpenVINO cannot write
            reject()
        files = {"m.xml": path.read_bytes(), "m.bin": path.with_suffix(".bin").read_bytes()}
    settings = [f"tiles={draw(st.integers(1, 12))}"]
    if draw(st.booleans()):
        settings.append(f"cmx.kib_per_tile={draw(st.sampled_from((64, 256, 512, 1024, 1440, 4096)))}")
    more = draw(st.sampled_from(_MORE))
    machine = draw(st.sampled_from(MACHINES))
    options = (word for text in settings for word in ("--set", text))
    return Case(
        (
            "run",
            "--hw",
            machine,
            *options,
            "--model",
            "m.xml",
            "--allow-guess",
            "--no-report",
            "--json",
            *more,
        ),
        files,
    )


@st.composite
def models(draw: st.DrawFn) -> ov.Model:
    """A graph of up to six ops on one input, with one or two results."""
    rank = draw(st.integers(0, 6))
    shape: list[int] = []
    for _ in range(rank):
        most = _MOST_ELEMENTS // int(np.prod(shape, dtype=np.int64) or 1)
        shape.append(draw(st.sampled_from([size for size in _SIZES if size <= max(most, 1)])))
    kind = draw(st.sampled_from((np.float16, np.float16, np.float32, np.int8, np.int32)))
    start = op.parameter(shape, kind, name="given")
    node = start if kind in (np.float16, np.float32) else op.convert(start, "f16")
    seen = [node]
    for _ in range(draw(st.integers(1, 6))):
        made = draw(_step(seen))
        if made is not None and 0 < np.prod(list(made.get_output_shape(0)), dtype=np.int64) <= _MOST_ELEMENTS:
            seen.append(made)
    results = draw(st.lists(st.sampled_from(seen[-3:]), min_size=1, max_size=2, unique_by=id))
    return ov.Model([op.result(node) for node in results], [start], "random")


@st.composite
def _step(draw: st.DrawFn, seen: list[ov.Node]) -> ov.Node | None:
    """One more op, or None where what was drawn cannot be (OpenVINO says no)."""
    node = draw(st.sampled_from(seen))
    try:
        return draw(_made(node, seen))
    except (RuntimeError, ValueError, TypeError, LookupError, AttributeError):
        return None


@st.composite
def _made(draw: st.DrawFn, node: ov.Node, seen: list[ov.Node]) -> ov.Node:  # noqa: PLR0915 (a list of ops)
    shape, kind = list(node.get_output_shape(0)), node.get_output_element_type(0)
    rank = len(shape)
    axis = draw(st.integers(0, max(0, rank - 1)))
    which = draw(st.sampled_from(_STEPS))
    constant = lambda dims: op.constant(np.full(dims, 0.5, np.float32).astype(kind.to_dtype()))  # noqa: E731
    if which == "unary":
        return _unary(draw(st.sampled_from(_UNARY)), node)
    if which == "binary":
        other = draw(st.sampled_from([one for one in seen if list(one.get_output_shape(0)) == shape]))
        return _as_float(getattr(op, draw(st.sampled_from(_BINARY)))(node, other))
    if which == "constant":
        dims = [size if draw(st.booleans()) else 1 for size in shape]
        sides = (node, constant(dims))
        return _as_float(getattr(op, draw(st.sampled_from(_BINARY)))(*draw(st.permutations(sides))))
    if which == "outer":
        return op.add(node, constant([draw(st.sampled_from(_SIZES)), *[1] * rank]))
    if which == "matmul":
        return op.matmul(node, constant([shape[-1], draw(st.sampled_from(_SIZES))]), False, False)
    if which in ("square", "attention") and np.prod(shape[:-2], dtype=np.int64) > _MOST_MATRICES:
        return None
    if which == "square":
        return op.matmul(node, node, False, True)
    if which == "conv":
        taps = draw(st.sampled_from((1, 2, 3, 5)))
        channels = draw(st.sampled_from(_SIZES))
        stride, pad = draw(st.sampled_from((1, 1, 2, 3))), draw(st.integers(0, 2))
        spatial = rank - 2
        return op.convolution(
            node, constant([channels, shape[1], *[taps] * spatial]), [stride] * spatial, [pad] * spatial,
            [pad] * spatial, [draw(st.sampled_from((1, 1, 2)))] * spatial,
        )  # fmt: skip
    if which == "group":
        spatial = rank - 2
        return op.group_convolution(
            node,
            constant([shape[1], 1, 1, *[3] * spatial]),
            [1] * spatial,
            [1] * spatial,
            [1] * spatial,
            [1] * spatial,
        )
    if which == "back":
        spatial = rank - 2
        return op.convolution_backprop_data(node, constant([shape[1], 8, *[2] * spatial]), [2] * spatial)
    if which == "pool":
        spatial = rank - 2
        one, two = [1] * spatial, [2] * spatial
        if draw(st.booleans()):
            return op.avg_pool(node, two, [0] * spatial, [0] * spatial, two, draw(st.booleans()))
        return op.max_pool(node, two, one, [0] * spatial, [0] * spatial, [3] * spatial).output(0).get_node()
    if which == "reduce":
        axes = draw(st.lists(st.integers(0, max(0, rank - 1)), min_size=1, max_size=3, unique=True))
        return getattr(op, draw(st.sampled_from(_REDUCE)))(node, np.array(axes), draw(st.booleans()))
    if which == "transpose":
        return op.transpose(node, np.array(draw(st.permutations(range(rank))), np.int64))
    if which == "reshape":
        flat = int(np.prod(shape, dtype=np.int64))
        first = draw(st.sampled_from([d for d in (1, 2, 3, 4, 8, 16) if flat % d == 0]))
        return op.reshape(node, np.array([first, flat // first] if draw(st.booleans()) else [flat]), False)
    if which == "unsqueeze":
        return op.unsqueeze(node, np.array(axis))
    if which == "squeeze":
        return op.squeeze(node)
    if which == "softmax":
        return draw(st.sampled_from((op.softmax, op.log_softmax)))(node, axis)
    if which == "cumsum":
        return op.cum_sum(node, np.array(axis), draw(st.booleans()), draw(st.booleans()))
    if which == "slice":
        step = draw(st.sampled_from((1, 1, 2, 3)))
        start = draw(st.integers(0, shape[axis] - 1))
        return op.slice(node, [start], [shape[axis]], [step], [axis])
    if which == "split":
        parts = draw(st.sampled_from([d for d in (1, 2, 3, 4) if shape[axis] % d == 0]))
        return op.add(*[op.split(node, axis, parts).output(i) for i in (0, parts - 1)])
    if which == "concat":
        return op.concat([node, *draw(st.lists(st.sampled_from(seen), min_size=1, max_size=2))], axis)
    if which == "gather":
        rows = draw(st.lists(st.integers(0, shape[axis] - 1), min_size=1, max_size=9))
        return op.gather(node, np.array(rows), np.array(axis))
    if which == "broadcast":
        return op.broadcast(node, np.array([draw(st.sampled_from(_SIZES)), *shape]))
    if which == "tile":
        return op.tile(node, np.array([draw(st.sampled_from((1, 2, 3))) for _ in shape]))
    if which == "pad":
        ends = [draw(st.integers(0, 2)) for _ in shape]
        return op.pad(node, ends, ends[::-1], "constant", 0.0)
    if which == "norm":
        return op.mvn(node, np.array([axis]), True, 1e-5, "inside_sqrt")
    if which == "normalize":
        return op.normalize_l2(node, np.array([axis]), 1e-6, "add")
    if which == "group_norm":
        return op.group_normalization(node, constant([shape[1]]), constant([shape[1]]), shape[1], 1e-5)
    if which == "quantize":
        ends = [op.constant(np.array(value, np.float32).astype(kind.to_dtype())) for value in (-1.0, 1.0)]
        return op.fake_quantize(node, *ends, *ends, draw(st.sampled_from((2, 16, 255, 256))))
    if which == "select":
        return op.select(op.greater(node, constant([1] * rank)), node, constant([1] * rank))
    if which == "topk":
        return op.convert(op.topk(node, np.array(1), axis, "max", "value").output(0), kind)
    if which == "depth":
        return op.depth_to_space(node, "blocks_first", 2)
    if which == "space":
        return op.space_to_depth(node, "blocks_first", 2)
    if which == "shuffle":
        return op.shuffle_channels(node, axis, 2)
    if which == "reverse":
        return op.reverse(node, np.array([axis]), "index")
    if which == "interpolate":
        scale = np.array([2.0, 2.0], np.float32)
        return op.interpolate(node, scale, draw(st.sampled_from(("nearest", "linear_onnx"))), "scales",
                              axes=np.array([rank - 2, rank - 1]))  # fmt: skip
    if which == "attention":
        return op.scaled_dot_product_attention(node, node, node, causal=draw(st.booleans()))
    if which == "one_hot":
        index = op.convert(op.abs(node), "i32")
        return op.convert(op.one_hot(index, np.array(8, np.int32), np.float32(1), np.float32(0), -1), kind)
    return op.prelu(node, constant([1]))


_STEPS = (
    "unary", "unary", "binary", "constant", "outer", "matmul", "matmul", "square", "conv", "conv", "group",
    "back", "pool", "reduce", "reduce", "transpose", "reshape", "unsqueeze", "squeeze", "softmax", "cumsum",
    "slice", "split", "concat", "gather", "broadcast", "tile", "pad", "norm", "normalize", "group_norm",
    "quantize", "select", "topk", "depth", "space", "shuffle", "reverse", "interpolate", "attention", "one_hot",
    "prelu",
)  # fmt: skip


def _as_float(node: ov.Node) -> ov.Node:
    boolean = node.get_output_element_type(0).get_type_name() == "boolean"
    return op.convert(node, "f16") if boolean else node


def _unary(name: str, node: ov.Node) -> ov.Node:
    special = {
        "elu1": lambda: op.elu(node, 1.0),
        "selu1": lambda: op.selu(node, np.float16(1), np.float16(1)),
        "clamp1": lambda: op.clamp(node, -1.0, 6.0),
        "convert1": lambda: op.convert(op.convert(node, "i32"), node.get_output_element_type(0)),
        "logical1": lambda: op.convert(op.logical_not(op.convert(node, "boolean")), "f16"),
        "round1": lambda: op.round(node, "half_to_even"),
        "gelu": lambda: op.gelu(node, "erf"),
    }
    made: ov.Node = special[name]() if name in special else getattr(op, name)(node)
    return made
