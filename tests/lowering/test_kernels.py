"""An elementwise op is one row of the kernel table and one of the hardware file."""

from __future__ import annotations

import numpy as np
import openvino as ov
import pytest
from openvino import opset15 as op

import npusim
from npusim.errors import UserError
from npusim.graph import from_openvino
from npusim.hardware import load_hardware
from npusim.lowering.ir.kernels import KERNEL_OF, KERNELS, ROWS, Reads, ShaveKernel
from npusim.program.work import ShaveWork

#: Cost of a kernel that no hardware file knows.
COST = "{startup_cycles: 100, per_cycle: 8}"


def models() -> dict[str, tuple[ov.Model, ShaveKernel]]:
    x, y = (op.parameter([1, 64, 32, 32], np.float16, name=name) for name in "xy")
    a, b = (op.parameter(shape, np.int32) for shape in ([1, 64, 32, 32], [1, 1, 32, 1]))
    return {
        "one": (
            ov.Model([op.result(op.is_nan(op.add(x, y)))], [x, y], "one"),
            ShaveKernel(name="isnan", ops=("IsNaN",)),
        ),
        "broadcast": (
            ov.Model([op.result(op.bitwise_xor(a, b))], [a, b], "broadcast"),
            ShaveKernel(name="bitwisexor", ops=("BitwiseXor",), reads=Reads.BROADCAST, dense=True),
        ),
    }


@pytest.mark.parametrize("name", ["one", "broadcast"])
def test_an_elementwise_op_is_added_in_one_place(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    model, row = models()[name]
    graph = from_openvino(model)
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
