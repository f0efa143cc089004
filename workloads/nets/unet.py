"""U-Net for CamVid, 368x480, 12 classes (openvinotoolkit/nncf: examples/torch/semantic_segmentation/models/unet.py with
the defaults of unet_camvid.json: depth 5, 64 channels at first, padded, batch norm, transposed convolutions), which the
Open Model Zoo carries as unet-camvid-onnx-0001."""

from __future__ import annotations

import openvino as ov
from openvino import opset15 as op

from npusim.workloads.nets.maker import Maker
from npusim.workloads.scope import Value

_HEIGHT, _WIDTH, _CLASSES = 368, 480, 12
_WIDTHS = (64, 128, 256, 512, 1024)


def build(m: Maker, *, batch: int, tokens: int) -> ov.Model:
    """Image [batch, 3, 368, 480] to probabilities [batch, 12, 368, 480]."""
    x = m.quantised("image", m.input("image", (batch, 3, _HEIGHT, _WIDTH)))
    kept: list[Value] = []
    for i, width in enumerate(_WIDTHS):
        if kept:
            pool = m(op.max_pool, f"down.{i}.pool", x, strides=[2, 2], dilations=[1, 1], pads_begin=[0, 0],
                     pads_end=[0, 0], kernel_shape=[2, 2])  # fmt: skip
            x = pool.output(0)
        x = _block(m, f"down.{i}", x, width)
        kept.append(x)
    for i, width in reversed(list(enumerate(_WIDTHS[:-1]))):
        up = m.quantised(f"up.{i}", m.transposed_conv(f"up.{i}", x, width, 2))
        x = _block(m, f"up.{i}.block", m.concat(f"up.{i}.concat", [up, kept[i]], 1), width)
    return m.model(m(op.softmax, "probabilities", m.conv("last", x, _CLASSES), axis=1))


def _block(m: Maker, name: str, x: Value, width: int) -> Value:
    for i in range(2):
        inner = f"{name}.{i}"
        x = m.quantised(f"{inner}.relu", m(op.relu, f"{inner}.relu", m.conv(inner, x, width, 3)))
    return x
