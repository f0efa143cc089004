"""dpu.sparsity: what machines make of zeros, in weights and in what a ReLU has made."""

from __future__ import annotations

from dataclasses import replace
from functools import cache
from statistics import median

import numpy as np
import openvino as ov
import pytest
from openvino import opset15 as op

import npusim
from npusim.api import Result
from npusim.costs.dpu import cycles
from npusim.graph.load import graph_of
from npusim.program.work import DpuWork

SKIPS = "whatif/lunarlake-sparse-activations.yaml"
#: Times as fast as dense with 25, 50, 75 and 90 % of zero weights, as Intel's cost model answers for LAYERS.
ASKED = {
    ("lunarlake", 16): (1.25, 1.66, 2.77, 3.21), ("lunarlake", 8): (1.06, 1.53, 2.51, 2.84),
    ("meteorlake", 16): (1.24, 1.68, 2.19, 2.60), ("meteorlake", 8): (1.22, 1.60, 2.25, 2.60),
    ("pantherlake", 16): (1.03, 1.08, 1.34, 1.43), ("pantherlake", 8): (1.09, 1.08, 1.15, 1.19),
}  # fmt: skip
#: Rows and columns, input and output channels, taps of a side.
LAYERS = [(14, 256, 256, 3), (28, 128, 128, 3), (56, 64, 64, 3), (14, 512, 512, 1), (16, 768, 256, 1)]
WITHOUT_TABLE = "dpu.sparsity.weights.table=null"


@cache
def done(zeros: float, hw: str, *overrides: str, relu: bool = True) -> Result:
    """Two convolutions of 3x3 and 128 channels, the first with a ReLU."""
    rng = np.random.default_rng(0)
    x = value = op.parameter([1, 128, 28, 28], np.float16, name="x")
    for number in range(2):
        weights = rng.standard_normal((128, 128, 3, 3)).astype(np.float16)
        weights[rng.random(weights.shape) < zeros] = 0
        value = op.convolution(value, weights, [1, 1], [1, 1], [1, 1], [1, 1], name=f"conv{number}")
        value = op.relu(value) if relu and not number else value
    machine = npusim.load_hardware(hw, overrides)
    graph = graph_of(ov.Model([op.result(value)], [x], "two"), "two", "two")
    return npusim.simulate(npusim.lower(graph, machine), machine)


def law(saved: float, least: float) -> tuple[str, str]:
    return WITHOUT_TABLE, f"dpu.sparsity.weights.law={{saved: {saved}, least: {least}}}"


def test_without_it_zeros_are_weights_as_any_other() -> None:
    dense, half = (done(zeros, "lunarlake.yaml", "dpu.sparsity=null") for zeros in (0, 0.5))
    assert half.metrics.ddr_bytes == dense.metrics.ddr_bytes
    assert half.latency_us == dense.latency_us


def test_a_law_without_savings_reads_less_in_the_same_dpu_time() -> None:
    dense, half = (done(zeros, "lunarlake.yaml", *law(0, 0)) for zeros in (0, 0.5))
    assert half.metrics.ddr_bytes["read"] < dense.metrics.ddr_bytes["read"]
    # cut into fewer slices, each of which fills the stencils better
    assert half.metrics.statistics["sum_dpu_us"] >= 0.97 * dense.metrics.statistics["sum_dpu_us"]


def test_more_zeros_save_more_until_what_is_left() -> None:
    times = [
        done(zeros, "lunarlake.yaml", *law(1, 0.25)).metrics.statistics["sum_dpu_us"]
        for zeros in (0, 0.3, 0.6, 0.8, 0.95)
    ]
    assert times == sorted(times, reverse=True)
    assert times[-1] == pytest.approx(times[-2], rel=0.02)


@pytest.mark.parametrize(("platform", "bits"), ASKED)
def test_todays_silicon_by_the_cost_models_grids(platform: str, bits: int) -> None:
    hw = npusim.load_hardware(platform)
    for zeros, asked in zip((0.25, 0.5, 0.75, 0.9), ASKED[platform, bits], strict=True):
        gains = [
            cycles(work, hw) / cycles(replace(work, zeros=zeros), hw)
            for size, terms, outputs, taps in LAYERS
            for work in [
                DpuWork("conv", size, size, outputs, terms, taps, taps, in_bits=bits, weight_bits=bits)
            ]
        ]
        assert median(gains) == pytest.approx(asked, rel=0.15)


def test_zeros_of_activations_count_behind_a_relu_alone() -> None:
    for relu, gains in ((True, True), (False, False)):
        today, skips = (done(0, hw, relu=relu).latency_us for hw in ("lunarlake.yaml", SKIPS))
        assert (skips < 0.97 * today) is gains
        assert gains or skips == today


def test_more_zeros_of_activations_never_take_longer() -> None:
    times = [done(0, SKIPS, f"dpu.sparsity.relu_zeros={share}").latency_us for share in (0, 0.3, 0.6, 0.9)]
    assert times == sorted(times, reverse=True)
    assert times[-1] < times[0]
    assert times[0] == done(0, "lunarlake.yaml").latency_us


def test_the_operand_that_saves_more_counts() -> None:
    both, weights, activations = done(0.75, SKIPS), done(0.75, "lunarlake.yaml"), done(0, SKIPS)
    assert both.latency_us <= min(weights.latency_us, activations.latency_us)


@pytest.mark.parametrize(
    ("overrides", "words"),
    [
        (("dpu.sparsity.weights.law={saved: 0.8, least: 0.3}",), "either a table, a law or answers"),
        (("dpu.sparsity.weights.table.fp16=[[0.5, 1, 1]]",), "ascend from 0"),
        (("dpu.sparsity.weights.table.fp16=[[0, 0.9, 1], [0.5, 1, 1]]",), "more zeros must not take longer"),
        (("dpu.sparsity.relu_zeros=2",), "relu_zeros"),
        (("dpu.sparsity.wieghts=null",), "did you mean 'weights'"),
    ],
)
def test_mistakes_are_told_in_one_line(overrides: tuple[str, ...], words: str) -> None:
    with pytest.raises(npusim.UserError, match=words) as error:
        npusim.load_hardware("lunarlake.yaml", overrides)
    assert "\n" not in str(error.value)


def test_savings_of_more_than_the_products_are_doubted() -> None:
    found = npusim.hardware.check(
        "lunarlake.yaml", ["dpu.sparsity.weights.table.fp16=[[0, 1, 1], [0.5, 0.2, 1]]"]
    )
    assert any("dpu.sparsity.weights.table.fp16" in line for line in found)
