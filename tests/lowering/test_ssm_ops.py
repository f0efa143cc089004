"""Ops of state-space models that decide where their time goes, beside the vendor's traces of them."""

from __future__ import annotations

import numpy as np
import openvino as ov
import pytest
from openvino import opset15 as op

from npusim import api
from npusim.graph import from_openvino
from npusim.hardware import load_hardware
from npusim.lowering import lower
from npusim.program import Program
from npusim.program.work import DmaWork, DpuWork, ShaveWork
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


def moved(made: Program, src: str, dst: str, name: str = "") -> list[DmaWork]:
    """Transfers from one memory to another, of ops whose name has a part."""
    works = ((t.work, made.ops[t.op].name) for t in made.tasks)
    return [
        w
        for w, op in works
        if isinstance(w, DmaWork) and w.bytes and (w.src, w.dst) == (src, dst) and name in op
    ]


@pytest.mark.parametrize(("tiles", "copied"), [(4, False), (5, True), (6, True)])
def test_a_sliced_product_finds_copies_of_what_fits(tiles: int, copied: bool) -> None:
    """Mul_5 of mamba2-130m_l1_t4_base: what its slices read is copied when it is made, and spilled when room is short;
    on 4 tiles the MatMul before it is sliced too."""
    hw = load_hardware("lunarlake-vpunn.yaml", [f"tiles={tiles}"])
    made = lower(api.build_workload("mamba2-130m", tokens=4, layers=1), hw)
    check_barriers(made)
    check_cmx(made, api.simulate(made, hw, engine="fast", allow_guess=True).timeline)
    size = 24 * 256 * 256 * 2
    assert sum(w.bytes for w in moved(made, "cmx", "cmx", "masked")) == (size if copied else 0)


def test_zeros_of_pads_come_before_all_else() -> None:
    """Every fill of mamba2-130m_l4_t4_base precedes the gather, whatever its layer."""
    made = lower(api.build_workload("mamba2-130m", tokens=4, layers=3), load_hardware("lunarlake-vpunn.yaml"))
    works = [t.work for t in made.tasks]
    gather = next(i for i, w in enumerate(works) if isinstance(w, DmaWork) and w.kind == "gather")
    fills = [
        i
        for i, w in enumerate(works)
        if isinstance(w, DmaWork) and w.src == w.dst == "ddr" and w.bytes > 2**19
    ]
    assert len(fills) >= 3 * 3
    assert max(fills) < gather


@pytest.mark.parametrize(("factor", "expanded"), [([24, 2, 1, 1], True), ([24, 2, 64, 1], False)])
def test_a_factor_that_lacks_two_dimensions_is_expanded(factor: list[int], expanded: bool) -> None:
    """Mul_10 of mamba2: [24, 2, 64, 128] times [24, 2, 1, 1]."""
    value = op.parameter([24, 2, 64, 128], np.float16, name="value")
    small = op.parameter(factor, np.float16, name="small")
    made = program([op.multiply(small, value).output(0)], [value, small], "lunarlake-vpunn.yaml", 4)
    check_barriers(made)
    kinds = [w.kind for w in moved(made, "cmx", "cmx")]
    assert kinds == (["resize", "resize", "copy"] if expanded else [])
    kernels = [t.work for t in made.tasks if isinstance(t.work, ShaveWork)]
    assert sum(w.out_elements for w in kernels) == 24 * 2 * 64 * 128


@pytest.mark.parametrize(("kernel", "stored"), [(op.sqrt, 0), (op.exp, 256 * 32 * 128 * 2)])
def test_a_pool_finds_a_kernels_result_where_both_share_it_alike(kernel, stored: int) -> None:
    """An image that is turned to planes: Sqrt lies over the tiles as the pool reads it, Exp does not (276 and 342 µs,
    OpenVINO 2026.4.1)."""
    value = op.parameter([1, 256, 32, 128], np.float16, name="value")
    turned = op.transpose(kernel(value), np.array([0, 3, 1, 2]))
    made = program([turned.output(0)], [value], "lunarlake-vpunn.yaml", 4)
    assert sum(w.bytes for w in moved(made, "cmx", "ddr", kernel.__name__.capitalize())) == stored


def test_one_transpose_serves_two_contractions_and_is_stored_for_each() -> None:
    """X of mamba2: one permuting pool, whose result is written to DDR twice."""
    x = op.parameter([1, 256, 24, 64], np.float16, name="x")
    left = op.parameter([1, 256, 256, 24, 1], np.float16, name="left")
    right = op.parameter([1, 24, 256, 128, 1], np.float16, name="right")
    inner = op.reduce_sum(op.multiply(left, op.unsqueeze(x, np.array([1]))), np.array([2]))
    heads = op.unsqueeze(op.transpose(x, np.array([0, 2, 1, 3])), np.array([3]))
    outer = op.reduce_sum(op.multiply(right, heads), np.array([2]))
    made = program([inner.output(0), outer.output(0)], [x, left, right], "lunarlake-vpunn.yaml", 4)
    check_barriers(made)
    pools = [
        t
        for t in made.tasks
        if isinstance(t.work, DpuWork) and t.work.kind == "maxpool" and t.work.width == 24
    ]
    stores = [w for w in moved(made, "cmx", "ddr") if w.bytes == 256 * 24 * 64 * 2 // 4]
    assert len({t.op for t in pools}) == 1
    assert len(stores) >= 2 * 4


def test_only_the_slice_that_is_read_is_stored() -> None:
    """Slice_3 of mamba2: 4 of 7 rows of the causal convolution leave CMX."""
    value = op.parameter([1, 64, 32, 32], np.float16, name="value")
    made = program(
        [op.softmax(op.slice(op.exp(value), [0], [16], [1], [1]), 3).output(0)],
        [value],
        "lunarlake-vpunn.yaml",
        4,
    )
    assert sum(w.bytes for w in moved(made, "cmx", "ddr", "Exp")) == 16 * 32 * 32 * 2


@pytest.mark.parametrize(("channels", "copied"), [(8, True), (32, False)])
def test_pieces_of_a_concat_are_copied_where_they_are_a_part_of_wider_channels(
    channels: int, copied: bool
) -> None:
    """Two products of 64 rows one behind the other, as compiled for 4000; kernels write where they belong."""
    x = op.parameter([64, 64], np.float16, name="x")
    weights = [op.constant(np.full((channels, 64), 0.1 * k, np.float16)) for k in (1, 2)]
    both = op.concat([op.matmul(x, w, False, True) for w in weights], 0)
    made = program([both.output(0)], [x], "lunarlake-vpunn.yaml", 4)
    assert [w.bytes for w in moved(made, "ddr", "ddr") if w.bytes] == [1024, 1024] * copied
    kernels = op.concat([op.exp(x), op.sqrt(x)], 1)
    made = program([kernels.output(0)], [x], "lunarlake-vpunn.yaml", 4)
    assert not [w for w in moved(made, "ddr", "ddr") if w.bytes]
