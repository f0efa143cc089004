"""A MatMul and the activation behind it, alone: cut together or one after the other, as Intel's compiler does it."""

from __future__ import annotations

import numpy as np
import openvino as ov
import pytest
from openvino import opset15 as op

import npusim
from npusim.graph import from_openvino
from npusim.lowering import lower
from npusim.program import ENGINES
from npusim.program.work import DmaWork

#: Latency of rows x terms -> channels and a Gelu on 4000 with 4 tiles, µs (OpenVINO 2026.4.1), and whether the first
#: kernel begins before the DPU has ended: they are cut together.
SEEN = {
    (32, 384, 1536): (42.5, False), (32, 512, 2048): (56.9, True), (32, 768, 3072): (101.0, True),
    (64, 384, 1536): (55.7, False), (64, 512, 2048): (67.2, True), (64, 768, 3072): (113.6, True),
    (128, 384, 1536): (79.1, False), (128, 512, 2048): (85.1, True), (128, 768, 3072): (135.5, True),
    (197, 384, 1536): (125.5, False),
}  # fmt: skip


@pytest.mark.parametrize("shape", SEEN, ids=str)
def test_a_matmul_and_its_gelu_run_together_as_the_compiler_has_them(shape: tuple[int, int, int]) -> None:
    rows, terms, channels = shape
    seen_us, together = SEEN[shape]
    x = op.parameter([1, rows, terms], np.float16, name="x")
    weights = op.constant(np.full((terms, channels), 0.02, np.float16))
    out = op.gelu(op.matmul(x, weights, False, False), "erf")
    hw = npusim.load_hardware("lunarlake-vpunn.yaml", ["tiles=4"])
    graph = from_openvino(ov.Model([op.result(out)], [x], "ffn"))
    result = npusim.simulate(lower(graph, hw), hw, "fast")
    assert result.latency_us == pytest.approx(seen_us, rel=0.05)
    engine, timeline = result.program.engine, result.timeline
    dpu, shave = (engine == ENGINES.index(name) for name in ("dpu", "shave"))
    assert bool(timeline.start_us[shave].min() < timeline.end_us[dpu].max()) is together


#: Latency of a gated unit of rows x terms -> channels and back on 4000 with 4 tiles, µs (OpenVINO 2026.4.1).
GATED = {
    (64, 512, 1024): 79.4, (128, 256, 1024): 84.2, (128, 384, 1536): 129.6, (128, 512, 768): 88.6,
    (256, 256, 1024): 140.0,
}  # fmt: skip


@pytest.mark.parametrize("shape", GATED, ids=str)
def test_a_gated_unit_stays_in_cmx_up_to_its_product(shape: tuple[int, int, int]) -> None:
    rows, terms, channels = shape
    x = op.parameter([1, rows, terms], np.float16, name="x")
    weights = [op.constant(np.full((terms, channels), 0.01 * n, np.float16)) for n in (1, 2)]
    gate, up = (op.matmul(x, w, False, False) for w in weights)
    product = op.multiply(op.swish(gate, np.float16(1)), up)
    out = op.matmul(product, op.constant(np.full((channels, terms), 0.03, np.float16)), False, False)
    hw = npusim.load_hardware("lunarlake-vpunn.yaml", ["tiles=4"])
    result = npusim.simulate(lower(from_openvino(ov.Model([op.result(out)], [x], "gated")), hw), hw, "fast")
    moves = [task.work for task in result.program.tasks if isinstance(task.work, DmaWork)]
    assert sum(work.bytes for work in moves if work.src == "cmx") == 2 * rows * (channels + terms)
    assert result.latency_us == pytest.approx(GATED[shape], rel=0.065)
