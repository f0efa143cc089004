"""BERT-large fine-tuned for SQuAD, 384 tokens (arXiv 1810.04805; openvinotoolkit/open_model_zoo:
models/intel/bert-large-uncased-whole-word-masking-squad-0001), with all that the ONNX file of PyTorch's model has:
three inputs, biases, attention op by op, the layer norms' gains. INT8 by NNCF with SmoothQuant, as BERT-base."""

from __future__ import annotations

import numpy as np
import openvino as ov
from openvino import opset15 as op

from npusim.workloads.nets.maker import Maker
from npusim.workloads.scope import Value

_LAYERS, _WIDTH, _HEADS, _INNER, _VOCABULARY = 24, 1024, 16, 4096, 30522
_HEAD_WIDTH = _WIDTH // _HEADS


def build(m: Maker, *, batch: int, tokens: int) -> ov.Model:
    """Token ids, mask and segments [batch, tokens] to the scores of where the answer starts and ends."""
    ids, mask, segments = (
        m.input(name, (batch, tokens), np.int64) for name in ("input_ids", "attention_mask", "token_type_ids")
    )
    words = m.weight("embeddings.words", (_VOCABULARY, _WIDTH), table=True)
    kinds = m.weight("embeddings.kinds", (2, _WIDTH), table=True)
    x = m(op.add, "embeddings.add", m(op.gather, "embeddings.words", words, ids, 0),
          m.float_weight("embeddings.positions", (1, tokens, _WIDTH)))  # fmt: skip
    x = m(op.add, "embeddings.add2", x, m(op.gather, "embeddings.kinds", kinds, segments, 0))
    hidden = _norm(m, "embeddings.norm", x)
    hides = m(
        op.convert, "mask.float", m.reshape("mask.rows", mask, (batch, 1, 1, tokens)), destination_type="f32"
    )
    hides = m(op.multiply, "mask", m(op.subtract, "mask.inverse", 1.0, hides), -10000.0)
    for layer in range(_LAYERS):
        hidden = _layer(m, f"layers.{layer}", hidden, hides, batch, tokens)
    spans = _linear(m, "spans", hidden, 2)
    start, end = m(op.split, "spans.parts", spans, 2, num_splits=2).outputs()
    return m.model(m.reshape("start", start, (batch, tokens)), m.reshape("end", end, (batch, tokens)))


def _layer(m: Maker, name: str, hidden: Value, hides: Value, batch: int, tokens: int) -> Value:
    x = m.smoothed(f"{name}.attention", hidden, _WIDTH)
    heads = (batch, tokens, _HEADS, _HEAD_WIDTH)
    query, key, value = (
        m.reshape(f"{name}.{part}.split", _linear(m, f"{name}.{part}", x, _WIDTH), heads)
        for part in ("query", "key", "value")
    )
    query = m.quantised(f"{name}.query", m.transpose(f"{name}.query.heads", query, (0, 2, 1, 3)))
    key = m.quantised(f"{name}.key", m.transpose(f"{name}.key.heads", key, (0, 2, 3, 1)))
    value = m.transpose(f"{name}.value.heads", value, (0, 2, 1, 3))
    scores = m(op.matmul, f"{name}.scores", query, key, transpose_a=False, transpose_b=False)
    scores = m(op.divide, f"{name}.scaled", scores, float(_HEAD_WIDTH**0.5))
    shares = m(op.softmax, f"{name}.softmax", m(op.add, f"{name}.masked", scores, hides), axis=-1)
    y = m(op.matmul, f"{name}.context", shares, value, transpose_a=False, transpose_b=False)
    y = m.reshape(
        f"{name}.context.join", m.transpose(f"{name}.context.rows", y, (0, 2, 1, 3)), (batch, tokens, _WIDTH)
    )
    y = _linear(m, f"{name}.project", m.smoothed(f"{name}.context", y, _WIDTH), _WIDTH)
    middle = _norm(m, f"{name}.norm", m(op.add, f"{name}.add", y, hidden))
    y = _linear(m, f"{name}.up", m.smoothed(f"{name}.middle", middle, _WIDTH), _INNER)
    y = m(op.gelu, f"{name}.gelu", y, approximation_mode="ERF")
    y = _linear(m, f"{name}.down", m.smoothed(f"{name}.gelu", y, _INNER), _WIDTH)
    return _norm(m, f"{name}.norm2", m(op.add, f"{name}.add2", y, middle))


def _linear(m: Maker, name: str, x: Value, out: int) -> Value:
    return m(op.add, f"{name}.biased", m.linear(name, x, out), m.float_weight(f"{name}.bias", (1, 1, out)))


def _norm(m: Maker, name: str, x: Value) -> Value:
    """Layer norm with gain and bias."""
    y = m(op.mvn, f"{name}.mvn", x, (2,), normalize_variance=True, eps=1e-12, eps_mode="inside_sqrt")
    y = m(op.multiply, f"{name}.scaled", y, m.float_weight(f"{name}.gain", (1, 1, _WIDTH)))
    return m(op.add, name, y, m.float_weight(f"{name}.bias", (1, 1, _WIDTH)))
