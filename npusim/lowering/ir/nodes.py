"""Nodes: the ops of a Graph after fusion, still without hardware; what placement chooses an engine for."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, Literal

from npusim.lowering.ir.values import Value

Kind = Literal[
    "conv",  # act x constant weights: MatMul, Convolution
    "dwconv",  # depth-wise convolution
    "scale",  # per-channel scale and shift by constants, a depth-wise 1x1 convolution
    "bmm",  # act x act MatMul, any batch
    "pool",  # max or average pooling
    "eltwise",  # two (or three) activations, broadcast
    "unary",  # one activation, elementwise or along an axis
    "reduce",  # ReduceSum / Mean / Max / Min over one run of axes
    "transpose",  # data really moved
    "concat",  # pieces written side by side (Concat, Pad)
    "copy",  # a Slice or Split whose result must exist by itself
    "broadcast",  # Broadcast, Tile: a value repeated
    "gather",  # rows or elements picked by index
    "convert",  # a change of element type
]


@dataclass(slots=True)
class Node:
    """One fused operation.

    ``name`` and ``type`` are those of the model's op that gives it its place in reports; ``fused`` the other ops it
    covers. ``inputs`` are its operands in the model's order. ``params`` holds what the kind needs (kernel, strides,
    axis, permutation ...).
    """

    kind: Kind
    name: str
    type: str
    inputs: list[Value]
    output: Value
    params: dict[str, Any] = field(default_factory=dict)
    fused: tuple[str, ...] = ()
