"""Pure data movement against what the vendor's compiler does with the same one-op models (public traces)."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import openvino as ov
import pytest
from openvino import opset13 as op

from npusim.costs.price import price, work_us
from npusim.engine.event import simulate
from npusim.graph import load_model
from npusim.hardware import load_hardware
from npusim.lowering import lower
from npusim.program import Program
from npusim.program.work import DmaWork

Build = Callable[..., list[ov.Node]]


def _run(
    folder: Path, build: Build, inputs: list[ov.Node], hardware: str
) -> tuple[list[DmaWork], float, Program]:
    path = folder / "model.xml"
    ov.save_model(ov.Model(build(*inputs), inputs, "model"), path, compress_to_fp16=False)
    hw = load_hardware(hardware)
    program = lower(load_model(path), hw)
    works = [t.work for t in program.tasks if isinstance(t.work, DmaWork)]
    moved = [w for w in works if w.kind not in ("fetch", "sync")]
    return moved, simulate(program, price(program, hw)).latency_us, program


def _concat(*pieces: ov.Node) -> list[ov.Node]:
    return [op.concat(list(pieces), 1)]


def _split(x: ov.Node) -> list[ov.Node]:
    return list(op.variadic_split(x, np.int32(2), np.array([1536, 1792, 24])).outputs())


def _half(x: ov.Node) -> list[ov.Node]:
    return [op.convert(x, "f16")]


def test_concat_copies_each_piece_whole(tmp_path: Path) -> None:
    """concat_1x12x256x256_ax1: two copies, one an engine, 32.997 us."""
    inputs = [op.parameter((1, 12, 256, 256), np.float16) for _ in range(2)]
    moved, total, _ = _run(tmp_path, _concat, inputs, "lunarlake-vpunn.yaml")
    assert [w.bytes for w in moved] == [1572864] * 2
    assert total == pytest.approx(32.997, rel=1e-3)


def test_split_results_are_copied_together(tmp_path: Path) -> None:
    """split_256x3352: three copies over two engines, none cut in two, 19.614 us."""
    moved, total, _ = _run(
        tmp_path, _split, [op.parameter((1, 256, 3352), np.float16)], "lunarlake-vpunn.yaml"
    )
    assert sorted(w.bytes for w in moved) == [12288, 786432, 917504]
    assert total == pytest.approx(19.614, rel=1e-3)


@pytest.mark.parametrize(
    ("hardware", "shape", "transfers", "us"),
    [
        ("lunarlake-vpunn.yaml", (1, 16, 32, 32), 1, 1.547),
        ("lunarlake-vpunn.yaml", (1, 24, 64, 256), 2, 8.908),
        ("meteorlake-vpunn.yaml", (1, 16, 32, 32), 4, 3.125),
    ],
    ids=["4000 short", "4000 halved", "3720 on SHAVE"],
)
def test_conversion_of_an_input(
    tmp_path: Path, hardware: str, shape: tuple[int, ...], transfers: int, us: float
) -> None:
    moved, total, _ = _run(tmp_path, _half, [op.parameter(shape, np.float32)], hardware)
    assert len(moved) == transfers
    assert total == pytest.approx(us, rel=1e-3)


def test_arithmetic_with_a_number_is_done_before_a_broadcast(tmp_path: Path) -> None:
    """bcast_1x1x256x128: the sum on 32,768 elements, then two slices of 12 channels from one copy in CMX."""

    def build(x: ov.Node) -> list[ov.Node]:
        return [op.add(op.broadcast(x, np.array([1, 24, 256, 128])), np.float16(0.5))]

    moved, _, program = _run(
        tmp_path, build, [op.parameter((1, 1, 256, 128), np.float16)], "lunarlake-vpunn.yaml"
    )
    expanded = [w.bytes for w in moved if w.kind == "resize"]
    assert expanded == [786432] * 2
    assert sum(w.bytes for w in moved if w.src == "ddr" and w.bytes == 65536) == 65536
    assert any(o.type == "Add" for o in program.ops)


def test_one_engine_has_one_fifo_on_3720(tmp_path: Path) -> None:
    _, _, program = _run(
        tmp_path,
        lambda x: [op.absolute(x)],
        [op.parameter((1, 24, 64, 256), np.float16)],
        "meteorlake-vpunn.yaml",
    )
    assert [q.name for q in program.queues if q.engine == "dma"] == ["DMA 0", "DMA 1"]


@pytest.mark.parametrize("file", ["lunarlake", "pantherlake"])
@pytest.mark.parametrize(("src", "dst"), [("ddr", "cmx"), ("cmx", "ddr"), ("ddr", "ddr")])
def test_a_lone_transfer_is_halved_from_6000_cycles_of_the_compilers_estimate(file: str, src, dst) -> None:
    """The silicon's files, whose costs are not those that the compiler decides by, have its numbers of bytes."""
    estimate, rules = load_hardware(f"{file}-vpunn.yaml"), load_hardware(f"{file}.yaml").software
    least = rules.dma_split_ddr_bytes if src == dst else rules.dma_split_bytes

    def cycles(size: int) -> float:
        return work_us(DmaWork(src, dst, size, size), estimate) * estimate.clocks.dpu_mhz

    assert cycles(least - 1) < 6000 <= cycles(least)
