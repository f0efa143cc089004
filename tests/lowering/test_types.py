"""Quantised and compressed models: what moves is what is stored, what computes is what the DPU has."""

from __future__ import annotations

import numpy as np
import openvino as ov
import pytest
from openvino import opset15 as op

import npusim
from npusim.costs.dpu import cycles
from npusim.graph import from_openvino
from npusim.lowering import lower
from npusim.program.work import DmaWork, DpuWork
from npusim.workloads.nets import PRECISIONS, Precision
from npusim.workloads.nets.maker import Maker

K, N = 1024, 2048


def layers(precision: Precision) -> ov.Model:
    """Two MatMuls, K -> N -> K, as the networks have them in a precision: 2*K*N weights."""
    m = Maker("layers", precision)
    y = m.quantised("x", m.input("x", (1, 64, K)))
    y = m.quantised("up", m.linear("up", y, N))
    return m.model(m.linear("down", y, K))


def done(model: ov.Model, machine: str = "pantherlake.yaml") -> tuple[int, float, tuple[str, ...]]:
    """DDR bytes read, DPU cycles summed over tasks, and notes."""
    hw = npusim.load_hardware(machine)
    program = lower(from_openvino(model), hw)
    works = [task.work for task in program.tasks]
    read = sum(work.ddr_read_bytes for work in works if isinstance(work, DmaWork))
    return read, sum(cycles(work, hw) for work in works if isinstance(work, DpuWork)), program.notes


@pytest.mark.parametrize("machine", ["meteorlake.yaml", "lunarlake.yaml", "pantherlake.yaml"])
def test_what_moves_is_what_is_stored(machine: str) -> None:
    """The scales of INT4 weights are of groups, which the compiler decodes to FP16 for 64 rows."""
    fp16, int8, int4 = (done(layers(p), machine)[0] for p in ("fp16", "int8-weights", "int4"))
    assert fp16 - int8 == pytest.approx(2 * K * N, rel=0.15)  # fewer slices read activations less often
    assert int4 == fp16


def test_compressed_weights_compute_in_fp16() -> None:
    fp16, int8, int4 = (done(layers(p))[1] for p in ("fp16", "int8-weights", "int4"))
    assert int8 == pytest.approx(fp16, rel=0.1)  # not exactly: fewer slices, fewer starts
    assert int4 == pytest.approx(fp16, rel=0.1)


def test_mixed_lies_between() -> None:
    (fp16, slow, _), (mixed, middle, _), (int8, fast, _) = (
        done(layers(p)) for p in ("fp16", "mixed", "int8")
    )
    assert int8 < mixed < fp16
    assert fast < middle < slow


def test_fp8_runs_as_int8_where_the_dpu_has_it() -> None:
    assert done(layers("fp8"))[:2] == done(layers("int8"))[:2]


@pytest.mark.parametrize("machine", ["meteorlake.yaml", "lunarlake.yaml"])
def test_fp8_is_fp16_elsewhere_and_a_note_says_so(machine: str) -> None:
    read, busy, notes = done(layers("fp8"), machine)
    assert (read, busy) == done(layers("fp16"), machine)[:2]
    assert any("no FP8" in note for note in notes)


@pytest.mark.parametrize(("levels", "bits"), [(16, 4), (255, 8), (256, 8), (65536, 32)])
def test_fake_quantised_weights_are_stored_narrow(levels: int, bits: int) -> None:
    """Models quantised before their weights are compressed: FakeQuantize of an FP32 constant."""
    x = op.parameter([1, 16, 64], np.float32, name="x")
    limits = [np.float32(v) for v in (-1, 1, -1, 1)]
    w = op.fake_quantize(op.constant(np.ones((32, 64), np.float32)), *limits, levels)
    graph = from_openvino(ov.Model([op.result(op.matmul(x, w, False, True))], [x], "m"))
    assert graph.tensors[graph.ops[0].inputs[1]].bytes == 32 * 64 * bits // 8


@pytest.mark.parametrize("precision", PRECISIONS)
def test_openvino_runs_every_precision(precision: Precision) -> None:
    out = ov.Core().compile_model(layers(precision), "CPU")([np.ones((1, 64, K), np.float32)])[0]
    assert np.isfinite(out).all()


def _bf16(kind: str) -> ov.Model:
    """A MatMul of 64 rows in which an input, the weights, the result or everything is BF16."""
    narrow, half = ov.Type.bf16, np.float16
    whole = kind == "everything"
    x = op.parameter([1, 64, 256], narrow if whole or kind == "input" else half, name="x")
    raw = ov.Tensor(np.full((256, 256), 0x3F80, np.uint16), [256, 256], narrow)
    weights = op.constant(raw) if whole or kind == "weights" else op.constant(np.ones((256, 256), half))
    factors = [x, weights] if whole else [op.convert(factor, "f16") for factor in (x, weights)]
    y = op.matmul(*factors, False, False)
    return ov.Model([op.result(op.convert(y, "bf16") if kind == "result" else y)], [x], kind)


@pytest.mark.parametrize(("kind", "taken"), [("input", 1), ("weights", 1), ("result", 0), ("everything", 0)])
def test_bf16_is_taken_where_the_compiler_takes_it(kind: str, taken: bool) -> None:
    """OpenVINO 2026.4.1 compiles the first two and refuses the others, for every platform."""
    hw, graph = npusim.load_hardware("lunarlake"), from_openvino(_bf16(kind))
    if taken:
        lower(graph, hw)
        return
    with pytest.raises(npusim.UserError, match=r"makes BF16.*convert the model to FP16"):
        lower(graph, hw)
