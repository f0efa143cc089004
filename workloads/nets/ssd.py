"""SSD with MobileNet-v1, 300x300, 90 classes of COCO and the background (tensorflow/models: research/object_detection,
samples/configs/ssd_mobilenet_v1_coco.config, models/ssd_mobilenet_v1_feature_extractor.py), as the Open Model Zoo
converts it (models/public/ssd_mobilenet_v1_coco): DetectionOutput in the place of TensorFlow's post-processing."""

from __future__ import annotations

import openvino as ov
from openvino import opset15 as op

from npusim.workloads.nets.maker import Maker, shape_of
from npusim.workloads.scope import Value

_CLASSES = 91
#: Output channels and stride of the depth-wise separable convolutions (arXiv 1704.04861, table 1).
_BACKBONE = (
    (64, 1), (128, 2), (128, 1), (256, 2), (256, 1), (512, 2), (512, 1), (512, 1), (512, 1), (512, 1), (512, 1),
    (1024, 2), (1024, 1),
)  # fmt: skip
#: Channels of the 1x1 and of the 3x3 convolution of every further map.
_FURTHER = ((256, 512), (128, 256), (128, 256), (64, 128))


def build(m: Maker, *, batch: int, tokens: int) -> ov.Model:
    """Image [batch, 3, 300, 300] to detections [1, 1, 100 batch, 7]."""
    image = m.quantised("image", m.input("image_tensor", (batch, 3, 300, 300)))
    x = _activated(m, "0", m.conv("0", image, 32, 3, 2, same_upper=True))
    maps = []
    for i, (out, stride) in enumerate(_BACKBONE, 1):
        behind = _padded_behind(x, stride)
        x = _activated(m, f"{i}.depthwise", m.depthwise(f"{i}.depthwise", x, 3, stride, same_upper=behind))
        x = _activated(m, f"{i}", m.conv(f"{i}", x, out))
        if i in (11, 13):
            maps.append(x)
    for i, (inside, out) in enumerate(_FURTHER, 2):
        x = _activated(m, f"further.{i}.reduce", m.conv(f"further.{i}.reduce", x, inside))
        behind = _padded_behind(x, 2)
        x = _activated(m, f"further.{i}", m.conv(f"further.{i}", x, out, 3, 2, same_upper=behind))
        maps.append(x)
    return m.model(_detections(m, maps, batch))


def _activated(m: Maker, name: str, x: Value) -> Value:
    return m.quantised(f"{name}.relu6", m(op.clamp, f"{name}.relu6", x, min_value=0.0, max_value=6.0))


def _padded_behind(x: Value, stride: int) -> bool:
    """Whether TensorFlow pads a 3x3 kernel behind alone: where it has stride 2 and the image an even side."""
    return stride == 2 and shape_of(x)[2] % 2 == 0


def _detections(m: Maker, maps: list[Value], batch: int) -> Value:
    boxes, scores = [], []
    for i, x in enumerate(maps):
        anchors = 3 if i == 0 else 6
        boxes.append(_predicted(m, f"boxes.{i}", x, anchors, 4, batch))
        scores.append(_predicted(m, f"scores.{i}", x, anchors, _CLASSES, batch))
    box = m.reshape("boxes.flat", m.concat("boxes", boxes, 1), (batch, -1))
    score = m(op.sigmoid, "scores.sigmoid", m.concat("scores", scores, 1))
    score = m.reshape("scores.flat", score, (batch, -1))
    priors = m.float_weight("priors", (1, 2, shape_of(box)[1]))
    attributes = {
        "background_label_id": 0, "top_k": 100, "keep_top_k": [100], "code_type": "caffe.PriorBoxParameter.CENTER_SIZE",
        "nms_threshold": 0.6, "confidence_threshold": 0.3, "normalized": True, "share_location": True,
    }  # fmt: skip
    return m(op.detection_output, "detections", box, score, priors, attrs=attributes)


def _predicted(m: Maker, name: str, x: Value, anchors: int, each: int, batch: int) -> Value:
    """A 1x1 convolution, one row of ``each`` numbers an anchor."""
    y = m.transpose(f"{name}.last", m.conv(name, x, anchors * each), (0, 2, 3, 1))
    return m.reshape(f"{name}.rows", y, (batch, -1, each))
