"""An elementwise op is one row of the kernel table and one of the hardware file."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import openvino as ov
import pytest
from openvino import opset15 as op

import npusim
from npusim.errors import UserError
from npusim.graph import Graph, from_openvino
from npusim.hardware import load_hardware
from npusim.lowering.ir.kernels import KERNEL_OF, KERNELS, ROWS, Reads, ShaveKernel
from npusim.program.work import ShaveWork

#: Cost of a kernel that no hardware file knows.
COST = "{startup_cycles: 100, per_cycle: 8}"


def graphs() -> dict[str, tuple[Graph, ShaveKernel]]:
    """Graphs of one op of a type that no row has, and its row."""
    x, y = (op.parameter([1, 64, 32, 32], np.float16) for _ in "xy")
    small = op.parameter([1, 1, 32, 1], np.float16)
    rows = {
        "one": ShaveKernel(name="logit", ops=("Logit",)),
        "broadcast": ShaveKernel(name="atan2", ops=("Atan2",), reads=Reads.BROADCAST, dense=True),
    }
    made = {"one": (op.log(x), [x]), "broadcast": (op.mod(y, small), [y, small])}
    return {name: (_renamed(*made[name], rows[name].ops[0]), rows[name]) for name in rows}


def _renamed(result: ov.Node, inputs: list[ov.Node], type: str) -> Graph:
    graph = from_openvino(ov.Model([op.result(result)], inputs, type))
    return replace(graph, ops=tuple(replace(one, type=type) for one in graph.ops))


@pytest.mark.parametrize("name", ["one", "broadcast"])
def test_an_elementwise_op_is_added_in_one_place(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    graph, row = graphs()[name]
    hw = load_hardware("lunarlake.yaml", [f"shave.kernels.{row.name}={COST}"])
    with pytest.raises(UserError, match=row.ops[0]):
        npusim.lower(graph, hw)
    monkeypatch.setitem(KERNELS, row.name, row)
    monkeypatch.setitem(KERNEL_OF, row.ops[0], row)
    program = npusim.lower(graph, hw)
    calls = [t.work for t in program.tasks if isinstance(t.work, ShaveWork) and t.work.kernel == row.name]
    assert sum(work.out_elements for work in calls) == 64 * 32 * 32
    assert len(calls) == hw.tiles * hw.shave.per_tile
    assert npusim.simulate(program, hw).metrics.statistics["shave_us"] > 0


def test_names_and_op_types_stand_once() -> None:
    assert len(KERNELS) == len(ROWS)
    assert len(KERNEL_OF) == sum(len(row.ops) for row in ROWS)
