"""ResNet-50: bottlenecks with the stride in the 3x3 convolution (v1.5)."""

from __future__ import annotations

import openvino as ov
from openvino import opset15 as op

from npusim.workloads.nets.maker import Maker
from npusim.workloads.scope import Value

#: Bottlenecks of every stage.
_DEPTHS = (3, 4, 6, 3)


def build(m: Maker, *, batch: int, tokens: int) -> ov.Model:
    """Image [batch, 3, 224, 224] to logits [batch, 1000]."""
    image = m.quantised("image", m.input("image", (batch, 3, 224, 224)))
    x = _activated(m, "stem", m.conv("stem", image, 64, 7, 2))
    x = m(op.max_pool, "stem.pool", x, strides=[2, 2], dilations=[1, 1], pads_begin=[1, 1], pads_end=[1, 1],
          kernel_shape=[3, 3])  # fmt: skip
    value: Value = x.output(0)
    for stage, depth in enumerate(_DEPTHS):
        for block in range(depth):
            value = _bottleneck(m, f"stages.{stage}.{block}", value, stage, block)
    pooled = m.quantised("pool", m(op.reduce_mean, "pool", value, (2, 3), keep_dims=True))
    logits = m.linear("classifier", m.reshape("flatten", pooled, (0, -1)), 1000)
    return m.model(m(op.add, "classifier.bias", logits, m.float_weight("classifier.bias", (1, 1000))))


def _bottleneck(m: Maker, name: str, x: Value, stage: int, block: int) -> Value:
    width = 64 * 2**stage
    stride = 2 if block == 0 and stage > 0 else 1
    y = _activated(m, f"{name}.reduce", m.conv(f"{name}.reduce", x, width))
    y = _activated(m, f"{name}.conv", m.conv(f"{name}.conv", y, width, 3, stride))
    y = m.quantised(f"{name}.expand", m.conv(f"{name}.expand", y, 4 * width))
    if block == 0:
        x = m.quantised(f"{name}.shortcut", m.conv(f"{name}.shortcut", x, 4 * width, 1, stride))
    return _activated(m, f"{name}.out", m(op.add, f"{name}.add", y, x))


def _activated(m: Maker, name: str, x: Value) -> Value:
    return m.quantised(f"{name}.relu", m(op.relu, f"{name}.relu", x))
