"""blocks: units beside the tiles, each with a queue of its own."""

from __future__ import annotations

from functools import cache

import numpy as np
import openvino as ov
import pytest
from openvino import opset15 as op

import npusim
from npusim import workloads, xamba
from npusim.analysis.sensitivity import sensitivities
from npusim.api import Result
from npusim.graph.ir import Graph
from npusim.graph.load import graph_of
from npusim.hardware import check
from npusim.report.trace import trace_text

WIDTH, LAYERS = 512, 4
MACS = WIDTH * WIDTH
HW = "lunarlake.yaml"


@cache
def chain(share: float = 0.0) -> Graph:
    """Products one behind the other, a share of their weights zero."""
    model = workloads.build("mlp-4x512")
    if share:
        model, _ = xamba.apply(model, f"prune{{share={share}}}")
    return graph_of(model, "chain", "chain")


@cache
def branches() -> Graph:
    """Two products of one input, and their sum."""
    x = op.parameter([64, 1024], np.float32, name="x")
    weights = [np.full((1024, 1024), number + 1, np.float32) for number in range(2)]
    sides = [op.matmul(x, w, False, True, name=f"side{number}") for number, w in enumerate(weights)]
    return graph_of(ov.Model([op.result(op.add(*sides, name="sum"))], [x], "sides"), "sides", "sides")


def done(graph: Graph, *overrides: str, hw: str = HW, engine: str = "fast") -> Result:
    machine = npusim.load_hardware(hw, overrides)
    return npusim.simulate(npusim.lower(graph, machine), machine, "event" if engine == "event" else "fast")


def levels(takes: str = "['layers.*']", more: str = "") -> str:
    return f"blocks={{lut: {{takes: {takes}, levels: {{level_ns: 100{more}}}}}}}"


def events(steps: int = 8, rate: float = 0.1, gops: float = 38.4, add_pj: float = 40) -> str:
    law = f"{{steps: {steps}, rate: {rate}, adds_gops: {gops}, add_pj: {add_pj}}}"
    return f"blocks={{snn: {{takes: ['layers.*'], events: {law}}}}}"


def called_us(result: Result) -> float:
    return result.metrics.statistics["sum_block_us"]


def test_fixed_logic_takes_levels_times_time_and_no_weights() -> None:
    result, tiles = done(chain(), levels()), done(chain())
    assert called_us(result) == pytest.approx(LAYERS * 0.1)
    assert called_us(done(chain(), levels(more=", levels: 9"))) == pytest.approx(0.9)
    assert tiles.metrics.ddr_bytes["read"] - result.metrics.ddr_bytes["read"] >= LAYERS * MACS * 2
    assert result.metrics.tasks["block"] == 1


def test_events_take_steps_times_rate_times_adds() -> None:
    for steps, rate in ((8, 0.1), (8, 0.5), (1, 1.0)):
        adds = steps * rate * LAYERS * MACS
        assert called_us(done(chain(), events(steps, rate))) == pytest.approx(adds / 38.4e3)


def test_the_published_unit_adds_as_much_at_its_power_as_published() -> None:
    """64 elements of 0.6 GOPS: 38.4 GOPS at 1.54 W, whatever the model."""
    hw = npusim.load_hardware("whatif/lunarlake-spiking.yaml")
    law = hw.blocks["snn"].events
    assert law is not None
    assert law.adds_gops == pytest.approx(64 * 0.6)
    assert law.adds_gops * law.add_pj * 1e-3 == pytest.approx(1.54, rel=0.01)
    assert law.steps == 8


def test_energy_breaks_even_where_the_adds_of_all_steps_cost_a_product() -> None:
    hw = npusim.load_hardware(HW)
    even = hw.energy.mac_fp16_pj / (8 * 0.1)
    free = done(chain(), events(rate=0, add_pj=0.1)).metrics.energy_uj
    for rate, dearer in ((0.5 * even, False), (min(1.5 * even, 1), True)):
        took = done(chain(), events(rate=rate, gops=1e6, add_pj=0.1)).metrics.energy_uj - free
        assert (took > 1e-6 * LAYERS * MACS * hw.energy.mac_fp16_pj) is dearer


def test_its_queue_runs_beside_those_of_the_tiles() -> None:
    unit = "blocks={unit: {takes: [side0], events: {steps: 1, rate: 1, adds_gops: 2000}}}"
    beside = done(branches(), unit)
    alone = called_us(beside)
    both = beside.metrics.statistics["dpu_us"] + beside.metrics.statistics["dma_us"]
    assert beside.latency_us < alone + both
    assert "unit" in beside.metrics.queue_utilisation


def test_both_engines_agree() -> None:
    for law in (levels(), events()):
        assert done(chain(), law, engine="event").latency_us == pytest.approx(done(chain(), law).latency_us)


def test_a_unit_that_takes_nothing_changes_nothing() -> None:
    idle = done(chain(), levels("[nobody]"))
    assert idle.latency_us == done(chain()).latency_us
    assert "blocks.lut takes 0 ops in 0 calls" in idle.program.notes


def test_its_figures_are_as_sensitive_as_any() -> None:
    rows = {row.path: row for row in sensitivities(done(chain(), events()))}
    assert rows["blocks.snn.events.rate"].us_per_percent > 0
    assert rows["blocks.snn.events.adds_gops"].us_per_percent < 0


def test_power_counts_while_the_npu_is_on() -> None:
    off, on = (
        done(chain(), f"blocks={{u: {{takes: [n], static_mw: {mw}, levels: {{level_ns: 1}}}}}}")
        for mw in (0, 50)
    )
    assert on.metrics.energy_uj - off.metrics.energy_uj == pytest.approx(0.05 * on.latency_us)


def test_traces_have_a_lane_of_it() -> None:
    assert '"Block"' in trace_text(done(chain(), levels()))


def test_fan_in_is_what_weights_leave() -> None:
    bound = levels(more=", fan_in_bits: 300")
    assert done(chain(0.5), bound).latency_us > 0
    with pytest.raises(npusim.UserError, match="depends on 512 bits, its logic has 300 inputs"):
        done(chain(), bound)


def test_ops_side_by_side_are_one_call_and_others_more() -> None:
    assert done(chain(), levels("['layers.0', 'layers.1']")).metrics.tasks["block"] == 2
    assert done(chain(), levels("['layers.0', 'layers.0.relu', 'layers.1']")).metrics.tasks["block"] == 1
    assert done(branches(), levels("['side*']")).metrics.tasks["block"] == 2
    assert done(branches(), levels("['side*', sum]")).metrics.tasks["block"] == 1


@pytest.mark.parametrize(
    ("takes", "words"),
    [("[first, sum]", "'middle' lies between"), ("[first, middle]", "has 2 results, a call has one")],
)
def test_what_is_not_one_piece_is_told_in_one_line(takes: str, words: str) -> None:
    x = op.parameter([8, 64], np.float32, name="x")
    first = op.matmul(x, np.ones((64, 64), np.float32), False, True, name="first")
    middle = op.exp(first, name="middle")
    graph = graph_of(ov.Model([op.result(op.add(first, middle, name="sum"))], [x], "m"), "m", "m")
    with pytest.raises(npusim.UserError, match=words) as error:
        done(graph, levels(takes))
    assert "\n" not in str(error.value)


def test_operands_that_no_scratchpad_holds_are_told_in_one_line() -> None:
    with pytest.raises(npusim.UserError, match=r"operands and result of 'sum' take .* KiB") as error:
        done(branches(), levels("[sum]"), "cmx.kib_per_tile=200")
    assert "\n" not in str(error.value)


@pytest.mark.parametrize(
    ("override", "words"),
    [
        ("blocks={u: {takes: [a]}}", "either levels or events"),
        ("blocks={u: {takes: [], levels: {level_ns: 1}}}", "takes"),
        ("blocks={u: {takes: [a], events: {steps: 1, rate: 2, adds_gops: 1}}}", "rate"),
        ("blocks={u: {take: [a], levels: {level_ns: 1}}}", "did you mean 'takes'"),
    ],
)
def test_mistakes_are_told_in_one_line(override: str, words: str) -> None:
    with pytest.raises(npusim.UserError, match=words) as error:
        npusim.load_hardware(HW, [override])
    assert "\n" not in str(error.value)


def test_hypothetical_units_are_marked_so() -> None:
    for name in ("spiking", "stochastic", "boolean"):
        hw = npusim.load_hardware(f"whatif/lunarlake-{name}.yaml")
        assert "hypothetical" in hw.name
        assert hw.role == "software"
    found = check("whatif/lunarlake-spiking.yaml", ["blocks.snn.events.rate=0.2"])
    assert len(found) == 1
    assert "more energy than the products of the DPU" in found[0]
