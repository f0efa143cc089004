"""BERT-base, the encoder alone: attention as OpenVINO fuses it, INT8 by NNCF with SmoothQuant.

The vocabulary is that of the uncased model (30522), as in the vendor schedules; it sizes the embedding table, of
which an inference reads one row a token.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import openvino as ov
from openvino import Node
from openvino import opset15 as op

from npusim.workloads.nets.maker import Maker
from npusim.workloads.scope import Value

_LAYERS, _WIDTH, _HEADS, _INNER, _VOCABULARY = 12, 768, 12, 3072, 30522
_HEAD_WIDTH = _WIDTH // _HEADS


#: (name, x, outputs) -> ``x`` times weights.
Linear = Callable[[str, Value, int], Node]


def build(m: Maker, *, batch: int, tokens: int) -> ov.Model:
    """Token ids [batch, tokens] to hidden states [batch, tokens, 768]."""
    return encoder(m, batch, tokens, m.linear)


def encoder(m: Maker, batch: int, tokens: int, linear: Linear) -> ov.Model:
    """The same, with weights as ``linear`` brings them."""
    ids = m.input("input_ids", (batch, tokens), np.int64)
    x = m(
        op.gather, "embeddings.words", m.weight("embeddings.words", (_VOCABULARY, _WIDTH), table=True), ids, 0
    )
    x = m(op.add, "embeddings.add", x, m.float_weight("embeddings.positions", (1, tokens, _WIDTH)))
    hidden = _norm(m, "embeddings.norm", x)
    for layer in range(_LAYERS):
        hidden = _layer(m, f"layers.{layer}", hidden, batch, tokens, linear)
    return m.model(hidden)


def _layer(m: Maker, name: str, hidden: Value, batch: int, tokens: int, linear: Linear) -> Value:
    x = m.smoothed(f"{name}.attention", hidden, _WIDTH)
    heads = (batch, tokens, _HEADS, _HEAD_WIDTH)
    query = m.quantised(f"{name}.query", linear(f"{name}.query", x, _WIDTH))
    query = m.transpose(f"{name}.query.heads", m.reshape(f"{name}.query.split", query, heads), (0, 2, 1, 3))
    key = m.quantised(f"{name}.key", linear(f"{name}.key", x, _WIDTH))
    key = m.transpose(f"{name}.key.columns", m.reshape(f"{name}.key.split", key, heads), (0, 2, 3, 1))
    key = m.transpose(f"{name}.key.heads", key, (0, 1, 3, 2))
    value = m.reshape(f"{name}.value.split", linear(f"{name}.value", x, _WIDTH), heads)
    value = m.transpose(f"{name}.value.heads", value, (0, 2, 1, 3))
    mask, scale = m.float_weight(f"{name}.mask", ()), m.float_weight(f"{name}.scale", ())
    y = m(op.scaled_dot_product_attention, f"{name}.attention", query, key, value, mask, scale, causal=False)
    y = m.transpose(f"{name}.context", y, (0, 2, 1, 3))
    y = m.smoothed(f"{name}.context", m.reshape(f"{name}.context.join", y, (batch, tokens, _WIDTH)), _WIDTH)
    y = linear(f"{name}.project", y, _WIDTH)
    middle = _norm(m, f"{name}.norm", m(op.add, f"{name}.add", y, hidden))
    y = linear(f"{name}.up", m.smoothed(f"{name}.middle", middle, _WIDTH), _INNER)
    y = m(op.gelu, f"{name}.gelu", y, approximation_mode="ERF")
    y = linear(f"{name}.down", m.smoothed(f"{name}.gelu", y, _INNER), _WIDTH)
    return _norm(m, f"{name}.norm2", m(op.add, f"{name}.add2", y, middle))


def _norm(m: Maker, name: str, x: Value) -> Value:
    """Layer norm, whose gain and bias OpenVINO folds into the MatMuls that follow."""
    return m(op.mvn, name, x, (2,), normalize_variance=True, eps=1e-12, eps_mode="inside_sqrt")
