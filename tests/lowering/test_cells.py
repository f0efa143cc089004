"""Plans of DPU ops without dense weights: shapes, splits and slices as the vendor's traces show them."""

from __future__ import annotations

from pathlib import Path

import pytest

from npusim.hardware import load_hardware
from npusim.hardware.schema import Hardware
from npusim.lowering.ir.nodes import Depthwise, Eltwise, Reduce, Scale, Transpose, Unary, Window
from npusim.lowering.ir.plan import Plan, cmx_capacity
from npusim.lowering.ir.shapes import pooling_kernels
from npusim.lowering.ir.values import Value, ceil_div
from npusim.lowering.plans.dpu.depthwise import plan_activation, plan_depthwise, plan_scale
from npusim.lowering.plans.dpu.eltwise import is_runtime_scale, plan_add, plan_runtime_scale
from npusim.lowering.plans.dpu.images import borrow_channels, fit, refold, workload_channels
from npusim.lowering.plans.dpu.permute import plan_permute
from npusim.lowering.plans.dpu.reduce import plan_reduce
from npusim.lowering.tile.slices import UNEQUAL_PATIENCE, Demand, first_fit
from npusim.program.work import DmaWork, DpuWork

CONFIGS = Path(__file__).parents[2] / "hwconfigs"


@pytest.fixture(scope="module")
def hw() -> Hardware:
    """Platform 4000, 4 tiles."""
    return load_hardware(str(CONFIGS / "lunarlake-vpunn.yaml"), ["tiles=4"])


class Storages:
    """Gives values storages of their own."""

    def __init__(self) -> None:
        self.next = 100

    def __call__(self, value: Value) -> Value:
        """A new storage."""
        self.next += 1
        return Value(self.next, value.shape, value.bits, value.stored_bits)


def op(shape: tuple[int, ...], *others: Value) -> tuple[str, str, tuple[Value, ...], Value]:
    """Name, type, operands and result of an op whose result is like its first operand."""
    return "op", "Op", (Value(0, shape), *others), Value(1, shape)


def dpu(plan: Plan, part: int = 0, tile: int = 0) -> list[tuple[int, int, int]]:
    """(height, width, channels) of a tile's DPU tasks in one slice."""
    works = [w for t, w in plan.slices[part].computes if t == tile and isinstance(w, DpuWork)]
    return [(w.height, w.width, w.out_channels) for w in works]


@pytest.mark.parametrize(
    ("shape", "expected"),
    [
        ((1, 24, 64, 256), (24, 64, 256)),  # add_m
        ((1, 1, 256, 1536), (192, 128, 16)),  # add_t
        ((1, 1, 4, 1536), (24, 16, 16)),  # relu_u
    ],
)
def test_refold(shape: tuple[int, ...], expected: tuple[int, int, int]) -> None:
    image = refold(shape)
    assert (image.height, image.width, image.channels) == expected


def test_borrow_channels_takes_factors_of_the_width() -> None:
    image = borrow_channels((1, 24, 64, 256), 4)  # sub_m
    assert image is not None
    assert (image.height, image.width, image.channels) == (64, 128, 48)


def test_fit_leaves_room_for_the_next_input(hw: Hardware) -> None:
    tile = 32 * 64 * 256 * 2  # relu_l: 32 channels, 64 rows, 256 columns
    assert fit(hw, tile, tile, 256) == 3
    assert fit(hw, tile, tile, 256, ahead=False) == 2
    assert fit(hw, cmx_capacity(hw) // 2, cmx_capacity(hw) // 2, 256) == 1


def test_kernels_of_a_chain() -> None:
    assert pooling_kernels(256) == [8, 8, 4]
    assert pooling_kernels(24) == [8, 3]
    assert pooling_kernels(1536) == [8, 8, 8, 3]
    assert pooling_kernels(100) == [5, 5, 4]
    assert pooling_kernels(97) == [7, 7, 2]  # padded to 98
    assert workload_channels(96) == 64
    assert workload_channels(24) == 32


def test_add_is_split_over_planes(hw: Hardware) -> None:
    shape = (1, 24, 256, 256)
    plan = plan_add(Eltwise(*op(shape, Value(5, shape)), kernel="add"), hw)
    assert len(plan.slices) == 2
    assert dpu(plan) == [(6, 128, 256)]


def test_activation_on_planes_is_widened_first(hw: Hardware) -> None:
    before, pool = plan_activation(Unary(*op((1, 24, 256, 256)), kernel="relu"), hw, Storages())  # relu_l
    assert (len(before.slices), len(pool.slices)) == (2, 3)
    assert dpu(before) == [(24, 64, 128)]
    assert dpu(pool) == [(64, 86, 32)]
    assert sum(len(s.stores) for s in pool.slices) == 12


def test_activation_on_one_plane_needs_no_permute(hw: Hardware) -> None:
    (plan,) = plan_activation(Unary(*op((1, 1, 256, 1536)), kernel="relu"), hw, Storages())  # relu_t
    assert dpu(plan) == [(48, 128, 16)]


def test_gamma_is_folded_into_four_rows(hw: Hardware) -> None:
    (plan,) = plan_scale(Scale(*op((1, 1, 256, 1536)), axis=3), hw, Storages())  # rms_1x1x256x1536
    assert dpu(plan) == [(1, 64, 1024), (1, 64, 512)]


def test_scale_with_few_rows_splits_channels(hw: Hardware) -> None:
    (plan,) = plan_scale(Scale(*op((1, 1, 4, 768)), axis=3), hw, Storages())  # rms_1x1x4x768
    assert dpu(plan) == [(1, 4, 192)]
    assert plan.out_dist is not None
    assert plan.out_dist.whole


def test_depthwise_image_goes_through_ddr_where_pixels_are_folded(hw: Hardware) -> None:
    weights = Value(5, (144, 1, 1, 3, 3), constant=True)
    conv = Depthwise(*op((1, 144, 56, 56), weights), window=Window((3, 3), pads=(1, 1, 1, 1)))
    before, plan = plan_depthwise(conv, hw, Storages())
    assert dpu(before) == [(144, 49, 16)]
    assert before.out_dist is None
    loads = [x.work.bytes for x in plan.slices[0].loads if x.operand == 0]
    assert loads == [241920, 258048, 258048, 241920]


def test_product_with_runtime_weights(hw: Hardware) -> None:
    shape = (1, 1, 4, 1536)  # pow2_u
    square = Eltwise(*op(shape, Value(0, shape)), kernel="square")
    assert is_runtime_scale(square)
    plan = plan_runtime_scale(square, hw)
    assert len(plan.slices[0].loads) == 13
    assert dpu(plan) == [(1, 1, 1024), (1, 1, 512)]


@pytest.mark.parametrize(
    ("shape", "axis", "counts"),
    [
        ((1, 256, 24, 128), 1, [12]),  # one plan, three stages on four tiles
        ((1, 64, 256, 128), 1, [4, 4]),  # the gathered rows do not fit
        ((1, 24, 256, 256), 1, [48]),  # repeated on every tile, six slices
        ((1, 24, 256, 256), 2, [8, 12]),
        ((1, 256, 24, 128), 2, [4, 4, 4]),
        ((1, 256, 24, 128), 3, [4, 12]),
        ((1, 1, 256, 1536), 2, [24, 72]),
        ((1, 1, 256, 1536), 3, [24, 56]),
    ],
)
def test_tasks_of_reductions(hw: Hardware, shape: tuple[int, ...], axis: int, counts: list[int]) -> None:
    out = tuple(1 if d == axis else s for d, s in enumerate(shape))
    reduce = Reduce("op", "Op", (Value(0, shape),), Value(1, out), by="max", axes=(axis,))
    plans = plan_reduce(reduce, hw, Storages())
    assert [sum(len(s.computes) for s in p.slices) for p in plans] == counts


def test_permute_of_odd_rows_is_done_by_dma(hw: Hardware) -> None:
    value = Value(0, (1, 20, 30, 50))
    turned = Value(1, (1, 20, 30, 50), order=(0, 1, 3, 2))
    plan = plan_permute(Transpose("t", "Transpose", (value,), turned), hw)
    assert all(isinstance(w, DmaWork) for _, w in plan.slices[0].computes)
    aligned = Value(0, (1, 24, 256, 256))
    plan = plan_permute(
        Transpose("t", "Transpose", (aligned,), Value(1, aligned.shape, order=(0, 1, 3, 2))), hw
    )
    assert len(plan.slices) == 2


@pytest.mark.parametrize("units", [3143, 661, 96, 785, 62])
def test_equal_slices_are_hardly_more_than_the_fewest(units: int) -> None:
    demand = Demand(act=0, weights=units, out=0, rows=1, units=units)
    for room in range(1, units + 1):
        fewest = next(n for n in range(1, units + 1) if ceil_div(units, n) <= room)
        found = first_fit(demand, room, 1, copies=1)
        assert found is not None
        assert fewest <= found <= UNEQUAL_PATIENCE * fewest
