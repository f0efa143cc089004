"""Fusion of LSTM cells and sequences: products of inputs and states with their weights, and a kernel for the gates."""

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
    """The gates of all steps from the inputs by one MatMul; what the states add to them is the kernel's in a sequence
    of several steps, and another MatMul where there is one. Weights may be inputs of the model."""
    cell = op.type.endswith("Cell")
    x, state, memory = (fuser.plain(fuser.values[i], op) for i in op.inputs[:3])
    w, r = (fuser.values[i] for i in (op.inputs[3:5] if cell else op.inputs[4:6]))
    rows, gates = prod(x.shape[:-1]), prod(w.shape[:-1])
    data = replace(x, shape=(rows, x.shape[-1]), order=())
    made = _product(fuser, op, data, replace(w, shape=(gates, w.shape[-1]), order=()))
    if cell or prod(fuser.shape(op)[1:3]) == 1:
        batch, hidden = x.shape[0], r.shape[-1]
        past = replace(state, shape=(batch, hidden), order=())
        matrix = replace(r, shape=(gates, hidden), order=())
        operands: tuple[Value, ...] = (made, _product(fuser, op, past, matrix), memory)
    else:
        operands = (made, r, memory, state)
    _returned(fuser, op, _gates(fuser, op, operands, x, fuser.shape(op)))


def _product(fuser: Fuser, op: Op, data: Value, weights: Value) -> Value:
    made = Value(fuser.storage(), (data.shape[0], weights.shape[0]), data.bits, data.bits)
    matmul.product(fuser, op, data, weights, False, True, made)
    return made


def _gates(fuser: Fuser, op: Op, operands: tuple[Value, ...], x: Value, shape: tuple[int, ...]) -> Value:
    output = Value(fuser.storage(), shape, x.bits, x.bits)
    fuser.add(Unary(op.name, op.type, operands, output, kernel=KERNEL_OF[op.type].name))
    return output


def _returned(fuser: Fuser, op: Op, whole: Value) -> None:
    """Every output of the op as what the kernel wrote, or a part of it."""
    for id in op.outputs:
        shape = fuser.graph.tensors[id].shape
        part = prod(shape) < whole.elements
        fuser.values[id] = replace(whole, shape=shape, order=(), partial=part)
