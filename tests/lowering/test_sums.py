"""Sums of products: on the DPU, on SHAVE, and written as products with ones."""

from __future__ import annotations

from math import prod

import numpy as np
import openvino as ov
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from openvino import opset15 as op

from npusim import xamba
from npusim.analysis.roofline import lower_bounds
from npusim.costs.price import price
from npusim.engine.fast import simulate_fast
from npusim.graph import from_openvino
from npusim.hardware import Hardware, load_hardware
from npusim.lowering import lower
from npusim.lowering.tile.slices import Demand, cut
from npusim.program import Program
from npusim.program.work import DmaWork, DpuWork, ShaveWork
from tests.lowering.laws import check_barriers, check_cmx

FILE = "lunarlake-2025.yaml"
ON_DPU = "software.contraction_engine=dpu"


def outer(batch: int, rows: int, columns: int, terms: int, axis: int) -> ov.Model:
    """sum(a [b, m, 1, k] * c [b, 1, n, k], axis) with the dimensions moved so that the sum is over ``axis``."""
    order = [0, 1, 2]
    order.insert(axis, 3)
    shapes = ([batch, rows, 1, terms], [batch, 1, columns, terms])
    a, c = (op.parameter([shape[d] for d in order], np.float16) for shape in shapes)
    total = op.reduce_sum(op.multiply(a, c), np.array([axis]), keep_dims=False)
    return ov.Model([total], [a, c], "outer")


def works(program: Program, kind: type) -> list[DmaWork | DpuWork | ShaveWork]:
    return [task.work for task in program.tasks if isinstance(task.work, kind)]


def hardware(*overrides: str) -> Hardware:
    return load_hardware(FILE, list(overrides))


@settings(max_examples=25, deadline=None)
@given(
    size=st.tuples(st.integers(1, 9), st.integers(2, 70), st.integers(2, 70), st.integers(2, 130)),
    axis=st.integers(0, 3),
    tiles=st.integers(1, 6),
)
def test_sums_on_shave_add_every_product_once(size: tuple[int, int, int, int], axis: int, tiles: int) -> None:
    program = lower(from_openvino(outer(*size, axis)), hw := hardware(f"tiles={tiles}"))
    dots = [work for work in works(program, ShaveWork) if work.kernel == "dot"]
    assert sum(work.macs for work in dots) == prod(size)
    assert sum(work.out_elements for work in dots) == prod(size[:3])
    assert not [work for work in works(program, DpuWork) if work.kind == "conv"]
    prices = price(program, hw)
    timeline = simulate_fast(program, prices)
    check_barriers(program)
    check_cmx(program, timeline)
    assert lower_bounds(program, prices, hw).latency_us <= timeline.latency_us * (1 + 1e-9)


def test_a_sum_on_shave_that_does_not_fit_is_sliced() -> None:
    """One MatMul of 6 MB on one tile: rows of it, the other factor with each."""
    size = (1, 4096, 512, 512)
    program = lower(from_openvino(outer(*size, 3)), hardware("tiles=1"))
    dots = [work for work in works(program, ShaveWork) if work.kernel == "dot"]
    assert len(dots) > 2
    assert sum(work.macs for work in dots) == prod(size)


@settings(max_examples=20, deadline=None)
@given(
    size=st.tuples(st.integers(4, 6), st.integers(16, 40), st.integers(16, 40), st.integers(16, 40)),
    axis=st.integers(0, 3),
)
def test_a_product_with_ones_is_the_sum_on_the_dpu(size: tuple[int, int, int, int], axis: int) -> None:
    """ReduBA, read back, costs exactly what the sum costs where the compiler contracts it."""
    model = outer(*size, axis)
    written, sites = xamba.apply(model, "reduba")
    assert any(site.taken for site in sites)
    ones = lower(from_openvino(written), hardware())
    stock = lower(from_openvino(model), hardware(ON_DPU))
    assert [task.work for task in ones.tasks] == [task.work for task in stock.tasks]


def test_other_products_with_ones_stay_matmuls() -> None:
    """Factors of one shape make no outer product; a vector of twos makes no sum."""
    x, y = (op.parameter([1, 64, 96], np.float16) for _ in range(2))
    for product, vector in (
        (op.multiply(x, y), np.ones((1, 96), np.float16)),
        (op.multiply(op.unsqueeze(x, 2), op.unsqueeze(y, 1)), np.full((1, 96), 2, np.float16)),
    ):
        total = op.matmul(product, vector, False, True)
        program = lower(from_openvino(ov.Model([total], [x, y], "kept")), hardware())
        assert [work for work in works(program, ShaveWork) if work.kernel == "multiply"]


@pytest.mark.parametrize("axis", [0, 1, 2, 3])
def test_a_sum_of_one_value_on_shave_reads_every_term_once(axis: int) -> None:
    shape = (3, 64, 40, 96)
    x = op.parameter(shape, np.float16)
    total = op.reduce_sum(x, np.array([axis]), keep_dims=False)
    program = lower(from_openvino(ov.Model([total], [x], "sum")), hardware())
    read = [work for work in works(program, DmaWork) if work.src == "ddr" and work.kind != "fetch"]
    assert sum(work.bytes for work in read) == 2 * prod(shape)
    assert {work.kernel for work in works(program, ShaveWork)} >= {"reducesum"}


def test_a_kernel_of_one_tile_runs_there_whatever_made_its_operand() -> None:
    x = op.parameter([1, 64, 128], np.float16)
    weights = np.ones((256, 128), np.float16)
    model = ov.Model([op.softplus(op.matmul(x, weights, False, True))], [x], "softplus")
    program = lower(from_openvino(model), hardware())
    calls = [work for work in works(program, ShaveWork) if work.kernel == "softplus"]
    assert [work.out_elements for work in calls] == [64 * 256]


@given(rows=st.integers(2, 200_000))
@settings(max_examples=60, deadline=None)
def test_rows_without_divisors_are_not_cut_one_by_one(rows: int) -> None:
    """87,382 rows of Mamba-2 370M on six tiles have no divisor between 2 and 43,691."""
    hw = hardware()
    found = cut(Demand(act=1024 * rows, weights=4096, out=128 * rows, rows=rows, units=1), hw, False, False)
    resident = 1152 * rows / (hw.software.pipeline_share * hw.cmx.kib_per_tile * 1024)
    assert found.slices <= 2 * (
        2 * resident + 2
    )  # two slices at once, and at most twice as many for equal ones


@pytest.mark.parametrize(
    ("a", "c", "axis", "contracted"),
    [
        ((4, 16, 1, 16), (4, 1, 16, 16), 3, True),
        ((3, 16, 1, 16), (3, 1, 16, 16), 3, False),  # fewer groups than tiles
        ((4, 16, 1, 15), (4, 1, 16, 15), 3, False),  # groups of fewer than 4,096 multiply-accumulates
        ((2, 4, 64, 1, 32), (2, 4, 1, 48, 32), 4, True),
        ((64, 8, 1, 32), (1, 8, 48, 32), 3, True),  # the groups lie between rows and columns
        ((8, 64, 1), (8, 1, 48), 0, False),  # nothing but the summed axis is shared
        ((8, 32, 64, 48), (8, 1, 64, 1), 1, False),  # one factor does not vary along the sum
        ((8, 1, 1, 64, 32), (8, 6, 8, 1, 32), 4, False),  # two axes are broadcast in one factor
        ((64, 1, 32), (8, 1, 48, 32), 3, False),  # factors of different ranks
    ],
)
def test_sums_of_products_that_become_a_matmul(
    a: tuple[int, ...], c: tuple[int, ...], axis: int, contracted: bool
) -> None:
    """As Intel's compiler has it (4000, 4 tiles): one MatMul, or the whole product on SHAVE and its sum."""
    x, y = (op.parameter(shape, np.float16) for shape in (a, c))
    total = op.reduce_sum(op.multiply(x, y), np.array([axis]), keep_dims=False)
    program = lower(from_openvino(ov.Model([total], [x, y], "sum")), load_hardware("lunarlake-vpunn.yaml"))
    kernels = [work for work in works(program, ShaveWork) if work.kernel == "multiply"]
    assert bool(kernels) is not contracted


@pytest.mark.parametrize(
    ("axis", "keep", "back", "summed"),
    [
        (4, False, None, True),
        (4, True, None, False),
        (4, False, (1, 64, 64, 32, 1), False),  # a view brings the axis back
        (4, False, (4096, 32), True),
        (0, False, None, False),
    ],
)
def test_a_sum_of_one_term(axis: int, keep: bool, back: tuple[int, ...] | None, summed: bool) -> None:
    """Intel's compiler convolves with ones (4000) before it asks whether there is anything to add."""
    x = op.parameter((1, 64, 64, 32, 1), np.float16)
    y = op.reduce_sum(op.exp(x), np.array([axis]), keep_dims=keep)
    y = y if back is None else op.reshape(y, np.array(back), special_zero=False)
    program = lower(from_openvino(ov.Model([op.exp(y)], [x], "one")), load_hardware("lunarlake-vpunn.yaml"))
    convolutions = [work for work in works(program, DpuWork) if work.kind == "conv"]
    assert bool(convolutions) is summed


def test_a_product_of_two_transposes_is_summed_as_it_lies() -> None:
    """Tokens and heads are exchanged in both factors, and tokens summed: nothing is moved for it (3720)."""
    a, c = (op.parameter(shape, np.float16) for shape in ((1, 64, 8, 32), (1, 64, 8, 16)))
    shapes = ((1, 8, 64, 32, 1), (1, 8, 64, 1, 16))
    turned = [
        op.reshape(op.transpose(op.exp(x), np.array([0, 2, 1, 3])), np.array(shape), special_zero=False)
        for x, shape in zip((a, c), shapes, strict=True)
    ]
    exchanged = op.reduce_sum(op.multiply(*turned), np.array([2]), keep_dims=False)
    straight = [
        op.reshape(op.exp(x), np.array((1, 64, 8, *shape[3:])), special_zero=False)
        for x, shape in zip((a, c), shapes, strict=True)
    ]
    plain = op.reduce_sum(op.multiply(*straight), np.array([1]), keep_dims=False)
    found = [
        lower(from_openvino(ov.Model([y], [a, c], "sum")), load_hardware("meteorlake-vpunn.yaml"))
        for y in (exchanged, plain)
    ]
    assert [task.work for task in found[0].tasks] == [task.work for task in found[1].tasks]


@pytest.mark.parametrize(
    ("a", "c", "product"),
    [
        ((8, 64, 1), (8, 1, 64), True),
        ((3, 64, 1), (3, 1, 64), False),  # fewer groups than tiles
        ((8, 63, 1), (8, 1, 64), False),  # fewer than 4,096 products
        ((8, 1, 64), (8, 64, 1), False),  # columns come first
        ((64, 8, 1), (1, 8, 64), False),  # the groups lie between rows and columns
    ],
)
def test_products_that_become_a_matmul_of_one_term(
    a: tuple[int, ...], c: tuple[int, ...], product: bool
) -> None:
    """As Intel's compiler has it (4000, 4 tiles)."""
    x, y = (op.parameter(shape, np.float16) for shape in (a, c))
    model = ov.Model([op.exp(op.multiply(x, y))], [x, y], "outer")
    program = lower(from_openvino(model), load_hardware("lunarlake-vpunn.yaml"))
    kernels = [work for work in works(program, ShaveWork) if work.kernel == "multiply"]
    assert bool(kernels) is not product


@settings(max_examples=15, deadline=None)
@given(
    size=st.tuples(st.integers(2, 9), st.integers(2, 9), st.integers(64, 80)),
    tiles=st.integers(1, 6),
)
def test_a_product_of_broadcast_factors_is_computed_once(size: tuple[int, int, int], tiles: int) -> None:
    """No tile repeats what another one does, if the factors have four dimensions and the first is not the longest."""
    k, h, p = size
    x, y = (op.parameter(shape, np.float16) for shape in ((1, 1, 64, k, h, 1), (1, 1, 1, k, h, p)))
    model = ov.Model([op.multiply(x, y)], [x, y], "outer")
    program = lower(from_openvino(model), load_hardware("lunarlake-vpunn.yaml", [f"tiles={tiles}"]))
    made = sum(work.out_elements for work in works(program, ShaveWork) if work.kernel == "multiply")
    assert made == 64 * k * h * p


def test_a_batch_of_products_is_made_one_after_the_other() -> None:
    """Both factors have the first of four dimensions: a kernel call for each of it (4000)."""
    a, b = (op.parameter(shape, np.float16) for shape in ((24, 2, 2, 1), (24, 1, 2, 8192)))
    model = ov.Model([op.multiply(a, b)], [a, b], "batch")
    program = lower(from_openvino(model), load_hardware("lunarlake-vpunn.yaml"))
    calls = [work.out_elements for work in works(program, ShaveWork) if work.kernel == "multiply"]
    assert sum(calls) == 24 * 2 * 2 * 8192
    assert max(calls) == 2 * 2 * 8192 // 8


@pytest.mark.parametrize("platform", ["meteorlake", "lunarlake", "pantherlake"])
@pytest.mark.parametrize(("rows", "columns", "channels"), [(2, 48, 8192), (3, 32, 512), (6, 256, 1024)])
def test_the_first_of_three_dimensions_is_summed_by_one_pooling_of_channels(
    platform: str, rows: int, columns: int, channels: int
) -> None:
    """The tiles share the channels of an image of so many rows, which is read once, and write every sum once."""
    hw = load_hardware(f"{platform}.yaml")
    x = op.parameter([rows, columns, channels], np.float16)
    total = op.reduce_sum(x, np.array([0]), keep_dims=False)
    program = lower(from_openvino(ov.Model([total], [x], "first")), hw)
    pooled = [w for w in works(program, DpuWork) if isinstance(w, DpuWork)]
    assert {(w.kernel_h, w.height, w.width) for w in pooled} == {(rows, 1, columns)}
    assert sum(w.out_channels for w in pooled) == channels
    check_cmx(program, simulate_fast(program, price(program, hw)))
    read = sum(w.bytes for w in works(program, DmaWork) if isinstance(w, DmaWork) and w.src == "ddr")
    assert read == 2 * rows * columns * channels


def test_a_widened_plane_is_stored_while_its_next_slice_is_computed() -> None:
    """Two slices, twice 64 x 47 x 16 pixels with their results and weights, take 0.834 of CMX; of 48, 0.8515."""
    x = op.parameter([1, 1, 64, 8192], np.float16)
    total = op.reduce_sum(x, np.array([2]), keep_dims=True)
    hw = load_hardware("meteorlake-vpunn.yaml")
    program = lower(from_openvino(ov.Model([total], [x], "plane")), hw)
    timeline = simulate_fast(program, price(program, hw))
    widening = [
        i
        for i, task in enumerate(program.tasks)
        if isinstance(task.work, DpuWork) and task.work.kind == "conv"
    ]
    stores = [
        i for i, task in enumerate(program.tasks) if isinstance(task.work, DmaWork) and task.work.src == "cmx"
    ]
    convolutions = [work for work in works(program, DpuWork) if work.kind == "conv"]
    assert max(work.width for work in convolutions) == 47
    during = [
        i for i in widening for j in stores
        if timeline.start_us[j] <= timeline.start_us[i] < timeline.end_us[j]
    ]  # fmt: skip
    assert len(set(during)) > len(widening) / 2
