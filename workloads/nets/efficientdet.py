"""EfficientDet-D0, 512x512, 90 classes (github google/automl: efficientdet, backbone/efficientnet_builder.py,
tf2/fpn_configs.py, hparams_config.py), as the Open Model Zoo converts it (models/public/efficientdet-d0-tf):
DetectionOutput in the place of TensorFlow's post-processing, the weights of a fused sum folded into a factor each."""

from __future__ import annotations

import openvino as ov
from openvino import opset15 as op

from npusim.workloads.nets.maker import Maker, shape_of
from npusim.workloads.scope import Value

_SIDE, _CLASSES, _ANCHORS = 512, 90, 9
#: Of the pyramid: channels, cells, repeats of the heads.
_WIDTH, _CELLS, _REPEATS = 64, 3, 3
#: Expansion, kernel, stride of the first, output channels, blocks (``_DEFAULT_BLOCKS_ARGS``).
_STAGES = (
    (1, 3, 1, 16, 1), (6, 3, 2, 24, 2), (6, 5, 2, 40, 2), (6, 3, 2, 80, 3), (6, 5, 1, 112, 3), (6, 5, 2, 192, 4),
    (6, 3, 1, 320, 1),
)  # fmt: skip
_FIRST, _LAST = 3, 7
#: Stages whose results are the maps of levels 3 to 5.
_TAKEN = (2, 4, 6)


def build(m: Maker, *, batch: int, tokens: int) -> ov.Model:
    """Image [batch, 512, 512, 3] to detections [1, 1, 100 batch, 7]."""
    image = m.transpose("image.planes", m.input("image_arrays", (batch, _SIDE, _SIDE, 3)), (0, 3, 1, 2))
    image = m(op.multiply, "image.scaled", image, m.float_weight("image.scale", (1, 3, 1, 1)))
    image = m.quantised(
        "image", m(op.add, "image.shifted", image, m.float_weight("image.shift", (1, 3, 1, 1)))
    )
    maps = _backbone(m, image)
    maps[6] = _halved(m, "level.6.pool", _joined(m, "level.6", maps[5]))
    maps[7] = _halved(m, "level.7.pool", maps[6])
    for cell in range(_CELLS):
        maps = _cell(m, f"cell.{cell}", maps)
    return m.model(_detections(m, maps, batch))


def _backbone(m: Maker, image: Value) -> dict[int, Value]:
    """EfficientNet-B0 (arXiv 1905.11946), as far as its last block; the maps of levels 3 to 5."""
    x = _swished(m, "stem", m.conv("stem", image, 32, 3, 2, same_upper=True))
    maps: dict[int, Value] = {}
    for stage, (expansion, kernel, stride, out, blocks) in enumerate(_STAGES):
        for block in range(blocks):
            x = _block(m, f"stages.{stage}.{block}", x, expansion, kernel, stride if block == 0 else 1, out)
        if stage in _TAKEN:
            maps[_FIRST + len(maps)] = x
    return maps


def _block(m: Maker, name: str, x: Value, expansion: int, kernel: int, stride: int, out: int) -> Value:
    """An inverted residual that weighs its channels by what they are on average."""
    before = shape_of(x)[1]
    y = (
        x
        if expansion == 1
        else _swished(m, f"{name}.expand", m.conv(f"{name}.expand", x, expansion * before))
    )
    y = _swished(m, f"{name}.conv", m.depthwise(f"{name}.conv", y, kernel, stride, same_upper=stride == 2))
    s = m.quantised(f"{name}.mean", m(op.reduce_mean, f"{name}.mean", y, (2, 3), keep_dims=True))
    s = _swished(m, f"{name}.squeeze", m.conv(f"{name}.squeeze", s, max(1, before // 4)))
    s = m(op.sigmoid, f"{name}.gate", m.conv(f"{name}.excite", s, expansion * before))
    y = m.quantised(f"{name}.gated", m(op.multiply, f"{name}.gated", y, m.quantised(f"{name}.gate", s)))
    y = m.quantised(f"{name}.reduce", m.conv(f"{name}.reduce", y, out))
    return m.quantised(f"{name}.add", m(op.add, f"{name}.add", y, x)) if stride == 1 and before == out else y


def _swished(m: Maker, name: str, x: Value) -> Value:
    return m.quantised(f"{name}.swish", m.swish(f"{name}.swish", x))


def _joined(m: Maker, name: str, x: Value) -> Value:
    """A map with the channels of the pyramid."""
    return m.quantised(name, m.conv(name, x, _WIDTH)) if shape_of(x)[1] != _WIDTH else x


def _halved(m: Maker, name: str, x: Value) -> Value:
    """The largest of 3x3 pixels, every other one."""
    pool = m(op.max_pool, name, x, strides=[2, 2], dilations=[1, 1], pads_begin=[0, 0], pads_end=[1, 1],
             kernel_shape=[3, 3])  # fmt: skip
    return pool.output(0)


def _doubled(m: Maker, name: str, x: Value) -> Value:
    sizes = m.literal([2 * d for d in shape_of(x)[2:]])
    return m(op.interpolate, name, x, sizes, "nearest", "sizes", coordinate_transformation_mode="asymmetric",
             nearest_mode="floor", axes=m.literal([2, 3]))  # fmt: skip


def _cell(m: Maker, name: str, maps: dict[int, Value]) -> dict[int, Value]:
    """From the coarse maps down to the fine ones, then up again with what came before (BiFPN)."""
    inner = {_LAST: _joined(m, f"{name}.{_LAST}.in", maps[_LAST])}
    for level in range(_LAST - 1, _FIRST - 1, -1):
        here = _joined(m, f"{name}.down.{level}.in", maps[level])
        above = _doubled(m, f"{name}.down.{level}.up", inner[level + 1])
        inner[level] = _fused(m, f"{name}.down.{level}", [here, above])
    out = {_FIRST: inner[_FIRST]}
    for level in range(_FIRST + 1, _LAST + 1):
        here = _joined(m, f"{name}.up.{level}.in", maps[level])
        below = _halved(m, f"{name}.up.{level}.pool", out[level - 1])
        middle = [inner[level]] if level < _LAST else []
        out[level] = _fused(m, f"{name}.up.{level}", [here, *middle, below])
    return out


def _fused(m: Maker, name: str, parts: list[Value]) -> Value:
    """A weighted sum and a depth-wise separable convolution."""
    total: Value | None = None
    for i, part in enumerate(parts):
        weighed = m.quantised(f"{name}.weighed.{i}", m(op.multiply, f"{name}.weighed.{i}", part, 0.5))
        total = weighed if total is None else m(op.add, f"{name}.sum.{i}", total, weighed)
    assert total is not None
    return m.quantised(name, _separable(m, name, _swished(m, name, total), _WIDTH))


def _separable(m: Maker, name: str, x: Value, out: int) -> Value:
    return m.conv(f"{name}.point", m.quantised(f"{name}.depth", m.depthwise(f"{name}.depth", x, 3)), out)


def _detections(m: Maker, maps: dict[int, Value], batch: int) -> Value:
    boxes = _predicted(m, "boxes", maps, 4, batch)
    scores = m(op.sigmoid, "scores.sigmoid", _predicted(m, "scores", maps, _CLASSES, batch))
    box = m.reshape("boxes.flat", boxes, (batch, -1))
    score = m.reshape("scores.flat", scores, (batch, -1))
    priors = m.float_weight("priors", (1, 2, shape_of(box)[1]))
    attributes = {
        "background_label_id": _CLASSES + 1, "top_k": -1, "keep_top_k": [100], "nms_threshold": 0.5,
        "code_type": "caffe.PriorBoxParameter.CENTER_SIZE", "normalized": True, "share_location": True,
    }  # fmt: skip
    return m(op.detection_output, "detections", box, score, priors, attrs=attributes)


def _predicted(m: Maker, name: str, maps: dict[int, Value], each: int, batch: int) -> Value:
    """One row of ``each`` numbers an anchor, of all levels one after another."""
    rows = []
    for level, x in maps.items():
        inner = f"{name}.{level}"
        y = x
        for i in range(_REPEATS):
            y = _swished(m, f"{inner}.{i}", _separable(m, f"{inner}.{i}", y, _WIDTH))
        y = m.transpose(f"{inner}.last", _separable(m, f"{inner}.out", y, _ANCHORS * each), (0, 2, 3, 1))
        rows.append(m.reshape(f"{inner}.rows", y, (batch, -1, each)))
    return m.concat(name, rows, 1)
