"""Tasks of vendor schedules, by platform: the price is what the schedule says, to its rounding (1 ns)."""

from __future__ import annotations

from functools import cache

import pytest

from npusim.costs import dma, dpu
from npusim.costs.price import work_us
from npusim.hardware.load import load_hardware
from npusim.program.work import DmaWork, DpuWork, ShaveWork

NS = 0.0015


@cache
def hardware(chip: str):
    return load_hardware(f"{chip}-vpunn")


def _same_bytes(src: str, dst: str, size: int) -> DmaWork:
    return DmaWork(src, dst, size, size)


@pytest.mark.parametrize(
    ("name", "work", "us"),
    [
        # matmul_m64_k768_n768 on each platform, concat_1x256x768_ax2 on 4000
        ("lunarlake", _same_bytes("ddr", "cmx", 98304), 3.774),
        ("lunarlake", _same_bytes("ddr", "cmx", 294912), 9.564),
        ("lunarlake", _same_bytes("cmx", "ddr", 49152), 2.326),
        ("lunarlake", _same_bytes("ddr", "ddr", 393216), 8.908),
        ("meteorlake", _same_bytes("ddr", "cmx", 98304), 4.596),
        ("meteorlake", _same_bytes("ddr", "cmx", 294912), 11.878),
        ("meteorlake", _same_bytes("cmx", "ddr", 49152), 2.776),
        ("pantherlake", _same_bytes("ddr", "cmx", 98304), 1.559),
        ("pantherlake", _same_bytes("ddr", "cmx", 196608), 2.839),
        # a weight table: 3072 bytes of i32, of which the estimator counts half
        ("lunarlake", DmaWork("ddr", "cmx", 3072, 1536), 0.923),
        ("meteorlake", DmaWork("ddr", "cmx", 3072, 1536), 1.012),
        # exp_s, div_s, softmax_1x12x128x128, cumsum_b24_n64
        ("lunarlake", ShaveWork("exp", 2048, 4096, 8192), 5.054),
        ("lunarlake", ShaveWork("divide", 2048, 4096, 12288), 190.767),
        ("lunarlake", ShaveWork("cumsum", 16384, 32768, 65536), 0.0),
        ("meteorlake", ShaveWork("softmax", 49152, 98304, 196608), 98.178),
        ("pantherlake", ShaveWork("exp", 2816, 5632, 11264), 0.775),
        ("pantherlake", ShaveWork("cumsum", 16384, 32768, 65536), 28.34),
    ],
)
def test_a_vendor_task_costs_what_its_schedule_says(name, work, us):
    assert work_us(work, hardware(name)) == pytest.approx(us, abs=NS)


@pytest.mark.parametrize(("name", "us"), [("lunarlake", 0.878), ("meteorlake", 0.0), ("pantherlake", 0.278)])
def test_a_fetch_costs_the_latency_of_an_empty_transfer(name, us):
    hw = hardware(name)
    assert dma.time(DmaWork("ddr", "cmx", 0, 0, "fetch"), hw)[1] == pytest.approx(us, abs=NS)
    assert dma.time(DmaWork("ddr", "cmx", 0, 0, "sync"), hw) == (0.0, 0.0)


@pytest.mark.parametrize(
    ("name", "work", "cycles"),
    [
        # bert-base_s128, bmm_b24_m256_k256_n64, cumba_b24_n256, resnet50, transpose_1x256x24x128_0213, add_t
        ("lunarlake", DpuWork("conv", 32, 4, 128, 768), 16950),
        ("lunarlake", DpuWork("conv", 64, 4, 64, 256), 5470),
        ("lunarlake", DpuWork("conv", 16, 4, 256, 256), 6525),
        ("lunarlake", DpuWork("maxpool", 14, 56, 64, kernel_h=3, kernel_w=3, stride=2), 12852),
        ("lunarlake", DpuWork("maxpool", 64, 24, 64), 7605),
        ("lunarlake", DpuWork("eltwise", 48, 128, 16), 7739),
        ("pantherlake", DpuWork("conv", 8, 8, 256, 768, mpe_mode="4x16"), 7066),
        ("pantherlake", DpuWork("conv", 64, 4, 64, 256), 2908),
    ],
)
def test_dpu_variants_are_within_a_sixth_of_the_vendors(name, work, cycles):
    hw = hardware(name)
    assert work_us(work, hw) * hw.clocks.dpu_mhz == pytest.approx(cycles, rel=1 / 6)


@pytest.mark.parametrize(
    ("name", "work", "cycles"),
    [
        # a result written as planes: relu_l, bmm_b24_m256_k256_n64, dwconv2d_c144_h56, conv_c64_64_h56_k3s1
        ("pantherlake", DpuWork("avgpool", 85, 64, 32, variant_channels=32, planes=True), 37187),
        ("pantherlake", DpuWork("maxpool", 8, 256, 64, variant_channels=64, planes=True), 32500),
        ("pantherlake", DpuWork("dwconv", 56, 56, 32, 1, 3, 3, variant_channels=32, planes=True), 17764),
        ("pantherlake", DpuWork("conv", 18, 56, 64, 64, 3, 3, mpe_mode="8x16", planes=True), 29222),
        # few rows of a pooling chain: rmean_1x24x256x256_ax1, rsum_1x64x256x128_ax1
        ("pantherlake", DpuWork("avgpool", 1, 4096, 16, 1, 8, 1, 8, variant_channels=16), 49673),
        ("pantherlake", DpuWork("avgpool", 3, 410, 16, 1, 8, 1, 8, variant_channels=16), 4977),
        # long columns of 64 channels: dwconv1d_c1792_t1024_k4
        ("lunarlake", DpuWork("dwconv", 256, 1, 64, 1, 4, 1, variant_channels=64), 5476),
        ("pantherlake", DpuWork("dwconv", 341, 1, 64, 1, 4, 1, variant_channels=64), 3646),
        # large windows of few outputs: a MaxPool of one or sixteen pixels, an AvgPool of one
        ("lunarlake", DpuWork("maxpool", 1, 1, 64, 1, 8, 8, 8, variant_channels=64), 4188),
        ("lunarlake", DpuWork("maxpool", 4, 4, 64, 1, 10, 10, 8, variant_channels=64), 6797),
        ("lunarlake", DpuWork("avgpool", 8, 1, 64, 1, 8, 8, 8, variant_channels=64), 4470),
        ("meteorlake", DpuWork("maxpool", 1, 1, 64, 1, 7, 7, 7, variant_channels=64), 3258),
        ("pantherlake", DpuWork("maxpool", 1, 1, 64, 1, 10, 10, 8, variant_channels=64), 3331),
        # long sums: matmul_m512_k2560_n10576, matmul_m256_k3072_n768, bert-base_s128_int8
        ("lunarlake", DpuWork("conv", 32, 4, 48, 2560), 25693),
        ("meteorlake", DpuWork("conv", 32, 4, 64, 3072), 40066),
        ("lunarlake", DpuWork("conv", 32, 4, 96, 3072, in_bits=8, out_bits=8), 27027),
    ],
)
def test_a_dpu_workload_costs_about_what_its_schedule_says(name, work, cycles):
    assert dpu.cycles(work, hardware(name)) == pytest.approx(cycles, rel=1 / 6)
