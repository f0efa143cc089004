"""The causal operators of arXiv 2509.25155, alone, at its sizes: heads 64 wide, states of 16, any number of tokens.

The paper gives formulas, latencies and the engine that limits each, counts the ops of Toeplitz attention, and has no
code: what is unrolled, and over what, is inferred from how measured latency grows with tokens (linear, at 13 to 30 µs
a token, for recurrences and convolutions; like that of thousands of small ops for Fourier transforms), and from the
engine.
"""

from __future__ import annotations

import math
from collections.abc import Callable

import openvino as ov
from openvino import opset15 as op

from npusim.workloads.nets.maker import Maker
from npusim.workloads.scope import Value

_WIDTH, _STATE = 64, 16
#: Tokens of a block of the Toeplitz matrix, and of a chunk of the chunked recurrence.
_BLOCK, _CHUNK = 128, 64
#: Most steps that a Fourier transform is unrolled into: a bin a step up to so many, several a step beyond.
_STEPS = 1024
#: Taps of the convolutions, and tokens between taps of the dilated one.
_TAPS, _DILATION = 4, 4


def build(m: Maker, *, batch: int, tokens: int) -> ov.Model:
    """The operator that the Maker's name says. Raises ValueError for more than one sequence."""
    if batch != 1:
        raise ValueError(f"{m.name} is built for one sequence, so leave batch out (it is {batch})")
    return m.model(_OPERATORS[m.name](m, tokens))


def _matmul(m: Maker, name: str, a: Value, b: Value, transpose_b: bool = False) -> Value:
    return m(op.matmul, name, a, b, transpose_a=False, transpose_b=transpose_b)


def _qkv(m: Maker, tokens: int) -> list[Value]:
    return [m.input(name, (1, tokens, _WIDTH)) for name in ("query", "key", "value")]


def _causal(m: Maker, tokens: int) -> Value:
    """softmax(Q K' / 8 + mask) V"""
    query, key, value = _qkv(m, tokens)
    scores = _matmul(m, "scores", m(op.multiply, "scaled", query, 1 / math.sqrt(_WIDTH)), key, True)
    masked = m(op.add, "masked", scores, m.float_weight("mask", (1, tokens, tokens)))
    return _matmul(m, "out", m(op.softmax, "softmax", masked, axis=-1), value)


def _retentive(m: Maker, tokens: int) -> Value:
    """(Q K' * D) V with D[i, j] = gamma^(i - j) below the diagonal"""
    query, key, value = _qkv(m, tokens)
    decay = m.float_weight("decay", (1, tokens, tokens))
    scores = m(op.multiply, "decayed", _matmul(m, "scores", query, key, True), decay)
    return _matmul(m, "out", scores, value)


def _toeplitz(m: Maker, tokens: int) -> Value:
    """Q (T * K' V): products K' V of blocks of tokens, T, of what depends on the distance of blocks alone, as a
    convolution over them, and Q. The paper's ten ops: three projections, K' V, a convolution, its product with Q and an
    output projection, all on the DPU, and three that move data (section III-D).
    """
    x = m.input("x", (tokens, _WIDTH))
    blocks = max(1, tokens // _BLOCK)
    parts = {
        name: m.reshape(f"{name}.blocks", m.linear(name, x, width), (blocks, tokens // blocks, width))
        for name, width in (("query", _STATE), ("key", _STATE), ("value", _WIDTH))
    }
    products = m(op.matmul, "key_value", parts["key"], parts["value"], transpose_a=True, transpose_b=False)
    image = m.reshape("image", products, (1, blocks, _STATE, _WIDTH))
    states = m.reshape("states", m.conv("toeplitz", image, blocks, 1), (blocks, _STATE, _WIDTH))
    read = m.reshape("read.flat", _matmul(m, "read", parts["query"], states), (tokens, _WIDTH))
    return m.linear("out", read, _WIDTH)


def _semiseparable(m: Maker, tokens: int) -> Value:
    """sum over states n of C_n * (T (B_n * x)), T the lower triangle of decays"""
    x = m.input("x", (tokens, 1, _WIDTH))
    into, out = m.input("b", (tokens, _STATE, 1)), m.input("c", (tokens, _STATE, 1))
    product = m.reshape("b_x.flat", m(op.multiply, "b_x", into, x), (tokens, _STATE * _WIDTH))
    decayed = _matmul(m, "decayed", m.float_weight("decay", (tokens, tokens)), product)
    states = m.reshape("states", decayed, (tokens, _STATE, _WIDTH))
    return m(op.reduce_sum, "y", m(op.multiply, "c_states", states, out), (1,), keep_dims=False)


def _rows(m: Maker, tokens: int) -> list[Value]:
    """The tokens one by one, [1, width] each."""
    x = m.input("x", (tokens, _WIDTH))
    return m(op.split, "tokens", x, 0, num_splits=tokens).outputs() if tokens > 1 else [x]


def _step(m: Maker, name: str, state: Value | None, row: Value) -> Value:
    """state = A state + B x, [16, 64]"""
    added = _matmul(m, f"{name}.b_x", m.float_weight(f"{name}.b", (_STATE, 1)), row)
    if state is None:
        return added
    kept = _matmul(m, f"{name}.a_state", m.float_weight(f"{name}.a", (_STATE, _STATE)), state)
    return m(op.add, f"{name}.state", kept, added)


def _sequential(m: Maker, tokens: int) -> Value:
    """The recurrence token by token, y = C state"""
    outputs, state = [], None
    for t, row in enumerate(_rows(m, tokens)):
        state = _step(m, f"step.{t}", state, row)
        outputs.append(_matmul(m, f"step.{t}.y", m.float_weight(f"step.{t}.c", (1, _STATE)), state))
    return m.concat("y", outputs, 0)


def _parallel(m: Maker, tokens: int) -> Value:
    """The same by cumulative sums of inputs scaled up against their decay: A^t CumSum(A^-t B x)"""
    x = m.input("x", (tokens, _WIDTH))
    scaled = m(op.multiply, "scaled", x, m.float_weight("growth", (tokens, 1)))
    into = m.linear("b_x", scaled, _STATE * _WIDTH // 4)
    sums = m(op.cum_sum, "cumsum", m.linear("folded", into, _WIDTH), 0)
    decayed = m(op.multiply, "decayed", sums, m.float_weight("decay", (tokens, 1)))
    return m.linear("y", m.linear("c_state", decayed, _STATE * _WIDTH // 4), _WIDTH)


def _chunked(m: Maker, tokens: int) -> Value:
    """The recurrence within chunks from an empty state, and what the chunks before add to every token of a chunk"""
    outputs, carried = [], None
    chunk, state = [], None
    for t, row in enumerate(_rows(m, tokens)):
        state = _step(m, f"step.{t}", state, row)
        y = _matmul(m, f"step.{t}.y", m.float_weight(f"step.{t}.c", (1, _STATE)), state)
        if carried is not None:
            before = _matmul(m, f"step.{t}.before", m.float_weight(f"step.{t}.decay", (1, _STATE)), carried)
            y = m(op.add, f"step.{t}.add", y, before)
        chunk.append(y)
        if (t + 1) % _CHUNK == 0 or t + 1 == tokens:
            outputs.append(m.concat(f"chunk.{t}.y", chunk, 0))
            if carried is not None:
                decayed = _matmul(
                    m, f"chunk.{t}.decayed", m.float_weight(f"chunk.{t}.a", (_STATE, _STATE)), carried
                )
                state = m(op.add, f"chunk.{t}.carried", decayed, state)
            carried, chunk, state = state, [], None
    return m.concat("y", outputs, 0) if len(outputs) > 1 else outputs[0]


def _windows(m: Maker, tokens: int, dilation: int) -> Value:
    """A causal convolution of all channels, token by token: the window of a token times the kernel"""
    x = m.input("x", (tokens + (_TAPS - 1) * dilation, _WIDTH))
    kernel = m.float_weight("kernel", (_WIDTH, _TAPS * _WIDTH))
    outputs = []
    for t in range(tokens):
        end = t + (_TAPS - 1) * dilation + 1
        window = m(op.slice, f"window.{t}", x, (t,), (end,), (dilation,), (0,))
        flat = m.reshape(f"window.{t}.flat", window, (1, _TAPS * _WIDTH))
        outputs.append(_matmul(m, f"y.{t}", flat, kernel, True))
    return m.concat("y", outputs, 0)


def _spectrum(m: Maker, name: str, x: Value, bins: int, length: int) -> list[tuple[Value, Value]]:
    """Real and imaginary part, [bins of a step, width], of the Fourier transform of x [length, width], step by step"""
    parts = []
    each = math.ceil(bins / _STEPS)
    for k in range(0, bins, each):
        shape = (min(each, bins - k), length)
        waves = [m.float_weight(f"{name}.{wave}.{k}", shape) for wave in ("cos", "sin")]
        real, imaginary = (_matmul(m, f"{name}.{k}.{i}", wave, x) for i, wave in enumerate(waves))
        parts.append((real, imaginary))
    return parts


def _times(m: Maker, name: str, a: tuple[Value, Value], b: tuple[Value, Value]) -> tuple[Value, Value]:
    """The product of two complex numbers."""
    products = [m(op.multiply, f"{name}.{i}{j}", x, y) for i, x in enumerate(a) for j, y in enumerate(b)]
    real = m(op.subtract, f"{name}.real", products[0], products[3])
    return real, m(op.add, f"{name}.imaginary", products[1], products[2])


def _inverse(m: Maker, spectrum: list[tuple[Value, Value]], tokens: int, bins: int) -> Value:
    """The real part of the inverse transform, all tokens at once."""
    real = m.concat("real", [part for part, _ in spectrum], 0)
    imaginary = m.concat("imaginary", [part for _, part in spectrum], 0)
    first = _matmul(m, "inverse.cos", m.float_weight("inverse.cos", (tokens, bins)), real)
    second = _matmul(m, "inverse.sin", m.float_weight("inverse.sin", (tokens, bins)), imaginary)
    return m(op.subtract, "y", first, second)


def _fourier(m: Maker, tokens: int) -> Value:
    """inverse F(F(Q) * F(K) * F(V)), bin by bin"""
    spectra = [
        _spectrum(m, name, m.input(name, (tokens, _WIDTH)), tokens, tokens)
        for name in ("query", "key", "value")
    ]
    products = []
    for k, (query, key, value) in enumerate(zip(*spectra, strict=True)):
        products.append(_times(m, f"qkv.{k}", _times(m, f"qk.{k}", query, key), value))
    return _inverse(m, products, tokens, tokens)


def _convolved_by_fourier(m: Maker, tokens: int) -> Value:
    """A convolution with a kernel as long as the sequence: inverse F(F(x) * F(kernel)) over twice its length"""
    x = m.input("x", (tokens, _WIDTH))
    products = []
    for k, part in enumerate(_spectrum(m, "x", x, 2 * tokens, tokens)):
        kernel = [m.float_weight(f"kernel.{k}.{i}", (1, _WIDTH)) for i in range(2)]
        products.append(_times(m, f"product.{k}", part, (kernel[0], kernel[1])))
    return _inverse(m, products, tokens, 2 * tokens)


_OPERATORS: dict[str, Callable[[Maker, int], Value]] = {
    "causal-attention": _causal,
    "retentive-attention": _retentive,
    "toeplitz-attention": _toeplitz,
    "semiseparable-attention": _semiseparable,
    "fourier-attention": _fourier,
    "ssm-sequential": _sequential,
    "ssm-parallel": _parallel,
    "ssm-chunked": _chunked,
    "conv1d": lambda m, tokens: _windows(m, tokens, 1),
    "conv1d-dilated": lambda m, tokens: _windows(m, tokens, _DILATION),
    "conv1d-fft": _convolved_by_fourier,
}
