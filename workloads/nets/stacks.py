"""Stacks of equal layers, as users time an NPU with: MatMuls of one width, with ReLU or without, and convolutions of
one image. The name says how many layers of which width: ``mlp-4x512``, ``linear-8x1024``, ``convs-12x256``.
"""

from __future__ import annotations

import openvino as ov
from openvino import opset15 as op

from npusim.workloads.nets.maker import Maker
from npusim.workloads.scope import Value


def build(m: Maker, *, batch: int, tokens: int) -> ov.Model:
    """Rows [batch, width], or images [batch, width, side, side], to the same shape."""
    kind, _, sizes = m.name.partition("-")
    layers, width, *side = map(int, sizes.split("-")[0].split("x"))
    x: Value = m.input("x", (batch, width, *side * 2))
    for layer in range(layers):
        name = f"layers.{layer}"
        x = m.conv(name, x, width, 3) if side else m.linear(name, x, width)
        x = x if kind == "linear" else m(op.relu, f"{name}.relu", x)
    return m.model(x)
