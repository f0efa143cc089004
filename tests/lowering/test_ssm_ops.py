"""Ops of state-space models that decide where their time goes, beside the vendor's traces of them."""

from __future__ import annotations

import numpy as np
import openvino as ov
import pytest
from openvino import opset15 as op

from npusim import api
from npusim.costs.work import DpuWork, ShaveWork
from npusim.graph import from_openvino
from npusim.hardware import load_hardware
from npusim.lowering import lower
from npusim.lowering.program import Program
from tests.lowering.laws import check_barriers, check_cmx


def program(outputs: list[ov.Output], inputs: list[ov.Node], hardware: str, tiles: int) -> Program:
    model = ov.Model([op.result(x) for x in outputs], inputs, "ssm")
    return lower(from_openvino(model), load_hardware(hardware, [f"tiles={tiles}"]))


@pytest.mark.parametrize(
    ("hardware", "rows", "depth_wise"),
    [
        pytest.param("pantherlake-vpunn.yaml", (256, 24), True, id="Mul_7 of mamba2-130m: 6144 channels"),
        pytest.param("pantherlake-vpunn.yaml", (256, 48), False, id="12,288 channels are too many"),
        pytest.param("lunarlake-vpunn.yaml", (256, 24), False, id="4000 leaves it to the SHAVEs"),
    ],
)
def test_rows_scaled_by_a_computed_factor(hardware: str, rows: tuple[int, int], depth_wise: bool) -> None:
    """[1, 1, L, h, n] times [1, 1, L, h, 1]: on 5010 a depth-wise convolution of L * h channels and n pixels."""
    value = op.parameter([1, 1, *rows, 128], np.float16, name="value")
    factor = op.parameter([1, 1, *rows, 1], np.float16, name="factor")
    made = program([op.multiply(value, factor).output(0)], [value, factor], hardware, 3)
    check_barriers(made)
    works = [task.work for task in made.tasks]
    products = [w for w in works if isinstance(w, DpuWork) and w.kind == "dwconv"]
    kernels = [w for w in works if isinstance(w, ShaveWork) and w.kernel == "multiply"]
    assert (bool(products), bool(kernels)) == (depth_wise, not depth_wise)
    elements = sum(w.height * w.width * w.out_channels for w in products) + sum(
        w.out_elements for w in kernels
    )
    assert elements == rows[0] * rows[1] * 128


def test_a_boolean_mask_is_read_as_fp16() -> None:
    """Where_1 of mamba2 on 6 tiles: with a mask of FP16 one slice takes 1536 KiB a tile of 1439, so there are two."""
    mask = op.constant(np.tril(np.ones((1, 1, 256, 256), bool)))
    value = op.parameter([1, 24, 256, 1], np.float16, name="value")
    zero = op.constant(np.zeros((), np.float16))
    made = program([op.select(mask, zero, value).output(0)], [value], "lunarlake-vpunn.yaml", 6)
    kernels = [t.work for t in made.tasks if isinstance(t.work, ShaveWork) and t.work.kernel == "select_2in"]
    assert {w.out_elements for w in kernels} == {2 * 128 * 256}
    assert len(kernels) == 2 * 12


@pytest.mark.parametrize(
    ("name", "tokens", "hardware", "tiles"),
    [("mamba2-130m", 200, "lunarlake-vpunn.yaml", 2), ("mamba-2.8b", 128, "meteorlake-vpunn.yaml", 2)],
)
def test_causal_convolution_fits_with_its_weights(name: str, tokens: int, hardware: str, tiles: int) -> None:
    """Activation and result fit the CMX of a tile, but not beside the weights and the padding."""
    hw = load_hardware(hardware, [f"tiles={tiles}"])
    made = lower(api.build_workload(name, tokens=tokens, layers=1), hw)
    check_cmx(made, api.simulate(made, hw, engine="fast", allow_guess=True).timeline)
