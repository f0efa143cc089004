"""CumBA and ReduBA compute what CumSum and ReduceSum do, for any axes, rank, length and direction."""

from __future__ import annotations

import numpy as np
import openvino as ov
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from openvino import opset15 as op

from npusim import xamba
from tests.xamba.cpu import assert_same, run, single, types

law = settings(max_examples=25, deadline=None)
SHAPES = st.lists(st.sampled_from((1, 2, 3, 5, 8, 17)), min_size=1, max_size=5).map(tuple)


def _cumsum(shape: list[object], axis: int, *, exclusive: bool = False, reverse: bool = False) -> ov.Model:
    x = op.parameter(shape, np.float32, name="x")
    return single(op.cum_sum(x, op.constant(np.int64(axis)), exclusive, reverse), x)


def _reduce(kind: str, shape: list[object], axes: list[int], keep_dims: bool) -> ov.Model:
    x = op.parameter(shape, np.float32, name="x")
    make = op.reduce_sum if kind == "sum" else op.reduce_mean
    return single(make(x, op.constant(np.array(axes, np.int64)), keep_dims), x)


@law
@given(
    st.data(),
    SHAPES,
    st.booleans(),
    st.booleans(),
    st.sampled_from(("", "{block=2}", "{block=3}", "{block=16}")),
)
def test_cumba_is_cumsum(
    data: st.DataObject, shape: tuple[int, ...], exclusive: bool, reverse: bool, block: str
) -> None:
    axis = data.draw(st.integers(-len(shape), len(shape) - 1))
    stock = _cumsum(list(shape), axis, exclusive=exclusive, reverse=reverse)
    rewritten, [site] = xamba.apply(stock, f"cumba{block}")
    assert site.taken == (shape[axis] > 1)
    assert ("CumSum" in types(rewritten)) != site.taken
    assert "Transpose" not in types(rewritten)
    assert_same(stock, rewritten)


@pytest.mark.parametrize("length", [1000, 1024, 1025, 5000])
@pytest.mark.parametrize("axis", [0, 1])
def test_long_axes_are_cut_into_blocks_by_themselves(length: int, axis: int) -> None:
    shape = [length, 3] if axis == 0 else [3, length]
    stock = _cumsum(list(shape), axis)
    rewritten, [site] = xamba.apply(stock, "cumba")
    assert ("blocks" in site.note) == (length > 1024)
    assert_same(stock, rewritten)
    constants = [n for n in rewritten.get_ops() if n.get_type_name() == "Constant"]
    assert max(np.asarray(n.data).size for n in constants) <= 1024 * 1024


def test_blocks_of_blocks_and_the_work_is_linear() -> None:
    stock = _cumsum([4096], 0)
    rewritten, _ = xamba.apply(stock, "cumba{block=4}")
    products = [node for node in rewritten.get_ops() if node.get_type_name() == "MatMul"]
    work = sum(int(np.prod(node.get_output_shape(0))) * node.get_input_shape(0)[-1] for node in products)
    assert 4 * 4096 <= work <= 6 * 4096
    x = np.ones(4096, np.float32)
    np.testing.assert_array_equal(run(rewritten, [x])[0], np.cumsum(x))


@law
@given(st.data(), SHAPES, st.booleans(), st.sampled_from(("sum", "mean")))
def test_reduba_is_the_sum(data: st.DataObject, shape: tuple[int, ...], keep_dims: bool, kind: str) -> None:
    every = st.integers(-len(shape), len(shape) - 1)
    axes = data.draw(st.lists(every, min_size=1, unique_by=lambda a: a % len(shape)))
    stock = _reduce(kind, list(shape), axes, keep_dims)
    rewritten, [site] = xamba.apply(stock, "reduba")
    assert site.taken
    assert not {"ReduceSum", "ReduceMean", "Transpose"} & set(types(rewritten))
    assert_same(stock, rewritten)


def test_one_vector_serves_all_sums_of_a_length() -> None:
    x = op.parameter([4, 6, 6], np.float32, name="x")
    axes = [op.constant(np.array([axis], np.int64)) for axis in (1, 2)]
    sums = [op.result(op.reduce_sum(x, axis, False)) for axis in axes]
    rewritten, _ = xamba.apply(ov.Model(sums, [x], "two"), "reduba")
    ones = [node for node in rewritten.get_ops() if node.get_friendly_name() == "xamba.ones 6_compressed"]
    assert [node.get_element_type() for node in ones] == [ov.Type.f16]


@pytest.mark.parametrize("passes", ["cumba", "cumba{block=4}", "reduba"])
@pytest.mark.parametrize("kind", [np.float16, np.float64])
def test_other_floating_types(passes: str, kind: type) -> None:
    x = op.parameter([3, 7], kind, name="x")
    axis = op.constant(np.array([1] if passes == "reduba" else 1, np.int64))
    node = op.reduce_mean(x, axis, True) if passes == "reduba" else op.cum_sum(x, axis)
    stock = single(node, x)
    rewritten, [site] = xamba.apply(stock, passes)
    assert site.taken
    assert rewritten.output(0).get_element_type() == stock.output(0).get_element_type()
    assert_same(stock, rewritten, 2e-3)


@pytest.mark.parametrize(
    ("shape", "axis"), [([-1, 6], 1), ([-1, 6, 4], 1), ([-1, 6, -1], 1), ([-1, 6, 2, 3], 1), ([-1, 5, 6], -1)]
)
def test_what_is_not_summed_may_be_dynamic(shape: list[object], axis: int) -> None:
    fixed = [3 if d == -1 else d for d in shape]
    x = np.random.default_rng(0).standard_normal(fixed).astype(np.float32)
    rewritten, [site] = xamba.apply(_cumsum(shape, axis), "cumba")
    assert site.taken
    np.testing.assert_allclose(run(rewritten, [x])[0], np.cumsum(x, axis), rtol=1e-5, atol=1e-6)
    rewritten, [site] = xamba.apply(_reduce("sum", shape, [axis], False), "reduba")
    assert site.taken == (axis % len(shape) >= len(shape) - 2)
    np.testing.assert_allclose(run(rewritten, [x])[0], x.sum(axis), rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize(
    ("shape", "axis", "said"),
    [
        ([2, -1], 1, "the axis length is dynamic"),
        ([2, 4, -1, 3], 1, "behind it"),
        ([2, 5000, -1], 1, "need blocks"),
        (None, 1, "the rank is dynamic"),
        ([2, 0], 1, "empty"),
        ([], 0, "single number"),
    ],
)
def test_cumba_says_why_it_skips(shape: list[object] | None, axis: int, said: str) -> None:
    x = op.parameter(ov.PartialShape.dynamic() if shape is None else shape, np.float32, name="x")
    rewritten, [site] = xamba.apply(single(op.cum_sum(x, op.constant(np.int64(axis))), x), "cumba")
    assert not site.taken
    assert said in site.note
    assert "CumSum" in types(rewritten)


def test_integers_and_computed_axes_are_skipped() -> None:
    x = op.parameter([4], np.int32, name="x")
    _, [site] = xamba.apply(single(op.cum_sum(x, op.constant(np.int64(0))), x), "cumba")
    assert "i32" in site.note
    y, axis = op.parameter([4, 4], np.float32, name="y"), op.parameter([], np.int64, name="axis")
    _, [site] = xamba.apply(single(op.cum_sum(y, axis), y, axis), "cumba")
    assert site.note == "the axis is not a constant"


def test_the_mean_of_an_rms_norm_is_left_alone_unless_asked_for() -> None:
    x = op.parameter([2, 8], np.float32, name="x")
    mean = op.reduce_mean(op.multiply(x, x), op.constant(np.array([1], np.int64)), True)
    stock = single(op.divide(x, op.sqrt(op.add(mean, op.constant(np.float32(1e-5))))), x)
    _, [site] = xamba.apply(stock, "reduba")
    assert not site.taken
    assert "RMS norm" in site.note
    rewritten, [site] = xamba.apply(stock, "reduba{norms=yes}")
    assert site.taken
    assert_same(stock, rewritten)
