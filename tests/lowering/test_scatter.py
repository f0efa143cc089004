"""ScatterElementsUpdate: tiles and SHAVEs share the axes along which nothing is scattered."""

from __future__ import annotations

import numpy as np
import openvino as ov
import pytest
from openvino import opset15 as op

from npusim import api
from npusim.graph import Graph, from_openvino
from npusim.program.work import DmaWork
from tests.lowering.laws import check_barriers


def scatter(shape: tuple[int, ...], updates: tuple[int, ...], axis: int) -> Graph:
    data = op.parameter(list(shape), np.float16, name="data")
    places = op.parameter(list(updates), np.int32, name="places")
    added = op.parameter(list(updates), np.float16, name="added")
    node = op.scatter_elements_update(data, places, added, op.constant(np.int64(axis)), "sum")
    return from_openvino(ov.Model([op.result(node)], [data, places, added], "m"))


#: What Intel's compiler of 2026.4.1 schedules for platform 4000, µs.
COMPILED = {
    "columns are shared": ((400, 64), (1600, 64), 0, 25.1),
    "columns are shared and sliced": ((1024, 256), (4096, 256), 0, 101.5),
    "rows are shared": ((64, 400), (64, 1600), 1, 18.1),
    "planes are shared": ((8, 200, 64), (8, 600, 64), 1, 34.7),
}


@pytest.mark.parametrize("case", COMPILED)
def test_what_the_compiler_schedules(case: str) -> None:
    shape, updates, axis, expected = COMPILED[case]
    hw = api.load_hardware("lunarlake-vpunn.yaml")
    found = api.simulate(api.lower(scatter(shape, updates, axis), hw), hw, "fast").latency_us
    assert found == pytest.approx(expected, rel=0.06)


@pytest.mark.parametrize("case", COMPILED)
def test_every_operand_is_read_once(case: str) -> None:
    shape, updates, axis, _ = COMPILED[case]
    program = api.lower(scatter(shape, updates, axis), api.load_hardware("lunarlake.yaml"))
    check_barriers(program)
    moved = [t.work for t in program.tasks if isinstance(t.work, DmaWork)]
    read = sum(w.bytes for w in moved if (w.src, w.dst, w.kind) == ("ddr", "cmx", "copy"))
    assert read >= 2 * np.prod(shape) + 6 * np.prod(updates)
    assert read < 1.01 * (2 * np.prod(shape) + 6 * np.prod(updates))
