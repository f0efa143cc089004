"""Laws of the five operators, on programs of known times and on small models."""

from __future__ import annotations

from math import isclose
from typing import Any

import numpy as np
import openvino as ov
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from openvino import opset15 as op

import npusim
from npusim.graph.load import graph_of
from npusim.lowering.conservation import macs_of_op
from npusim.scenarios.mix import break_even, mix
from npusim.scenarios.parts import cuts, section, sent_bytes
from npusim.scenarios.read import scenario_of
from npusim.scenarios.rows import serve
from npusim.scenarios.spec import Mix, Outcome, RowsSpec, Segment
from npusim.scenarios.split import SplitPoint, best_at
from npusim.source import ModelSource
from tests.scenario.known import Call, Known

TIMES = st.floats(1, 1e5)
SHARES = st.floats(0, 1)


def mixed(calls: list[Call], spec: Mix) -> Any:
    return mix(Known(*calls), spec)  # type: ignore[arg-type]


@given(st.lists(TIMES, min_size=2, max_size=2), SHARES, TIMES)
def test_a_mixture_lies_between_its_parts(times: list[float], share: float, whole: float) -> None:
    outcomes = (Outcome(runs=("a",), probability=share), Outcome(runs=("b",), probability=1 - share))
    found = mixed(
        [Call("a", times[0]), Call("b", times[1]), Call("w", whole)], Mix(whole="w", outcomes=outcomes)
    )
    assert min(times) * (1 - 1e-9) <= found.expected_us <= max(times) * (1 + 1e-9)
    assert found.quantile_us(0.5) <= found.quantile_us(0.95) <= found.quantile_us(0.99)
    even = found.cases[0].break_even
    if even is not None:
        assert isclose(even * times[0] + (1 - even) * times[1], whole, rel_tol=1e-6)


@given(st.lists(st.tuples(TIMES, SHARES), min_size=1, max_size=6), TIMES)
def test_segments_are_expected_one_by_one(parts: list[tuple[float, float]], call_us: float) -> None:
    calls = [Call(f"s{i}", us, call_us) for i, (us, _) in enumerate(parts)]
    segments = tuple(
        Segment(program=f"s{i}", probability=share, gate_us=2) for i, (_, share) in enumerate(parts)
    )
    found = mixed([*calls, Call("w", 1.0)], Mix(whole="w", segments=segments))
    assert isclose(sum(case.probability for case in found.cases), 1, abs_tol=1e-9)
    wanted = sum(share * (us + call_us) + 2 for us, share in parts)
    assert isclose(found.expected_us, wanted, rel_tol=1e-9)


@given(TIMES, TIMES, st.floats(0, 10), SHARES)
def test_below_break_even_a_call_of_its_own_pays(
    device: float, call: float, gate: float, share: float
) -> None:
    even = break_even(device, call, gate)
    alone = share * (device + call) + gate
    if abs(alone - device) > 1e-6 * device:
        assert (alone < device) == (share < even)


@given(st.lists(st.tuples(TIMES, TIMES, TIMES), min_size=2, max_size=8))
def test_the_best_cut_sends_more_as_bandwidth_rises(sides: list[tuple[float, float, float]]) -> None:
    points = [
        SplitPoint(f"op{i}", i, 16, sent, head, far, sent * 8 / 1e3, 0, 0, 0, False)
        for i, (head, far, sent) in enumerate(sides)
    ]
    sent = [best_at(points, rate, 1.0).sent_bytes for rate in np.logspace(-4, 4, 40)]
    assert sent == sorted(sent)


def alexnet() -> ov.Model:
    """AlexNet's layers, with weights of which nobody knows more than their shapes."""

    def weights(*shape: int) -> ov.Node:
        return op.convert(op.constant(np.full(shape, 0.01, np.float16)), "f32")

    x = op.parameter([1, 3, 224, 224], np.float32, name="image")
    y: ov.Node = x
    layers = [
        (96, 11, 4, 2, True),
        (256, 5, 1, 2, True),
        (384, 3, 1, 1, False),
        (384, 3, 1, 1, False),
        (256, 3, 1, 1, True),
    ]
    for number, (out, size, stride, pad, pools) in enumerate(layers):
        kernel = weights(out, y.get_output_shape(0)[1], size, size)
        y = op.convolution(y, kernel, [stride] * 2, [pad] * 2, [pad] * 2, [1, 1])
        if pools:
            y = op.max_pool(y, [2, 2], [1, 1], [0, 0], [0, 0], [3, 3])
        y = op.relu(y.output(0), name=f"{'pool' if pools else 'conv'}{number + 1}")
    y = op.reshape(y, op.constant(np.array([1, -1])), False)
    for number, out in enumerate((4096, 4096, 1000)):
        y = op.matmul(y, weights(out, y.get_output_shape(0)[1]), False, True)
        y = op.relu(y, name=f"fc{number + 6}") if number < 2 else y
    return ov.Model([op.result(y)], [x], "alexnet")


@pytest.mark.parametrize("model", ["alexnet", "resnet-50"])
def test_the_best_cut_moves_to_the_input_as_bandwidth_rises(model: str, tmp_path: Any) -> None:
    if model == "alexnet":
        ov.save_model(alexnet(), tmp_path / "alexnet.xml")
        model = str(tmp_path / "alexnet.xml")
        at = [*(f"pool{n}" for n in (1, 2, 5)), "conv3", "fc6", "fc7"]
    else:
        at = ["stem.pool", "stages.1.3.out.relu", "stages.2.5.out.relu", "stages.3.2.out.relu"]
    found = npusim.scenario({
        "name": "x", "hardware": "meteorlake.yaml", "programs": {"net": {"model": model}},
        "split": {
            "program": "net", "link": {"gbps": 1.0}, "far": {"tops": 100, "gbps": 900}, "bits": [8, 16], "at": at,
        },
    })  # fmt: skip
    over = found.document()["over"]
    places = [point["position"] for point in over]
    assert places == sorted(places, reverse=True)
    assert places[0] == len(at) + 1  # all here over a slow link
    assert places[-1] == 0  # and all far over a fast one
    assert len(set(places)) > 1


def test_with_a_link_and_a_far_side_of_no_time_a_split_costs_the_head_alone() -> None:
    found = npusim.scenario({
        "name": "x", "programs": {"net": {"model": "mlp-4x512"}},
        "split": {"program": "net", "link": {"gbps": 1e9}, "far": {"tops": 1e9, "gbps": 1e6}},
    })  # fmt: skip
    for point in found.to_frame().itertuples():
        assert point.us == pytest.approx(point.head_us, abs=0.1)


def test_bytes_at_a_cut_are_those_of_what_crosses() -> None:
    graph = ModelSource("resnet-50").graph()
    sides = {8: (3 * 224 * 224, 64 * 56 * 56), 16: (2 * 3 * 224 * 224, 2 * 64 * 56 * 56)}
    places = cuts(graph, ["stem.pool"])
    for bits, wanted in sides.items():
        assert tuple(sent_bytes(graph, cut, bits) for cut in places[:2]) == wanted


@pytest.mark.parametrize("name", ["mobilenet-v2", "mamba2-130m"])
def test_head_and_tail_do_what_the_whole_does(name: str) -> None:
    graph = ModelSource(name, layers=2 if name.startswith("mamba") else None, tokens=None).graph()
    whole = sum(macs_of_op(graph, one) for one in graph.ops)
    for cut in cuts(graph):
        sides = [section(graph, 0, cut.count), section(graph, cut.count, len(graph.ops))]
        assert sum(macs_of_op(side, one) for side in sides for one in side.ops) == whole
        if 0 < cut.count < len(graph.ops):
            assert set(sides[0].outputs) >= set(sides[1].inputs) - set(graph.inputs)


def pair(**more: Any) -> dict[str, Any]:
    programs = {"small": {"model": "mlp-4x512"}, "large": {"model": "convs-8x64x56"}}
    return {"name": "x", "programs": programs, "together": {"programs": ["small", "large"], **more}}


def test_in_turns_a_round_takes_at_least_the_slower_and_at_most_both() -> None:
    rows = npusim.scenario(pair(by="turns")).to_frame()
    assert (rows["period_us"] >= rows["alone_us"].max()).all()
    assert (rows["period_us"] <= rows["alone_us"].sum() * (1 + 1e-9)).all()


def test_by_tiles_nobody_is_faster_than_alone_on_its_tiles() -> None:
    for tiles in ([1, 1], [2, 4]):
        found = npusim.scenario(pair(by="tiles", tiles=tiles))
        assert (found.to_frame()["slowdown"] >= 0.995).all()
        summed = found.figures_of()
        assert summed["per_s"] <= summed["alone_per_s"] * 1.005


def test_memory_under_a_budget_never_exceeds_it() -> None:
    found = npusim.scenario({
        "name": "x", "programs": {"net": {"model": "convs-8x64x56"}},
        "budget": {"program": "net", "kib_per_tile": [1440, 600, 300, 150, 8]},
    }).to_frame()  # fmt: skip
    fits = found[found["refused"] == ""]
    assert (fits["peak_kib"] <= fits["limit_kib"]).all()
    assert fits["us"].is_monotonic_increasing
    assert "does not fit" in found["refused"].iloc[-1]


ROWS = st.builds(
    RowsSpec, model=st.just("x"), requests_per_s=st.just((1.0,)), prompt=st.integers(1, 300),
    generate=st.integers(1, 40), draft=st.integers(0, 3), requests=st.integers(1, 12), seed=st.integers(0, 9),
)  # fmt: skip


@settings(max_examples=40)
@given(ROWS, st.floats(0.01, 1000))
def test_every_row_is_served_once(spec: RowsSpec, rate: float) -> None:
    asked: list[tuple[int, int]] = []

    def us(rows: int, cache: int) -> float:
        asked.append((rows, cache))
        return 1000.0

    found = serve(spec, rate, us)
    assert found.calls == len(asked)
    assert {rows for rows, _ in asked} <= set(spec.pad_to)
    assert found.rows == round((1 - found.padding) * sum(rows for rows, _ in asked))
    if spec.draft == 0:
        assert found.rows == spec.requests * (spec.prompt + spec.generate - 1)
    assert 0 <= found.padding < 1
    assert 0 < found.busy <= 1 + 1e-9
    assert found.first_ms[0] <= found.done_ms[0]
    assert found.tokens_per_s * spec.requests <= 1000 * found.calls * spec.most_rows


def test_a_request_alone_waits_for_its_own_calls_only() -> None:
    spec = RowsSpec(model="x", requests_per_s=(1.0,), prompt=128, generate=10, requests=1)
    found = serve(spec, 1.0, lambda rows, cache: 100.0 + rows)
    assert found.done_ms[0] == pytest.approx((2 * 164 + 9 * 101) / 1e3)


def test_dictionaries_and_graphs_are_as_files_say() -> None:
    assert scenario_of(pair()).together is not None
    assert graph_of(alexnet(), "alexnet", "alexnet").outputs
