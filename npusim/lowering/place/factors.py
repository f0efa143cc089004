"""What the operands of a product or a quotient are to each other, by which it is decided which engine computes it."""

from __future__ import annotations

from math import prod

from npusim.hardware.schema import Hardware
from npusim.lowering.ir.nodes import Node
from npusim.lowering.ir.plan import cmx_capacity
from npusim.lowering.ir.shapes import CHANNELS, MAX_DIMENSION
from npusim.lowering.ir.values import Value
from npusim.lowering.plans.dpu.eltwise import is_row

#: Elements of a quotient from which a reciprocal of a smaller divisor is computed first.
WORTH_INVERTING = 4096


def is_row_product(node: Node) -> bool:
    """A product of two rows [1, K]: K is its channels (single tokens of Mamba and Mamba-2)."""
    return is_row(node.output) and all(
        v.elements == node.output.elements and not v.constant for v in node.inputs
    )


def channel_factor(node: Node, hw: Hardware) -> int | None:
    """The axis of a product with a computed [1, C, 1, 1], [1, M, 1] or [1, 1, K] (evidence/lowering.md#1.2.15); on 5010
    [1, 1, 1, W] too (evidence/lowering.md#7)."""
    shape = node.output.shape
    small = [v for v in node.inputs if v.elements < node.output.elements]
    if len(small) != 1 or small[0].constant or len(shape) not in (3, 4) or shape[0] != 1:
        return None
    varying = [d for d, extent in enumerate(small[0].shape) if extent > 1]
    last = (3,) if hw.software.eltwise_multiply_on_dpu else ()
    allowed = (1, *last) if len(shape) == 4 else (1, 2)
    fits = len(small[0].shape) == len(shape) and small[0].elements <= MAX_DIMENSION
    return varying[0] if fits and len(varying) == 1 and varying[0] in allowed else None


def repeats_rows(node: Node, hw: Hardware) -> bool:
    """A product of planes with a computed [1, C, 1, W]: where the DPU multiplies, that is repeated for all rows first,
    if all of it and a part fit CMX."""
    shape, full = node.output.shape, node.output
    if not hw.software.eltwise_multiply_on_dpu or len(shape) != 4 or shape[0] != 1 or shape[3] % CHANNELS:
        return False
    row = (1, shape[1], 1, shape[3])
    shapes = {v.shape for v in node.inputs if v.plain and not v.constant}
    return min(shape[1:]) > 1 and shapes == {shape, row} and 2 * full.bytes <= cmx_capacity(hw)


def has_row_factor(node: Node, hw: Hardware) -> bool:
    """On 5010, a product of more than four dimensions whose computed factor varies over all but the last, [M, K] with
    [M, 1], if a DPU tensor may have M channels (Mul_7 and Mul_12 of Mamba-2; of four dimensions, as Mul_1, it stays
    with the SHAVEs)."""
    wanted = hw.software.eltwise_multiply_on_dpu and len(node.output.shape) > 4
    if not wanted or len(node.inputs) != 2 or any(v.constant for v in node.inputs):
        return False
    *leading, width = node.output.physical
    rows = prod(leading)
    last = min(node.inputs, key=lambda v: v.elements).physical[-1]
    return (
        rows <= MAX_DIMENSION
        and last == 1 < width
        and {v.elements for v in node.inputs} == {rows, rows * width}
    )


def is_channel_vector(value: Value, whole: Value) -> bool:
    """A scalar, [1, C, 1, 1] or [1, M, 1] beside something larger: the SHAVE adds it as it is
    (evidence/lowering.md#1.2.11, add_i on three platforms); everything else is expanded first."""
    shape = value.shape
    ranked = len(shape) == len(whole.shape) and len(shape) in (3, 4)
    return value.elements == 1 or (ranked and value.elements == shape[1] < whole.elements)


def divides_by_smaller(node: Node, hw: Hardware) -> bool:
    """Division of an activation by a smaller one that is worth a reciprocal of that
    (``convert_divide_to_multiply_benefit_strategy.cpp`` of Intel's compiler)."""
    dividend, divisor = node.inputs
    size = node.output.elements
    worth = size >= max(WORTH_INVERTING, hw.software.reciprocal_ratio * divisor.elements)
    return worth and dividend.elements == size > divisor.elements and not divisor.constant
