"""Small language models as optimum-intel exports them: stateful, dynamic batch and length, sorted by ``beam_idx``."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import numpy as np
import openvino as ov
from openvino import opset15 as op
from openvino.op.util import Variable, VariableInfo

WIDTH, VOCABULARY = 32, 61
HEADS, KEY_HEADS, HEAD = 4, 2, 8
SSM_HEADS, SSM_HEAD, STATE, TAPS = 4, 16, 8, 4
INNER = SSM_HEADS * SSM_HEAD
MIXED = INNER + 2 * STATE


@dataclass
class Exported:
    """A model in the making: its inputs, sinks, and random numbers of its own."""

    rng: Any = field(default_factory=lambda: np.random.default_rng(0))
    sinks: list[Any] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.ids = self._input("input_ids", [-1, -1])
        self.mask = self._input("attention_mask", [-1, -1])
        self.positions = self._input("position_ids", [-1, -1])
        self.beams = self._input("beam_idx", [-1], np.int32)
        shape = op.shape_of(self.ids)
        self.batch, self.rows = op.gather(shape, [0], 0), op.gather(shape, [1], 0)
        every_row = op.gather(op.shape_of(self.mask), [1], 0)
        self.present = op.convert(
            op.slice(self.mask, op.subtract(every_row, self.rows), every_row, [1], [1]), "f32"
        )

    def _input(self, name: str, shape: list[int], dtype: type = np.int64) -> Any:
        node = op.parameter(shape, dtype, name=name)
        node.output(0).set_names({name})
        return node

    def weight(self, *shape: int) -> Any:
        return op.constant((self.rng.standard_normal(shape) / np.sqrt(shape[-1])).astype(np.float32))

    def linear(self, x: Any, out: int) -> Any:
        return op.matmul(x, self.weight(out, x.get_output_partial_shape(0)[-1].get_length()), False, True)

    def norm(self, x: Any) -> Any:
        mean = op.reduce_mean(op.multiply(x, x), [-1], keep_dims=True)
        return op.divide(x, op.sqrt(op.add(mean, np.float32(1e-5))))

    def state(self, name: str, shape: list[int]) -> tuple[Any, Any]:
        """What was remembered, sorted by beam, and the variable to write."""
        info = VariableInfo()
        info.data_shape, info.data_type, info.variable_id = ov.PartialShape(shape), ov.Type.f32, name
        variable = Variable(info)
        start = [op.constant(np.array([max(d, 0)], np.int64)) for d in shape[1:]]
        zeros = op.broadcast(np.float32(0), op.concat([self.batch, *start], 0))
        return op.gather(ov.op.read_value(zeros, variable), self.beams, 0), variable

    def write(self, value: Any, variable: Any) -> None:
        self.sinks.append(ov.op.assign(value, variable))

    def model(self, hidden: Any, name: str) -> ov.Model:
        logits = self.linear(self.norm(hidden), VOCABULARY)
        logits.output(0).set_names({"logits"})
        inputs = [self.ids, self.mask, self.positions, self.beams]
        used = [one for one in inputs if one.output(0).get_target_inputs()]
        return ov.Model([op.result(logits)], self.sinks, used, name)


def attention(m: Exported, x: Any, layer: int) -> Any:
    """Grouped queries over a cache of keys and values, causal and masked, with rotary positions."""
    q, k, v = (_heads(m.linear(x, heads * HEAD), heads) for heads in (HEADS, KEY_HEADS, KEY_HEADS))
    angles = op.multiply(
        op.unsqueeze(op.convert(m.positions, "f32"), [2]),
        op.constant((1e4 ** (-np.arange(HEAD // 2) * 2 / HEAD)).astype(np.float32).reshape(1, 1, -1)),
    )
    angles = op.unsqueeze(op.concat([angles, angles], 2), [1])
    q, k = (_turned(y, angles) for y in (q, k))
    keys, values = (
        _cached(m, y, f"past_key_values.{layer}.{part}present.{layer}.{part}")
        for part, y in (("key", k), ("value", v))
    )
    keys, values = (_repeated(y) for y in (keys, values))
    scores = op.multiply(op.matmul(q, keys, False, True), np.float32(HEAD**-0.5))
    weights = op.softmax(op.add(scores, _bias(m)), -1)
    return m.linear(
        op.reshape(op.transpose(op.matmul(weights, values, False, False), [0, 2, 1, 3]), [0, 0, -1], True),
        WIDTH,
    )


def _heads(x: Any, heads: int) -> Any:
    return op.transpose(op.reshape(x, [0, 0, heads, HEAD], True), [0, 2, 1, 3])


def _turned(x: Any, angles: Any) -> Any:
    halves = op.split(x, 3, 2)
    turned = op.concat([op.negative(halves.output(1)), halves.output(0)], 3)
    return op.add(op.multiply(x, op.cos(angles)), op.multiply(turned, op.sin(angles)))


def _cached(m: Exported, new: Any, name: str) -> Any:
    past, variable = m.state(name, [-1, KEY_HEADS, -1, HEAD])
    both = op.concat([past, new], 2)
    m.write(both, variable)
    return both


def _repeated(x: Any) -> Any:
    times = op.broadcast(
        op.unsqueeze(x, [2]), [1, 1, HEADS // KEY_HEADS, 1, 1], broadcast_spec="BIDIRECTIONAL"
    )
    return op.reshape(times, [0, HEADS, -1, HEAD], True)


def _bias(m: Exported) -> Any:
    """0 where a row may look, the least number where it may not: later tokens, and padding."""
    every_row = op.gather(op.shape_of(m.mask), [1], 0)
    ends, zero, one = (op.squeeze(every_row, [0]), op.constant(0), op.constant(1))
    columns = op.range(zero, ends, one, "i64")
    mine = op.range(op.subtract(ends, op.squeeze(m.rows, [0])), ends, one, "i64")
    causal = op.less_equal(op.unsqueeze(columns, [0]), op.unsqueeze(mine, [1]))
    seen = op.logical_and(causal, op.convert(op.unsqueeze(m.mask, [1, 2]), "boolean"))
    return op.select(seen, np.float32(0), np.float32(np.finfo(np.float32).min))


def mamba2(m: Exported, x: Any, layer: int) -> Any:
    """Mamba-2 over all rows at once: a causal convolution behind its window, and the sum over earlier rows, decayed,
    behind its state. Padding is zeros before and behind the convolution, as in the Hugging Face code."""
    shown = op.unsqueeze(m.present, [2])
    projected = op.variadic_split(
        m.linear(op.multiply(x, shown), INNER + MIXED + SSM_HEADS), 2, [INNER, MIXED, SSM_HEADS]
    )
    gate, mixed, step = projected.outputs()
    window, variable = m.state(
        f"cache_params.past.conv.{layer}cache_params.present.conv.{layer}", [-1, TAPS, MIXED]
    )
    joined = op.concat([window, mixed], 1)
    m.write(op.slice(joined, [-TAPS], [2**31 - 1], [1], [1]), variable)
    kernel = m.rng.standard_normal((TAPS, 1, 1, MIXED)).astype(np.float32) / 2
    taps = [
        op.multiply(op.slice(joined, [1 + i], op.add(m.rows, np.int64(1 + i)), [1], [1]), kernel[i])
        for i in range(TAPS)
    ]
    mixed = op.multiply(op.swish(op.add(op.add(taps[0], taps[1]), op.add(taps[2], taps[3]))), shown)
    parts = op.variadic_split(mixed, 2, [INNER, STATE, STATE])
    values, keys, queries = parts.outputs()
    values = op.reshape(values, [0, 0, SSM_HEADS, SSM_HEAD], True)
    step = op.multiply(op.softplus(step), shown)
    decay = op.cumsum(op.multiply(step, np.linspace(-1, -0.1, SSM_HEADS).astype(np.float32)), 1)
    past, variable = m.state(
        f"cache_params.past.ssm.{layer}cache_params.present.ssm.{layer}", [-1, SSM_HEADS, STATE, SSM_HEAD]
    )
    weighted = op.transpose(
        op.multiply(values, op.unsqueeze(step, [3])), [0, 2, 1, 3]
    )  # [b, heads, rows, width]
    by_head = op.transpose(decay, [0, 2, 1])
    between = op.subtract(op.unsqueeze(by_head, [3]), op.unsqueeze(by_head, [2]))
    index = op.range(op.constant(0), op.squeeze(m.rows, [0]), op.constant(1), "i64")
    causal = op.less_equal(op.unsqueeze(index, [0]), op.unsqueeze(index, [1]))
    between = op.select(causal, op.exp(op.minimum(between, np.float32(0))), np.float32(0))
    scores = op.multiply(op.unsqueeze(op.matmul(queries, keys, False, True), [1]), between)
    carried = op.multiply(
        op.matmul(op.unsqueeze(queries, [1]), past, False, False), op.exp(op.unsqueeze(by_head, [3]))
    )
    y = op.add(op.matmul(scores, weighted, False, False), carried)
    last = op.slice(by_head, [-1], [2**31 - 1], [1], [2])
    left = op.unsqueeze(op.exp(op.subtract(last, by_head)), [3])
    added = op.matmul(op.unsqueeze(keys, [1]), op.multiply(weighted, left), True, False)
    m.write(op.add(op.multiply(past, op.exp(op.unsqueeze(last, [3]))), added), variable)
    y = op.reshape(op.transpose(y, [0, 2, 1, 3]), [0, 0, INNER], True)
    return m.linear(m.norm(op.multiply(y, op.swish(gate))), WIDTH)


def build(kinds: str) -> ov.Model:
    """A model of one layer a letter: ``a`` attention, ``s`` state space. Ops of a layer are named after it."""
    m = Exported()
    hidden = op.gather(m.weight(VOCABULARY, WIDTH), m.ids, 0)
    ends = [_made()]
    for layer, kind in enumerate(kinds):
        mixer = attention if kind == "a" else mamba2
        hidden = op.add(hidden, mixer(m, m.norm(hidden), layer))
        hidden = op.add(hidden, m.linear(op.swish(m.linear(m.norm(hidden), 2 * WIDTH)), WIDTH))
        ends.append(_made())
    model = m.model(hidden, kinds)
    for node in model.get_ops():
        layer = sum(int(node.get_name().rpartition("_")[2]) > end for end in ends) - 1
        if 0 <= layer < len(kinds) and node.get_type_name() not in ("Parameter", "Result"):
            node.set_friendly_name(f"model.layers.{layer}.{node.get_name()}")
    return model


def _made() -> int:
    """How many nodes there have been: OpenVINO counts them in their names."""
    return int(op.constant(0).get_name().rpartition("_")[2])
