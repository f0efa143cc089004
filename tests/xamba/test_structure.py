"""prune{heads=...} and prune{layers=...}: what goes with them, and that nothing else changes."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import openvino as ov
import pytest
from openvino import opset15 as op
from openvino.op import Constant

import npusim
from npusim import workloads, xamba
from npusim.analysis.footprint import footprint
from npusim.graph.load import graph_of
from npusim.source import ModelSource
from npusim.workloads import llm
from npusim.workloads.llm.config import DecoderConfig
from tests.llm import stateful
from tests.xamba.cpu import assert_same, inputs_of, run

HEADS, WIDTH, ROWS = 4, 16, 8
HIDDEN = HEADS * WIDTH
GONE = np.arange(HIDDEN).reshape(HEADS, WIDTH)[[0, 2]].reshape(-1)


def weights(outputs: int, terms: int, gone: np.ndarray | None = None, seed: int = 0) -> ov.Node:
    values = np.random.default_rng((seed, outputs)).standard_normal((outputs, terms)) / np.sqrt(terms)
    values[[] if gone is None else gone] = 0
    return op.convert(Constant(values.astype(np.float16)), "f32")


def heads_of(x: ov.Node, heads: int) -> ov.Node:
    return op.transpose(op.reshape(x, [1, ROWS, heads, WIDTH], False), [0, 2, 1, 3])


def attention(form: str, shared: int) -> ov.Model:
    """Some heads have no weights; ``shared`` heads share keys."""
    keys = HEADS // shared
    gone = np.arange(2 * WIDTH) if shared == 2 else GONE  # of queries: the first pair, where two share keys
    of_keys = {1: GONE, 2: np.arange(WIDTH), 4: None}[shared]
    x = op.parameter([1, ROWS, HIDDEN], np.float32, name="x")
    q = heads_of(op.matmul(x, weights(HIDDEN, HIDDEN, gone), False, True), HEADS)
    k, v = (
        heads_of(op.matmul(x, weights(keys * WIDTH, HIDDEN, of_keys, seed), False, True), keys)
        for seed in (1, 2)
    )
    if form == "joined" and shared == 1:
        all_gone = np.concatenate([GONE + HIDDEN * part for part in range(3)])
        joined = op.matmul(x, weights(3 * HIDDEN, HIDDEN, all_gone), False, True)
        bias = np.ones(3 * HIDDEN, np.float32)
        bias[all_gone] = 0
        parts = op.variadic_split(op.add(joined, Constant(bias)), -1, [HIDDEN] * 3)
        q, k, v = (heads_of(part, HEADS) for part in parts.outputs())
    if form == "op" and shared == 1:
        y = op.scaled_dot_product_attention(q, k, v, causal=False)
    else:
        if shared > 1:
            k, v = (
                op.reshape(
                    op.broadcast(op.unsqueeze(one, [2]), [1, keys, shared, ROWS, WIDTH]),
                    [0, HEADS, ROWS, -1],
                    True,
                )
                for one in (k, v)
            )
        y = op.matmul(op.softmax(op.matmul(q, k, False, True), 3), v, False, False)
    y = op.reshape(op.transpose(y, [0, 2, 1, 3]), [0, 0, HIDDEN], True)
    back = np.random.default_rng(5).standard_normal((48, HIDDEN)).astype(np.float32)
    back[:, gone] = 0
    out = op.matmul(y, Constant(back), False, True)
    return ov.Model([op.result(out)], [x], form)


FORMS = [("op", 1), ("written out", 1), ("joined", 1), ("written out", 2), ("written out", 4)]


@pytest.mark.parametrize(("form", "shared"), FORMS)
def test_heads_without_weights_go_and_nothing_changes(form: str, shared: int) -> None:
    stock = attention(form, shared)
    narrow, sites = xamba.apply(stock, "prune{heads=0.5}")
    assert [site.taken for site in sites] == [True]
    assert_same(stock, narrow, 1e-3)
    before, after = (sum(c.data.size for c in m.get_ops() if c.get_type_name() == "Constant" and c.data.size > 500)
                     for m in (stock, narrow))  # fmt: skip
    assert after * 2 == before or shared == HEADS  # whose keys and values stay


def decoder(rows: int, past: int, layers: int = 2) -> ov.Model:
    config = DecoderConfig(
        name="small", kinds=("attention",) * layers, width=128, vocabulary=64, tied=True, inner=128, heads=8,
        key_heads=4, head_width=32, head_norms=True,
    )  # fmt: skip
    return llm.build(config, rows=rows, past=past)


def test_weights_in_ddr_are_as_much_fewer_as_heads_to_the_byte() -> None:
    hw = npusim.load_hardware("lunarlake.yaml")
    stock = decoder(16, 0)
    of_attention = 2 * (2 * 8 + 2 * 4) * 32 * 128 * 2  # layers; queries and results, keys and values; FP16
    sizes, latencies = [], []
    for passes in ("", "prune{heads=0.25}", "prune{heads=0.5}"):
        graph = graph_of(xamba.apply(stock, passes)[0], "small", "small")
        program = npusim.lower(graph, hw)
        sizes.append(footprint(graph, program).weight_bytes)
        latencies.append(npusim.simulate(program, hw, "fast").latency_us)
    assert sizes[0] - sizes[1] == of_attention // 4
    assert sizes[0] - sizes[2] == of_attention // 2
    assert latencies == sorted(latencies, reverse=True)


def test_caches_of_a_decoder_get_narrower() -> None:
    narrow, sites = xamba.apply(decoder(1, 15), "prune{heads=0.5}")
    assert [site.taken for site in sites] == [True, True]
    caches = [port for port in narrow.inputs if "past" in port.get_any_name()]
    assert [port.get_shape()[1] for port in caches] == [2] * 4
    assert [one.shape[1] for one in run(narrow, inputs_of(narrow))[:4]] == [2] * 4


def said(model: ov.Model) -> list[tuple[int, ...]]:
    """Shapes of what a stateful model says to a prompt of 5 tokens and to one more."""
    request = ov.Core().compile_model(model, "CPU").create_infer_request()
    shapes = []
    for rows, all_rows in ((5, 5), (1, 6)):
        ids, positions = np.ones((1, rows), np.int64), np.arange(all_rows - rows, all_rows)[None]
        known = {
            "input_ids": ids,
            "attention_mask": np.ones((1, all_rows), np.int64),
            "position_ids": positions,
        }
        said = request.infer({**known, "beam_idx": np.zeros(1, np.int32)})
        shapes += [value.shape for value in said.values()]
    return shapes


def test_states_of_an_export_get_narrower_or_go(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(stateful, "HEAD", 16)
    model = stateful.build("aa")
    before = said(model)
    for passes, states, heads in (("prune{heads=0.5}", 4, 1), ("prune{layers=0}", 2, 2)):
        narrow, _ = xamba.apply(model, passes)
        shapes = [variable.info.data_shape for variable in narrow.get_variables()]
        assert len(shapes) == states
        assert {shape[1].get_length() for shape in shapes} == {heads}
        assert said(narrow) == before


def residual(layers: int, idle: int) -> ov.Model:
    """Layers of which one, ``idle``, adds nothing."""
    x = op.parameter([ROWS, HIDDEN], np.float32, name="x")
    value = op.relu(x)
    for number in range(layers):
        inner = op.matmul(value, weights(64, HIDDEN, seed=number), False, True)
        gone = np.arange(HIDDEN) if number == idle else None
        inner = op.matmul(op.relu(inner), weights(HIDDEN, 64, gone, seed=9 + number), False, True)
        inner.set_friendly_name(f"layers.{number}.down")
        for node in (
            inner.input_value(0).get_node(),
            inner.input_value(0).get_node().input_value(0).get_node(),
        ):
            node.set_friendly_name(f"layers.{number}.{node.get_type_name()}")
        value = op.add(value, inner)
        value.set_friendly_name(f"layers.{number}.add")
    return ov.Model([op.result(op.tanh(value))], [x], "residual")


def test_a_layer_that_adds_nothing_goes_and_nothing_changes() -> None:
    stock = residual(4, 2)
    narrow, sites = xamba.apply(stock, "prune{layers=0.25}")
    assert [(site.op, site.taken) for site in sites] == [("layers.2.add", True)]
    assert_same(stock, narrow)


def test_layers_that_are_left_keep_their_names_and_more_may_go_later() -> None:
    narrow, _ = xamba.apply(residual(6, 0), "prune{layers=2+3}")
    narrower, sites = xamba.apply(narrow, "prune{layers=1+4}")
    assert [(site.op, site.taken) for site in sites] == [("layers.1.add", True), ("layers.4.add", True)]
    assert {name for node in narrower.get_ops() if (name := node.get_friendly_name()).endswith("add")} == {
        "layers.0.add",
        "layers.5.add",
    }


def test_reads_fall_by_the_share_of_layers_to_the_byte() -> None:
    hw = npusim.load_hardware("lunarlake.yaml")
    model = workloads.build("mlp-4x2048")
    reads = [
        npusim.simulate(
            npusim.lower(graph_of(xamba.apply(model, p)[0], "m", "m"), hw), hw, "fast"
        ).metrics.ddr_bytes
        for p in ("", "prune{layers=2}", "prune{layers=1+2}")
    ]
    fell = [reads[0]["read"] - one["read"] for one in reads]
    assert fell[2] == 2 * fell[1]
    assert fell[1] == 2048 * 2048 * 2 + 2048 * 16  # weights, and the table that comes with them


def test_a_file_says_how_much_of_each_layer_goes(tmp_path: Path) -> None:
    shares = tmp_path / "heads.yaml"
    shares.write_text("layers.0.*: 0.25\nlayers.1.*: 0.75\n")
    _, sites = xamba.apply(workloads.build("bert-base", tokens=16), f"prune{{heads={shares}}}")
    assert [site.note.split(" of ")[0] for site in sites if site.taken] == ["9", "3"]


@pytest.mark.parametrize(
    ("passes", "words"),
    [
        ("prune{heads=1.5}", "above 0 and below 1"),
        ("prune{heads=0.5,share=0.5}", "a pruning by itself"),
        ("prune{heads=0.5,layers=0.5}", "a pruning by itself"),
        ("prune{layers=3+x}", "numbers such as 3\\+7"),
    ],
)
def test_mistakes_are_told_in_one_line(passes: str, words: str) -> None:
    with pytest.raises(xamba.PipelineError, match=words) as error:
        xamba.apply(attention("op", 1), passes)
    assert "\n" not in str(error.value)


def test_what_cannot_go_is_said() -> None:
    _, sites = xamba.apply(attention("op", 1), "prune{heads=0.1}")
    assert [(site.taken, "are as many" in site.note) for site in sites] == [(False, True)]


@pytest.mark.parametrize(
    ("passes", "words"),
    [
        ("prune{only=nobody}", "no op that these rules look at"),
        ("prune{channels=0.001}", "none of 4 sites is taken"),
    ],
)
def test_a_rule_that_fits_no_site_is_told_in_one_line(passes: str, words: str) -> None:
    (note,) = ModelSource("mlp-4x512").graph(passes).notes
    assert words in note
    assert "\n" not in note
