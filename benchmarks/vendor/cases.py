"""Small models with shapes drawn by chance: cases that no rule of npusim was made on.

    python benchmarks/vendor/cases.py OUT --seed 11 --count 10
    python benchmarks/vendor/reference.py add REF OUT/*.xml --platform 4000 --family micro
    npusim validate --index REF/index.csv

Each kind of case gives `--count` models: an operator, or a short chain, of FP16 tensors with the sizes that language
and vision models have. The same seed gives the same cases; a fresh seed is an honest test.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable
from pathlib import Path

import numpy as np
import openvino as ov
import openvino.opset13 as op

TOKENS = (1, 4, 16, 32, 64, 77, 128, 196, 256, 384, 512, 1024)
WIDTHS = (48, 64, 80, 96, 128, 192, 256, 384, 512, 768, 1024, 1536, 1792, 2048, 2560, 3072, 3352, 4096, 5120)
HEADS = (1, 8, 12, 16, 24, 32, 48, 64, 80)
CHANNELS = (16, 24, 32, 48, 64, 96, 128, 144, 192, 256, 320, 384, 512, 576, 960)
PIXELS = (7, 14, 20, 28, 40, 56, 80, 112)
LARGEST = 8 << 20
"""Elements of a tensor at most."""


class Draw:
    """Draws sizes, and makes the tensors of a model. ``inputs`` has its parameters in order."""

    def __init__(self, seed: int) -> None:
        """Draws of one seed."""
        self.rng = np.random.default_rng(seed)
        self.inputs: list[ov.op.Parameter] = []

    def one(self, choices: tuple[int, ...]) -> int:
        """One of the choices."""
        return int(self.rng.choice(choices))

    def some(self, choices: tuple[str, ...], count: int) -> list[str]:
        """Several of the choices, each once at most."""
        return [str(one) for one in self.rng.choice(choices, count, replace=False)]

    def input(self, *shape: int) -> ov.Output:
        """A new FP16 input."""
        parameter = op.parameter(list(shape), np.float16, name=f"x{len(self.inputs)}")
        self.inputs.append(parameter)
        return parameter.output(0)

    def weights(self, *shape: int) -> ov.Output:
        """An FP16 constant of random numbers: none is zero, so that nothing is sparse."""
        return op.constant((self.rng.standard_normal(shape) * 0.02).astype(np.float16)).output(0)

    def activation(self) -> tuple[int, int, int, int]:
        """A shape as between two layers of a state-space model, a transformer or a convolutional network."""
        while True:
            shape = (
                (1, 1, self.one(TOKENS), self.one(WIDTHS)),
                (1, self.one(HEADS), self.one(TOKENS), self.one((32, 64, 128, 256))),
                (1, self.one(TOKENS), self.one(HEADS), self.one((32, 64, 128))),
                (1, self.one(CHANNELS), *([self.one(PIXELS)] * 2)),
            )[self.rng.integers(4)]
            if np.prod(shape) <= LARGEST:
                return shape


def scalar(value: float) -> ov.Output:
    """An FP16 constant."""
    return op.constant(np.array(value, np.float16)).output(0)


def axes(*values: int) -> ov.Output:
    """A constant list of axes."""
    return op.constant(np.array(values, np.int32)).output(0)


UNARY: dict[str, Callable[[ov.Output], ov.Node]] = {
    "abs": op.abs, "clamp": lambda x: op.clamp(x, -0.5, 0.5), "cos": op.cos, "elu": lambda x: op.elu(x, 1.0),
    "erf": op.erf, "exp": op.exp, "floor": op.floor, "gelu": lambda x: op.gelu(x, "erf"), "hswish": op.hswish,
    "log": op.log, "mish": op.mish, "negative": op.negative, "power": lambda x: op.power(x, scalar(2)), "relu": op.relu,
    "sigmoid": op.sigmoid, "sin": op.sin, "softplus": op.softplus, "sqrt": op.sqrt,
    "swish": lambda x: op.swish(x, scalar(1)), "tanh": op.tanh,
}  # fmt: skip
BINARY: dict[str, Callable[[ov.Output, ov.Output], ov.Node]] = {
    "add": op.add, "divide": op.divide, "less": op.less, "maximum": op.maximum, "minimum": op.minimum,
    "multiply": op.multiply, "subtract": op.subtract,
}  # fmt: skip
REDUCE: dict[str, Callable[..., ov.Node]] = {
    "rmax": op.reduce_max, "rmean": op.reduce_mean, "rsum": op.reduce_sum,
}  # fmt: skip


def unary(d: Draw) -> tuple[str, ov.Node]:
    """One activation function."""
    name = str(d.rng.choice(list(UNARY)))
    return name, UNARY[name](d.input(*d.activation()))


def binary(d: Draw) -> tuple[str, ov.Node]:
    """Two tensors of one shape, or the second broadcast along some axes."""
    name, shape = str(d.rng.choice(list(BINARY))), d.activation()
    other = tuple(1 if d.rng.random() < 0.25 else size for size in shape)
    return name, BINARY[name](d.input(*shape), d.input(*other))


def reduce(d: Draw) -> tuple[str, ov.Node]:
    """A sum, mean or maximum over one axis."""
    name, shape = str(d.rng.choice(list(REDUCE))), d.activation()
    axis = int(d.rng.choice([k for k in (1, 2, 3) if shape[k] > 1] or [3]))
    return f"{name}{axis}", REDUCE[name](d.input(*shape), axes(axis), bool(d.rng.integers(2)))


def matmul(d: Draw) -> tuple[str, ov.Node]:
    """Activations times constant weights."""
    width = d.one(WIDTHS)
    return "matmul", op.matmul(d.input(d.one(TOKENS), width), d.weights(width, d.one(WIDTHS)), False, False)


def bmm(d: Draw) -> tuple[str, ov.Node]:
    """Batches of products of two activations."""
    batch, (m, k, n) = d.one(HEADS), (d.one((64, 128, 256, 512)) for _ in range(3))
    return "bmm", op.matmul(d.input(1, batch, m, k), d.input(1, batch, k, n), False, False)


def cumsum(d: Draw) -> tuple[str, ov.Node]:
    """A running sum."""
    batch, n, axis = d.one(HEADS), d.one((32, 64, 128, 256)), int(d.rng.integers(2, 4))
    return f"cumsum{axis}", op.cumsum(d.input(1, batch, n, n), axes(axis))


def cumba(d: Draw) -> tuple[str, ov.Node]:
    """A running sum as the product with a triangular matrix."""
    batch, n = d.one(HEADS), d.one((64, 128, 256))
    mask = op.constant(np.tril(np.ones((n, n), np.float16)))
    return "cumba", op.matmul(mask, d.input(1, batch, n, n), False, False)


def conv(d: Draw) -> tuple[str, ov.Node]:
    """A convolution of an image of 7 to 112 pixels."""
    return "conv", _conv(d, d.input(1, channels := d.one((3, *CHANNELS)), *([d.one(PIXELS)] * 2)), channels)


def depthwise(d: Draw) -> tuple[str, ov.Node]:
    """A depth-wise convolution of an image, or along tokens as in Mamba."""
    if d.rng.random() < 0.5:
        width, tokens = d.one((768, 1536, 1792, 2048, 3072, 5120)), d.one(TOKENS)
        data, weights = d.input(1, width, tokens), d.weights(width, 1, 1, 4)
        return "conv1d", op.group_convolution(data, weights, [1], [3], [0], [1])
    channels, kernel, stride = d.one(CHANNELS), d.one((3, 5)), d.one((1, 2))
    pads = [kernel // 2] * 2
    data, weights = d.input(1, channels, *([d.one(PIXELS)] * 2)), d.weights(channels, 1, 1, kernel, kernel)
    return "depthwise", op.group_convolution(data, weights, [stride] * 2, pads, pads, [1, 1])


def norm(d: Draw) -> tuple[str, ov.Node]:
    """Softmax, RMS norm or layer norm over the last axis."""
    x = d.input(*d.activation())
    kind = str(d.rng.choice(["softmax", "rms", "layernorm"]))
    if kind == "softmax":
        return kind, op.softmax(x, 3)
    if kind == "layernorm":
        return kind, op.mvn(x, axes(3), True, 1e-5, "INSIDE_SQRT")
    mean = op.reduce_mean(op.multiply(x, x), axes(3), True)
    return kind, op.divide(x, op.sqrt(op.add(mean, scalar(1e-5))))


def move(d: Draw) -> tuple[str, ov.Node]:
    """A transpose, a concatenation, or a choice by a mask."""
    shape = d.activation()
    kind = str(d.rng.choice(["transpose", "concat", "select"]))
    if kind == "transpose":
        order = [(0, 2, 1, 3), (0, 1, 3, 2), (0, 2, 3, 1), (0, 3, 1, 2)][d.rng.integers(4)]
        return kind + "".join(map(str, order)), op.transpose(d.input(*shape), axes(*order))
    if kind == "concat":
        axis = int(d.rng.integers(1, 4))
        return f"{kind}{axis}", op.concat([d.input(*shape), d.input(*shape)], axis)
    return kind, op.select(op.less(d.input(*shape), scalar(0)), d.input(*shape), scalar(0))


def chain(d: Draw) -> tuple[str, ov.Node]:
    """A feed-forward or gated layer, one head's attention, or two convolutions with a short cut."""
    kind = str(d.rng.choice(["ffn", "glu", "attention", "bottleneck"]))
    if kind == "bottleneck":
        x = d.input(1, channels := d.one((32, 64, 96, 128)), *([d.one((14, 20, 28, 40, 56))] * 2))
        y = x
        for _ in range(2):
            y = op.swish(_conv(d, y, channels, channels, 3, 1), scalar(1)).output(0)
        return kind, op.add(x, y)
    if kind == "attention":
        heads, tokens, width = d.one((4, 8, 12, 16)), d.one((64, 128, 256)), d.one((32, 64))
        q, k, v = (d.input(1, heads, tokens, width) for _ in range(3))
        scores = op.multiply(op.matmul(q, k, False, True), scalar(width**-0.5))
        return kind, op.matmul(op.softmax(scores, 3), v, False, False)
    width, hidden, x = d.one((256, 512, 768)), d.one((768, 1024, 1536, 2048)), None
    x = d.input(1, d.one((16, 64, 128, 256)), width)
    up = op.matmul(x, d.weights(width, hidden), False, False)
    if kind == "ffn":
        inner = op.gelu(up, "erf")
    else:
        inner = op.multiply(op.swish(up, scalar(1)), op.matmul(x, d.weights(width, hidden), False, False))
    return kind, op.matmul(inner, d.weights(hidden, width), False, False)


def _conv(d: Draw, x: ov.Output, channels: int, out: int = 0, kernel: int = 0, stride: int = 0) -> ov.Node:
    out, kernel, stride = out or d.one(CHANNELS), kernel or d.one((1, 3)), stride or d.one((1, 1, 2))
    pads = [kernel // 2] * 2
    return op.convolution(x, d.weights(out, channels, kernel, kernel), [stride] * 2, pads, pads, [1, 1])


KINDS = (unary, binary, reduce, matmul, bmm, cumsum, cumba, conv, depthwise, norm, move, chain)


def main() -> None:
    """Read the command line and write the cases."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("out", type=Path)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--count", type=int, default=10, help="models of each kind")
    given = parser.parse_args()
    given.out.mkdir(parents=True, exist_ok=True)
    draw = Draw(given.seed)
    for kind in KINDS:
        for _ in range(given.count):
            draw.inputs = []
            name, result = kind(draw)
            sizes = "_".join("x".join(map(str, each.shape)) for each in [*draw.inputs, result.output(0)])
            model = ov.Model([result], draw.inputs, f"{name}_{sizes}")
            ov.save_model(model, given.out / f"{model.friendly_name}.xml", compress_to_fp16=False)


if __name__ == "__main__":
    main()
