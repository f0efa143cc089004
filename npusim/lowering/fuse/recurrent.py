"""Fusion of LSTM cells and sequences: the product of all inputs, and one kernel for the gates and states."""

from __future__ import annotations

from dataclasses import replace
from math import prod

from npusim.graph.ir import Op
from npusim.lowering.fuse import matmul
from npusim.lowering.fuse.fuser import Fuser
from npusim.lowering.ir.kernels import KERNEL_OF
from npusim.lowering.ir.nodes import Unary
from npusim.lowering.ir.values import Value


def lstm(fuser: Fuser, op: Op) -> None:
    """The gates of all steps from the inputs by one MatMul; what the states add to them is the kernel's in a sequence,
    and another MatMul in a cell. Weights may be inputs of the model."""
    cell = op.type.endswith("Cell")
    x, state, memory = (fuser.plain(fuser.values[i], op) for i in op.inputs[:3])
    w, r = (fuser.values[i] for i in (op.inputs[3:5] if cell else op.inputs[4:6]))
    rows, gates = prod(x.shape[:-1]), prod(w.shape[:-1])
    made = _product(
        fuser,
        op,
        replace(x, shape=(rows, x.shape[-1]), order=()),
        replace(w, shape=(gates, w.shape[-1]), order=()),
    )
    past = _product(fuser, op, state, r) if cell else r
    operands = (made, past, memory) if cell else (made, past, memory, state)
    results = [i for i in op.outputs if fuser.index.readers[i]] or [*op.outputs[:1]]
    for id in results:
        shape = fuser.graph.tensors[id].shape
        output = Value(fuser.storage(), shape, x.bits, x.bits)
        if id == results[0]:
            fuser.add(Unary(op.name, op.type, operands, output, kernel=KERNEL_OF[op.type].name))
            whole = output
        fuser.values[id] = output if id == results[0] else replace(whole, shape=shape, partial=True)


def _product(fuser: Fuser, op: Op, data: Value, weights: Value) -> Value:
    made = Value(fuser.storage(), (data.shape[0], weights.shape[0]), data.bits, data.bits)
    matmul.product(fuser, op, data, weights, False, True, made)
    return made
