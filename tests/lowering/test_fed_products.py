"""MatMuls are cut over rows or channels together with the layer before them, as Intel's compiler cuts them."""

from __future__ import annotations

import numpy as np
import openvino as ov
import pytest
from openvino import opset15 as op

from npusim.graph import from_openvino
from npusim.graph.ir import Graph
from npusim.hardware import load_hardware
from npusim.lowering import lower
from npusim.program import Program
from npusim.program.work import DmaWork

LUNAR, METEOR = "lunarlake-vpunn.yaml", "meteorlake-vpunn.yaml"


def _weights(*shape: int) -> ov.Node:
    return op.constant(np.ones(shape, np.float16))


def _product(x: ov.Node | ov.Output, terms: int, columns: int) -> ov.Node:
    return op.matmul(x, _weights(terms, columns), False, False)


def residual(before: str, rows: int, terms: int, columns: int) -> Graph:
    """A MatMul named ``product`` behind an op of a kind, and the sum of its result and another input."""
    x = op.parameter([1, rows, terms], np.float16, name="x")
    other = op.parameter([1, rows, columns], np.float16, name="other")
    source: ov.Node = x
    if before == "product":
        source = _product(x, terms, terms)
    elif before == "norm":
        normal = op.mvn(x, np.array([-1]), True, 1e-5, "INSIDE_SQRT")
        source = op.add(op.multiply(normal, _weights(1, 1, terms)), _weights(1, 1, terms))
    elif before == "heads":
        width = terms // 4
        heads = op.transpose(op.reshape(x, np.array([1, 4, rows, width]), False), np.array([0, 2, 1, 3]))
        source = op.reshape(heads, np.array([1, rows, terms]), False)
    made = op.matmul(source, _weights(terms, columns), False, False, name="product")
    inputs = [x, other]
    return from_openvino(ov.Model([op.result(op.add(other, made))], inputs, "residual"))


def _strategy(program: Program, name: str) -> str:
    return next(one.strategy for one in program.ops if one.name == name)


#: (the op before, rows, terms, columns, what the tiles share of the product on 4000), as compiled.
SPLIT = [
    ("input", 64, 128, 128, "channels"),
    ("product", 64, 128, 128, "rows"),
    ("product", 128, 256, 256, "rows"),
    ("product", 64, 384, 256, "channels"),
    ("norm", 64, 128, 128, "rows"),
    pytest.param(
        "norm",
        128,
        96,
        384,
        "rows",
        marks=pytest.mark.xfail(strict=True, reason="3.14 µs over rows, 3.04 over channels"),
    ),
    ("norm", 196, 384, 256, "channels"),
    ("heads", 64, 128, 128, "rows"),
    ("heads", 64, 256, 256, "channels"),
    ("heads", 256, 384, 384, "rows"),
]


@pytest.mark.parametrize(("before", "rows", "terms", "columns", "shared"), SPLIT)
def test_products_share_what_the_compiler_shares(
    before: str, rows: int, terms: int, columns: int, shared: str
) -> None:
    program = lower(residual(before, rows, terms, columns), load_hardware(LUNAR))
    assert shared in _strategy(program, "product")


def _read_back(program: Program, name: str) -> bool:
    """Whether an op's result is written to DDR."""
    index = next(i for i, one in enumerate(program.ops) if one.name == name)
    return any(
        isinstance(task.work, DmaWork)
        and task.op == index
        and task.work.src == "cmx"
        and task.work.dst == "ddr"
        for task in program.tasks
    )


@pytest.mark.parametrize(
    ("file", "rows", "spilled"), [(LUNAR, 192, False), (LUNAR, 196, True), (METEOR, 196, False)]
)
def test_a_sum_finds_rows_only_where_tiles_share_them_evenly(file: str, rows: int, spilled: bool) -> None:
    """196 rows are 49 of four pixels to the DPU; on 3720 the tiles' shares of those pass into other dimensions."""
    program = lower(residual("product", rows, 512, 128), load_hardware(file))
    assert "rows" in _strategy(program, "product")
    assert _read_back(program, "product") is spilled
