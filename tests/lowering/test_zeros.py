"""Zero weights: where they are read from, and what they save or cost as Intel's compiler stores them."""

from __future__ import annotations

import numpy as np
import openvino as ov
import pytest
from openvino import opset15 as op

from npusim.costs.price import price
from npusim.engine.fast import simulate_fast
from npusim.graph.load import graph_of
from npusim.hardware import load_hardware
from npusim.lowering import lower
from npusim.program import Program
from npusim.program.work import DmaWork, DpuWork

RANDOM = np.random.default_rng(7)


def sparse(shape: tuple[int, ...], zeros: float) -> np.ndarray:
    weights = np.ones(shape, np.float16)
    weights[RANDOM.random(shape) < zeros] = 0
    return weights


def program(weights: np.ndarray, platform: str, rows: int = 28) -> Program:
    if weights.ndim == 4:
        x = op.parameter([1, weights.shape[1], rows, rows], np.float16)
        y = op.convolution(x, weights, [1, 1], [1, 1], [1, 1], [1, 1])
    else:
        x = op.parameter([1, rows, weights.shape[1]], np.float16)
        y = op.matmul(x, weights, False, True)
    return lower(graph_of(ov.Model([y], [x], "m"), "m", "m"), load_hardware(platform))


def read(result: Program) -> int:
    """Bytes read from DDR into CMX."""
    works = (t.work for t in result.tasks)
    return sum(w.bytes for w in works if isinstance(w, DmaWork) and (w.src, w.dst) == ("ddr", "cmx"))


@pytest.mark.parametrize("platform", ["meteorlake-vpunn", "lunarlake-vpunn", "pantherlake-vpunn"])
def test_zeros_make_convolutions_faster_and_smaller(platform: str) -> None:
    results = [program(sparse((128, 128, 3, 3), zeros), platform) for zeros in (0.25, 0.5, 0.75, 0.95)]
    sizes = [read(result) for result in results]
    assert sizes == sorted(sizes, reverse=True)
    assert sizes[0] - sizes[-1] > 0.65 * (128 * 128 * 9 * 2)  # 0.7 of the weights, less padding
    saved = [sum(t.work.zeros for t in r.tasks if isinstance(t.work, DpuWork)) for r in results]
    assert saved == sorted(saved)


@pytest.mark.parametrize(("bits", "enabled", "dense"), [(np.float16, 0.08, 0.04), (np.int8, 0.16, 0.1)])
def test_few_zeros_are_stored(bits: type, enabled: float, dense: float) -> None:
    for zeros, stored in ((enabled, True), (dense, False)):
        weights = sparse((64, 512), zeros).astype(bits)
        x = op.parameter([1, 28, 512], np.float16)
        y = op.matmul(x, op.convert(op.constant(weights), "f16"), False, True)
        result = lower(graph_of(ov.Model([y], [x], "m"), "m", "m"), load_hardware("lunarlake-vpunn"))
        assert any("zero" in o.strategy for o in result.ops) is stored


def test_a_pattern_is_worth_what_chance_is() -> None:
    two_of_four = np.ones((128, 128, 3, 3), np.float16)
    two_of_four[:, ::4] = two_of_four[:, 1::4] = 0
    by_chance, pattern = (
        read(program(w, "lunarlake-vpunn")) for w in (sparse((128, 128, 3, 3), 0.5), two_of_four)
    )
    assert pattern == pytest.approx(by_chance, rel=0.01)


def test_all_zeros_are_unknown_and_count_as_dense() -> None:
    """An IR without its weights is read as zeros."""
    unknown, dense = (
        read(program(np.full((128, 128, 3, 3), v, np.float16), "lunarlake-vpunn")) for v in (0, 1)
    )
    assert unknown == dense


def test_maps_of_one_row_cost_more_than_zeros_save() -> None:
    """zeros_matmul of the compiler's schedules: half of the weights zero, and slower for it."""
    hw = load_hardware("lunarlake-vpunn")
    results = [program(sparse((512, 512), zeros), "lunarlake-vpunn", 1) for zeros in (0.5, 0)]
    half, none = (simulate_fast(one, price(one, hw)).latency_us for one in results)
    assert half > 1.2 * none


@pytest.mark.parametrize("platform", ["meteorlake-vpunn", "lunarlake-vpunn", "pantherlake-vpunn"])
@pytest.mark.parametrize(
    ("terms", "sums", "stored"),
    [
        (24, 256, True),
        (40, 256, True),
        (100, 256, True),
        (130, 144, False),
        (200, 256, False),
        (48, 90, True),
    ],
)
def test_padding_counts_as_zeros(terms: int, sums: int, stored: bool, platform: str) -> None:
    """A bit map beside the weights, or none, in the compiler's schedules of such products, whose transfers are as long
    as the non-zero weights in whole 16 bytes: of 130 terms too few bytes are saved, of 90 columns the padding helps."""
    result = program(np.ones((sums, terms), np.float16), platform, 64)
    assert any("zero" in o.strategy for o in result.ops) is stored


@pytest.mark.parametrize("platform", ["meteorlake-vpunn", "lunarlake-vpunn", "pantherlake-vpunn"])
@pytest.mark.parametrize("width", [512, 768])
def test_zeros_do_not_move_the_split_of_a_matmul(platform: str, width: int) -> None:
    """20 chains of MatMuls compiled with 0 to 90 % zeros: their split is the dense one's."""
    splits = {
        program(sparse((width, width), zeros), platform, 64).ops[0].strategy.split(",")[0]
        for zeros in (0.0, 0.3, 0.6, 0.9)
    }
    assert len(splits) == 1
