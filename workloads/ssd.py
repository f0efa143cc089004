"""State-space duality (https://arxiv.org/abs/2405.21060, listing 1) as Hugging Face's slow path writes it.

"ssd naive implementation without einsums" of transformers' modeling_mamba2.py, op for op as its export through ONNX
gives it: three CumSum and six ReduceSum a layer, every broadcast product materialised, the masks folded to constants.
The layout is that of transformers 4.47, which the reference exports come from, but for the axis of one sum: between
chunks 4.47 sums over the target chunk, wrong for more than one chunk and mended later (transformers #35154).

Shapes: b batch, t tokens, q chunks, l and s tokens of a chunk, h heads, p head_dim, n d_state.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

from openvino import Node
from openvino import opset15 as op

from npusim.workloads.config import Mamba2Config, Shape
from npusim.workloads.job import Job
from npusim.workloads.scope import Scope, Value


@dataclass(frozen=True)
class Selection:
    """What the SSM does with each token: x [b, t, h, p], dt [b, t, h], b and c [b, t, h, n]."""

    x: Value
    dt: Value
    b: Value
    c: Value


def ssd(s: Scope, tokens: Selection, config: Mamba2Config, job: Job) -> tuple[Value, Node]:
    """y [b, t, h, p], with the layer's weights A and D, and the state after the last token [b, h, p, n]."""
    tiling = _Tiling(config, job.batch, job.tokens, math.ceil(job.tokens / config.chunk))
    heads, dim = config.heads, config.head_dim

    x = tiling.pad(s, "x", tokens.x, (heads, dim))
    residual = s(op.multiply, "residual", s.weight("D", (1, 1, heads, 1)), x)

    chunks = _into_chunks(s, tokens, tiling)
    within = _within_chunks(s, chunks, tiling)
    states = _pass_between_chunks(s, _chunk_states(s, chunks, tiling), chunks, tiling)
    across = _from_earlier_chunks(s, states, chunks, tiling)

    y = s.reshape("y.unchunk", s(op.add, "y.add", within, across), (job.batch, tiling.padded, heads, dim))
    y = s(op.add, "y.add_residual", y, residual)
    if tiling.padding:
        y = s.slice("y.unpad", y, 1, 0, job.tokens)
    return y, s(op.gather, "ssm_state", states, tiling.count, 1)


@dataclass(frozen=True)
class _Tiling:
    """Tokens cut into `count` chunks of equal size, with zeros after the last token."""

    config: Mamba2Config
    batch: int
    tokens: int
    count: int

    @property
    def padded(self) -> int:
        return self.count * self.config.chunk

    @property
    def padding(self) -> int:
        return self.padded - self.tokens

    def pad(self, s: Scope, name: str, x: Value, inner: Shape) -> Value:
        """[b, t, *inner] -> [b, q * l, *inner]"""
        none = (0,) * len(inner)
        return s.pad(f"{name}.pad", x, (0, 0, *none), (0, self.padding, *none))

    def chunk(self, s: Scope, name: str, x: Value, inner: Shape) -> Node:
        """[b, t, *inner] -> [b, q, l, *inner]"""
        padded = self.pad(s, name, x, inner)
        return s.reshape(f"{name}.chunk", padded, (self.batch, self.count, self.config.chunk, *inner))


@dataclass(frozen=True)
class _Chunks:
    """x [b, q, l, h, p] times dt; A times dt and its running sum [b, h, q, l]; b and c [b, q, l, h, n]."""

    x: Node
    a: Node
    a_cumsum: Node
    b: Node
    c: Node


def _into_chunks(s: Scope, tokens: Selection, tiling: _Tiling) -> _Chunks:
    heads, dim, state = tiling.config.heads, tiling.config.head_dim, tiling.config.d_state
    x = s(op.multiply, "dt_x", tokens.x, s(op.unsqueeze, "dt.over_p", tokens.dt, (3,)))
    a = s(op.multiply, "dt_a", s.weight("A", (1, 1, heads)), tokens.dt)
    a = s(op.transpose, "dt_a.heads_first", tiling.chunk(s, "dt_a", a, (heads,)), (0, 3, 1, 2))
    return _Chunks(
        x=tiling.chunk(s, "dt_x", x, (heads, dim)),
        a=a,
        a_cumsum=s(op.cum_sum, "cumsum_1", a, -1),
        b=tiling.chunk(s, "b", tokens.b, (heads, state)),
        c=tiling.chunk(s, "c", tokens.c, (heads, state)),
    )


def _decay_between(s: Scope, name: str, cumsum: str, a: Value, shape: Shape) -> Node:
    """exp of the sum of a over (j, i] for every pair i >= j, 0 for the others: shape [..., m] -> [..., m, m].

    Hugging Face's exp(segment_sum(a)); `cumsum` names its CumSum.
    """
    size = shape[-1]
    columns = s(op.broadcast, f"{name}.expand", s(op.unsqueeze, f"{name}.column", a, (-1,)), (*shape, size))
    below = s(op.select, f"{name}.below_diagonal", s.constants.above_diagonal(size, 0), 0.0, columns)
    sums = s(op.cum_sum, cumsum, below, -2)
    causal = s(op.select, f"{name}.causal", s.constants.above_diagonal(size, 1), -math.inf, sums)
    return s(op.exp, f"{name}.exp", causal)


def _within_chunks(s: Scope, chunks: _Chunks, tiling: _Tiling) -> Node:
    """What each token receives from the tokens of its own chunk: [b, q, l, h, p] (Y_diag)."""
    config = tiling.config
    shape = (tiling.batch, config.heads, tiling.count, config.chunk)
    decay = _decay_between(s, "decay", "cumsum_2", chunks.a, shape)

    queries = s(op.unsqueeze, "scores.c", chunks.c, (3,))
    keys = s(op.unsqueeze, "scores.b", chunks.b, (2,))
    scores = s(op.multiply, "scores.multiply", queries, keys)  # [b, q, l, s, h, n]
    scores = s(op.reduce_sum, "scores.reduce_sum", scores, (-1,), keep_dims=False)

    decay = s(op.transpose, "decay.heads_last", decay, (0, 2, 3, 4, 1))
    masked = s(
        op.multiply,
        "masked.multiply",
        s(op.unsqueeze, "masked.scores", scores, (5,)),
        s(op.unsqueeze, "masked.decay", decay, (5,)),
    )  # [b, q, l, s, h, 1]
    masked = s(op.reduce_sum, "masked.reduce_sum", masked, (-1,), keep_dims=False)

    values = s(op.unsqueeze, "within.x", chunks.x, (2,))
    product = s(op.multiply, "within.multiply", s(op.unsqueeze, "within.masked", masked, (5,)), values)
    return s(op.reduce_sum, "within.reduce_sum", product, (3,), keep_dims=False)


def _chunk_states(s: Scope, chunks: _Chunks, tiling: _Tiling) -> Node:
    """The state each chunk leaves behind if it starts from none: [b, q, h, p, n]."""
    size = tiling.config.chunk
    last = s.slice("states.last", chunks.a_cumsum, 3, size - 1, size)
    decay = s(op.exp, "states.exp", s(op.subtract, "states.subtract", last, chunks.a_cumsum))
    decay = s(op.transpose, "states.heads_last", decay, (0, 2, 3, 1))
    b = s(op.multiply, "states.b_decay", chunks.b, s(op.unsqueeze, "states.decay", decay, (4,)))
    b = s(op.transpose, "states.b_heads_first", b, (0, 1, 3, 2, 4))
    x = s(op.transpose, "states.x_heads_first", chunks.x, (0, 1, 3, 2, 4))
    product = s(
        op.multiply,
        "states.multiply",
        s(op.unsqueeze, "states.b", b, (5,)),
        s(op.unsqueeze, "states.x", x, (4,)),
    )  # [b, q, h, l, n, p]
    states = s(op.reduce_sum, "states.reduce_sum", product, (3,), keep_dims=False)
    return s(op.transpose, "states", states, (0, 1, 2, 4, 3))


def _pass_between_chunks(s: Scope, states: Value, chunks: _Chunks, tiling: _Tiling) -> Node:
    """The state before each chunk, and after the last one: [b, q, h, p, n] -> [b, q + 1, h, p, n]."""
    config = tiling.config
    totals = s(op.gather, "pass.chunk_totals", chunks.a_cumsum, config.chunk - 1, 3)
    totals = s.pad("pass.pad", totals, (0, 0, 1), (0, 0, 0))
    decay = _decay_between(s, "pass", "cumsum_3", totals, (tiling.batch, config.heads, tiling.count + 1))
    decay = s(op.unsqueeze, "pass.over_n", s(op.unsqueeze, "pass.over_p", decay, (4,)), (5,))

    initial = s.constants.zeros((tiling.batch, 1, *config.ssm_state_shape))
    states = s.concat("pass.concat", [initial, states], 1)
    states = s(op.transpose, "pass.heads_first", states, (0, 2, 1, 3, 4))
    sources = s(op.unsqueeze, "pass.sources", states, (2,))
    product = s(op.multiply, "pass.multiply", decay, sources)  # [b, h, target, source, p, n]
    states = s(op.reduce_sum, "pass.reduce_sum", product, (3,), keep_dims=False)
    return s(op.transpose, "pass.chunks_first", states, (0, 2, 1, 3, 4))


def _from_earlier_chunks(s: Scope, states: Value, chunks: _Chunks, tiling: _Tiling) -> Node:
    """What each token receives from the chunks before its own: [b, q, l, h, p] (Y_off)."""
    before = s(op.unsqueeze, "across.state", s.slice("across.before", states, 1, 0, tiling.count), (2,))
    product = s(op.multiply, "across.multiply", s(op.unsqueeze, "across.c", chunks.c, (4,)), before)
    summed = s(op.reduce_sum, "across.reduce_sum", product, (-1,), keep_dims=False)  # of [b, q, l, h, p, n]
    decay = s(op.transpose, "across.heads_last", s(op.exp, "across.exp", chunks.a_cumsum), (0, 2, 3, 1))
    return s(op.multiply, "across.decay_multiply", summed, s(op.unsqueeze, "across.decay", decay, (4,)))
