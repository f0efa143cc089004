"""SHAVE kernels against what the vendor's compiler does with the same one-op models (public traces, named in ids)."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from math import prod
from pathlib import Path

import numpy as np
import openvino as ov
import pytest
from hypothesis import given
from hypothesis import strategies as st
from openvino import opset13 as op

from npusim.costs.price import price
from npusim.engine.event import simulate
from npusim.graph import load_model
from npusim.hardware import load_hardware
from npusim.lowering import lower
from npusim.lowering.ir.shapes import segments
from npusim.lowering.ir.tiling import Tiling
from npusim.program import Program
from npusim.program.work import DmaWork, ShaveWork

Build = Callable[..., ov.Node]
_PLATFORMS = {
    "4000": ("lunarlake-vpunn", 4),
    "3720": ("meteorlake-vpunn", 2),
    "5010": ("pantherlake-vpunn", 3),
}
L, M, S, U = (1, 24, 256, 256), (1, 24, 64, 256), (1, 16, 32, 32), (1, 1, 4, 1536)
C, T = (1, 1, 1, 1536), (1, 64, 1, 128)
B, LARGE_BATCH = (6, 24, 20, 32), (2, 40, 60, 100)


def _program(
    folder: Path, build: Build, shapes: tuple[tuple[int, ...], ...], platform: str, tiles: int = 0
) -> Program:
    name, default = _PLATFORMS[platform]
    inputs = [op.parameter(shape, np.float16) for shape in shapes]
    path = folder / "model.xml"
    ov.save_model(ov.Model([build(*inputs)], inputs, "model"), path, compress_to_fp16=False)
    return lower(load_model(path), load_hardware(f"{name}.yaml", [f"tiles={tiles or default}"]))


def _kernels(program: Program) -> Counter[tuple[str, int]]:
    works = [task.work for task in program.tasks]
    return Counter((w.kernel, w.out_elements) for w in works if isinstance(w, ShaveWork))


def _transfers(program: Program) -> int:
    return sum(isinstance(t.work, DmaWork) and t.work.kind not in ("fetch", "sync") for t in program.tasks)


def _cumsum(axis: int) -> Build:
    return lambda x: op.cumsum(x, np.int32(axis))


_CASES: list[tuple[str, Build, tuple[tuple[int, ...], ...], str, dict[tuple[str, int], int], int]] = [
    ("abs_l", op.absolute, (L,), "4000", {("abs", 98304): 16}, 16),
    ("abs_u: one row a tile stays whole", op.absolute, (U,), "4000", {("abs", 1536): 4}, 8),
    ("cos_c: one row is repeated on every tile", op.cos, (C,), "4000", {("cos", 768): 8}, 2),
    ("maximum_c: cut along the row", op.maximum, (C, C), "4000", {("maximum", 192): 8}, 12),
    ("tanh_i: rows or nothing", op.tanh, (T,), "4000", {("tanh", 4096): 8}, 2),
    ("abs: six channels are too few for eight SHAVEs", op.absolute, ((1, 6, 64, 64),), "4000", {("abs", 3072): 8}, 8),
    ("cos: fused where rows can't be halved", op.cos, ((1, 5, 10, 96),), "4000", {("cos", 720): 6, ("cos", 240): 2}, 8),
    ("floor: not fused", op.floor, ((1, 5, 10, 96),), "4000", {("floor", 960): 2, ("floor", 480): 6}, 16),
    ("swish_u: refolded", lambda x: op.multiply(x, op.sigmoid(x)), (U,), "4000", {("swish", 768): 8}, 8),
    ("exp_m", op.exp, (M,), "4000", {("exp", 49152): 8}, 8),
    ("tanh_l on three tiles", op.tanh, (L,), "5010",
     {("tanh", 135168): 6, ("tanh", 129024): 4, ("tanh", 122880): 2}, 16),
    ("exp_s on three tiles", op.exp, (S,), "5010", {("exp", 2816): 5, ("exp", 2304): 1}, 8),
    ("mul_bcc: a slice of the small operand for all tiles", op.multiply, (L, (1, 1, 256, 256)), "4000",
     {("multiply", 98304): 16}, 18),
    ("mul_bcw: cut where it has the axis", op.multiply, (L, (1, 24, 256, 1)), "4000", {("multiply", 98304): 16}, 24),
    ("mul_bcc counts full operands", op.multiply, (L, (1, 1, 256, 256)), "3720",
     {("multiply", 132096): 4, ("multiply", 130560): 8}, 15),
    ("as many channels as tiles: cut over rows, a transfer a SHAVE", op.multiply, ((1, 4, 64, 1), (1, 1, 64, 64)),
     "4000", {("multiply", 2048): 8}, 24),
    ("... or over columns", op.multiply, ((1, 2, 3, 8192), (1, 1, 1, 8192)), "3720", {("multiply", 12288): 4}, 12),
    ("max_bcc: a transfer a SHAVE", op.maximum, (L, (1, 1, 256, 256)), "4000", {("maximum", 98304): 16}, 34),
    ("div_bcw: 1/y, then a product", op.divide, (L, (1, 24, 256, 1)), "4000",
     {("divide", 768): 8, ("multiply", 98304): 16}, 48),
    ("div_bcc", op.divide, (L, (1, 1, 256, 256)), "3720", {("divide", 196608): 8}, 24),
    ("less_u: 8-bit result", lambda x, y: op.convert(op.less_equal(x, y), "f16"), (U, U), "4000",
     {("lessequal", 768): 8, ("convert", 1536): 4}, 12),
    ("less_bcw: 8-bit slices wait for their conversion", lambda x, y: op.convert(op.less_equal(x, y), "f16"),
     (L, (1, 24, 256, 1)), "3720", {("lessequal", 196608): 8, ("convert", 196608): 8}, 12),
    ("cumsum_b32: slices of which two fit", _cumsum(2), ((1, 32, 256, 256),), "4000",
     {("cumsum", 88064): 8, ("cumsum", 87040): 16}, 24),
    ("cumsum_1x1x64x768: repeated, a transfer a SHAVE", _cumsum(2), ((1, 1, 64, 768),), "4000",
     {("cumsum", 24576): 8}, 4),
    ("softmax_1x12x128x128: rows over SHAVEs", lambda x: op.softmax(x, 3), ((1, 12, 128, 128),), "4000",
     {("softmax", 24576): 8}, 8),
    ("softmax of six heads on eight SHAVEs: twelve of half the rows", lambda x: op.softmax(x, 3), ((1, 6, 256, 128),),
     "4000", {("softmax", 24576): 8}, 8),
    ("softmax of seven heads: fourteen", lambda x: op.softmax(x, 3), ((1, 7, 100, 128),), "4000",
     {("softmax", 12800): 6, ("softmax", 6400): 2}, 8),
    ("softmax of five heads on six SHAVEs", lambda x: op.softmax(x, 3), ((1, 5, 256, 128),), "5010",
     {("softmax", 32768): 4, ("softmax", 16384): 2}, 8),
    ("mvn: rows of all heads alike", lambda x: op.mvn(x, np.array([3]), True, 1e-5, "inside_sqrt"),
     ((1, 4, 90, 128),), "5010", {("mvn", 7680): 6}, 8),
    ("softmax_1x12x512x512", lambda x: op.softmax(x, 3), ((1, 12, 512, 512),), "3720", {("softmax", 131072): 24}, 24),
    ("select_1x24x256x256", lambda c, x: op.select(op.greater(c, np.float16(0)), x, np.float16(0)), (L, L), "4000",
     {("greater", 196608): 8, ("convert", 196608): 8, ("select", 65536): 24}, 46),
    ("a batch is done by every tile, its items shared by the SHAVEs", op.softplus, (B,), "4000",
     {("softplus", 46080): 8}, 4),
    ("... by one of them where the kernel is not cut", op.erf, (B,), "4000", {("erf", 92160): 4}, 4),
    ("... with both operands", op.squared_difference, (B, B), "4000", {("squareddifference", 46080): 8}, 4),
    ("... in slices along the longest axis", op.softplus, (LARGE_BATCH,), "4000", {("softplus", 120000): 16}, 8),
    ("... but folded by a Gelu", lambda x: op.gelu(x, "ERF"), (B,), "4000", {("gelu", 11520): 8}, 8),
    ("... and item by item for Exp", op.exp, (B,), "4000", {("exp", 1920): 48}, 48),
    ("... and for a product", op.multiply, (B, B), "4000", {("multiply", 1920): 48}, 72),
]  # fmt: skip


@pytest.mark.parametrize(
    ("build", "shapes", "platform", "kernels", "transfers"),
    [c[1:] for c in _CASES],
    ids=[c[0] for c in _CASES],
)
def test_tasks_are_those_of_the_trace(
    tmp_path: Path,
    build: Build,
    shapes: tuple[tuple[int, ...], ...],
    platform: str,
    kernels: dict[tuple[str, int], int],
    transfers: int,
) -> None:
    program = _program(tmp_path, build, shapes, platform)
    assert _kernels(program) == kernels
    assert _transfers(program) == transfers


def _summed(x: ov.Node) -> ov.Node:
    """Running sums over the rows of each head, as a product (CumBA)."""
    rows = x.output(0).get_shape()[2]
    return op.matmul(np.tril(np.ones((1, 1, rows, rows), np.float16)), x, False, False)


_GELU: Build = lambda x: op.gelu(x, "ERF")  # noqa: E731


@pytest.mark.parametrize(
    ("kernel", "elements"), [(op.tanh, 24576), (_GELU, 6144)], ids=["tanh: a batch", "gelu: folded"]
)
def test_products_by_a_constant_are_a_batch_to_the_kernel_behind(
    tmp_path: Path, kernel: Build, elements: int
) -> None:
    program = _program(tmp_path, lambda x: kernel(_summed(x)), ((1, 16, 48, 64),), "4000")
    assert [(n, count) for (_, n), count in _kernels(program).items()] == [(elements, 8)]


def _masked(x: ov.Node) -> ov.Node:
    return op.exp(op.select(np.tri(256, dtype=bool), x, np.float16(-65504)))


@pytest.mark.parametrize("tiles", [1, 2, 3, 4, 6])
def test_exp_behind_a_batched_select_is_repeated_on_every_tile(tmp_path: Path, tiles: int) -> None:
    """mamba2-130m: 1,156 us at any number of tiles (evidence/lowering.md#2.4)."""
    program = _program(tmp_path, _masked, ((1, 24, 1, 256, 256),), "4000", tiles)
    exp = {e: n for (kernel, e), n in _kernels(program).items() if kernel == "exp"}
    assert exp == {159744: 2 * tiles, 156672: 8 * tiles}
    hw = load_hardware("lunarlake-vpunn.yaml", [f"tiles={tiles}"])
    prices = price(program, hw)
    shave = [
        i for i, t in enumerate(program.tasks) if isinstance(t.work, ShaveWork) and t.work.kernel == "exp"
    ]
    assert sum(prices.duration_us[i] for i in shave) / (2 * tiles) == pytest.approx(1156.2, rel=1e-3)
    assert simulate(program, prices).latency_us > 1156


@pytest.mark.parametrize(
    ("total", "parts", "granule", "cuts"),
    [
        (256, 3, 1, (86, 85, 85)),
        (4, 3, 1, (1, 1, 2)),
        (80, 4, 16, (16, 16, 16, 32)),
        (1792, 3, 16, (608, 592, 592)),
    ],
)
def test_segments_are_those_of_the_traces(
    total: int, parts: int, granule: int, cuts: tuple[int, ...]
) -> None:
    assert segments(total, parts, granule) == cuts


@given(
    st.tuples(*[st.integers(1, 40)] * 4),
    st.integers(0, 3),
    st.integers(1, 6),
    st.integers(1, 4),
    st.booleans(),
)
def test_parts_cover_the_output_once(
    shape: tuple[int, int, int, int], axis: int, tiles: int, slices: int, flat: bool
) -> None:
    tiles = min(tiles, shape[axis])
    slice_axis = next((d for d in range(4) if d != axis), 0)
    tiling = Tiling(
        shape, axis, segments(shape[axis], tiles), None if flat else axis, 2, slice_axis=slice_axis,
        slices=min(slices, shape[slice_axis]),
    )  # fmt: skip
    parts = [part for row in tiling.parts(tiles) for part in row]
    assert sum(part.elements for part in parts) == prod(shape)
    assert all(sum(map(prod, part.pieces)) == part.elements for part in parts)
