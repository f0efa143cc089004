"""A Concat of what lies in DDR that one DPU op reads: its pieces are loaded side by side, and nothing is joined before.

The keys and values of a cache and of the new token are so for the MatMul or the transpose that reads them.
"""

from __future__ import annotations

from dataclasses import replace

from npusim.lowering.ir.nodes import Bmm, Concat, Transpose
from npusim.lowering.ir.plan import Load, Plan, Slice, portion
from npusim.lowering.ir.shapes import CHANNELS
from npusim.lowering.ir.values import Value, ceil_div
from npusim.lowering.place.neighbours import Neighbours


def stays_apart(node: Concat, near: Neighbours) -> bool:
    """Whether the reader of a Concat loads its pieces one by one."""
    reader, whole = near.sole_reader(node.output), node.output
    if node.type != "Concat" or not isinstance(reader, Bmm | Transpose) or whole.storage in near.outputs:
        return False
    if isinstance(reader, Bmm) and reader.n % CHANNELS and not near.hw.software.grouped_matmul:
        return False  # the columns of a product are padded by reading on into the next
    (seen,) = [value for value in reader.inputs if value.storage == whole.storage][:1]
    if seen.partial or seen.elements != whole.elements or seen.bits != whole.bits:
        return False
    pieces = {value.storage for value in node.inputs}
    makers = [near.makers.get(value.storage) for value in node.inputs]
    given = all(
        not isinstance(maker, Concat) and not value.constant and value.plain
        for maker, value in zip(makers, node.inputs, strict=True)
    )
    turned = any(isinstance(maker, Transpose) and maker.name == node.name for maker in makers)
    if turned and any(value.partial for value in node.inputs):
        return False  # the pieces are turned for the reader one by one, and joined then
    return given and len(pieces) == len(node.inputs) and not near.homes.keys() & pieces


def in_pieces(plan: Plan, near: Neighbours) -> Plan:
    """A plan that loads the pieces of every Concat that it alone reads."""
    for operand, value in enumerate(plan.inputs):
        joined = near.makers.get(value.storage)
        if isinstance(joined, Concat) and stays_apart(joined, near):
            plan = _loaded(plan, operand, joined.inputs)
    return plan


def _loaded(plan: Plan, operand: int, pieces: tuple[Value, ...]) -> Plan:
    more = len(plan.inputs) - 1
    numbers = [operand, *range(more + 1, more + len(pieces))]
    total = sum(piece.elements for piece in pieces)

    def part_of(load: Load, piece: Value, number: int, index: int) -> Load:
        work = portion(load.work, piece.elements, total)
        size = ceil_div(load.cmx_bytes * piece.elements, total)
        return Load(number, load.tile, work, size, (*load.key, index) if load.key else ())

    def apart(part: Slice) -> Slice:
        loads: list[Load] = []
        for load in part.loads:
            if load.operand != operand:
                loads.append(load)
                continue
            loads += [
                part_of(load, piece, number, i)
                for i, (piece, number) in enumerate(zip(pieces, numbers, strict=True))
            ]
        return replace(part, loads=loads)

    inputs, dists = list(plan.inputs), list(plan.in_dists)
    inputs[operand], dists[operand] = pieces[0], None
    rest = pieces[1:]
    return replace(plan.changed(apart), inputs=[*inputs, *rest], in_dists=[*dists, *(None for _ in rest)])
