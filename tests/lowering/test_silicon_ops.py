"""Ops and element types that the measured networks have and the vendor schedules have not."""

from __future__ import annotations

from collections import Counter

import numpy as np
import openvino as ov
import pytest
from openvino import opset15 as op

from npusim.graph import from_openvino
from npusim.hardware import load_hardware
from npusim.lowering import lower
from npusim.program.work import ShaveWork
from npusim.source import ModelSource

HARDWARE = [load_hardware(name, [f"tiles={tiles}"]) for name in ("meteorlake", "lunarlake") for tiles in (2,)]
HARDWARE.append(load_hardware("lunarlake"))


@pytest.mark.parametrize("hw", HARDWARE, ids=lambda hw: f"{hw.platform} {hw.tiles}")
@pytest.mark.parametrize("name", ["yolov8n", "resnet-50"])
def test_a_quantised_network_computes_as_many_elements_on_shave(name: str, hw: object) -> None:
    """Elements of every SHAVE kernel follow from shapes; their bytes, and those that are moved, get fewer."""
    found = []
    for suffix in ("", "-int8"):
        program = lower(ModelSource(name + suffix).graph(), hw)
        works = [task.work for task in program.tasks]
        elements: Counter[str] = Counter()
        for work in works:
            if isinstance(work, ShaveWork):
                elements[work.kernel] += work.out_elements
        moved = sum(
            work.ddr_read_bytes + work.ddr_write_bytes for work in works if hasattr(work, "ddr_read_bytes")
        )
        found.append((elements, moved))
    (plain, wide), (quantised, narrow) = found
    assert {kernel: plain[kernel] for kernel in ("swish", "softmax")} == {
        kernel: quantised[kernel] for kernel in ("swish", "softmax")
    }
    assert narrow < wide


@pytest.mark.parametrize("mode", ["nearest", "linear_onnx"])
def test_an_image_is_resized_on_the_dpu(mode: str) -> None:
    x = op.parameter([1, 32, 20, 20], np.float16, name="x")
    scales, axes = op.constant(np.array([2.0, 2.0], np.float32)), op.constant(np.array([2, 3]))
    resized = op.interpolate(
        x,
        scales,
        mode,
        "scales",
        coordinate_transformation_mode="asymmetric",
        nearest_mode="floor",
        axes=axes,
    )
    hw = load_hardware("lunarlake")
    program = lower(from_openvino(ov.Model([op.result(resized)], [x], "resize")), hw)
    pools = [task.work for task in program.tasks if getattr(task.work, "kind", "") == "avgpool"]
    taps = {(work.kernel_h, work.kernel_w) for work in pools}
    assert taps == ({(1, 1)} if mode == "nearest" else {(1, 2), (2, 1)})
    made = 32 * 40 * 40 if mode == "nearest" else 32 * (20 * 40 + 40 * 40)
    assert sum(work.height * work.width * work.out_channels for work in pools) == made


def test_images_are_joined_as_they_lie() -> None:
    """Convolution, Concat over channels, convolution: nothing is transposed on the way."""
    x = op.parameter([1, 32, 24, 24], np.float16, name="x")
    kernel = np.ones((32, 32, 1, 1), np.float16)
    one, other = (op.convolution(x, kernel, [1, 1], [0, 0], [0, 0], [1, 1]) for _ in range(2))
    joined = op.concat([op.relu(one), op.relu(other)], 1)
    last = op.convolution(joined, np.ones((64, 64, 3, 3), np.float16), [1, 1], [1, 1], [1, 1], [1, 1])
    program = lower(from_openvino(ov.Model([op.result(last)], [x], "joined")), load_hardware("lunarlake"))
    concat = next(number for number, one in enumerate(program.ops) if one.type == "Concat")
    kinds = [(task.op, getattr(task.work, "kind", "")) for task in program.tasks]
    assert not [kind for number, kind in kinds if number == concat and kind in ("permute", "maxpool")]


def test_an_image_in_fp32_is_converted_once() -> None:
    """What is brought to channels last through DDR lies there in 16 bits: 640x640 pixels of 16 channels."""
    x = op.parameter([1, 3, 640, 640], np.float32, name="x")
    stem = op.convolution(x, np.ones((16, 3, 3, 3), np.float32), [2, 2], [1, 1], [1, 1], [1, 1])
    program = lower(from_openvino(ov.Model([op.result(stem)], [x], "stem")), load_hardware("lunarlake"))
    read = sum(getattr(task.work, "ddr_read_bytes", 0) for task in program.tasks)
    assert read < 4 * x.output(0).get_tensor().size + 2 * 16 * 640 * 640 * 1.25
