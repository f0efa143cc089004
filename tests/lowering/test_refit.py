"""Models that no planner's rule fits into CMX still lower, and move the same bytes."""

from __future__ import annotations

import numpy as np
import openvino as ov
import pytest
from openvino import opset15 as op

from npusim import workloads
from npusim.costs.price import price
from npusim.engine.event import simulate
from npusim.graph import Graph, from_openvino
from npusim.hardware import load_hardware
from npusim.lowering import lower
from npusim.program.work import DmaWork
from tests.lowering.laws import check_barriers, check_cmx


def embedding(rows: int) -> Graph:
    """A gather of ``rows`` rows of 768 from a table, and an activation."""
    ids = op.parameter([1, rows], np.int64, name="ids")
    table = op.constant(np.zeros((512, 768), np.float16))
    return from_openvino(
        ov.Model([op.result(op.exp(op.gather(table, ids, np.int64(0))))], [ids], "embedding")
    )


@pytest.mark.parametrize("rows", [64, 2048])
def test_a_gather_larger_than_cmx_goes_in_parts(rows: int) -> None:
    hw = load_hardware("lunarlake.yaml")
    program = lower(embedding(rows), hw)
    check_barriers(program)
    check_cmx(program, simulate(program, price(program, hw)))
    written = sum(t.work.ddr_write_bytes for t in program.tasks if isinstance(t.work, DmaWork))
    assert rows * 768 * 2 * 2 <= written <= rows * 768 * 2 * 2 * 1.01


@pytest.mark.parametrize("hardware", ["lunarlake.yaml", "pantherlake.yaml"])
@pytest.mark.parametrize(
    "settings", [{"tokens": 1024}, {"tokens": 256, "batch": 4}, {"tokens": 256, "tiles": 1}], ids=str
)
def test_large_prompts_batches_and_single_tiles_lower(hardware: str, settings: dict[str, int]) -> None:
    size = {k: v for k, v in settings.items() if k != "tiles"}
    overrides = [f"tiles={settings['tiles']}"] if "tiles" in settings else []
    hw = load_hardware(hardware, overrides)
    program = lower(from_openvino(workloads.build("mamba2-130m", layers=1, **size)), hw)
    check_barriers(program)
    check_cmx(program, simulate(program, price(program, hw)))
