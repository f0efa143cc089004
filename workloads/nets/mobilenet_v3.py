"""MobileNet-v3 large, 224x224 (arXiv 1905.02244, table 1), as PyTorch exports it: HSwish as one op, squeeze and excite
by pooling, two 1x1 convolutions and HSigmoid."""

from __future__ import annotations

import openvino as ov
from openvino import opset15 as op

from npusim.workloads.nets.maker import Maker, shape_of
from npusim.workloads.scope import Value

#: Kernel, width inside, output channels, squeeze and excite, HSwish (else ReLU), stride.
_BLOCKS = (
    (3, 16, 16, False, False, 1), (3, 64, 24, False, False, 2), (3, 72, 24, False, False, 1),
    (5, 72, 40, True, False, 2), (5, 120, 40, True, False, 1), (5, 120, 40, True, False, 1),
    (3, 240, 80, False, True, 2), (3, 200, 80, False, True, 1), (3, 184, 80, False, True, 1),
    (3, 184, 80, False, True, 1), (3, 480, 112, True, True, 1), (3, 672, 112, True, True, 1),
    (5, 672, 160, True, True, 2), (5, 960, 160, True, True, 1), (5, 960, 160, True, True, 1),
)  # fmt: skip


def build(m: Maker, *, batch: int, tokens: int) -> ov.Model:
    """Image [batch, 3, 224, 224] to logits [batch, 1000]."""
    image = m.quantised("image", m.input("image", (batch, 3, 224, 224)))
    x = _activated(m, "stem", m.conv("stem", image, 16, 3, 2), True)
    for number, block in enumerate(_BLOCKS):
        x = _block(m, f"blocks.{number}", x, *block)
    x = _activated(m, "last", m.conv("last", x, 960), True)
    pooled = m.quantised("pool", m(op.reduce_mean, "pool", x, (2, 3), keep_dims=True))
    x = _activated(m, "head", m.linear("head", m.reshape("flatten", pooled, (0, -1)), 1280), True)
    return m.model(m.linear("classifier", x, 1000))


def _block(
    m: Maker, name: str, x: Value, kernel: int, inside: int, out: int, excite: bool, curved: bool, stride: int
) -> Value:
    """An inverted residual, with squeeze and excite behind the depth-wise convolution."""
    before, y = shape_of(x)[1], x
    if inside != before:
        y = _activated(m, f"{name}.expand", m.conv(f"{name}.expand", y, inside), curved)
    y = _activated(m, f"{name}.conv", m.depthwise(f"{name}.conv", y, kernel, stride), curved)
    if excite:
        y = m.quantised(f"{name}.excited", m(op.multiply, f"{name}.excited", y, _excite(m, name, y)))
    y = m.quantised(f"{name}.reduce", m.conv(f"{name}.reduce", y, out))
    return m.quantised(f"{name}.add", m(op.add, f"{name}.add", x, y)) if stride == 1 and before == out else y


def _excite(m: Maker, name: str, x: Value) -> Value:
    """A weight a channel, of what the image's mean says."""
    channels = shape_of(x)[1]
    mean = m.quantised(f"{name}.squeeze", m(op.reduce_mean, f"{name}.squeeze", x, (2, 3), keep_dims=True))
    narrow = m(op.relu, f"{name}.narrow.relu", m.conv(f"{name}.narrow", mean, _divisible(channels / 4)))
    wide = m.conv(f"{name}.wide", m.quantised(f"{name}.narrow", narrow), channels)
    return m.quantised(f"{name}.gate", m(op.hsigmoid, f"{name}.gate", wide))


def _activated(m: Maker, name: str, x: Value, curved: bool) -> Value:
    return m.quantised(f"{name}.active", m(op.hswish if curved else op.relu, f"{name}.active", x))


def _divisible(channels: float) -> int:
    """The nearest multiple of 8 that is not below nine tenths of it."""
    near = max(8, int(channels + 4) // 8 * 8)
    return near + 8 if near < 0.9 * channels else near
