"""Operations that models write out: which forms are one op, and that they cost what the op costs.

FORMS says what Intel's compiler makes of each form of [1, 256, 512] on 4000 (OpenVINO 2026.4.1, own schedules): the
same total as the op named, or another where the form stays written out.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import openvino as ov
import pytest
from openvino import opset15 as op

import npusim
from npusim.graph import from_openvino
from npusim.graph.ir import Graph
from npusim.lowering import lower
from npusim.lowering.rewrite.written_out import join_written_out
from npusim.program.work import DmaWork, ShaveWork

LAST = np.array([-1])


def number(value: float) -> ov.Node:
    return op.constant(np.float16(value))


def norm(x: ov.Node, *, by: str = "power", root: str = "divide") -> ov.Node:
    less = op.subtract(x, op.reduce_mean(x, LAST, True))
    square = op.power(less, number(2)) if by == "power" else op.multiply(less, less)
    shifted = op.add(op.reduce_mean(square, LAST, True), number(1e-3))
    if root == "power":
        return op.multiply(less, op.power(shifted, number(-0.5)))
    if root == "inverse":
        return op.multiply(less, op.divide(number(1), op.sqrt(shifted)))
    return op.divide(less, op.sqrt(shifted))


def gelu(x: ov.Node, form: str) -> ov.Node:
    one = op.add(op.erf(op.multiply(x, number(0.5**0.5))), number(1))
    if form == "divided":
        one = op.add(op.erf(op.divide(x, number(2**0.5))), number(1))
    if form == "half last":
        return op.multiply(op.multiply(x, one), number(0.5))
    if form == "half of the sum":
        return op.multiply(x, op.multiply(one, number(0.5)))
    return op.multiply(op.multiply(x, number(0.5)), one)


def gelu_tanh(x: ov.Node, *, power: bool, last: bool) -> ov.Node:
    cube = op.power(x, number(3)) if power else op.multiply(op.multiply(x, x), x)
    inner = op.multiply(op.add(x, op.multiply(cube, number(0.044715))), number((2 / np.pi) ** 0.5))
    one = op.add(op.tanh(inner), number(1))
    if last:
        return op.multiply(op.multiply(x, one), number(0.5))
    return op.multiply(op.multiply(x, number(0.5)), one)


def softmax(x: ov.Node, *, less: bool) -> ov.Node:
    exp = op.exp(op.subtract(x, op.reduce_max(x, LAST, True)) if less else x)
    return op.divide(exp, op.reduce_sum(exp, LAST, True))


def clamped(x: ov.Node) -> ov.Node:
    return op.clamp(op.add(x, number(3)), 0.0, 6.0)


def l2(x: ov.Node) -> ov.Node:
    return op.sqrt(op.add(op.reduce_sum(op.power(x, number(2)), LAST, True), number(1e-4)))


FORMS: dict[str, tuple[str, Callable[[ov.Node], ov.Node]]] = {
    "layer norm": ("MVN", norm),
    "layer norm, product": ("MVN", lambda x: norm(x, by="product")),
    "layer norm, power": ("", lambda x: norm(x, root="power")),
    "layer norm, inverse": ("", lambda x: norm(x, root="inverse")),
    "l2": ("NormalizeL2", lambda x: op.divide(x, l2(x))),
    "l2, at least": (
        "NormalizeL2",
        lambda x: op.divide(x, op.maximum(op.reduce_l2(x, LAST, True), number(1e-4))),
    ),
    "gelu": ("Gelu", lambda x: gelu(x, "")),
    "gelu, divided": ("Gelu", lambda x: gelu(x, "divided")),
    "gelu, half last": ("Gelu", lambda x: gelu(x, "half last")),
    "gelu, half of the sum": ("Gelu", lambda x: gelu(x, "half of the sum")),
    "tanh gelu": ("Gelu", lambda x: gelu_tanh(x, power=True, last=False)),
    "tanh gelu, products": ("Gelu", lambda x: gelu_tanh(x, power=False, last=False)),
    "tanh gelu, products, half last": ("Gelu", lambda x: gelu_tanh(x, power=False, last=True)),
    "tanh gelu, half last": ("", lambda x: gelu_tanh(x, power=True, last=True)),
    "softmax": ("Softmax", lambda x: softmax(x, less=True)),
    "softmax, plain": ("Softmax", lambda x: softmax(x, less=False)),
    "quick gelu": ("Swish", lambda x: op.multiply(x, op.sigmoid(op.multiply(x, number(1.702))))),
    "mish": ("Mish", lambda x: op.multiply(x, op.tanh(op.softplus(x)))),
    "softplus": ("SoftPlus", lambda x: op.log(op.add(op.exp(x), number(1)))),
    "hard swish": ("HSwish", lambda x: op.multiply(x, op.divide(clamped(x), number(6)))),
    "hard swish, sixth": ("HSwish", lambda x: op.multiply(op.multiply(x, clamped(x)), number(1 / 6))),
    "hard swish, divided": ("HSwish", lambda x: op.divide(op.multiply(x, clamped(x)), number(6))),
    "clamp": ("Clamp", lambda x: op.minimum(op.maximum(x, number(0)), number(6))),
    "least": ("Clamp", lambda x: op.maximum(x, number(-1))),
}
OPS: dict[str, Callable[[ov.Node], ov.Node]] = {
    "MVN": lambda x: op.mvn(x, LAST, True, 1e-3, "inside_sqrt"),
    "NormalizeL2": lambda x: op.normalize_l2(x, LAST, 1e-4, "add"),
    "Gelu": lambda x: op.gelu(x, "erf"),
    "Softmax": lambda x: op.softmax(x, -1),
    "Swish": lambda x: op.swish(x, number(1.702)),
    "Mish": op.mish,
    "SoftPlus": op.softplus,
    "HSwish": op.hswish,
}


def graph_of(make: Callable[[ov.Node], ov.Node]) -> Graph:
    x = op.parameter([1, 256, 512], np.float16, name="x")
    return from_openvino(ov.Model([op.result(make(x))], [x], "written"))


@pytest.mark.parametrize(("wanted", "make"), FORMS.values(), ids=FORMS)
def test_a_form_is_found_or_stays_written_out(wanted: str, make: Callable[[ov.Node], ov.Node]) -> None:
    before = graph_of(make)
    after = join_written_out(before)
    if wanted:
        assert [one.type for one in after.ops] == [wanted]
        assert after.ops[0].outputs == before.outputs
    else:
        assert after is before


@pytest.mark.parametrize("name", [name for name, (wanted, _) in FORMS.items() if wanted in OPS])
def test_a_written_out_op_costs_what_the_op_costs(name: str) -> None:
    hw = npusim.load_hardware("lunarlake-vpunn.yaml")
    wanted, make = FORMS[name]
    one, other = (lower(graph_of(made), hw) for made in (make, OPS[wanted]))
    assert one.tasks == other.tasks


def test_what_others_read_inside_stays() -> None:
    x = op.parameter([1, 256, 512], np.float16, name="x")
    exp = op.exp(x)
    out = op.divide(exp, op.reduce_sum(exp, LAST, True))
    graph = from_openvino(ov.Model([op.result(out), op.result(exp)], [x], "read twice"))
    assert join_written_out(graph) is graph


@pytest.mark.parametrize("value", [0.4, 0.51])
def test_another_number_is_another_function(value: float) -> None:
    def almost(x: ov.Node) -> ov.Node:
        one = op.add(op.erf(op.multiply(x, number(0.5**0.5))), number(1))
        return op.multiply(op.multiply(x, number(value)), one)

    graph = graph_of(almost)
    assert join_written_out(graph) is graph


def rotary(rows: int, *, split: bool = False, first: bool = True, beside: int = 0) -> Graph:
    """A rotary embedding of 8 heads, or of so many that lie ``beside`` each other, row by row; ``first``: the half that
    is turned is the second one, as it must be."""
    given = op.parameter([1, rows, beside, 64] if beside else [1, 8, rows, 64], np.float16, name="x")
    x = op.transpose(given, np.array([0, 2, 1, 3])) if beside else given
    cos, sin = (op.parameter([1, 1, rows, 64], np.float16, name=name) for name in ("cos", "sin"))
    if split:
        parts = op.variadic_split(x, np.array(3), np.array([32, 32]))
        low, high = parts.output(0), parts.output(1)
    else:
        low, high = (
            op.slice(x, np.array([a]), np.array([b]), np.array([1]), np.array([3]))
            for a, b in ((0, 32), (32, 64))
        )
    if not first:
        low, high = high, low
    turned = op.concat([op.negative(high), low], -1)
    out = op.add(op.multiply(x, cos), op.multiply(turned, sin))
    return from_openvino(ov.Model([op.result(out)], [given, cos, sin], "rotary"))


@pytest.mark.parametrize("split", [False, True])
def test_a_rotary_embedding_of_several_tokens_is_one_kernel(split: bool) -> None:
    (one,) = join_written_out(rotary(128, split=split)).ops
    assert one.type == "RoPE"
    assert len(one.inputs) == 3


@pytest.mark.parametrize("graph", [rotary(1), rotary(128, first=False)], ids=["one token", "other half"])
def test_other_rotations_stay_written_out(graph: Graph) -> None:
    assert join_written_out(graph) is graph


def test_a_rotary_embedding_moves_its_operands_once() -> None:
    """12.25 µs for 8 heads of 128 tokens on 4000 (OpenVINO 2026.4.1), all of it transfers."""
    hw = npusim.load_hardware("lunarlake-vpunn.yaml")
    result = npusim.simulate(lower(rotary(128), hw), hw, "fast")
    assert result.latency_us == pytest.approx(12.25, rel=0.01)


@pytest.mark.parametrize(("heads", "alone"), [(12, False), (4, False), (2, True)])
def test_heads_are_permuted_by_the_transfers_to_a_rotary_embedding(heads: int, alone: bool) -> None:
    """As compiled for 4000: in two for each tile that has whole heads; of fewer heads than tiles before, by itself."""
    graph = rotary(128, beside=heads)
    program = lower(graph, npusim.load_hardware("lunarlake-vpunn.yaml"))
    moves = [t.work for t in program.tasks if isinstance(t.work, DmaWork)]
    assert any((work.src, work.dst) == ("cmx", "cmx") for work in moves) == alone
    halves = [work for work in moves if work.bytes == heads * 128 * 64 * 2 // 8]
    assert alone or len(halves) >= 8


@pytest.mark.parametrize("activation", ["swish", "mish"])
def test_a_gated_unit_is_multiplied_by_the_dpu_of_5010(activation: str) -> None:
    """One factor may have an activation behind its MatMul, on SHAVE or, a swish written out too, in the PPE."""
    x = op.parameter([1, 16, 512], np.float16)
    gate, other = (op.matmul(x, np.ones((1024, 512), np.float16), False, True) for _ in range(2))
    gate = op.multiply(gate, op.sigmoid(gate)) if activation == "swish" else op.mish(gate)
    model = ov.Model([op.multiply(gate, other)], [x], "gated")
    program = lower(from_openvino(model), npusim.load_hardware("pantherlake-vpunn.yaml"))
    kernels = {t.work.kernel for t in program.tasks if isinstance(t.work, ShaveWork)}
    assert kernels == (set() if activation == "swish" else {"mish"})
