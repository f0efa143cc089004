"""Accounts: which op of the report the tasks of every plan belong to."""

from __future__ import annotations

from collections.abc import Sequence

from npusim.lowering.ir.plan import Plan
from npusim.program import ProgramOp
from npusim.program.names import layer_of


def open_accounts(plans: Sequence[Plan]) -> tuple[list[int], list[ProgramOp]]:
    """The number of every plan's op, and the ops of a Program, in the order of their first plans; plans of one name
    share an op."""
    ops: list[ProgramOp] = []
    index: dict[str, int] = {}
    accounts = []
    for plan in plans:
        node = plan.node
        if node.name not in index:
            index[node.name] = len(ops)
            layer = layer_of(node.name)
            ops.append(ProgramOp(node.name, node.type, node.fused, layer, plan.strategy, node.output.shape))
        accounts.append(index[node.name])
    return accounts, ops
