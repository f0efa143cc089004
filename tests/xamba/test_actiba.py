"""ActiBA: tables that are as good as theory says, computed by the CPU exactly as they stand, and known to lowering."""

from __future__ import annotations

import numpy as np
import openvino as ov
import pytest
from openvino import opset15 as op
from openvino.utils.node_factory import NodeFactory

from npusim import load_hardware, lower, simulate, workloads, xamba
from npusim.graph import from_openvino
from npusim.xamba.pwl import FUNCTIONS, fit
from tests.xamba.cpu import run, single, types

MAKE = {
    "exp": op.exp,
    "gelu": lambda x: op.gelu(x, "ERF"),
    "gelu_tanh": lambda x: op.gelu(x, "TANH"),
    "sigmoid": op.sigmoid,
    "softplus": op.softplus,
    "swish": lambda x: NodeFactory("opset15").create("Swish", [x]),
    "tanh": op.tanh,
}
NAMES = pytest.mark.parametrize("name", sorted(FUNCTIONS))
LUT = "dpu.ppe.lut={functions: [swish, softplus], segments: 32}"


def _model(name: str, size: int) -> ov.Model:
    x = op.parameter([size], np.float32, name="x")
    return single(MAKE[name](x), x)


@NAMES
def test_the_error_is_small_bounded_as_told_and_falls_with_the_square_of_the_segments(name: str) -> None:
    low, high = FUNCTIONS[name].low, FUNCTIONS[name].high
    x = np.linspace(low, high, 40001, dtype=np.float32)
    stock = _model(name, x.size)
    exact = FUNCTIONS[name].of(x.astype(np.float64))
    errors = []
    for segments in (16, 32, 64):
        rewritten, [site] = xamba.apply(stock, f"actiba{{segments={segments}}}")
        error = np.abs(run(rewritten, [x])[0] - exact).max()
        assert site.error_bound is not None
        assert error <= site.error_bound * 1.001 + 1e-6
        assert error <= fit(name, segments, low, high).error * 1.001 + 1e-6
        errors.append(error)
    assert errors[1] <= 1e-2
    assert errors[0] / errors[1] >= 3.9
    assert errors[1] / errors[2] >= 3.9


@NAMES
def test_no_table_of_as_many_segments_could_be_much_better(name: str) -> None:
    """The best K segments err by (integral of sqrt |f''|)^2 / 16 K^2, for many of them."""
    function = FUNCTIONS[name]
    x = np.linspace(function.low, function.high, 20001)
    bend = np.sqrt(np.abs(np.diff(function.of(x), 2))).sum()
    assert fit(name, 64, function.low, function.high).error <= 1.12 * (bend / 64) ** 2 / 16


@NAMES
def test_the_cpu_computes_what_the_table_says(name: str) -> None:
    function = FUNCTIONS[name]
    table = fit(name, 32, function.low, function.high)
    rng = np.random.default_rng(0)
    x = np.concatenate([rng.uniform(-30, 30, 2000), table.knots, [0.0]]).astype(np.float32)
    rewritten, _ = xamba.apply(_model(name, x.size), "actiba")
    y = run(rewritten, [x])[0]
    np.testing.assert_allclose(y, table(x), rtol=1e-6, atol=1e-6)


@NAMES
def test_far_outside_it_is_the_asymptote_and_finite_even_at_infinity(name: str) -> None:
    x = np.array([-np.inf, -1e30, -100, 100, 1e30, np.inf], np.float32)
    rewritten, _ = xamba.apply(_model(name, x.size), "actiba")
    y = run(rewritten, [x])[0]
    left, right = FUNCTIONS[name].left, FUNCTIONS[name].right
    np.testing.assert_array_equal(y[:3], left[1])
    assert not np.isnan(y).any()
    if right is not None:
        largest = np.clip(x[3:], None, np.finfo(np.float32).max)
        np.testing.assert_array_equal(y[3:], right[0] * largest + right[1])


def test_a_given_range_holds_all_segments() -> None:
    rewritten, [site] = xamba.apply(_model("swish", 5), "actiba{segments=8,range=-2:2}")
    [bucketize] = [node for node in rewritten.get_ops() if node.get_type_name() == "Bucketize"]
    assert bucketize.get_friendly_name() == "site/xamba.pwl.swish"
    knots = bucketize.input_value(1).get_node().data
    assert (round(float(knots[0]), 5), knots[-1]) == (-2, 2)
    assert len(knots) <= 9
    assert "8 lines over -2:2" in site.note


def test_an_observed_range_is_what_the_model_meets() -> None:
    x = op.parameter([3, 100], np.float32, name="x")
    mask = op.constant(np.tril(np.ones((3, 100), np.bool_)))
    cleared = op.select(mask, op.constant(np.float32(-np.inf)), op.multiply(x, op.constant(np.float32(0.1))))
    stock = single(op.exp(cleared), x)
    calibration = [{0: np.linspace(-30, -5, 300, dtype=np.float32).reshape(3, 100)}]
    rewritten, [site] = xamba.apply(stock, "actiba{range=observed}", calibration=calibration)
    [bucketize] = [node for node in rewritten.get_ops() if node.get_type_name() == "Bucketize"]
    knots = bucketize.input_value(1).get_node().data
    assert -3.5 <= knots[0] < -2.9  # of the finite ones, 0.1 * -29.9..-0.5, with a margin
    assert -0.5 < knots[-1] <= 0
    assert site.error_bound is not None
    _, [usual] = xamba.apply(stock, "actiba")
    assert site.error_bound < usual.error_bound / 10
    _, [by_random_inputs] = xamba.apply(stock, "actiba{range=observed}")
    assert by_random_inputs.taken


def test_only_the_functions_asked_for_and_a_swish_in_two_ops() -> None:
    x = op.parameter([4], np.float32, name="x")
    stock = single(op.tanh(op.multiply(op.sigmoid(x), x)), x)
    rewritten, sites = xamba.apply(stock, "actiba{functions=swish+exp}")
    assert [site.taken for site in sites] == [True]
    assert "Tanh" in types(rewritten)
    assert "Sigmoid" not in types(rewritten)
    values = np.array([-3, 0, 1, 5], np.float32)
    np.testing.assert_allclose(run(rewritten, [values])[0], run(stock, [values])[0], atol=2e-3)


def test_equal_sites_share_a_table() -> None:
    rewritten, _ = xamba.apply(workloads.build("mamba-130m", layers=3, tokens=2, lm_head=False), "actiba")
    tables = [
        n for n in rewritten.get_ops() if n.get_type_name() == "Constant" and "knots" in n.get_friendly_name()
    ]
    assert len(tables) == 3  # Swish, SoftPlus, Exp


def test_without_a_look_up_path_a_table_costs_what_its_function_does() -> None:
    hw = load_hardware("lunarlake.yaml")
    stock = workloads.build("mamba-130m", layers=1, tokens=4)
    rewritten, _ = xamba.apply(stock, "actiba")
    programs = [lower(from_openvino(model), hw) for model in (stock, rewritten)]
    assert simulate(programs[0], hw).latency_us == simulate(programs[1], hw).latency_us
    assert [op.name for op in programs[0].ops] == [op.name for op in programs[1].ops]


@pytest.mark.parametrize(("passes", "fused"), [("actiba", True), ("actiba{segments=64}", False)])
def test_a_table_that_the_look_up_path_holds_takes_no_pass_of_its_own(passes: str, fused: bool) -> None:
    hw = load_hardware("lunarlake.yaml", [LUT])
    stock = workloads.build("mamba-130m", layers=1, tokens=4)
    program = lower(from_openvino(xamba.apply(stock, passes)[0]), hw)
    mixer = "layers.0.mixer"
    by_name = {op.name: op for op in program.ops}
    assert (f"{mixer}.dt.softplus" not in by_name) == fused
    assert (f"{mixer}.conv1d.swish" not in by_name) == fused
    assert (f"{mixer}.dt.softplus" in by_name[f"{mixer}.dt_proj"].fused) == fused
    assert (f"{mixer}.conv1d.swish" in by_name[f"{mixer}.conv1d"].fused) == fused
    assert f"{mixer}.decay.exp" in by_name  # which the table does not list
    faster = simulate(program, hw).latency_us < simulate(lower(from_openvino(stock), hw), hw).latency_us
    assert faster == fused
