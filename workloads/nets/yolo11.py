"""YOLO11 and YOLO26 of all five sizes, 640x640, as Ultralytics exports them (github ultralytics/ultralytics:
cfg/models/11/yolo11.yaml, cfg/models/26/yolo26.yaml, nn/modules/block.py and head.py).

YOLO26 has no distribution to decode, a shortcut around its poolings, attention behind its last bottleneck, and picks
its 300 best boxes itself (``end2end``) instead of leaving that to the host.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import openvino as ov
from openvino import opset15 as op

from npusim.workloads.nets.maker import Maker, shape_of
from npusim.workloads.nets.yolo import (
    ANCHORS,
    BINS,
    CLASSES,
    SIDE,
    STRIDES,
    activated,
    branch,
    detect,
    doubled,
    sppf,
)
from npusim.workloads.scope import Value

#: Boxes that YOLO26 returns (``max_det``).
_BEST = 300


@dataclass(frozen=True)
class _Size:
    """Multiples of depth and width, and the most channels before the latter, of one line of ``scales``; ``deep``: every
    C3k2 has C3k inside (``parse_model`` of m, l and x)."""

    depth: float
    width: float
    most: int
    deep: bool

    def channels(self, listed: int) -> int:
        """Channels of a layer whose listed ones are these: ``make_divisible`` by 8."""
        return math.ceil(min(listed, self.most) * self.width / 8) * 8

    @property
    def repeats(self) -> int:
        """Blocks of a layer that is listed with 2."""
        return max(round(2 * self.depth), 1)


_SIZES = {
    "n": _Size(0.5, 0.25, 1024, False),
    "s": _Size(0.5, 0.5, 1024, False),
    "m": _Size(0.5, 1.0, 512, True),
    "l": _Size(1.0, 1.0, 512, True),
    "x": _Size(1.0, 1.5, 512, True),
}


def build(m: Maker, *, batch: int, tokens: int) -> ov.Model:
    """Image [batch, 3, 640, 640] to boxes and class scores [batch, 84, 8400]; of YOLO26 to its best boxes with score
    and class [batch, 300, 6]."""
    name = m.name.partition("-")[0]
    size, newer = _SIZES[name[-1]], name.startswith("yolo26")
    deep = newer or size.deep
    c = size.channels
    x = m.quantised("image", m.input("image", (batch, 3, SIDE, SIDE)))
    x = activated(m, "1", activated(m, "0", x, c(64), 3, 2), c(128), 3, 2)
    x = activated(m, "3", _c3k2(m, "2", x, c(256), size, size.deep, 0.25), c(256), 3, 2)
    p3 = _c3k2(m, "4", x, c(512), size, size.deep, 0.25)
    p4 = _c3k2(m, "6", activated(m, "5", p3, c(512), 3, 2), c(512), size, True)
    p5 = _c3k2(m, "8", activated(m, "7", p4, c(1024), 3, 2), c(1024), size, True)
    pooled = sppf(m, "9", p5, c(1024))
    if newer:
        pooled = m.quantised("9.add", m(op.add, "9.add", pooled, p5))
    p5 = _c2psa(m, "10", pooled, size.repeats)

    up4 = _c3k2(m, "13", m.concat("12", [doubled(m, "11", p5), p4], 1), c(512), size, deep)
    out3 = _c3k2(m, "16", m.concat("15", [doubled(m, "14", up4), p3], 1), c(256), size, deep)
    down4 = m.concat("18", [activated(m, "17", out3, c(256), 3, 2), up4], 1)
    out4 = _c3k2(m, "19", down4, c(512), size, deep)
    down5 = m.concat("21", [activated(m, "20", out4, c(512), 3, 2), p5], 1)
    out5 = _attending(m, "22", down5, c(1024)) if newer else _c3k2(m, "22", down5, c(1024), size, True)

    first = c(256)
    box, classes = max(16, first // 4, 4 if newer else 4 * BINS), max(first, min(CLASSES, 100))

    def box_of(m: Maker, name: str, x: Value) -> Value:
        return branch(m, name, x, box, 4 if newer else 4 * BINS)

    def classes_of(m: Maker, name: str, x: Value) -> Value:
        return _separable(m, name, x, classes)

    if not newer:
        return m.model(detect(m, "23", [out3, out4, out5], batch, box_of, classes_of))
    boxes = [box_of(m, f"23.cv2.{i}", x) for i, x in enumerate((out3, out4, out5))]
    scores = [classes_of(m, f"23.cv3.{i}", x) for i, x in enumerate((out3, out4, out5))]
    return m.model(_best(m, "23", boxes, scores, batch))


def _plain(m: Maker, name: str, x: Value, out: int) -> Value:
    """A 1x1 convolution without an activation."""
    return m.quantised(name, m.conv(name, x, out))


def _added(m: Maker, name: str, x: Value, y: Value) -> Value:
    return m.quantised(name, m(op.add, name, x, y))


def _bottleneck(m: Maker, name: str, x: Value, channels: int, inside: int) -> Value:
    y = activated(m, f"{name}.cv2", activated(m, f"{name}.cv1", x, inside, 3), channels, 3)
    return _added(m, f"{name}.add", x, y)


def _c3k(m: Maker, name: str, x: Value, channels: int) -> Value:
    """Two bottlenecks on half of the channels beside a convolution of the other half."""
    half = channels // 2
    y = activated(m, f"{name}.cv1", x, half)
    for i in range(2):
        y = _bottleneck(m, f"{name}.m.{i}", y, half, half)
    both = m.concat(f"{name}.concat", [y, activated(m, f"{name}.cv2", x, half)], 1)
    return activated(m, f"{name}.cv3", both, channels)


def _c3k2(m: Maker, name: str, x: Value, out: int, size: _Size, deep: bool, share: float = 0.5) -> Value:
    """A convolution whose second half goes through blocks, every result of which is kept."""
    inside = int(out * share)
    parts = _halves(m, name, x, 2 * inside)
    for i in range(size.repeats):
        inner = f"{name}.m.{i}"
        parts.append(
            _c3k(m, inner, parts[-1], inside)
            if deep
            else _bottleneck(m, inner, parts[-1], inside, inside // 2)
        )
    return activated(m, f"{name}.cv2", m.concat(f"{name}.concat", parts, 1), out)


def _attending(m: Maker, name: str, x: Value, out: int) -> Value:
    """A C3k2 of one block: a bottleneck and attention."""
    parts = _halves(m, name, x, out)
    y = _bottleneck(m, f"{name}.m.0.0", parts[-1], out // 2, out // 4)
    parts.append(_psa(m, f"{name}.m.0.1", y, out // 2))
    return activated(m, f"{name}.cv2", m.concat(f"{name}.concat", parts, 1), out)


def _c2psa(m: Maker, name: str, x: Value, blocks: int) -> Value:
    """A convolution whose second half goes through attention."""
    channels = shape_of(x)[1]
    first, y = _halves(m, name, x, channels)
    for i in range(blocks):
        y = _psa(m, f"{name}.m.{i}", y, channels // 2)
    return activated(m, f"{name}.cv2", m.concat(f"{name}.concat", [first, y], 1), channels)


def _halves(m: Maker, name: str, x: Value, channels: int) -> list[Value]:
    return list(
        m(op.split, f"{name}.split", activated(m, f"{name}.cv1", x, channels), 1, num_splits=2).outputs()
    )


def _psa(m: Maker, name: str, x: Value, channels: int) -> Value:
    """Attention over the pixels, heads of 64 whose queries and keys have 32, and two 1x1 convolutions."""
    x = _added(m, f"{name}.add", x, _attention(m, f"{name}.attn", x, channels))
    y = _plain(m, f"{name}.ffn.1", activated(m, f"{name}.ffn.0", x, 2 * channels), channels)
    return _added(m, f"{name}.add2", x, y)


def _attention(m: Maker, name: str, x: Value, channels: int) -> Value:
    batch, _, *space = shape_of(x)
    pixels = math.prod(space)
    heads = max(channels // 64, 1)
    width = channels // heads
    key_width = width // 2
    qkv = _plain(m, f"{name}.qkv", x, channels + 2 * heads * key_width)
    split = m.reshape(f"{name}.heads", qkv, (batch, heads, 2 * key_width + width, pixels))
    lengths = m.literal([key_width, key_width, width])
    query, key, value = m(op.variadic_split, f"{name}.parts", split, 2, lengths).outputs()
    scores = m(op.matmul, f"{name}.scores", query, key, transpose_a=True, transpose_b=False)
    scores = m(op.multiply, f"{name}.scaled", scores, float(key_width**-0.5))
    shares = m.quantised(f"{name}.softmax", m(op.softmax, f"{name}.softmax", scores, axis=-1))
    y = m(op.matmul, f"{name}.context", value, shares, transpose_a=False, transpose_b=True)
    y = m.quantised(f"{name}.context", m.reshape(f"{name}.image", y, (batch, channels, *space)))
    image = m.reshape(f"{name}.values", value, (batch, channels, *space))
    position = m.quantised(f"{name}.pe", m.depthwise(f"{name}.pe", image, 3))
    return _plain(m, f"{name}.proj", _added(m, f"{name}.sum", y, position), channels)


def _separable(m: Maker, name: str, x: Value, width: int) -> Value:
    """Scores of the classes: two depth-wise 3x3 convolutions, each before a 1x1 one, and another 1x1 one."""
    for i in range(2):
        y = m.swish(f"{name}.{i}.0.act", m.depthwise(f"{name}.{i}.0", x, 3))
        x = activated(m, f"{name}.{i}.1", m.quantised(f"{name}.{i}.0.act", y), width)
    return m.conv(f"{name}.2", x, CLASSES)


def _best(m: Maker, name: str, boxes: list[Value], scores: list[Value], batch: int) -> Value:
    """The 300 best boxes: first anchors by their best class, then classes of these anchors."""

    def flat(what: str, maps: list[Value], rows: int) -> Value:
        parts: Sequence[Value] = [
            m.reshape(f"{name}.{what}.{i}", x, (batch, rows, (SIDE // stride) ** 2))
            for i, (x, stride) in enumerate(zip(maps, STRIDES, strict=True))
        ]
        return m.concat(f"{name}.{what}", parts, 2)

    sides = flat("boxes", boxes, 4)
    before, behind = m(op.split, f"{name}.corners", sides, 1, num_splits=2).outputs()
    centres = m.float_weight(f"{name}.anchors", (1, 2, ANCHORS))
    corners = [m(op.subtract, f"{name}.low", centres, before), m(op.add, f"{name}.high", centres, behind)]
    strides = m.float_weight(f"{name}.strides", (1, 1, ANCHORS))
    pixels = m(op.multiply, f"{name}.pixels", m.concat(f"{name}.box", corners, 1), strides)
    all_of = m.concat(
        f"{name}.all", [pixels, m(op.sigmoid, f"{name}.sigmoid", flat("scores", scores, CLASSES))], 1
    )
    rows = m.transpose(f"{name}.rows", all_of, (0, 2, 1))
    box, score = m(op.variadic_split, f"{name}.parts", rows, 2, m.literal([4, CLASSES])).outputs()
    best = m(op.reduce_max, f"{name}.best", score, (2,), keep_dims=False)
    anchors = _top(m, f"{name}.anchor", best).output(1)
    anchors = m.reshape(f"{name}.index", anchors, (batch, _BEST, 1))
    kept = _picked(m, f"{name}.kept", score, anchors, CLASSES)
    top = _top(m, f"{name}.top", m.reshape(f"{name}.flat", kept, (batch, _BEST * CLASSES)))
    classes = m.literal(CLASSES, np.int32)
    which = m(op.floor_mod, f"{name}.class", top.output(1), classes)
    place = m.reshape(f"{name}.place", m(op.divide, f"{name}.row", top.output(1), classes), (batch, _BEST, 1))
    chosen = m(op.gather_elements, f"{name}.chosen", anchors, place, axis=1)
    columns = [
        m.reshape(f"{name}.score", top.output(0), (batch, _BEST, 1)),
        m.reshape(
            f"{name}.label", m(op.convert, f"{name}.float", which, destination_type="f32"), (batch, _BEST, 1)
        ),
    ]
    return m.concat(f"{name}.out", [_picked(m, f"{name}.boxes", box, chosen, 4), *columns], 2)


def _top(m: Maker, name: str, x: Value) -> ov.Node:
    return m(op.topk, name, x, _BEST, axis=1, mode="max", sort="value")


def _picked(m: Maker, name: str, rows: Value, index: Value, width: int) -> Value:
    """The rows of an index, element by element as PyTorch's gather takes them."""
    wide = m(op.tile, f"{name}.index", index, (1, 1, width))
    return m(op.gather_elements, name, rows, wide, axis=1)
