"""Zeros in activations: which products read what a ReLU has made, where the DPU skips its zeros."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from npusim.hardware.zeros import Sparsity
from npusim.lowering.ir.nodes import Conv, Node


def rectified(nodes: Sequence[Node], sparsity: Sparsity | None) -> Sequence[Node]:
    """The nodes, those products marked whose activation is what a ReLU made."""
    if sparsity is None or sparsity.activations is None:
        return nodes
    made = {node.output.storage for node in nodes if node.post == "relu" or node.runs("relu")}
    return [
        replace(node, rectified=True) if isinstance(node, Conv) and node.inputs[0].storage in made else node
        for node in nodes
    ]
