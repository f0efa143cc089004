"""Decoders of the Llama family, one token at a time: attention over the tokens cached, RMS norms, a gated MLP.

As OpenVINO's static-shape pipeline for NPUs runs them: the cache of keys and values is an input, and what a token adds
to it an output. Embeddings are looked up on the host.
"""

from __future__ import annotations

from dataclasses import dataclass

import openvino as ov
from openvino import opset15 as op

from npusim.workloads.nets.maker import Maker, shape_of
from npusim.workloads.scope import Value


@dataclass(frozen=True)
class _Size:
    layers: int
    width: int
    heads: int
    inner: int
    vocabulary: int


_SIZES = {
    "llama-2-7b": _Size(32, 4096, 32, 11008, 32000),
    "phi-3-mini": _Size(32, 3072, 32, 8192, 32064),
}


def build(m: Maker, *, batch: int, tokens: int) -> ov.Model:
    """The embedding of a token [batch, 1, width] to logits [batch, 1, vocabulary], with ``tokens`` cached."""
    size = _SIZES[m.name]
    hidden: Value = m.input("embedding", (batch, 1, size.width))
    added: list[Value] = []
    for layer in range(size.layers):
        hidden, *new = _layer(m, f"layers.{layer}", size, hidden, (batch, size.heads, tokens))
        added += new
    logits = m.linear("logits", _norm(m, "norm", hidden), size.vocabulary)
    return m.model(logits, *added)


def _layer(
    m: Maker, name: str, size: _Size, hidden: Value, cached: tuple[int, int, int]
) -> tuple[Value, Value, Value]:
    """Hidden states behind a layer, and the key and the value that its cache gains."""
    batch, heads, _ = cached
    head_width = size.width // heads
    x = _norm(m, f"{name}.norm", hidden)
    query, key, value = (
        m.reshape(
            f"{name}.{part}.heads", m.linear(f"{name}.{part}", x, size.width), (batch, heads, 1, head_width)
        )
        for part in ("query", "key", "value")
    )
    query, key = (
        _rotated(m, f"{name}.{part}", y, head_width) for part, y in (("query", query), ("key", key))
    )
    keys, values = (
        m.concat(f"{name}.{part}s", [m.input(f"{name}.past.{part}", (*cached, head_width)), new], 2)
        for part, new in (("key", key), ("value", value))
    )
    scores = m(op.matmul, f"{name}.scores", query, keys, transpose_a=False, transpose_b=True)
    scores = m(op.multiply, f"{name}.scaled", scores, float(head_width**-0.5))
    y = m(op.softmax, f"{name}.softmax", scores, axis=-1)
    y = m(op.matmul, f"{name}.context", y, values, transpose_a=False, transpose_b=False)
    y = m.linear(f"{name}.project", m.reshape(f"{name}.context.join", y, (batch, 1, size.width)), size.width)
    middle = m(op.add, f"{name}.add", hidden, y)
    x = _norm(m, f"{name}.norm2", middle)
    gate = m.swish(f"{name}.swish", m.linear(f"{name}.gate", x, size.inner))
    gated = m(op.multiply, f"{name}.gated", gate, m.linear(f"{name}.up", x, size.inner))
    y = m.linear(f"{name}.down", gated, size.width)
    return m(op.add, f"{name}.add2", middle, y), key, value


def _rotated(m: Maker, name: str, x: Value, width: int) -> Value:
    """Rotary embedding of one position: x cos + (-x[half:], x[:half]) sin."""
    halves = m(op.split, f"{name}.halves", x, 3, num_splits=2)
    turned = m.concat(
        f"{name}.turned", [m(op.negative, f"{name}.minus", halves.output(1)), halves.output(0)], 3
    )
    cos = m(op.multiply, f"{name}.cos", x, m.float_weight(f"{name}.cosines", (1, 1, 1, width)))
    sin = m(op.multiply, f"{name}.sin", turned, m.float_weight(f"{name}.sines", (1, 1, 1, width)))
    return m(op.add, f"{name}.rotated", cos, sin)


def _norm(m: Maker, name: str, x: Value) -> Value:
    """RMS norm with a gain."""
    square = m(op.reduce_mean, f"{name}.mean", m(op.power, f"{name}.square", x, 2.0), (-1,), keep_dims=True)
    root = m(op.sqrt, f"{name}.root", m(op.add, f"{name}.eps", square, 1e-5))
    width = shape_of(x)[-1]
    scaled = m(op.divide, f"{name}.scaled", x, root)
    return m(op.multiply, name, scaled, m.float_weight(f"{name}.gain", (1, 1, width)))
