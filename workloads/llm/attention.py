"""Attention of grouped queries over remembered keys and values, as the NPU pipeline has it: values transposed, and what
is remembered read once, where it lies.

Exports write it otherwise: the new row joined to the past, and keys and values repeated for the queries that share
them. What runs does neither (evidence/llm.md#3: a token more in the cache costs what reading it once costs), and the
graph here says so: the queries of one head of keys are rows of one product, over the past and over the new rows.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from openvino import Node
from openvino import opset15 as op

from npusim.workloads.config import Shape
from npusim.workloads.llm.config import DecoderConfig
from npusim.workloads.llm.mixers import rms_norm
from npusim.workloads.llm.weights import Weights
from npusim.workloads.nets.maker import shape_of

Read = Callable[[str, Shape], Node]
Write = Callable[[str, Node], None]


@dataclass(frozen=True)
class Place:
    """Where the rows of a call are: so many over a past, with the mask f32 [1, 1, rows, past + rows] and cosines and
    sines of their positions [1, 1, rows, head width]."""

    rows: int
    past: int
    mask: Node
    cos: Node
    sin: Node


def attention(
    s: Weights, x: Node, config: DecoderConfig, index: int, place: Place, read: Read, write: Write
) -> Node:
    """[1, rows, width] to the same; writes the rows' keys [1, key heads, rows, head] and values [1, key heads, head,
    rows]."""
    heads, shared, width = config.heads, config.key_heads, config.head_width
    query, key, value = _projected(s, x, config)
    query, key = (
        _by_head(s, name, y, n, config) for name, y, n in (("query", query, heads), ("key", key, shared))
    )
    if config.head_norms:
        query, key = (rms_norm(s, f"{n}_norm", y, config.eps) for n, y in (("query", query), ("key", key)))
    if index not in config.unrotated:
        query, key = (_rotated(s, name, y, place, width) for name, y in (("query", query), ("key", key)))
    value = s.reshape("value.heads", value, (1, place.rows, shared, width))
    value = s(op.transpose, "value.transposed", value, (0, 2, 3, 1))
    write("key", key)
    write("value", value)
    query = s.reshape("query.shared", query, (1, shared, heads // shared * place.rows, width))
    scores = s(op.matmul, "scores.new", query, key, transpose_a=False, transpose_b=True)
    if place.past:
        keys = read("key", (1, shared, place.past, width))
        before = s(op.matmul, "scores.past", query, keys, transpose_a=False, transpose_b=True)
        scores = s.concat("scores", [before, scores], 3)
    scores = s.reshape("scores.by_head", scores, (1, heads, place.rows, place.past + place.rows))
    scores = s(op.add, "masked", s(op.multiply, "scaled", scores, float(width**-0.5)), place.mask)
    weights = s(op.softmax, "softmax", scores, axis=-1)
    weights = s.reshape(
        "weights.shared", weights, (1, shared, heads // shared * place.rows, place.past + place.rows)
    )
    if place.past:
        before, weights = s.split("weights.split", weights, 3, (place.past, place.rows))
        values = read("value", (1, shared, width, place.past))
        y = s(op.matmul, "context.past", before, values, transpose_a=False, transpose_b=True)
        new = s(op.matmul, "context.new", weights, value, transpose_a=False, transpose_b=True)
        y = s(op.add, "context", y, new)
    else:
        y = s(op.matmul, "context", weights, value, transpose_a=False, transpose_b=True)
    y = s.reshape("context.by_head", y, (1, heads, place.rows, width))
    y = s(op.transpose, "context.rows", y, (0, 2, 1, 3))
    return s.linear("o_proj", s.reshape("context.join", y, (1, place.rows, heads * width)), config.width)


def _projected(s: Weights, x: Node, config: DecoderConfig) -> list[Node]:
    """Query, key and value, [1, rows, heads of each * width]."""
    lengths = (config.heads * config.head_width, *[config.key_heads * config.head_width] * 2)
    if config.joined:
        return list(s.split("qkv.split", s.linear("qkv_proj", x, sum(lengths), config.bias), -1, lengths))
    names = ("q_proj", "k_proj", "v_proj")
    return [s.linear(name, x, out, config.bias) for name, out in zip(names, lengths, strict=True)]


def _by_head(s: Weights, name: str, x: Node, heads: int, config: DecoderConfig) -> Node:
    rows = shape_of(x)[1]
    x = s.reshape(f"{name}.heads", x, (1, rows, heads, config.head_width))
    return s(op.transpose, f"{name}.by_head", x, (0, 2, 1, 3))


def _rotated(s: Weights, name: str, x: Node, place: Place, width: int) -> Node:
    """x cos + (-x[half:], x[:half]) sin"""
    first = s.slice(f"{name}.first", x, 3, 0, width // 2)
    second = s(op.negative, f"{name}.minus", s.slice(f"{name}.second", x, 3, width // 2, width))
    turned = s.concat(f"{name}.turned", [second, first], 3)
    cos, sin = s(op.multiply, f"{name}.cos", x, place.cos), s(op.multiply, f"{name}.sin", turned, place.sin)
    return s(op.add, f"{name}.rotated", cos, sin)
