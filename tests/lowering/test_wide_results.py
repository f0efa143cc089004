"""Results of FP32: who writes them so, against the compiler's own schedules (evidence/lowering.md#1.6)."""

from __future__ import annotations

import numpy as np
import openvino as ov
import pytest
from openvino import opset15 as op

import npusim
from npusim.graph import from_openvino
from npusim.lowering import lower
from npusim.program.work import DpuWork, ShaveWork
from npusim.validation.schedules.predict import hardware_of
from npusim.validation.schedules.references import Row, open_reference

SET = open_reference(sets=["interfaces"])


@pytest.mark.parametrize("row", SET.rows, ids=lambda row: f"{row.case}-{row.platform}")
def test_a_kernel_converts_what_the_compiler_has_it_convert(row: Row) -> None:
    by_kernel = b"converted_to_f32" in SET.schedule(row)
    hw = hardware_of(row.platform, row.tiles, row.dma_engines)
    works = lower(SET.graph(row), hw).tasks.works
    widening = [
        work for work in works
        if isinstance(work, ShaveWork) and work.kernel == "convert" and work.out_bytes == 4 * work.out_elements
    ]  # fmt: skip
    on_dpu = [work for work in works if isinstance(work, DpuWork) and work.out_bits == 32]
    assert (bool(widening), bool(on_dpu)) == (by_kernel, not by_kernel)


@pytest.mark.parametrize("machine", ["meteorlake", "lunarlake", "pantherlake"])
@pytest.mark.parametrize("shape", [(), (1,), (1, 1, 1)])
def test_a_single_number_may_be_the_result(shape: tuple[int, ...], machine: str) -> None:
    x = op.parameter(list(shape), np.float32, name="x")
    scaled = op.multiply(op.exp(x), np.float32(0.3))
    model = ov.Model([op.result(op.add(scaled, x)), op.result(scaled)], [x], "number")
    assert lower(from_openvino(model), npusim.load_hardware(machine)).tasks


#: What Intel's compiler of 2026.4.1 schedules for 3720, µs: [rows, terms] x [terms, columns] of FP32.
ROWS = {
    (64, 128, 640): 13.7,
    (32, 128, 640): 12.1,
    (48, 128, 128): 5.5,
    (112, 256, 256): 14.3,
    (8, 512, 512): 21.2,
}


@pytest.mark.parametrize("shape", ROWS)
def test_a_product_of_few_rows_between_conversions_stays_in_rows(shape: tuple[int, int, int]) -> None:
    rows, terms, columns = shape
    x = op.parameter([1, rows, terms], np.float32, name="x")
    product = op.matmul(x, np.ones((columns, terms), np.float32), False, True)
    hw = npusim.load_hardware("meteorlake-vpunn")
    program = lower(from_openvino(ov.Model([op.result(product)], [x], "m")), hw)
    assert npusim.simulate(program, hw, "fast").latency_us == pytest.approx(ROWS[shape], rel=0.04)
