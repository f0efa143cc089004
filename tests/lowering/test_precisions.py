"""INT8, INT4 and FP8: what is stored narrow is moved narrow, and the DPU computes in the type of its activations."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import openvino as ov
import pytest
from openvino import Type
from openvino import opset15 as op

import npusim
from npusim import workloads
from npusim.api import Result, load_model
from npusim.costs.dpu import roofline_cycles
from npusim.graph import from_openvino
from npusim.hardware.schema import Hardware
from npusim.program.work import DpuWork

ROWS, WIDTH, OUT = 64, 768, 3072
LUNAR, PANTHER = (npusim.load_hardware(f"{name}.yaml") for name in ("lunarlake", "pantherlake"))


def weights(kind: str) -> ov.Node:
    """Weights [OUT, WIDTH] as a compressed IR has them."""
    if kind == "f32":
        return op.constant(np.zeros((OUT, WIDTH), np.float32))
    if kind == "f16":
        return op.convert(op.constant(np.zeros((OUT, WIDTH), np.float16)), "f32")
    element = {"i8": Type.i8, "i4": Type.i4, "u4": Type.u4, "nf4": Type.nf4, "f8": Type.f8e4m3}[kind]
    tensor = ov.Tensor(element, ov.Shape([OUT, WIDTH]))
    tensor.data.reshape(-1).view(np.uint8)[:] = 0x35  # not zero: those are stored sparse
    stored = ov.op.Constant(tensor)
    return op.multiply(op.convert(stored, "f32"), op.constant(np.ones((OUT, 1), np.float32)))


def quantised(x: ov.Node, kind: str) -> ov.Node:
    """Activations as a quantised IR has them."""
    if kind == "i8":
        return op.fake_quantize(x, *(op.constant(np.float32(v)) for v in (-1, 1, -1, 1)), 256)
    return op.fake_convert(x, op.constant(np.float32(1))) if kind == "f8" else x


def simulated(layers: list[tuple[str, str]], hw: Hardware) -> Result:
    """MatMuls one after another (back to WIDTH by a Slice), each with (weights, activations) of some kinds."""
    x = parameter = op.parameter([ROWS, WIDTH], np.float32)
    for stored, activations in layers:
        x = op.matmul(quantised(x, activations), weights(stored), False, True)
        x = op.slice(x, [0], [WIDTH], [1], [1])
    graph = from_openvino(ov.Model([x], [parameter], "precisions"))
    return npusim.simulate(npusim.lower(graph, hw), hw, engine="fast")


def dpu(result: Result) -> set[tuple[int, int, bool]]:
    """(activation bits, weight bits, float) of the MatMuls."""
    works = [work for work in result.program.tasks.works if isinstance(work, DpuWork) and work.kind == "conv"]
    return {(work.in_bits, work.weight_bits, work.fp8) for work in works}


def test_weights_of_four_bytes_are_halved_when_compiled() -> None:
    """Intel's compiler makes one schedule of a model in FP32 and of its twin whose weights are compressed to FP16."""
    wide, narrow = (simulated([(kind, "")], LUNAR) for kind in ("f32", "f16"))
    assert wide.metrics.latency_us == narrow.metrics.latency_us
    assert wide.metrics.ddr_bytes == narrow.metrics.ddr_bytes


@pytest.mark.parametrize("hw", [LUNAR, PANTHER], ids=["4000", "5010"])
def test_narrow_weights_are_moved_narrow_and_computed_in_fp16(hw: Hardware) -> None:
    found = {kind: simulated([(kind, "f16")], hw) for kind in ("f16", "i8", "i4", "u4", "nf4")}
    read = {kind: result.metrics.ddr_bytes["read"] for kind, result in found.items()}
    assert read["f16"] - read["i8"] == pytest.approx(OUT * WIDTH, rel=0.01)
    assert read["i8"] - read["i4"] == pytest.approx(OUT * WIDTH / 2, rel=0.01)
    assert read["i4"] == read["u4"] == read["nf4"]
    assert {bits for result in found.values() for bits, _, _ in dpu(result)} == {16}
    assert found["i4"].latency_us < found["i8"].latency_us < found["f16"].latency_us


def test_fp8_costs_what_int8_does_where_the_dpu_has_it() -> None:
    fp8, int8 = simulated([("f8", "f8")], PANTHER), simulated([("i8", "i8")], PANTHER)
    assert dpu(fp8) == {(8, 8, True)}
    assert dpu(int8) == {(8, 8, False)}
    assert fp8.metrics.ddr_bytes == int8.metrics.ddr_bytes
    assert not fp8.program.notes


def test_fp8_activations_are_fp16_where_the_dpu_has_none_and_the_user_is_told() -> None:
    found = simulated([("f8", "f8")], LUNAR)
    assert dpu(found) == {(16, 16, False)}
    assert found.latency_us == simulated([("f16", "f16")], LUNAR).latency_us
    assert any("no FP8" in note for note in found.program.notes)


def test_the_rate_of_8_bit_floats_is_the_hardware_files() -> None:
    work = DpuWork("conv", 16, 16, 64, 64, in_bits=8, fp8=True)
    slow = npusim.load_hardware("pantherlake.yaml", ["dpu.macs_per_cycle.fp8=1024"])
    assert roofline_cycles(work, slow) == 4 * roofline_cycles(work, PANTHER)


@pytest.mark.parametrize("hw", [LUNAR, PANTHER], ids=["4000", "5010"])
def test_a_mixed_model_lies_between_the_pure_ones(hw: Hardware) -> None:
    fp16, int8 = ("f16", "f16"), ("i8", "i8")
    pure16, mixed, pure8 = (simulated(layers, hw) for layers in ([fp16, fp16], [int8, fp16], [int8, int8]))
    assert pure8.latency_us < mixed.latency_us < pure16.latency_us
    assert dpu(mixed) == dpu(pure8) | dpu(pure16)


@pytest.mark.parametrize(("levels", "bits"), [(256, 8), (16, 4)])
def test_weights_behind_a_fake_quantize_are_stored_in_as_few_bits(levels: int, bits: int) -> None:
    x = op.parameter([ROWS, WIDTH], np.float32)
    limits = [op.constant(np.float32(v)) for v in (-1, 1, -1, 1)]
    kernel = op.fake_quantize(op.constant(np.zeros((OUT, WIDTH), np.float32)), *limits, levels)
    graph = from_openvino(ov.Model([op.matmul(x, kernel, False, True)], [x], "quantised"))
    result = npusim.simulate(npusim.lower(graph, LUNAR), LUNAR, engine="fast")
    assert {weight_bits for _, weight_bits, _ in dpu(result)} == {bits}


@pytest.mark.parametrize("name", ["bert-base-int4", "bert-base-fp8", "resnet-50-fp8"])
def test_workloads_in_these_precisions_survive_a_file(name: str, tmp_path: Path) -> None:
    ov.save_model(workloads.build(name), tmp_path / "net.xml", compress_to_fp16=False)
    again, built = load_model(tmp_path / "net.xml"), npusim.build_workload(name)
    assert sorted(t.stored_dtype for t in again.tensors) == sorted(t.stored_dtype for t in built.tensors)
