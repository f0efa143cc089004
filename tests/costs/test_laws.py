"""Laws that every hardware file obeys: more work or a slower machine never costs less, nothing beats its roofline."""

from __future__ import annotations

import dataclasses
from functools import cache

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from npusim.costs import dma, dpu, shave
from npusim.costs.energy import dynamic_pj
from npusim.costs.price import work_us
from npusim.hardware.load import load_hardware
from npusim.program.work import DmaWork, DpuWork, ShaveWork

NAMES = [f"{chip}{kind}" for chip in ("lunarlake", "meteorlake", "pantherlake") for kind in ("", "-vpunn")]
SLACK = 1 + 1e-9

names = st.sampled_from(NAMES)
sizes = st.integers(0, 4_000_000)
memories = st.sampled_from(["ddr", "cmx"])


#: Few examples, and no deadline: the first example of a file loads it.
law = settings(max_examples=60, deadline=None)


@cache
def hardware(name: str):
    return load_hardware(name)


def changed(name: str, section: str, **values: float):
    """The hardware with other values in one section."""
    hw = hardware(name)
    return hw.model_copy(update={section: getattr(hw, section).model_copy(update=values)})


@st.composite
def conv_works(draw):
    bits = draw(st.sampled_from([8, 16]))
    kernel = draw(st.sampled_from([1, 3]))
    return DpuWork(
        "conv",
        draw(st.integers(1, 64)),
        draw(st.integers(1, 64)),
        16 * draw(st.integers(1, 32)),
        16 * draw(st.integers(1, 64)),
        kernel,
        kernel,
        in_bits=bits,
        out_bits=bits,
        mpe_mode=draw(st.sampled_from(["16x16", "8x16", "4x16"])),
    )


@st.composite
def cell_works(draw):
    kind = draw(st.sampled_from(["dwconv", "maxpool", "avgpool", "eltwise", "permute"]))
    kernel = 1 if kind in ("eltwise", "permute") else draw(st.sampled_from([1, 2, 3, 7]))
    bits = draw(st.sampled_from([8, 16]))
    return DpuWork(
        kind,
        draw(st.integers(1, 64)),
        draw(st.integers(1, 64)),
        16 * draw(st.integers(1, 32)),
        kernel_h=kernel,
        kernel_w=kernel,
        stride=draw(st.sampled_from([1, 2])) if kernel > 1 else 1,
        in_bits=bits,
        out_bits=bits,
        variant_channels=64 if kind in ("dwconv", "maxpool", "avgpool") else 0,
    )


dpu_works = conv_works() | cell_works()


@law
@given(names, dpu_works)
def test_no_dpu_task_beats_its_roofline(name, work):
    hw = hardware(name)
    assert dpu.cycles(work, hw) >= dpu.roofline_cycles(work, hw) > 0


@law
@given(names, conv_works(), st.integers(1, 4), st.sampled_from(["height", "out_channels", "in_channels"]))
def test_a_larger_convolution_never_costs_less(name, work, factor, field):
    larger = dataclasses.replace(work, **{field: getattr(work, field) * factor})
    assert dpu.cycles(larger, hardware(name)) * SLACK >= dpu.cycles(work, hardware(name))


@law
@given(names, cell_works(), st.integers(1, 64))
def test_a_taller_pool_or_eltwise_never_costs_less(name, work, more):
    taller = dataclasses.replace(work, height=work.height + more)
    assert dpu.cycles(taller, hardware(name)) * SLACK >= dpu.cycles(work, hardware(name))


@law
@given(names, cell_works())
def test_workloads_of_a_task_cover_its_channels(name, work):
    assert sum(channels * count for channels, count in dpu.workloads(work)) == work.out_channels


@law
@given(names, dpu_works)
def test_a_faster_dpu_clock_shortens_every_dpu_task(name, work):
    hw = hardware(name)
    faster = changed(name, "clocks", dpu_mhz=2 * hw.clocks.dpu_mhz)
    assert work_us(work, faster) == pytest.approx(work_us(work, hw) / 2)


@law
@given(names, memories, memories, sizes, sizes)
def test_more_bytes_never_move_faster(name, src, dst, one, other):
    small, large = sorted((one, other))
    times = [dma.time(DmaWork(src, dst, size, size), hardware(name))[1] for size in (small, large)]
    assert times[0] <= times[1] * SLACK


@law
@given(names, memories, memories, sizes, st.sampled_from(["copy", "resize", "gather", "convert"]))
def test_a_transfer_never_beats_its_path_nor_ddr(name, src, dst, size, kind):
    hw = hardware(name)
    latency, duration = dma.time(DmaWork(src, dst, size, size, kind), hw)
    assert 0 <= latency <= duration
    if "ddr" in (src, dst):
        assert (duration - latency) * hw.ddr.bandwidth_gbps * 1000 * SLACK >= size


@law
@given(names, memories, memories, sizes)
def test_more_ddr_bandwidth_never_hurts(name, src, dst, size):
    hw = hardware(name)
    wider = changed(name, "ddr", bandwidth_gbps=2 * hw.ddr.bandwidth_gbps)
    work = DmaWork(src, dst, size, size)
    assert dma.time(work, wider)[1] <= dma.time(work, hw)[1] * SLACK


@law
@given(names, st.data(), st.integers(1, 100_000), st.integers(1, 100_000))
def test_more_elements_never_cost_a_kernel_less(name, data, one, other):
    kernel = data.draw(st.sampled_from(sorted(hardware(name).shave.kernels)))
    works = [ShaveWork(kernel, size, 2 * size, 4 * size) for size in sorted((one, other))]
    small, large = (shave.cycles(work, hardware(name)) for work in works)
    assert small <= large * SLACK


@law
@given(names, st.integers(1, 512), st.integers(1, 64), st.integers(1, 4096))
def test_the_chosen_mode_reads_least(name, height, width, channels):
    hw = hardware(name)

    def reads(mode):
        grid_x, grid_y = dpu.STENCIL_PIXELS[mode]
        deep = -(-channels // hw.dpu.costs.stencil_channels[mode])
        return deep * height * width + -(-height // grid_y) * -(-width // grid_x) * channels

    assert reads(dpu.choose_mode(height, width, channels, hw)) == min(map(reads, dpu.STENCIL_PIXELS))


@law
@given(dpu_works)
def test_8_bit_floats_are_priced_as_integers_but_element_by_element(work):
    keys = dpu.conv_keys if work.kind == "conv" else lambda one: dpu.cell_keys(one, work.out_channels)
    alike = dataclasses.replace(work, in_bits=16 if work.kind == "eltwise" else 8, out_bits=16)
    assert keys(dataclasses.replace(alike, in_bits=8, fp8=True)) == keys(alike)


@law
@given(names, dpu_works)
def test_a_dpu_task_moves_its_operands_and_its_result_through_cmx(name, work):
    pixels = work.height * work.width
    result = pixels * work.out_channels * work.out_bits // 8
    if work.kind == "conv":
        read = work.in_channels * (pixels + work.out_channels * work.kernel_h * work.kernel_w)
        assert dpu.cmx_bytes(work, hardware(name)) * SLACK >= read * work.in_bits / 8 + result
    else:
        read = pixels * work.out_channels * (2 if work.kind == "eltwise" else work.stride**2)
        assert dpu.cmx_bytes(work, hardware(name)) == read * work.in_bits / 8 + result


@law
@given(names, dpu_works)
def test_the_energy_of_a_multiply_is_that_of_its_type(name, work):
    hw = changed(name, "energy", mac_int8_pj=2.0, mac_fp16_pj=3.0, cmx_byte_pj=0.0)
    assert dynamic_pj(work, hw) == work.macs * (2.0 if work.in_bits == 8 else 3.0)
