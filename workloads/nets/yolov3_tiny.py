"""YOLOv3-tiny, 416x416 (github pjreddie/darknet: cfg/yolov3-tiny.cfg), as the Open Model Zoo converts it from Keras
(openvinotoolkit/open_model_zoo: models/public/yolo-v3-tiny-tf): the image comes with channels last, and each of the
two maps ends in a RegionYolo."""

from __future__ import annotations

import numpy as np
import openvino as ov
from openvino import opset15 as op

from npusim.workloads.nets.maker import Maker
from npusim.workloads.nets.yolo import doubled
from npusim.workloads.scope import Value

_SIDE, _CLASSES = 416, 80
#: Three boxes of four sides, one confidence and the classes.
_OUT = 3 * (5 + _CLASSES)
_ANCHORS = [10.0, 14.0, 23.0, 27.0, 37.0, 58.0, 81.0, 82.0, 135.0, 169.0, 344.0, 319.0]


def build(m: Maker, *, batch: int, tokens: int) -> ov.Model:
    """Image [batch, 416, 416, 3] to boxes [batch, 255, 13, 13] and [batch, 255, 26, 26]."""
    image = m.transpose("image.planes", m.input("image_input", (batch, _SIDE, _SIDE, 3)), (0, 3, 1, 2))
    x = _conv(m, "0", m.quantised("image", image), 16, 3)
    fine: Value = x
    for i, width in enumerate((32, 64, 128, 256, 512, 1024)):
        fine = x if width == 512 else fine
        x = _conv(m, f"{i + 1}", _pool(m, f"{i}.pool", x, 1 if width == 1024 else 2), width, 3)
    x = _conv(m, "7", x, 256)
    coarse = m.conv("9", _conv(m, "8", x, 512, 3), _OUT)
    up = doubled(m, "11", _conv(m, "10", x, 128))
    y = m.conv("13", _conv(m, "12", m.concat("join", [up, fine], 1), 256, 3), _OUT)
    return m.model(_region(m, "9.region", coarse, [3, 4, 5]), _region(m, "13.region", y, [1, 2, 3]))


def _conv(m: Maker, name: str, x: Value, out: int, kernel: int = 1) -> Value:
    slope = np.array([0.1], np.float32)
    return m.quantised(f"{name}.leaky", m(op.prelu, f"{name}.leaky", m.conv(name, x, out, kernel), slope))


def _pool(m: Maker, name: str, x: Value, stride: int) -> Value:
    """The largest of 2x2 pixels; where it does not shrink the image, that is padded behind."""
    behind = [2 - stride] * 2
    pool = m(op.max_pool, name, x, strides=[stride] * 2, dilations=[1, 1], pads_begin=[0, 0], pads_end=behind,
             kernel_shape=[2, 2])  # fmt: skip
    return pool.output(0)


def _region(m: Maker, name: str, x: Value, mask: list[int]) -> Value:
    return m(op.region_yolo, name, x, coords=4, classes=_CLASSES, num=6, do_softmax=False, mask=mask, axis=1,
             end_axis=3, anchors=_ANCHORS)  # fmt: skip
