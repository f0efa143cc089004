"""YOLOv8 of three sizes, 640x640, with the box decoding that Ultralytics exports (github ultralytics/ultralytics,
yolov8.yaml)."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import openvino as ov
from openvino import opset15 as op

from npusim.workloads.nets.maker import Maker
from npusim.workloads.scope import Value

SIDE, CLASSES, BINS = 640, 80, 16
STRIDES = (8, 16, 32)
ANCHORS = sum((SIDE // stride) ** 2 for stride in STRIDES)


#: Multiples of depth and width, and the most channels before the latter (``scales`` of yolov8.yaml).
_SIZES = {"n": (1 / 3, 0.25, 1024), "s": (1 / 3, 0.5, 1024), "l": (1.0, 1.0, 512)}


def build(m: Maker, *, batch: int, tokens: int) -> ov.Model:
    """Image [batch, 3, 640, 640] to boxes and class scores [batch, 84, 8400]."""
    depth, width, most = _SIZES[m.name.removeprefix("yolov8")[0]]
    c1, c2, c3, c4, c5 = (int(min(listed, most) * width) for listed in (64, 128, 256, 512, 1024))
    few, many = round(3 * depth), round(6 * depth)
    x = m.quantised("image", m.input("image", (batch, 3, SIDE, SIDE)))
    x = activated(m, "0", x, c1, 3, 2)
    x = _c2f(m, "2", activated(m, "1", x, c2, 3, 2), c2, few, True)
    p3 = _c2f(m, "4", activated(m, "3", x, c3, 3, 2), c3, many, True)
    p4 = _c2f(m, "6", activated(m, "5", p3, c4, 3, 2), c4, many, True)
    p5 = sppf(m, "9", _c2f(m, "8", activated(m, "7", p4, c5, 3, 2), c5, few, True), c5)

    up4 = _c2f(m, "12", m.concat("11", [doubled(m, "10", p5), p4], 1), c4, few, False)
    out3 = _c2f(m, "15", m.concat("14", [doubled(m, "13", up4), p3], 1), c3, few, False)
    out4 = _c2f(m, "18", m.concat("17", [activated(m, "16", out3, c3, 3, 2), up4], 1), c4, few, False)
    out5 = _c2f(m, "21", m.concat("20", [activated(m, "19", out4, c4, 3, 2), p5], 1), c5, few, False)

    def box(m: Maker, name: str, x: Value) -> Value:
        return branch(m, name, x, 4 * BINS, 4 * BINS)

    def classes(m: Maker, name: str, x: Value) -> Value:
        return branch(m, name, x, max(c3, CLASSES), CLASSES)

    return m.model(detect(m, "22", [out3, out4, out5], batch, box, classes))


def activated(m: Maker, name: str, x: Value, out: int, kernel: int = 1, stride: int = 1) -> Value:
    """A convolution and swish."""
    return m.quantised(f"{name}.act", m.swish(f"{name}.act", m.conv(name, x, out, kernel, stride)))


def _c2f(m: Maker, name: str, x: Value, out: int, blocks: int, shortcut: bool) -> Value:
    """A convolution whose second half goes through bottlenecks, every result of which is kept."""
    half = out // 2
    both = m(op.split, f"{name}.split", activated(m, f"{name}.cv1", x, out), 1, num_splits=2).outputs()
    parts: list[Value] = list(both)
    for block in range(blocks):
        inner = f"{name}.m.{block}"
        y = activated(m, f"{inner}.cv2", activated(m, f"{inner}.cv1", parts[-1], half, 3), half, 3)
        if shortcut:
            y = m.quantised(f"{inner}.add", m(op.add, f"{inner}.add", parts[-1], y))
        parts.append(y)
    return activated(m, f"{name}.cv2", m.concat(f"{name}.concat", parts, 1), out)


def sppf(m: Maker, name: str, x: Value, out: int) -> Value:
    """Three 5x5 poolings one behind another, with all that lies between."""
    parts: list[Value] = [activated(m, f"{name}.cv1", x, out // 2)]
    for i in range(3):
        pool = m(op.max_pool, f"{name}.pool.{i}", parts[-1], strides=[1, 1], dilations=[1, 1],
                 pads_begin=[2, 2], pads_end=[2, 2], kernel_shape=[5, 5])  # fmt: skip
        parts.append(pool.output(0))
    return activated(m, f"{name}.cv2", m.concat(f"{name}.concat", parts, 1), out)


def doubled(m: Maker, name: str, x: Value) -> Value:
    """Nearest neighbours, twice as high and wide."""
    scales = m.literal([2.0, 2.0], np.float32)
    return m(op.interpolate, name, x, scales, "nearest", "scales", coordinate_transformation_mode="asymmetric",
             nearest_mode="floor", axes=m.literal([2, 3]))  # fmt: skip


Branch = Callable[[Maker, str, Value], Value]


def detect(
    m: Maker, name: str, features: list[Value], batch: int, box_of: Branch, classes_of: Branch
) -> Value:
    """Boxes, decoded from a distribution of every side, and scores of the classes, [batch, 84, 8400]."""
    maps = []
    for i, (x, stride) in enumerate(zip(features, STRIDES, strict=True)):
        box = box_of(m, f"{name}.cv2.{i}", x)
        classes = classes_of(m, f"{name}.cv3.{i}", x)
        both = m.concat(f"{name}.concat.{i}", [box, classes], 1)
        maps.append(m.reshape(f"{name}.flat.{i}", both, (batch, 4 * BINS + CLASSES, (SIDE // stride) ** 2)))
    joined = m.concat(f"{name}.all", maps, 2)
    lengths = m.literal([4 * BINS, CLASSES])
    box, classes = m(op.variadic_split, f"{name}.parts", joined, 1, lengths).outputs()
    bins = m.reshape(f"{name}.bins", box, (batch, 4, BINS, ANCHORS))
    bins = m(op.softmax, f"{name}.softmax", m.transpose(f"{name}.bins.first", bins, (0, 2, 1, 3)), axis=1)
    kernel = m.float_weight(f"{name}.dfl", (1, BINS, 1, 1))
    mean = m(op.convolution, f"{name}.dfl", bins, kernel, [1, 1], [0, 0], [0, 0], [1, 1])
    sides = m.reshape(f"{name}.sides", mean, (batch, 4, ANCHORS))
    before, behind = m(op.split, f"{name}.corners", sides, 1, num_splits=2).outputs()
    centres = m.float_weight(f"{name}.anchors", (1, 2, ANCHORS))
    low = m(op.subtract, f"{name}.low", centres, before)
    high = m(op.add, f"{name}.high", centres, behind)
    centre = m(op.multiply, f"{name}.centre", m(op.add, f"{name}.sum", low, high), 0.5)
    size = m(op.subtract, f"{name}.size", high, low)
    boxes = m.concat(f"{name}.boxes", [centre, size], 1)
    boxes = m(op.multiply, f"{name}.pixels", boxes, m.float_weight(f"{name}.strides", (1, 1, ANCHORS)))
    return m.concat(f"{name}.out", [boxes, m(op.sigmoid, f"{name}.scores", classes)], 1)


def branch(m: Maker, name: str, x: Value, width: int, out: int) -> Value:
    """Two 3x3 convolutions and a 1x1 one."""
    y = activated(m, f"{name}.1", activated(m, f"{name}.0", x, width, 3), width, 3)
    return m.conv(f"{name}.2", y, out)
