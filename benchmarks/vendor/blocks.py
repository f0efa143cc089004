"""Blocks of networks in forms that a user weighs against each other, with sizes drawn by chance.

    python benchmarks/vendor/blocks.py OUT --seed 11 --count 3
    python benchmarks/vendor/reference.py add REF OUT/*.xml --platform 4000 --family blocks

Each block is drawn ``--count`` times, and written in all of its forms: ``NAME_SIZES__FORM``. Whatever differs in their
latency is the form, so that the order in which Intel's compiler ranks them is a test of its own
(``benchmarks.alternatives``). The same seed gives the same models; a fresh seed is an honest test.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable, Mapping
from functools import partial
from pathlib import Path

import numpy as np
import openvino as ov
import openvino.opset13 as op

from benchmarks.vendor.cases import REDUCE, UNARY, Draw, axes, scalar

Form = Callable[[], ov.Node]
"""Makes a block anew, in one form."""
Forms = tuple[str, Mapping[str, Form]]
"""The name of a block with the sizes drawn for it, and its forms by name."""


def attention(d: Draw) -> Forms:
    """Queries of many heads on keys and values of as many, of a quarter of them, and of one."""
    heads, queries, keys, width = (
        d.one((4, 8, 16)),
        d.one((1, 64, 128, 256)),
        d.one((256, 384, 512)),
        d.one((32, 64, 128)),
    )

    def form(shared: int) -> ov.Node:
        q = d.input(1, heads, queries, width)
        k, v = (_repeated(d.input(1, heads // shared, keys, width), shared) for _ in range(2))
        scores = op.multiply(op.matmul(q, k, False, True), scalar(width**-0.5))
        return op.matmul(op.softmax(scores, 3), v, False, False)

    forms = {"mha": 1, "gqa": 4, "mqa": heads} if heads > 4 else {"mha": 1, "mqa": heads}
    return f"attn_h{heads}_q{queries}_k{keys}_d{width}", {name: partial(form, n) for name, n in forms.items()}


def _repeated(x: ov.Output, times: int) -> ov.Output:
    """Heads of a cache, each repeated for the query heads that share it."""
    _, heads, rows, width = x.get_shape()
    if times == 1:
        return x
    spread = op.broadcast(op.unsqueeze(x, axes(2)), axes(1, heads, times, rows, width))
    return op.reshape(spread, axes(1, heads * times, rows, width), False).output(0)


def projections(d: Draw) -> Forms:
    """Query, key and value of an input: as one product that is split, or as three."""
    rows, heads, width = d.one((16, 64, 128, 196, 256)), d.one((4, 6, 8, 12)), d.one((32, 64))
    model = heads * width

    def by_head(x: ov.Node | ov.Output) -> ov.Output:
        return op.transpose(op.reshape(x, axes(1, rows, heads, width), False), axes(0, 2, 1, 3)).output(0)

    def attend(q: ov.Output, k: ov.Output, v: ov.Output) -> ov.Node:
        scores = op.multiply(op.matmul(by_head(q), by_head(k), False, True), scalar(width**-0.5))
        found = op.matmul(op.softmax(scores, 3), by_head(v), False, False)
        return op.reshape(op.transpose(found, axes(0, 2, 1, 3)), axes(1, rows, model), False)

    def fused() -> ov.Node:
        whole = op.matmul(d.input(1, rows, model), d.weights(model, 3 * model), False, False)
        return attend(*op.split(whole, 2, 3).outputs())

    def apart() -> ov.Node:
        x = d.input(1, rows, model)
        return attend(*(op.matmul(x, d.weights(model, model), False, False).output(0) for _ in range(3)))

    return f"qkv_s{rows}_h{heads}_d{width}", {"fused": fused, "apart": apart}


def feed_forward(d: Draw) -> Forms:
    """Two layers with one activation or another between them, and the gated layer."""
    rows, width, hidden = (
        d.one((1, 16, 77, 128, 197, 256)),
        d.one((256, 384, 512, 768)),
        d.one((768, 1024, 1536, 2048)),
    )

    def form(act: str) -> ov.Node:
        up = op.matmul(d.input(1, rows, width), d.weights(width, hidden), False, False)
        return op.matmul(UNARY[act](up.output(0)), d.weights(hidden, width), False, False)

    def gated() -> ov.Node:
        x = d.input(1, rows, width)
        gate, up = (op.matmul(x, d.weights(width, hidden), False, False) for _ in range(2))
        return op.matmul(op.multiply(op.swish(gate, scalar(1)), up), d.weights(hidden, width), False, False)

    acts = d.some(("relu", "gelu", "swish", "tanh", "hswish", "sigmoid"), 3)
    forms: dict[str, Form] = {act: partial(form, act) for act in acts}
    return f"ffn_s{rows}_d{width}_f{hidden}", {**forms, "gated": gated}


def weights(d: Draw) -> Forms:
    """A product with weights of 16, 8 and 4 bits, each output channel with a scale of its own."""
    rows, width, out = d.one((1, 16, 64)), d.one((512, 768, 1024, 2048)), d.one((512, 1024, 1536, 2048))

    def form(bits: int) -> ov.Node:
        x = d.input(1, rows, width)
        if bits == 16:
            return op.matmul(x, d.weights(out, width), False, True)
        most = (1 << bits - 1) - 1
        stored = d.rng.integers(1, most + 1, (out, width)).astype(np.int8)
        coded = op.constant(stored) if bits == 8 else _constant4(stored)
        scaled = op.multiply(op.convert(coded, np.float16), d.weights(out, 1))
        return op.matmul(x, scaled, False, True)

    return f"w_s{rows}_k{width}_n{out}", {f"w{bits}": partial(form, bits) for bits in (16, 8, 4)}


def _constant4(values: np.ndarray) -> ov.Node:
    tensor = ov.Tensor(ov.helpers.pack_data(values, ov.Type.i4), list(values.shape), ov.Type.i4)
    return ov.op.Constant(tensor)


def convolution(d: Draw) -> Forms:
    """A 3 x 3 layer: dense, in groups, depth-wise then pointwise, and as a bottleneck."""
    channels, pixels, act = (
        d.one((32, 64, 96, 128, 192)),
        d.one((14, 20, 28, 40, 56)),
        d.some(("relu", "swish", "hswish"), 1)[0],
    )

    def conv(x: ov.Node | ov.Output, kernel: int, inner: int, outer: int) -> ov.Output:
        pads = [kernel // 2] * 2
        made = op.convolution(x, d.weights(outer, inner, kernel, kernel), [1, 1], pads, pads, [1, 1])
        return UNARY[act](made.output(0)).output(0)

    def grouped(x: ov.Output, groups: int) -> ov.Output:
        each = channels // groups
        made = op.group_convolution(x, d.weights(groups, each, each, 3, 3), [1, 1], [1, 1], [1, 1], [1, 1])
        return UNARY[act](made.output(0)).output(0)

    def image() -> ov.Output:
        return d.input(1, channels, pixels, pixels)

    def bottleneck() -> ov.Node:
        x, inner = image(), channels // 2
        return op.add(x, conv(conv(conv(x, 1, channels, inner), 3, inner, inner), 1, inner, channels))

    return f"conv_c{channels}_{pixels}_{act}", {
        "dense": lambda: conv(image(), 3, channels, channels).get_node(),
        "grouped": lambda: grouped(image(), channels // 16).get_node(),
        "separable": lambda: conv(grouped(image(), channels), 1, channels, channels).get_node(),
        "bottleneck": bottleneck,
    }


def downsample(d: Draw) -> Forms:
    """Half the pixels: by stride, by pooling, by a space-to-depth."""
    channels, pixels, out = d.one((16, 32, 64, 96)), d.one((28, 40, 56, 80)), d.one((64, 128, 192))

    def conv(x: ov.Node | ov.Output, inner: int, kernel: int, stride: int) -> ov.Node:
        pads = [kernel // 2] * 2
        return op.relu(
            op.convolution(x, d.weights(out, inner, kernel, kernel), [stride] * 2, pads, pads, [1, 1])
        )

    def image() -> ov.Output:
        return d.input(1, channels, pixels, pixels)

    def pooled() -> ov.Node:
        small = op.max_pool(image(), [2, 2], [1, 1], [0, 0], [0, 0], [2, 2]).output(0)
        return conv(small, channels, 3, 1)

    return f"down_c{channels}_{pixels}_to{out}", {
        "stride": lambda: conv(image(), channels, 3, 2),
        "pool": pooled,
        "s2d": lambda: conv(op.space_to_depth(image(), "blocks_first", 2), 4 * channels, 1, 1),
    }


def upsample(d: Draw) -> Forms:
    """Twice the pixels: nearest, transposed, by a depth-to-space."""
    channels, pixels = d.one((32, 64, 128)), d.one((14, 20, 28, 40))

    def conv(x: ov.Node | ov.Output, out: int, kernel: int) -> ov.Node:
        pads = [kernel // 2] * 2
        return op.convolution(x, d.weights(out, channels, kernel, kernel), [1, 1], pads, pads, [1, 1])

    def image() -> ov.Output:
        return d.input(1, channels, pixels, pixels)

    def nearest() -> ov.Node:
        factor = np.array([2.0, 2.0], np.float32)
        return conv(op.interpolate(image(), factor, "nearest", "scales", axes=axes(2, 3)), channels, 3)

    return f"up_c{channels}_{pixels}", {
        "nearest": nearest,
        "transposed": lambda: op.convolution_backprop_data(
            image(), d.weights(channels, channels, 2, 2), [2, 2]
        ),
        "d2s": lambda: op.depth_to_space(conv(image(), 4 * channels, 1), "blocks_first", 2),
    }


def running_sum(d: Draw) -> Forms:
    """A running sum, as it is and as a product with a triangle."""
    heads, rows, width = d.one((1, 8, 24, 32)), d.one((32, 64, 128, 256)), d.one((32, 64, 128))

    def product() -> ov.Node:
        triangle = op.constant(np.tril(np.ones((rows, rows), np.float16)))
        return op.exp(op.matmul(triangle, d.input(1, heads, rows, width), False, False))

    return f"scan_h{heads}_s{rows}_d{width}", {
        "cumsum": lambda: op.exp(op.cumsum(d.input(1, heads, rows, width), axes(2))),
        "cumba": product,
    }


def total(d: Draw) -> Forms:
    """A sum over rows, as it is and as a product with ones."""
    heads, rows, width = d.one((1, 8, 24, 64)), d.one((32, 64, 128, 256)), d.one((64, 128, 256))

    def product() -> ov.Node:
        ones = op.constant(np.ones((1, rows), np.float16))
        return op.matmul(ones, d.input(1, heads, rows, width), False, False)

    return f"sum_h{heads}_s{rows}_d{width}", {
        "reduce": lambda: REDUCE["rsum"](d.input(1, heads, rows, width), axes(2), True),
        "reduba": product,
    }


def normalised(d: Draw) -> Forms:
    """A layer behind a norm: by mean and deviation, by the root of the mean square, or by what is known beforehand."""
    rows, width, out = d.one((16, 77, 128, 196, 256)), d.one((256, 384, 512, 768)), d.one((256, 512, 1024))

    def form(kind: str) -> ov.Node:
        x = d.input(1, rows, width)
        if kind == "layer":
            normal = op.multiply(op.mvn(x, axes(2), True, 1e-5, "INSIDE_SQRT"), d.weights(1, 1, width))
        elif kind == "rms":
            mean = op.reduce_mean(op.multiply(x, x), axes(2), True)
            normal = op.multiply(op.divide(x, op.sqrt(op.add(mean, scalar(1e-5)))), d.weights(1, 1, width))
        else:
            normal = op.add(op.multiply(x, d.weights(1, 1, width)), d.weights(1, 1, width))
        return op.matmul(normal, d.weights(width, out), False, False)

    return f"norm_s{rows}_d{width}_n{out}", {k: partial(form, k) for k in ("layer", "rms", "affine")}


def chunked(d: Draw) -> Forms:
    """The products inside the chunks of a state-space duality, by the chunk's length."""
    heads, tokens, width, state = d.one((8, 16, 24)), d.one((256, 512)), d.one((32, 64)), d.one((32, 64, 128))

    def form(length: int) -> ov.Node:
        batch = heads * tokens // length
        c, b = (d.input(1, batch, length, state) for _ in range(2))
        scores = op.multiply(op.matmul(c, b, False, True), d.input(1, batch, length, length))
        return op.matmul(scores, d.input(1, batch, length, width), False, False)

    return f"ssd_h{heads}_t{tokens}_p{width}_n{state}", {f"l{n}": partial(form, n) for n in (32, 64, 128)}


BLOCKS = (
    attention, projections, feed_forward, weights, convolution, downsample, upsample, running_sum, total, normalised,
    chunked,
)  # fmt: skip


def main() -> None:
    """Read the command line and write the blocks."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("out", type=Path)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--count", type=int, default=3, help="draws of each block")
    given = parser.parse_args()
    given.out.mkdir(parents=True, exist_ok=True)
    draw = Draw(given.seed)
    for block in BLOCKS:
        for _ in range(given.count):
            name, forms = block(draw)
            for form, make in forms.items():
                draw.inputs = []
                model = ov.Model([make()], draw.inputs, f"{name}__{form}")
                ov.save_model(model, given.out / f"{model.friendly_name}.xml", compress_to_fp16=False)


if __name__ == "__main__":
    main()
