"""Ops and shapes of the measured detectors, of U-Net and of BERT-large: on a sensible engine, on all tiles, in CMX."""

from __future__ import annotations

from collections import Counter

import numpy as np
import openvino as ov
import pytest
from openvino import opset15 as op

from npusim import workloads
from npusim.costs.price import price
from npusim.engine.event import simulate
from npusim.graph import from_openvino
from npusim.hardware import load_hardware
from npusim.lowering import lower
from npusim.lowering.ir.kernels import KERNELS
from npusim.program import Program
from npusim.program.work import DmaWork, DpuWork, ShaveWork
from tests.lowering.laws import check_barriers, check_cmx

SILICON = ("meteorlake", "lunarlake", "pantherlake")


def lowered(
    inputs: list[ov.Node], out: ov.Node | ov.Output, *overrides: str, hw: str = "lunarlake"
) -> Program:
    model = ov.Model([op.result(out)], inputs, "one")
    return lower(from_openvino(model), load_hardware(f"{hw}.yaml", list(overrides)))


def moved(program: Program) -> int:
    """Bytes read from DDR and written there."""
    return sum(
        task.work.ddr_read_bytes + task.work.ddr_write_bytes
        for task in program.tasks
        if isinstance(task.work, DmaWork)
    )


def shave_tiles(program: Program, kernel: str) -> dict[str, int]:
    """Elements that a kernel makes, by queue."""
    found: Counter[str] = Counter()
    for task in program.tasks:
        if isinstance(task.work, ShaveWork) and task.work.kernel == kernel:
            found[str(program.queues[task.queue])] += task.work.out_elements
    return dict(found)


@pytest.mark.parametrize("hw", SILICON)
def test_every_kernel_has_a_price(hw: str) -> None:
    known = load_hardware(f"{hw}.yaml").shave.kernels
    assert KERNELS.keys() <= known.keys()


@pytest.mark.parametrize("hw", SILICON)
@pytest.mark.parametrize(
    "name", ["yolo26n", "yolov3-tiny", "ssd-mobilenet-v1", "efficientdet-d0", "unet-camvid"]
)
def test_a_network_lowers_and_keeps_the_laws(name: str, hw: str) -> None:
    """On as many tiles as there are and on two, in FP16 and INT8; without a guess beyond the hardware file's."""
    for suffix in ("", "-int8"):
        graph = from_openvino(workloads.build(name + suffix))
        for overrides in ([], ["tiles=2"]):
            machine = load_hardware(f"{hw}.yaml", overrides)
            program = lower(graph, machine)
            check_barriers(program)
            check_cmx(program, simulate(program, price(program, machine)))


def test_a_transposed_convolution_reads_its_image_as_it_is() -> None:
    x = op.parameter([1, 128, 92, 120], np.float16, name="x")
    kernel = np.ones((128, 64, 2, 2), np.float16)
    geometry = {"pads_begin": [0, 0], "pads_end": [0, 0], "dilations": [1, 1]}
    up = op.convolution_backprop_data(
        op.convolution(x, np.ones((128, 128, 1, 1), np.float16), [1, 1], [0, 0], [0, 0], [1, 1]),
        kernel,
        [2, 2],
        **geometry,
    )
    program = lowered([x], op.relu(up))
    image, result = 2 * 128 * 92 * 120, 2 * 64 * 184 * 240
    assert moved(program) < 4 * image + 1.2 * result
    macs = sum(t.work.macs for t in program.tasks if isinstance(t.work, DpuWork) and t.work.kernel_h == 2)
    assert macs == pytest.approx(
        4 * 128 * 64 * 184 * 240, rel=0.1
    )  # zeros between the pixels are computed, too


def test_a_softmax_in_slices_keeps_all_tiles_busy() -> None:
    """16 heads over 6 tiles in slices: no slice leaves what it has to one tile."""
    x = op.parameter([1, 16, 384, 384], np.float16, name="x")
    done = shave_tiles(lowered([x], op.softmax(x, 3), "tiles=6"), "softmax")
    assert len(done) == 6
    assert max(done.values()) < 1.2 * sum(done.values()) / 6


@pytest.mark.parametrize(("channels", "side"), [(512, 64), (1024, 32), (2048, 16)])
def test_a_large_convolution_reads_its_weights_few_times_and_fills_the_grid(channels: int, side: int) -> None:
    x = op.parameter([1, channels, side, side], np.float16, name="x")
    kernel = np.ones((512, channels, 3, 3), np.float16)
    conv = op.convolution(x, kernel, [1, 1], [1, 1], [1, 1], [1, 1])
    program = lowered([x], conv, "tiles=4")
    read = sum(t.work.ddr_read_bytes for t in program.tasks if isinstance(t.work, DmaWork))
    image = 2 * channels * side * side
    assert read < 4 * kernel.nbytes + 6 * image
    heights = [t.work.height for t in program.tasks if isinstance(t.work, DpuWork) and t.work.kind == "conv"]
    assert min(heights) >= 2


def test_scores_are_sorted_by_class_on_all_shaves() -> None:
    """3 classes a SHAVE of 12, and few boxes picked behind that."""
    boxes, scores, priors = (op.parameter(s, np.float16) for s in ([1, 4000], [1, 36000], [1, 2, 4000]))
    attributes = {
        "background_label_id": 0, "keep_top_k": [100], "nms_threshold": 0.5, "normalized": True,
        "code_type": "caffe.PriorBoxParameter.CENTER_SIZE", "share_location": True,
    }  # fmt: skip
    found = op.detection_output(boxes, scores, priors, attributes)
    done = shave_tiles(lowered([boxes, scores, priors], found, "tiles=6"), "detectionoutput")
    assert len(done) == 6
    assert 36000 <= sum(done.values()) < 1.1 * 36000


def test_region_yolo_runs_on_one_shave() -> None:
    x = op.parameter([1, 255, 26, 26], np.float16, name="x")
    region = op.region_yolo(x, 4, 80, 6, False, [1, 2, 3], 1, 3, [10.0, 14.0])
    program = lowered([x], region)
    works = [t.work for t in program.tasks if isinstance(t.work, ShaveWork) and t.work.kernel == "regionyolo"]
    assert [work.out_elements for work in works] == [255 * 26 * 26]


@pytest.mark.parametrize("slopes", [1, 32])
def test_a_prelu_of_one_slope_is_part_of_the_convolution(slopes: int) -> None:
    x = op.parameter([1, 32, 26, 26], np.float16, name="x")
    conv = op.convolution(x, np.ones((32, 32, 3, 3), np.float16), [1, 1], [1, 1], [1, 1], [1, 1])
    program = lowered([x], op.prelu(conv, np.full(slopes, 0.1, np.float16)))
    kernels = {t.work.kernel for t in program.tasks if isinstance(t.work, ShaveWork)}
    assert ("prelu" in kernels) == (slopes > 1)
    assert "leakyrelu" not in kernels
