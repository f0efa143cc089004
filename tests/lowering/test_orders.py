"""Kernels that write their result in the order in which it is read."""

from __future__ import annotations

from npusim.lowering.ir.nodes import Bmm, Eltwise, Node, Transpose, Unary
from npusim.lowering.ir.values import Value
from npusim.lowering.layout.orders import write_as_read

SHAPE = (24, 256, 256)
MASK = Value(1, (1, 256, 256), constant=True)
TURNED = (0, 2, 1)


def chain(operand: Value, shape: tuple[int, ...] = SHAPE, order: tuple[int, ...] = TURNED) -> list[Node]:
    """A Select, a transpose of its result, and a reader."""
    masked, turned = Value(2, shape), Value(3, shape, order=order)
    return [
        Eltwise("where", "Select", (operand, MASK), masked, kernel="select_2in"),
        Transpose("matmul", "MatMul", (masked,), turned),
        Bmm("matmul", "MatMul", (MASK, turned), Value(4, shape), m=1, n=1, k=1),
    ]


def test_an_operand_along_one_dimension_does_not_mind() -> None:
    """Where_1 of mamba2-130m_l1_t4_cumba: no permute before its MatMul."""
    select, matmul = write_as_read(chain(Value(0, (24, 256, 1))), set())
    assert isinstance(select, Eltwise)
    assert select.output.order == TURNED
    assert matmul.inputs[1] == select.output


def test_a_full_operand_minds() -> None:
    nodes = chain(Value(0, SHAPE))
    assert write_as_read(nodes, set()) == nodes


def test_a_result_that_others_read_stays() -> None:
    nodes = chain(Value(0, (24, 256, 1)))
    assert write_as_read(nodes, {2}) == nodes
    other = Unary("exp", "Exp", (nodes[0].output,), Value(5, SHAPE), kernel="exp")
    assert write_as_read([*nodes, other], set()) == [*nodes, other]


def test_four_dimensions_stay() -> None:
    """Two chunks (t512): transposed."""
    nodes = chain(Value(0, (24, 2, 256, 1)), (24, 2, 256, 256), (0, 1, 3, 2))
    assert write_as_read(nodes, set()) == nodes
