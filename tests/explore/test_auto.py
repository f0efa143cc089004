"""`auto`: never slower than what it chooses from, the same numbers, the same answer twice, whatever the NPU."""

from __future__ import annotations

from itertools import product
from typing import Any

import pytest

from npusim import api, workloads, xamba
from npusim.explore.auto import best_rewrites
from npusim.explore.probe import probe_of, without_number
from npusim.graph.load import graph_of
from npusim.hardware import load_hardware
from npusim.workloads import Mamba2Config, MambaConfig
from tests.xamba.cpu import assert_same, types

MAMBA2 = Mamba2Config(
    name="tiny2", title="", layers=2, d_model=64, vocab=80, d_state=32, head_dim=16, chunk=16
)
MAMBA = MambaConfig(name="tiny1", title="", layers=3, d_model=64, vocab=80, d_state=16)
RULES = ("contract", "segsum", "cumba", "reduba")
PIPELINES = [",".join(filter(None, rules)) for rules in product(*(("", rule) for rule in RULES))]


def latency_us(model: Any, hw: api.Hardware) -> float:
    program = api.lower(graph_of(model, "m", "m"), hw)
    return api.simulate(program, hw, engine="fast", allow_guess=True).latency_us


@pytest.mark.parametrize(
    ("hardware", "config", "phase"),
    [
        ("lunarlake.yaml", MAMBA2, "prefill"),
        ("meteorlake.yaml", MAMBA2, "decode"),
        ("pantherlake.yaml", MAMBA, "decode"),
    ],
)
def test_no_fixed_pipeline_is_faster(hardware: str, config: workloads.ModelConfig, phase: str) -> None:
    """On the whole model; the order of rules is the pipelines' own."""
    hw = load_hardware(hardware)
    stock = workloads.build(config, phase=phase, tokens=24 if phase == "prefill" else None)
    chosen = best_rewrites(stock, hw)
    assert chosen.latency_us == pytest.approx(latency_us(chosen.model, hw), rel=1e-6)
    assert chosen.stock_us == pytest.approx(latency_us(stock, hw), rel=1e-6)
    others = [*PIPELINES, "cumba,contract,segsum", "reduba,contract", "cumba{block=64}"]
    for passes in others:
        assert chosen.latency_us <= latency_us(xamba.apply(stock, passes)[0], hw) * (1 + 1e-6), passes
    assert [one.probe_us for one in chosen.fixed] == sorted(one.probe_us for one in chosen.fixed)
    assert {"none"} <= {one.passes for one in chosen.fixed}


def test_what_is_taken_pays_and_computes_the_same() -> None:
    hw = load_hardware("lunarlake-2025.yaml")
    stock = workloads.build(MAMBA2, tokens=24, weights="random", lm_head=False)
    chosen, again = (best_rewrites(stock, hw) for _ in range(2))
    assert_same(stock, chosen.model)
    assert chosen.sites == again.sites
    assert chosen.fixed == again.fixed
    assert any(site.taken for site in chosen.sites)
    # A fixed pipeline that is as fast on the whole model may take what gains nothing.
    assert all(site.gain_us >= 0 if site.taken else site.gain_us <= 0 for site in chosen.sites)
    assert all(site.error_bound is None for site in chosen.sites)
    by_group: dict[str, set[tuple[str, bool]]] = {}
    for site in chosen.sites:
        by_group.setdefault(without_number(site.op), set()).add((site.rule, site.taken))
    assert all(len(found) == 1 for found in by_group.values())


def test_approximations_are_taken_only_if_asked_for_and_where_the_dpu_has_tables() -> None:
    stock = workloads.build(MAMBA, phase="decode", layers=2, lm_head=False)
    tables = load_hardware(
        "pantherlake.yaml", ("dpu.ppe.lut={functions: [swish, softplus, exp], segments: 32}",)
    )
    exact, other = best_rewrites(stock, tables), best_rewrites(stock, tables, approximate=True)
    assert "Bucketize" not in types(exact.model)
    assert "Bucketize" in types(other.model)
    assert other.latency_us < exact.latency_us
    assert any((site.error_bound or 0) > 0 for site in other.sites)
    without = best_rewrites(stock, load_hardware("pantherlake.yaml", ("dpu.ppe.lut=null",)), approximate=True)
    assert "Bucketize" not in types(without.model)


def test_the_block_of_a_long_axis_is_the_fastest() -> None:
    import numpy as np
    import openvino as ov
    from openvino import opset15 as op

    hw = load_hardware("lunarlake.yaml")
    x = op.parameter([8, 4096, 16], np.float16, name="x")
    stock = ov.Model([op.result(op.cum_sum(x, op.constant(np.int64(1))))], [x], "long")
    chosen = best_rewrites(stock, hw)
    blocks = [f"cumba{{block={n}}}" for n in (64, 128, 256, 512, 1024, 2048, 4096)]
    others = {step: latency_us(xamba.apply(stock, step)[0], hw) for step in ("cumba", *blocks)}
    assert chosen.latency_us <= min(chosen.stock_us, *others.values()) * (1 + 1e-6)
    assert_same(stock, chosen.model, 2e-2)  # sums of 4,096 values in FP16


def test_a_probe_has_one_layer_of_each_kind_and_computes_as_it_did() -> None:
    stock = workloads.build(MAMBA2, tokens=16, weights="random")
    probe = probe_of(stock)
    assert types(probe).count("CumSum") == types(stock).count("CumSum") / 2
    assert {node.get_friendly_name().partition("/")[0].startswith("layers.0") for node in probe.get_ops()
            if node.get_type_name() == "CumSum"} == {True}  # fmt: skip
    one = workloads.build(MAMBA2, tokens=16, layers=1, weights="random", block_only=True)
    assert_same(one, _named_like(probe, one))
    nameless = workloads.build(MAMBA2, tokens=16)
    for i, node in enumerate(nameless.get_ordered_ops()):
        node.set_friendly_name(f"op {i}")
    assert probe_of(nameless) is nameless


def _named_like(probe: Any, model: Any) -> Any:
    for ours, theirs in ((probe.inputs, model.inputs), (probe.outputs, model.outputs)):
        for port, other in zip(ours, theirs, strict=True):
            port.get_tensor().set_names(other.get_names())
    return probe
