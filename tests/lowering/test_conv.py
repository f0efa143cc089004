"""Convolutions and constant MatMuls against what the vendor's compiler makes of them (public traces, named in ids)."""

from __future__ import annotations

from collections import Counter
from itertools import pairwise
from pathlib import Path

import numpy as np
import openvino as ov
import pytest
from hypothesis import given
from hypothesis import strategies as st
from openvino import opset15 as op

from npusim.costs.dpu import choose_mode
from npusim.graph import from_openvino, load_model
from npusim.hardware import Hardware, load_hardware
from npusim.lowering import lower
from npusim.lowering.ir.convolution import fold_rows
from npusim.lowering.ir.plan import cmx_capacity
from npusim.lowering.ir.shapes import MAX_DIMENSION
from npusim.lowering.ir.values import even
from npusim.lowering.rewrite.long_sums import most_terms
from npusim.lowering.tile.slices import Cut, Demand, cut, first_fit
from npusim.program import Program
from npusim.program.work import DmaWork, DpuWork, ShaveWork

PLATFORMS = {
    "4000": ("lunarlake-vpunn", 4),
    "3720": ("meteorlake-vpunn", 2),
    "5010": ("pantherlake-vpunn", 3),
}


def hardware(platform: str, tiles: int = 0) -> Hardware:
    name, default = PLATFORMS[platform]
    return load_hardware(f"{name}.yaml", [f"tiles={tiles or default}"])


def program(folder: Path, model: ov.Model, hw: Hardware) -> Program:
    path = folder / "model.xml"
    ov.save_model(model, path, compress_to_fp16=False)
    return lower(load_model(path), hw)


def matmul_chain(m: int, sizes: tuple[int, ...], swish: bool = False) -> ov.Model:
    """MatMuls with constant weights, [m, sizes[0]] first."""
    start = node = op.parameter((1, m, sizes[0]), np.float16)
    for k, n in pairwise(sizes):
        node = op.matmul(node, np.ones((k, n), np.float16), False, False)
        node = op.swish(node, np.float16(1)) if swish else node
    return ov.Model([node], [start], "model")


def convolution(c: int, n: int, size: int, kernel: int, stride: int) -> ov.Model:
    start = op.parameter((1, c, size, size), np.float16)
    pads = [kernel // 2] * 2
    node = op.convolution(
        start, np.ones((n, c, kernel, kernel), np.float16), [stride] * 2, pads, pads, [1, 1]
    )
    return ov.Model([node], [start], "model")


def convolutions(made: Program) -> Counter[tuple[int, int, int, int]]:
    """Output height, width and channels and reduced channels of all dense convolutions."""
    works = [t.work for t in made.tasks]
    return Counter(
        (w.height, w.width, w.out_channels, w.in_channels)
        for w in works
        if isinstance(w, DpuWork) and w.kind == "conv"
    )


@pytest.mark.parametrize(
    ("m", "k", "n", "platform", "tasks"),
    [
        pytest.param(64, 768, 768, "4000", {(16, 4, 192, 768): 4}, id="m64: channels"),
        pytest.param(256, 256, 256, "4000", {(16, 4, 256, 256): 4}, id="m256: rows"),
        pytest.param(256, 256, 256, "3720", {(64, 4, 128, 256): 2}, id="m256 on 3720: channels"),
        pytest.param(1024, 768, 768, "4000", {(64, 4, 96, 768): 32}, id="m1024: rows in 8 slices"),
        pytest.param(
            1024, 768, 768, "5010", {(43, 8, 32, 768): 48, (42, 8, 32, 768): 24}, id="m1024 on 5010"
        ),
        pytest.param(1024, 768, 768, "3720", {(128, 4, 192, 768): 8}, id="m1024 on 3720"),
        pytest.param(1, 1536, 768, "4000", {(1, 1, 96, 1536): 8}, id="m1: large weights in 2 slices"),
        pytest.param(4, 768, 3352, "4000", {(4, 1, 288, 768): 6, (4, 1, 272, 768): 6}, id="m4_n3352"),
        pytest.param(4, 768, 3352, "5010", {(4, 1, 224, 768): 15}, id="m4_n3352 on 5010"),
        pytest.param(1, 1536, 80, "4000", {(1, 1, 32, 1536): 1, (1, 1, 16, 1536): 3}, id="n80: granules"),
        pytest.param(1, 768, 32, "4000", {(1, 1, 32, 768): 4}, id="n32: repeated"),
    ],
)
def test_matmul(
    tmp_path: Path, m: int, k: int, n: int, platform: str, tasks: dict[tuple[int, ...], int]
) -> None:
    assert convolutions(program(tmp_path, matmul_chain(m, (k, n)), hardware(platform))) == tasks


@pytest.mark.parametrize(
    ("c", "n", "size", "kernel", "stride", "tasks"),
    [
        pytest.param(64, 64, 56, 3, 1, {(14, 56, 64, 64): 4}, id="conv_c64_64_h56_k3s1"),
        pytest.param(128, 128, 20, 3, 1, {(20, 20, 32, 128): 4}, id="conv_c128_128_h20_k3s1"),
        pytest.param(512, 512, 14, 3, 1, {(14, 14, 32, 512): 16}, id="conv_c512_512_h14_k3s1"),
        pytest.param(1024, 256, 14, 1, 1, {(14, 14, 64, 1024): 4}, id="conv_c1024_256_h14_k1s1"),
        pytest.param(32, 96, 112, 1, 1, {(28, 112, 96, 32): 4}, id="conv_c32_96_h112_k1s1"),
        pytest.param(
            3, 64, 224, 7, 2, {(28, 112, 64, 16): 4}, id="conv_c3_64_h224_k7s2: not folded at the end"
        ),
    ],
)
def test_convolution(
    tmp_path: Path, c: int, n: int, size: int, kernel: int, stride: int, tasks: dict[tuple[int, ...], int]
) -> None:
    made = program(tmp_path, convolution(c, n, size, kernel, stride), hardware("4000"))
    assert convolutions(made) == tasks


def test_stem_in_a_net_is_folded(tmp_path: Path) -> None:
    """resnet50: 7x7 over 3 channels becomes 7x3 over 48, 512 output channels, an eighth of the columns."""
    start = op.parameter((1, 3, 224, 224), np.float16)
    stem = op.convolution(start, np.ones((64, 3, 7, 7), np.float16), [2, 2], [3, 3], [3, 3], [1, 1])
    after = op.convolution(stem, np.ones((64, 64, 1, 1), np.float16), [1, 1], [0, 0], [0, 0], [1, 1])
    made = program(tmp_path, ov.Model([after], [start], "model"), hardware("4000"))
    assert convolutions(made) == {(28, 14, 512, 48): 4, (28, 112, 64, 64): 4}


def test_kernel_behind_a_sliced_matmul_runs_slice_by_slice(tmp_path: Path) -> None:
    """chain_ffn256, first half: 12 slices of 256 channels, each followed by its Swish in CMX."""
    made = program(tmp_path, matmul_chain(256, (768, 3072), swish=True), hardware("4000"))
    works = [t.work for t in made.tasks if isinstance(t.work, (DpuWork, ShaveWork))]
    kernels = [w for w in works if isinstance(w, ShaveWork)]
    assert convolutions(made) == {(16, 4, 256, 768): 48}
    assert {w.out_elements for w in kernels} == {16 * 4 * 256 // 2}
    assert len(kernels) == 12 * 8
    assert isinstance(works[0], DpuWork) and isinstance(works[4], ShaveWork)


@pytest.mark.parametrize("apart", [False, True])
def test_a_scale_goes_on_a_chain_only_directly_behind_it(tmp_path: Path, apart: bool) -> None:
    """The smoothing behind the Gelu of bert-base INT8 on 3720; another reader of the Swish breaks the chain."""
    start = op.parameter((1, 64, 768), np.float16)
    wide = op.matmul(start, op.constant(np.ones((768, 3072), np.float16)), False, False)
    kernel = op.swish(wide, op.constant(np.float16(1)))
    scaled = op.multiply(kernel, op.constant(np.full((1, 1, 3072), 2, np.float16)))
    end = op.matmul(scaled, op.constant(np.ones((3072, 768), np.float16)), False, False)
    made = program(
        tmp_path, ov.Model([end, op.exp(kernel)] if apart else [end], [start], "m"), hardware("3720")
    )
    chained = [one for one in made.ops if "cut with the ops before it" in one.strategy]
    assert len(chained) == (not apart)


@pytest.mark.parametrize(
    ("tile", "by_channels", "sliced_producer", "expected"),
    [
        pytest.param(
            Demand(384, 1176, 384, 64, 48), False, False, Cut(channels=8), id="matmul_m1024_k768_n768"
        ),
        pytest.param(
            Demand(384, 4620, 48, 16, 48), False, False, Cut(channels=24), id="matmul_m256_k3072_n768"
        ),
        pytest.param(Demand(384, 4620, 48, 16, 48), False, True, Cut(channels=12), id="chain_ffn256, second"),
        pytest.param(
            Demand(96, 5093, 420, 16, 210), False, False, Cut(channels=14), id="mamba2-130m_l1_t256"
        ),
        pytest.param(Demand(768, 578, 384, 64, 48), True, False, Cut(rows=4), id="mamba2-130m_l1_t256 out"),
        pytest.param(Demand(2, 1300, 7, 1, 210), True, False, Cut(channels=3), id="matmul_m1_k768_n3352"),
        pytest.param(
            Demand(200, 3220, 800, 20, 320), True, False, Cut(channels=10), id="evidence 3.2: 80x1280x5120"
        ),
        pytest.param(Demand(192, 288, 24, 8, 12), True, False, Cut(), id="fits"),
    ],
)
def test_slices(tile: Demand, by_channels: bool, sliced_producer: bool, expected: Cut) -> None:
    kib = Demand(tile.act << 10, tile.weights << 10, tile.out << 10, tile.rows, tile.units)
    assert cut(kib, hardware("4000"), by_channels, sliced_producer) == expected


@given(
    act=st.integers(1, 2_000_000), weights=st.integers(1, 20_000_000), out=st.integers(1, 2_000_000),
    rows=st.integers(1, 64), units=st.integers(1, 300), by_channels=st.booleans(),
)  # fmt: skip
def test_a_slice_fits(act: int, weights: int, out: int, rows: int, units: int, by_channels: bool) -> None:
    """Whatever the sizes: a slice fits CMX, unless it is the smallest there is."""
    hw = hardware("4000")
    made = cut(Demand(act, weights, out, rows, units), hw, by_channels, False)
    share, part = -(-rows // made.rows) / rows, -(-units // made.channels) / units
    needed = share * act + part * weights + share * part * out
    assert needed <= cmx_capacity(hw) or (made.rows == rows and made.channels == units)


def test_few_divisors_do_not_make_tiny_slices() -> None:
    """A vocabulary of 50,280 words is 3143 = 7 * 449 granules: 7 slices are too large and 3143 needlessly small."""
    hw = hardware("4000")
    tile = Demand(
        act=256 * 2560 * 2 // 4, weights=3143 * 16 * 2560 * 2, out=64 * 50288 * 2, rows=64, units=3143
    )
    made = cut(tile, hw, by_channels=False, sliced_producer=True)
    assert made.rows == 1
    assert 7 < made.channels <= 3143 // 2


@pytest.mark.parametrize(("more", "slices"), [(0, 1), (1, 2)])
def test_what_just_fits_is_not_cut(more: int, slices: int) -> None:
    hw = hardware("4000")
    tile = Demand(act=cmx_capacity(hw) - 2000 + more, weights=1000, out=1000, rows=64, units=64)
    assert (cut(tile, hw, by_channels=False, sliced_producer=True).slices > 1) == (slices > 1)


@given(st.integers(1, 700), st.integers(1, 700))
def test_no_slice_is_empty(units: int, room: int) -> None:
    parts = first_fit(Demand(act=0, weights=units, out=0, rows=1, units=units), room, 1, copies=1)
    assert parts is not None
    assert len(even(16 * units, parts, 16)) == parts


@given(st.integers(1, 20_000), st.sampled_from((4, 8)))
def test_rows_fold_to_a_rectangle(m: int, width: int) -> None:
    """The rectangle holds all rows, and at most three more (only a multiple of 4 is padded to)."""
    height, columns = fold_rows(m, width)
    assert m <= height * columns < m + 4
    assert height >= columns


def test_loads_of_tiles_alternate_over_the_engines(tmp_path: Path) -> None:
    """matmul_m1_k1536_n80 on 3720: the weights of tile 0 wait on engine 0 for the activation, engine 1 idles."""
    made = program(tmp_path, matmul_chain(1, (1536, 80)), hardware("3720"))
    engines = {t.work.bytes: made.queues[t.queue].unit for t in made.tasks if isinstance(t.work, DmaWork)}
    assert (engines[48 * 1536 * 2], engines[32 * 1536 * 2]) == (0, 1)


def test_convolutions_share_only_what_both_read(tmp_path: Path) -> None:
    """The first block of a ResNet's last stage: one convolution reads all 14 rows of its input, the one of the short
    cut 13. Taken for one load, the rows that nobody counted did not fit beside the weights on six tiles."""

    def convolve(x: ov.Node, channels: int, kernel: int, stride: int) -> ov.Node:
        weights, pads = np.ones((channels, x.shape[1], kernel, kernel), np.float16), [kernel // 2] * 2
        scale, shift = (np.full((1, channels, 1, 1), value, np.float16) for value in (2, 1))
        return op.add(op.multiply(op.convolution(x, weights, [stride] * 2, pads, pads, [1, 1]), scale), shift)

    image = op.parameter([1, 256, 14, 14], np.float16)
    start = op.relu(convolve(image, 1024, 1, 1))
    inner = op.relu(convolve(op.relu(convolve(start, 512, 1, 1)), 512, 3, 2))
    block = op.relu(op.add(convolve(inner, 2048, 1, 1), convolve(start, 2048, 1, 2)))
    for tiles in range(1, 7):
        assert len(program(tmp_path, ov.Model([block], [image], "block"), hardware("4000", tiles)).tasks)


@pytest.mark.parametrize(
    ("k", "parts"),
    [(8192, {8192}), (14336, {7168}), (25088, {6272}), (10000, {5008, 4992}), (18944, {6320, 6304})],
)
def test_long_sums_are_cut_at_the_largest_dimension(tmp_path: Path, k: int, parts: set[int]) -> None:
    """Rows of down projections (Llama-3-8B, Qwen2.5-7B), of vgg19's first dense layer, and the longest that is not cut;
    parts are whole granules, as the compiler's are."""
    made = program(tmp_path, matmul_chain(1, (k, 256)), hardware("4000"))
    works = [task.work for task in made.tasks if isinstance(task.work, DpuWork)]
    assert {work.in_channels for work in works if work.kind == "conv"} == parts
    assert bool([work for work in works if work.kind == "eltwise"]) == (parts != {k})


@pytest.mark.parametrize(
    ("rows", "channels", "bits", "together", "apart"),
    [
        (16, 64, 16, 7632, 7648),
        (24, 64, 16, 2048, 6560),
        (32, 64, 16, 5712, 5760),
        (37, 256, 16, 5696, 5760),
        (48, 256, 16, 4608, 5728),
        (64, 256, 16, 3776, 3824),
        (64, 32, 16, 5696, 5904),
        (32, 256, 8, 7616, 7632),
        (64, 256, 8, 5680, 5712),
        (64, 48, 8, 6512, 6528),
        (64, 256, 4, 7552, 7584),
    ],
)
def test_sums_are_cut_where_two_small_slices_would_not_fit(
    rows: int, channels: int, bits: int, together: int, apart: int
) -> None:
    """What the compiler of 5010 keeps together and cuts in two; 4000 cuts none of these."""
    assert together <= most_terms(rows, channels, bits, 16, hardware("5010")) < apart
    assert most_terms(rows, channels, bits, 16, hardware("4000")) == MAX_DIMENSION


@pytest.mark.parametrize(
    ("rows", "image"), [(8, (4, 2)), (16, (4, 4)), (48, (12, 4)), (56, (14, 4)), (64, (8, 8)), (72, (9, 8))]
)
def test_rows_of_5010_are_eight_wide_from_eight_high_on(rows: int, image: tuple[int, int]) -> None:
    assert fold_rows(rows, hardware("5010").software.row_fold) == image


@pytest.mark.parametrize(
    ("platform", "own"), [("meteorlake-vpunn", True), ("lunarlake-vpunn", False), ("pantherlake-vpunn", True)]
)
def test_whose_channels_choose_the_stencil(platform: str, own: bool) -> None:
    """All tiles' where every tile gets the whole result, but on 5010 a tile's own: 32 to 96 channels of 14x14 pixels
    that tiles compute of 128 and 256 cost what layers of 32 to 96 channels do on one tile."""
    hw = load_hardware(platform)
    x = op.parameter([1, 128, 14, 14], np.float16)
    y: ov.Node = x
    for _ in range(3):
        y = op.convolution(y, np.ones((128, 128, 3, 3), np.float16), [1, 1], [1, 1], [1, 1], [1, 1])
    program = lower(from_openvino(ov.Model([y], [x], "m")), hw)
    works = {t.work for t in program.tasks if isinstance(t.work, DpuWork) and t.work.kind == "conv"}
    split = [work for work in works if work.out_channels < 128]
    assert split
    for work in split:
        channels = work.out_channels if own else 128
        assert work.mpe_mode == choose_mode(work.height, work.width, channels, hw)
