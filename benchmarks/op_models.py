"""A minimal model of every op of OpenVINO's opsets 1 to 16."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

import numpy as np
import openvino as ov
from openvino import opset1, opset3, opset8, opset10, opset13, opset14, opset15, opset16
from openvino.op.util import Variable, VariableInfo

o: Any = opset16
F, INT = np.float16, np.int32


class Inputs:
    """Makes the parameters of a model."""

    def __init__(self) -> None:
        """None yet."""
        self.made: list[ov.op.Parameter] = []

    def __call__(self, *shape: int, t: Any = F) -> ov.op.Parameter:
        """A new parameter."""
        self.made.append(o.parameter(list(shape), t, name=f"x{len(self.made)}"))
        return self.made[-1]


def c(values: Any, t: Any = None) -> ov.Node:
    """A constant."""
    return o.constant(np.array(values, t))


def w(*shape: int, t: Any = F) -> ov.Node:
    """Weights, none of them zero."""
    values = np.random.default_rng(1).standard_normal(shape) * 0.02
    return o.constant(values.astype(t) if t is F else np.ones(shape, t))


Builder = Callable[[Inputs], Any]
IMAGE, ROWS = (1, 16, 32, 32), (1, 16, 64)


def _one(make: Callable[[ov.Node], Any], *shape: int, t: Any = F) -> Builder:
    return lambda p: make(p(*(shape or IMAGE), t=t))


def _two(make: Callable[[ov.Node, ov.Node], Any], *shape: int, t: Any = F) -> Builder:
    return lambda p: make(p(*(shape or IMAGE), t=t), p(*(shape or IMAGE), t=t))


def _reduce(make: Callable[..., Any], t: Any = F) -> Builder:
    return lambda p: make(p(*IMAGE, t=t), c([2, 3], INT), True)


def _read_value(p: Inputs, stored: bool) -> Any:
    info = VariableInfo()
    info.data_shape, info.data_type, info.variable_id = ov.PartialShape(list(ROWS)), ov.Type.f16, "state"
    variable = Variable(info)
    total = o.add(ov.op.read_value(o.exp(p(*ROWS)), variable), p(*ROWS))
    return ov.op.assign(total, variable) if stored else [total, ov.op.assign(total, variable)]


def _cell(name: str, gates: int, states: int) -> Builder:
    def build(p: Inputs) -> Any:
        given = [p(2, 32) for _ in range(states)]
        return getattr(o, name)(p(2, 64), *given, w(gates * 32, 64), w(gates * 32, 32), w(gates * 32), 32)

    return build


def _sequence(name: str, gates: int, states: int) -> Builder:
    def build(p: Inputs) -> Any:
        given = [p(2, 1, 32) for _ in range(states)]
        weights = (w(1, gates * 32, 64), w(1, gates * 32, 32), w(1, gates * 32))
        return getattr(o, name)(p(2, 8, 64), *given, c([8, 8], INT), *weights, 32, "FORWARD")

    return build


def _body(p: Inputs, loop: Any, results: int) -> Any:
    xs, first = p(4, 16, 64), p(1, 16, 64)
    x, state = o.parameter([1, 16, 64], F), o.parameter([1, 16, 64], F)
    following = o.tanh(o.add(x, state))
    tests = [o.result(c(True))] * results
    body = ov.Model([*tests, o.result(following)], [x, state])
    loop.set_function(body)
    if results:
        loop.set_special_body_ports([-1, 0])
    last = body.get_results()[-1].input_value(0)
    loop.set_sliced_input(x, xs.output(0), 0, 1, 1, -1, 0)
    loop.set_merged_input(state, first.output(0), last)
    return o.add(loop.get_iter_value(last, -1), first)


def _if(p: Inputs) -> Any:
    x = p(*ROWS)
    bodies = []
    for make in (o.exp, o.tanh):
        inner = o.parameter(list(ROWS), F)
        bodies.append(ov.Model([o.result(make(inner))], [inner]))
    node = o.if_op(c(True))
    for set_body, body in zip((node.set_then_body, node.set_else_body), bodies, strict=True):
        set_body(body)
    node.set_input(x.output(0), *(body.get_parameters()[0] for body in bodies))
    return o.add(node.set_output(*(body.get_results()[0] for body in bodies)), x)


def _binary(name: str) -> Builder:
    return _two(getattr(o, name))


def _bits(name: str, t: Any = np.int32) -> Builder:
    return _two(getattr(o, name), *ROWS, t=t)


def blocks() -> list[ov.Node]:
    """Blocks of 2 x 2 and no crops."""
    return [c(v, INT) for v in ([1, 1, 2, 2], [0] * 4, [0] * 4)]


UNARY = (
    "abs", "acos", "acosh", "asin", "asinh", "atan", "atanh", "ceiling", "cos", "cosh", "erf", "exp", "floor",
    "hsigmoid", "hswish", "log", "mish", "negative", "relu", "sigmoid", "sign", "sin", "sinh", "softplus", "softsign",
    "sqrt", "tan", "tanh", "is_finite", "is_inf", "is_nan",
)  # fmt: skip
BINARY = (
    "add", "divide", "equal", "floor_mod", "greater", "greater_equal", "less", "less_equal", "maximum", "minimum",
    "mod", "multiply", "not_equal", "power", "squared_difference", "subtract",
)  # fmt: skip

#: A minimal model of each op, by its type; several of one type by what they are told apart by.
MODELS: dict[str, Builder] = {
    **{name: _one(getattr(o, name)) for name in UNARY},
    **{name: _binary(name) for name in BINARY},
    **{name: _bits(name) for name in ("bitwise_and", "bitwise_or", "bitwise_xor")},
    **{name: _bits(name) for name in ("bitwise_left_shift", "bitwise_right_shift")},
    **{name: _bits(name, np.bool_) for name in ("logical_and", "logical_or", "logical_xor")},
    "bitwise_not": _one(o.bitwise_not, *ROWS, t=np.int32),
    "logical_not": _one(o.logical_not, *ROWS, t=np.bool_),
    **{
        f"reduce_{kind}": _reduce(getattr(o, f"reduce_{kind}"))
        for kind in ("l1", "l2", "max", "mean", "min", "prod", "sum")
    },
    **{f"reduce_logical_{kind}": _reduce(getattr(o, f"reduce_logical_{kind}"), np.bool_) for kind in ("and", "or")},
    # Activations with parameters, and functions along an axis.
    "clamp": _one(lambda x: o.clamp(x, -1.0, 1.0)),
    "elu": _one(lambda x: o.elu(x, 1.0)),
    "gelu": _one(lambda x: o.gelu(x, "erf")),
    "hard_sigmoid": _one(lambda x: o.hard_sigmoid(x, c(0.2, F), c(0.5, F))),
    "prelu": _one(lambda x: o.prelu(x, w(16))),
    "round": _one(lambda x: o.round(x, "half_to_even")),
    "selu": _one(lambda x: o.selu(x, c(1.6, F), c(1.05, F))),
    "swish": _one(lambda x: o.swish(x, c(1.0, F))),
    "cum_sum": _one(lambda x: o.cum_sum(x, c(2, INT))),
    "grn": _one(lambda x: o.grn(x, 1e-5)),
    "log_softmax": _one(lambda x: o.log_softmax(x, 1)),
    "lrn": _one(lambda x: o.lrn(x, c([1], INT), 1e-4, 0.75, 1.0, 5)),
    "mvn": _one(lambda x: o.mvn(x, c([2, 3], INT), True, 1e-5, "INSIDE_SQRT")),
    "normalize_l2": _one(lambda x: o.normalize_l2(x, c([1], INT), 1e-5, "add")),
    "softmax": _one(lambda x: o.softmax(x, 3)),
    "group_normalization": _one(lambda x: o.group_normalization(x, w(16), w(16), 4, 1e-5)),
    "batch_norm_inference": _one(lambda x: o.batch_norm_inference(x, *(c(np.ones(16), F) for _ in range(4)), 1e-5)),
    # Products and windows.
    "matmul": lambda p: o.matmul(p(16, 64), w(64, 64), False, False),
    "convolution": _one(lambda x: o.convolution(x, w(32, 16, 3, 3), [1, 1], [1, 1], [1, 1], [1, 1])),
    "convolution of volumes": _one(
        lambda x: o.convolution(x, w(32, 16, 3, 3, 3), [1] * 3, [1] * 3, [1] * 3, [1] * 3), 1, 16, 8, 16, 16
    ),
    "convolution_backprop_data": _one(lambda x: o.convolution_backprop_data(x, w(16, 32, 2, 2), [2, 2])),
    "group_convolution": _one(lambda x: o.group_convolution(x, w(16, 1, 1, 3, 3), [1, 1], [1, 1], [1, 1], [1, 1])),
    "group_convolution_backprop_data": _one(
        lambda x: o.group_convolution_backprop_data(x, w(16, 1, 1, 2, 2), [2, 2])
    ),
    "binary_convolution": _one(
        lambda x: o.binary_convolution(
            x, o.constant(ov.Tensor(ov.Type.u1, ov.Shape([32, 16, 3, 3]))), [1, 1], [1, 1], [1, 1], [1, 1],
            "xnor-popcount", 0.0,
        )
    ),
    "deformable_convolution": lambda p: opset8.deformable_convolution(
        p(*IMAGE), p(1, 18, 32, 32), w(32, 16, 3, 3), [1, 1], [1, 1], [1, 1], [1, 1]
    ),
    "einsum": lambda p: o.einsum([p(16, 32), p(32, 64)], "ij,jk->ik"),
    "scaled_dot_product_attention": lambda p: o.scaled_dot_product_attention(*(p(1, 4, 64, 32) for _ in range(3))),
    "avg_pool": _one(lambda x: opset14.avg_pool(x, [2, 2], [0, 0], [0, 0], [2, 2], True)),
    "max_pool": _one(lambda x: o.max_pool(x, [2, 2], [1, 1], [0, 0], [0, 0], [2, 2])),
    "adaptive_avg_pool": _one(lambda x: opset8.adaptive_avg_pool(x, c([8, 8], INT))),
    "adaptive_max_pool": _one(lambda x: opset8.adaptive_max_pool(x, c([8, 8], INT), "i32")),
    "roi_pooling": lambda p: opset3.roi_pooling(p(*IMAGE), p(4, 5), [3, 3], F(0.0625), "max"),
    "psroi_pooling": lambda p: opset1.psroi_pooling(p(1, 36, 32, 32), p(4, 5), 4, 3, 0.0625, 1, 1, "average"),
    "deformable_psroi_pooling": lambda p: o.deformable_psroi_pooling(
        p(1, 36, 32, 32), p(4, 5), 4, 0.0625, 3, "bilinear_deformable", 1, 1
    ),
    "roi_align": lambda p: opset8.roi_align(p(*IMAGE), p(4, 4), c([0, 0, 0, 0], INT), 3, 3, 2, 0.0625, "avg"),
    "roi_align_rotated": lambda p: opset15.roi_align_rotated(
        p(*IMAGE), p(4, 5), c([0, 0, 0, 0], INT), 3, 3, 2, 0.0625, True
    ),
    "extract_image_patches": _one(
        lambda x: opset3.extract_image_patches(x, [3, 3], [3, 3], [1, 1], "VALID")
    ),
    "col2im": lambda p: opset15.col2im(p(1, 144, 64), c([16, 16], INT), c([3, 3], INT), [2, 2], [1, 1], [1, 1], [1, 1]),
    # Moves.
    "broadcast": lambda p: o.broadcast(p(1, 16, 1), c([1, 16, 64], INT)),
    "concat": _two(lambda a, b: o.concat([a, b], 1)),
    "gather": lambda p: o.gather(p(64, 32), p(8, t=INT), c(0, INT)),
    "gather_elements": lambda p: o.gather_elements(p(16, 64), p(16, 8, t=INT), 1),
    "gather_nd": lambda p: o.gather_nd(p(16, 64), p(8, 1, t=INT)),
    "gather_tree": lambda p: o.gather_tree(p(8, 2, 4), p(8, 2, 4), p(2), c(1.0, F)),
    "pad": _one(lambda x: o.pad(x, c([0, 0, 1, 1], INT), c([0, 0, 1, 1], INT), "constant", c(0.0, F))),
    "reshape": _one(lambda x: o.exp(o.reshape(x, c([1, 16, 1024], INT), False))),
    "reverse_sequence": _one(lambda x: o.reverse_sequence(x, c([16], INT), 0, 2)),
    "roll": _one(lambda x: o.roll(x, c([4], INT), c([2], INT))),
    "scatter_elements_update": lambda p: o.scatter_elements_update(p(16, 64), p(16, 8, t=INT), p(16, 8), c(1, INT)),
    "scatter_nd_update": lambda p: o.scatter_nd_update(p(16, 64), p(8, 1, t=INT), p(8, 64)),
    "scatter_update": lambda p: o.scatter_update(p(16, 64), p(8, t=INT), p(8, 64), c(0, INT)),
    "slice": _one(lambda x: o.exp(o.slice(x, c([4], INT), c([12], INT), c([1], INT), c([1], INT)))),
    "slice_scatter": lambda p: opset15.slice_scatter(
        p(16, 64), p(8, 64), c([4], INT), c([12], INT), c([1], INT), c([0], INT)
    ),
    "split": _one(lambda x: o.exp(o.split(x, c(1, INT), 2).output(0))),
    "squeeze": _one(lambda x: o.exp(o.squeeze(x, c([0], INT)))),
    "strided_slice": _one(
        lambda x: o.exp(
            o.strided_slice(x, *(c(v, INT) for v in ([0, 4, 0, 0], [1, 12, 32, 32], [1] * 4)), [0] * 4, [0] * 4)
        )
    ),
    "tile": _one(lambda x: o.tile(x, c([1, 2, 1, 1], INT))),
    "transpose": _one(lambda x: o.transpose(x, c([0, 2, 3, 1], INT))),
    "unsqueeze": _one(lambda x: o.exp(o.unsqueeze(x, c([0], INT))), *ROWS),
    "variadic_split": _one(lambda x: o.exp(o.variadic_split(x, c(1, INT), c([4, 12], INT)).output(1))),
    "batch_to_space": lambda p: o.batch_to_space(p(4, 16, 16, 16), *blocks()),
    "space_to_batch": _one(lambda x: o.space_to_batch(x, *blocks())),
    "depth_to_space": _one(lambda x: o.depth_to_space(x, "blocks_first", 2)),
    "space_to_depth": _one(lambda x: o.space_to_depth(x, "blocks_first", 2)),
    "shuffle_channels": _one(lambda x: o.shuffle_channels(x, 1, 4)),
    "reorg_yolo": _one(lambda x: opset3.reorg_yolo(x, [2, 2])),
    "interpolate": _one(
        lambda x: opset13.interpolate(x, c([64, 64], INT), "linear_onnx", "sizes", [0] * 4, [0] * 4, axes=c([2, 3]))
    ),
    "grid_sample": lambda p: o.grid_sample(p(*IMAGE), p(1, 16, 16, 2), {}),
    # Types, constants and shapes.
    "convert": _one(lambda x: o.convert(x, "i32")),
    "convert_like": lambda p: o.convert_like(p(*ROWS, t=INT), p(4)),
    "convert_promote_types": lambda p: opset14.convert_promote_types(p(*ROWS), p(*ROWS, t=np.float32)),
    "fake_quantize": _one(lambda x: o.fake_quantize(x, c(-1.0, F), c(1.0, F), c(-1.0, F), c(1.0, F), 256)),
    "fake_convert": _one(lambda x: opset13.fake_convert(x, c(1.0, F), destination_type="f8e4m3")),
    "identity": _one(lambda x: o.exp(opset16.identity(x))),
    "eye": lambda p: o.add(p(16, 16), o.eye(c(16, INT), c(16, INT), c(0, INT), "f16")),
    "range": lambda p: o.add(p(64), o.range(c(0, INT), c(64, INT), c(1, INT), "f16")),
    "shape_of": lambda p: o.add(p(*ROWS), o.convert(o.reduce_sum(o.shape_of(p(*ROWS)), c([0], INT), True), "f16")),
    "select": lambda p: o.select(p(*ROWS, t=np.bool_), p(*ROWS), p(*ROWS)),
    "one_hot": lambda p: o.one_hot(p(16, t=INT), c(64, INT), c(1.0, F), c(0.0, F), -1),
    "bucketize": lambda p: o.bucketize(p(16, 64), c(np.arange(8), F), "i32"),
    "search_sorted": lambda p: opset15.search_sorted(c(np.arange(64), F), p(16)),
    "topk": lambda p: o.topk(p(16, 64), c(4, INT), 1, "max", "value", "i32"),
    "unique": lambda p: opset10.unique(p(64), None, True, "i32"),
    "non_zero": lambda p: o.non_zero(p(16, 64), "i32"),
    "random_uniform": lambda p: o.add(p(16, 64), o.random_uniform(c([16, 64], INT), c(0.0, F), c(1.0, F), "f16")),
    "multinomial": lambda p: opset13.multinomial(p(4, 64), c(8, INT), "i32", True, False),
    # Transforms and linear algebra.
    "dft": lambda p: o.dft(p(1, 16, 64, 2), c([2], INT)),
    "idft": lambda p: o.idft(p(1, 16, 64, 2), c([2], INT)),
    "rdft": lambda p: o.rdft(p(1, 16, 64), c([2], INT)),
    "irdft": lambda p: o.irdft(p(1, 16, 33, 2), c([2], INT)),
    "stft": lambda p: opset15.stft(p(1, 1024), w(256), c(256, INT), c(128, INT), False),
    "istft": lambda p: opset16.istft(p(1, 129, 7, 2), w(256), c(256, INT), c(128, INT), True, False),
    "inverse": lambda p: opset14.inverse(p(4, 16, 16), False),
    # Embeddings and segments.
    "embedding_bag_offsets": lambda p: opset15.embedding_bag_offsets(
        w(64, 32), p(8, t=INT), c([0, 4], INT), c(-1, INT)
    ),
    "embedding_bag_offsets_sum": lambda p: opset3.embedding_bag_offsets_sum(w(64, 32), p(8, t=INT), c([0, 4], INT)),
    "embedding_bag_packed": lambda p: opset15.embedding_bag_packed(w(64, 32), p(4, 8, t=INT)),
    "embedding_bag_packed_sum": lambda p: opset3.embedding_bag_packed_sum(w(64, 32), p(4, 8, t=INT)),
    "embedding_segments_sum": lambda p: opset3.embedding_segments_sum(
        w(64, 32), p(8, t=INT), c([0, 0, 0, 1, 1, 2, 2, 3], INT), c(4, INT)
    ),
    "segment_max": lambda p: opset16.segment_max(p(8, 32), c([0, 0, 0, 1, 1, 2, 2, 3], INT), c(4, INT), "ZERO"),
    "sparse_fill_empty_rows": lambda p: opset16.sparse_fill_empty_rows(
        p(4), c([8, 4], INT), p(4, 2, t=INT), c(0.0, F)
    ),
    # Detection.
    "ctc_greedy_decoder": lambda p: o.ctc_greedy_decoder(p(16, 1, 32), p(16, 1), True),
    "ctc_greedy_decoder_seq_len": lambda p: o.ctc_greedy_decoder_seq_len(
        p(1, 16, 32), c([16], INT), c(31, INT), True, "i32", "i32"
    ),
    "ctc_loss": lambda p: o.ctc_loss(p(2, 16, 32), p(2, t=INT), p(2, 16, t=INT), p(2, t=INT), c(31, INT)),
    "detection_output": lambda p: opset1.detection_output(
        p(1, 256), p(1, 128), p(1, 2, 256),
        attrs={"num_classes": 2, "keep_top_k": [10], "nms_threshold": 0.5, "normalized": True},
    ),
    "generate_proposals": lambda p: o.generate_proposals(
        p(1, 3), p(8, 8, 3, 4), p(1, 12, 8, 8), p(1, 3, 8, 8), 0.0, 0.7, 16, 8
    ),
    "matrix_nms": lambda p: o.matrix_nms(p(1, 32, 4), p(1, 4, 32), nms_top_k=16, keep_top_k=8),
    "multiclass_nms": lambda p: o.multiclass_nms(p(1, 32, 4), p(1, 4, 32), nms_top_k=16, keep_top_k=8),
    "nms_rotated": lambda p: opset13.nms_rotated(
        p(1, 32, 5), p(1, 4, 32), c(8, INT), c(0.5, F), c(0.1, F), True, "i32"
    ),
    "non_max_suppression": lambda p: o.non_max_suppression(
        p(1, 32, 4), p(1, 4, 32), c(8, INT), c(0.5, F), c(0.1, F), output_type="i32"
    ),
    "prior_box": lambda p: opset8.prior_box(c([8, 8], np.int64), p(2, t=np.int64), {"min_size": [16.0], "offset": 0.5}),
    "prior_box_clustered": lambda p: opset1.prior_box_clustered(
        c([8, 8], np.int64), p(2, t=np.int64), {"width": [16.0], "height": [16.0], "offset": 0.5}
    ),
    "proposal": lambda p: o.proposal(
        p(1, 24, 8, 8), p(1, 48, 8, 8), c([128, 128, 1], F),
        {**dict.fromkeys(("base_size", "feat_stride", "min_size", "post_nms_topn"), np.uint32(16)),
         "pre_nms_topn": np.uint32(64), "nms_thresh": np.float32(0.7), "ratio": np.array([0.5, 1, 2], np.float32),
         "scale": np.array([2, 4, 8, 16], np.float32)},
    ),
    "region_yolo": _one(lambda x: o.region_yolo(x, 4, 1, 3, True, [0, 1, 2], 1, 3, [1.0] * 6), 1, 27, 8, 8),
    # Colours.
    "i420_to_bgr": lambda p: opset8.i420_to_bgr(p(1, 48, 32, 1, t=np.uint8)),
    "i420_to_rgb": lambda p: opset8.i420_to_rgb(p(1, 48, 32, 1, t=np.uint8)),
    "nv12_to_bgr": lambda p: opset8.nv12_to_bgr(p(1, 48, 32, 1, t=np.uint8)),
    "nv12_to_rgb": lambda p: opset8.nv12_to_rgb(p(1, 48, 32, 1, t=np.uint8)),
    # Recurrences, states and control flow.
    "gru_cell": _cell("gru_cell", 3, 1),
    "gru_sequence": _sequence("gru_sequence", 3, 1),
    "lstm_cell": _cell("lstm_cell", 4, 2),
    "lstm_sequence": _sequence("lstm_sequence", 4, 2),
    "rnn_cell": lambda p: o.rnn_cell(p(2, 64), p(2, 32), w(32, 64), w(32, 32), w(32), 32, ["tanh"], [], []),
    "rnn_sequence": lambda p: o.rnn_sequence(
        p(2, 8, 64), p(2, 1, 32), c([8, 8], INT), w(1, 32, 64), w(1, 32, 32), w(1, 32), 32, "FORWARD"
    ),
    "assign": partial(_read_value, stored=False),
    "read_value": partial(_read_value, stored=False),
    "if_op": _if,
    "loop": lambda p: _body(p, o.loop(c(4, np.int64), c(True)), 1),
    "tensor_iterator": lambda p: _body(p, o.tensor_iterator(), 0),
}  # fmt: skip


def model(name: str) -> ov.Model:
    """The minimal model of one op. Raises what OpenVINO raises where there is none."""
    p = Inputs()
    made = MODELS[name](p)
    nodes = made if isinstance(made, list) else [made]
    stored = [node for node in nodes if isinstance(node, ov.Node) and node.get_type_name() == "Assign"]
    results = [o.result(out) for node in nodes if node not in stored for out in _outputs(node)]
    return ov.Model(results, stored, p.made, name) if stored else ov.Model(results, p.made, name)


def _outputs(node: Any) -> list[ov.Output]:
    return list(node.outputs()) if isinstance(node, ov.Node) else [node]


# -- what becomes of them ---------------------------------------------------------------------------------------------
