"""Projections that are only read in slices, and products with a computed channel factor, as in the traces of Mamba."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import openvino as ov
import pytest
from openvino import opset15 as op

from npusim.graph import load_model
from npusim.hardware import load_hardware
from npusim.lowering import lower
from npusim.program import Program
from npusim.program.work import DpuWork

HARDWARE = {"4000": "lunarlake-vpunn.yaml", "3720": "meteorlake-vpunn.yaml"}


def program(tmp_path: Path, node: list[ov.Output], inputs: list[ov.Node], platform: str = "4000") -> Program:
    path = tmp_path / "m.xml"
    ov.save_model(ov.Model(node, inputs, "m"), path, compress_to_fp16=False)
    return lower(load_model(str(path)), load_hardware(HARDWARE[platform]))


def projection(rows: int, sizes: tuple[int, ...], turned: bool) -> tuple[list[ov.Output], list[ov.Node]]:
    """A MatMul of ``rows`` rows whose result is split, along channels that a transpose has put outermost or not."""
    x = op.parameter([1, rows, 64], np.float16)
    y = op.matmul(x, np.ones((sum(sizes), 64), np.float16), False, True)
    y = op.transpose(y, np.array([0, 2, 1])) if turned else y
    parts = op.variadic_split(y, np.int64(1 if turned else 2), np.array(sizes, np.int64))
    return [op.exp(o).output(0) for o in parts.outputs()], [x]


def matmuls(result: Program) -> int:
    """Convolutions of one tile."""
    tile = next(i for i, q in enumerate(result.queues) if q.engine == "dpu")
    return sum(
        t.queue == tile and isinstance(t.work, DpuWork) and t.work.kind == "conv" for t in result.tasks
    )


@pytest.mark.parametrize(
    ("rows", "sizes", "turned", "parts"),
    [
        (4, (128, 128), True, 2),  # mamba in_proj
        (1, (48, 16, 16), False, 3),  # mamba x_proj, one token
        (4, (48, 16, 16), False, 1),  # mamba x_proj, four tokens
        (4, (64, 24), True, 1),  # mamba2 in_proj: 24 channels are no whole granules
    ],
)
def test_one_matmul_a_slice_of_whole_granules(
    tmp_path: Path, rows: int, sizes: tuple[int, ...], turned: bool, parts: int
) -> None:
    assert matmuls(program(tmp_path, *projection(rows, sizes, turned))) == parts


def test_3720_keeps_one_convolution(tmp_path: Path) -> None:
    assert matmuls(program(tmp_path, *projection(4, (128, 128), True), "3720")) == 1


def test_parts_do_the_work_of_the_whole(tmp_path: Path) -> None:
    def macs(turned: bool) -> int:
        works = (t.work for t in program(tmp_path, *projection(4, (128, 128), turned)).tasks)
        return sum(w.macs for w in works if isinstance(w, DpuWork) and w.kind == "conv")

    assert macs(True) == macs(False)


def test_a_constant_is_turned_when_the_model_is_compiled(tmp_path: Path) -> None:
    """A [1, C, 1] computed, times a constant [1, C, N]: one depth-wise convolution, nothing permuted (Mul_2 of Mamba's
    single token)."""
    x = op.parameter([1, 1536, 1], np.float16)
    result = program(tmp_path, [op.multiply(op.exp(x), np.ones((1, 1536, 16), np.float16)).output(0)], [x])
    kinds = [t.work.kind for t in result.tasks if isinstance(t.work, DpuWork)]
    assert kinds.count("dwconv") == 4 and set(kinds[:4]) == {"dwconv"}
