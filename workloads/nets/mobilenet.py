"""MobileNet-v2 1.0, 224x224, as TensorFlow trains it: 1001 classes, padding of strided kernels behind."""

from __future__ import annotations

import openvino as ov
from openvino import opset15 as op

from npusim.workloads.nets.maker import Maker
from npusim.workloads.scope import Value

#: Expansion, output channels, blocks, stride of the first (arXiv 1801.04381, table 2).
_STAGES = (
    (1, 16, 1, 1), (6, 24, 2, 2), (6, 32, 3, 2), (6, 64, 4, 2), (6, 96, 3, 1), (6, 160, 3, 2), (6, 320, 1, 1),
)  # fmt: skip


def build(m: Maker, *, batch: int, tokens: int) -> ov.Model:
    """Image [batch, 3, 224, 224] to logits [batch, 1001]."""
    image = m.quantised("image", m.input("image", (batch, 3, 224, 224)))
    x = _activated(m, "stem", m.conv("stem", image, 32, 3, 2, same_upper=True))
    channels = 32
    for stage, (expansion, out, blocks, stride) in enumerate(_STAGES):
        for block in range(blocks):
            name = f"stages.{stage}.{block}"
            x = _block(m, name, x, (channels, expansion * channels, out), stride if block == 0 else 1)
            channels = out
    x = _activated(m, "last", m.conv("last", x, 1280))
    pooled = m.quantised("pool", m(op.reduce_mean, "pool", x, (2, 3), keep_dims=True))
    return m.model(m.linear("classifier", m.reshape("flatten", pooled, (0, -1)), 1001))


def _block(m: Maker, name: str, x: Value, widths: tuple[int, int, int], stride: int) -> Value:
    """An inverted residual: ``widths`` in, inside and out."""
    before, inside, after = widths
    y = x
    if inside != before:
        y = _activated(m, f"{name}.expand", m.conv(f"{name}.expand", y, inside))
    y = _activated(m, f"{name}.conv", m.depthwise(f"{name}.conv", y, 3, stride, same_upper=True))
    y = m.quantised(f"{name}.reduce", m.conv(f"{name}.reduce", y, after))
    if stride == 1 and before == after:
        y = m.quantised(f"{name}.add", m(op.add, f"{name}.add", x, y))
    return y


def _activated(m: Maker, name: str, x: Value) -> Value:
    return m.quantised(f"{name}.relu6", m(op.clamp, f"{name}.relu6", x, min_value=0.0, max_value=6.0))
