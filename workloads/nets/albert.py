"""ALBERT-base, the encoder alone: BERT's layer twelve times, with the same weights each time."""

from __future__ import annotations

import openvino as ov
from openvino import Node
from openvino import opset15 as op

from npusim.workloads.nets import bert
from npusim.workloads.nets.maker import Maker, shape_of
from npusim.workloads.scope import Value


def build(m: Maker, *, batch: int, tokens: int) -> ov.Model:
    """Token ids [batch, tokens] to hidden states [batch, tokens, 768]."""
    shared: dict[str, Node] = {}

    def linear(name: str, x: Value, out: int) -> Node:
        kind = name.rpartition(".")[2]
        if kind not in shared:
            shared[kind] = m.weight(f"layers.{kind}", (out, shape_of(x)[-1]))
        return m(op.matmul, name, x, shared[kind], transpose_a=False, transpose_b=True)

    return bert.encoder(m, batch, tokens, linear)
