"""Kernels with several results: one call writes them all, cut alike, as in the compiler's own schedules."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import openvino as ov
import pytest
from openvino import opset14 as op

import npusim
from npusim.graph import from_openvino
from npusim.lowering import lower
from npusim.program.work import DmaWork, ShaveWork

MACHINES = ("meteorlake-vpunn", "lunarlake-vpunn", "pantherlake-vpunn")


def _top(*shape: int, k: int, axis: int, index: str = "i32") -> Callable[[], ov.Model]:
    def build() -> ov.Model:
        x = op.parameter(list(shape), np.float16)
        return ov.Model(op.topk(x, op.constant(np.int64(k)), axis, "max", "value", index).outputs(), [x], "m")

    return build


def _pool(*shape: int, kernel: int = 2, index: str = "i32") -> Callable[[], ov.Model]:
    def build() -> ov.Model:
        x = op.parameter(list(shape), np.float16)
        sizes = [2, 2], [1, 1], [0, 0], [0, 0], [kernel, kernel]
        return ov.Model(op.max_pool(x, *sizes, "floor", "explicit", index, 0).outputs(), [x], "m")

    return build


def _best() -> ov.Model:
    boxes, scores = op.parameter([1, 200, 4], np.float16), op.parameter([1, 4, 200], np.float16)
    most, overlap, least = np.int64(10), np.float32(0.5), np.float32(0.3)
    kept = op.non_max_suppression(boxes, scores, op.constant(most), op.constant(overlap), op.constant(least))
    return ov.Model(kept.outputs(), [boxes, scores], "m")


def _adaptive() -> ov.Model:
    x = op.parameter([1, 64, 28, 28], np.float16)
    return ov.Model(
        op.adaptive_max_pool(x, op.constant(np.array([7, 7], np.int64)), "i64").outputs(), [x], "m"
    )


#: What Intel's compiler of 2026.4.1 schedules on 2, 4 and 3 tiles of 3720, 4000 and 5010, µs.
COMPILED = {
    "rows over tiles": (_top(1, 64, 1000, k=5, axis=2), (5.3, 10.7, 6.1)),
    "an axis that leaves nothing to the tiles": (_top(1, 900, 40, k=30, axis=1), (4.7, 7.5, 3.5)),
    "uneven planes": (_top(1, 6, 300, 40, k=10, axis=2), (5.7, 11.0, 6.3)),
    "one SHAVE, where halves would lie apart": (_top(1, 5, 300, 40, k=3, axis=1), (7.8, 12.7, 5.4)),
    "a batch": (_top(2, 8, 100, 32, k=4, axis=3), (6.2, 7.2, 5.7)),
    "places of 64 bits": (_top(4, 3000, 8, k=20, axis=1, index="i64"), (6.5, 11.7, 5.2)),
    "places of 64 bits that are on every tile": (_top(1, 8400, k=300, axis=1, index="i64"), (2.6, 5.8, 2.7)),
    "places of 64 bits that are on one tile": (_adaptive, (7.15, 9.78, 52.1)),
    "three results on one tile": (_best, (3.93, 8.01, 3.45)),
    "slices": (_top(1, 512, 80, 80, k=4, axis=1), (129.0, 107.8, 48.3)),
    "pooled images": (_pool(1, 64, 56, 56, index="i64"), (14.0, 17.7, 83.1)),
    "windows that overlap": (_pool(1, 32, 112, 112, kernel=3), (24.9, 26.3, 157.5)),
    "a batch of images": (_pool(2, 16, 20, 20), (3.58, 9.35, 9.47)),
    "slices of images": (_pool(1, 256, 112, 112, index="i64"), (255.1, 169.5, 1184.0)),
}


@pytest.mark.parametrize("machine", MACHINES)
@pytest.mark.parametrize("name", COMPILED)
def test_takes_as_long_as_compiled(name: str, machine: str) -> None:
    build, compiled = COMPILED[name]
    hw = npusim.load_hardware(machine)
    found = npusim.simulate(lower(from_openvino(build()), hw), hw, "fast").latency_us
    assert found == pytest.approx(compiled[MACHINES.index(machine)], rel=0.04)


@pytest.mark.parametrize("build", [_top(3, 70, 50, k=7, axis=2), _pool(3, 5, 30, 30)])
def test_the_operand_is_read_once_and_every_result_written(build: Callable[[], ov.Model]) -> None:
    model, hw = build(), npusim.load_hardware("lunarlake-vpunn")
    works = [task.work for task in lower(from_openvino(model), hw).tasks]
    moved = [work for work in works if isinstance(work, DmaWork)]
    operand = 2 * int(np.prod(list(model.input(0).shape)))
    elements = int(np.prod(list(model.output(0).shape)))
    assert sum(work.bytes for work in moved if work.src == "ddr" and work.dst == "cmx") == operand
    assert sum(work.bytes for work in moved if work.dst == "ddr" and work.src == "cmx") == (2 + 4) * elements
    calls = [work for work in works if isinstance(work, ShaveWork)]
    assert sum(work.out_elements for work in calls) in (elements, hw.tiles * elements)


def test_constants_are_picked_from_as_many_as_the_input_says() -> None:
    x = op.parameter([], np.int64, name="x")
    picked = op.topk(op.constant(np.ones((1, 4, 1), np.float16)), x, 1, "max", "value")
    program = lower(from_openvino(ov.Model([picked.output(0)], [x], "m")), npusim.load_hardware("lunarlake"))
    assert "TopK" in {one.type for one in program.ops}


def test_sizes_that_a_kernel_reads_are_loaded_as_integers() -> None:
    works = [
        task.work for task in lower(from_openvino(_adaptive()), npusim.load_hardware("lunarlake-vpunn")).tasks
    ]
    loaded = [
        work.bytes for work in works if isinstance(work, DmaWork) and (work.src, work.dst) == ("ddr", "cmx")
    ]
    assert sum(loaded) == 2 * 64 * 28 * 28 + 2 * 4


@pytest.mark.parametrize(("length", "us"), [(600_000, 20.4), (1_000_000, 23.1), (4_000_000, 85.3)])
def test_lines_that_no_scratchpad_takes_are_picked_from_in_ddr(length: int, us: float) -> None:
    """As compiled for four tiles of 4000: a line of 600,000 still comes into CMX, longer ones are copied within DDR."""
    x = op.parameter([1, length], np.float16)
    picked = op.topk(x, op.constant(np.int64(1000)), 1, "max", "value")
    hw = npusim.load_hardware("lunarlake-vpunn")
    program = lower(from_openvino(ov.Model([picked.output(0), picked.output(1)], [x], "m")), hw)
    assert npusim.simulate(program, hw).latency_us == pytest.approx(us, rel=0.14)
    copied = [w.bytes for t in program.tasks if isinstance(w := t.work, DmaWork) and w.src == w.dst == "ddr"]
    assert sum(copied) == (2 * length if length > 600_000 else 0)
