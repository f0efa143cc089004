"""memory.tiers: what a memory between DDR and the scratchpads keeps, and what that is worth."""

from __future__ import annotations

from functools import cache

import numpy as np
import openvino as ov
import pytest
from openvino import opset15 as op
from openvino.op import Constant

import npusim
from npusim.analysis.sensitivity import sensitivities
from npusim.api import Result
from npusim.graph.ir import Graph
from npusim.graph.load import graph_of

MRAM = "whatif/lunarlake-mram.yaml"
LAYERS, WIDTH = 12, 2048
WEIGHTS = WIDTH * WIDTH * 2


@cache
def albert() -> Graph:
    """Layers that share one matrix of 8 MiB, which a scratchpad does not hold."""
    weights = np.random.default_rng(0).standard_normal((WIDTH, WIDTH)).astype(np.float16)
    shared = op.convert(Constant(weights), "f32")
    x = value = op.parameter([1, 32, WIDTH], np.float32, name="x")
    for number in range(LAYERS):
        value = op.matmul(value, shared, False, True, name=f"layers.{number}.fc")
        value = op.gelu(value, "erf", name=f"layers.{number}.act")
    return graph_of(ov.Model([op.result(value)], [x], "albert"), "albert", "albert")


@cache
def done(*overrides: str, hw: str = MRAM, engine: str = "fast") -> Result:
    first = ("memory.tiers.mram.kib=9216", "memory.tiers.mram.policy=largest reuse first")
    machine = npusim.load_hardware(hw, (*(first if hw == MRAM else ()), *overrides))
    return npusim.simulate(npusim.lower(albert(), machine), machine, "event" if engine == "event" else "fast")


PINNED = ("memory.tiers.mram.pins=['*.fc']", "memory.tiers.mram.policy=pins alone")


def read(result: Result) -> int:
    return result.metrics.ddr_bytes["read"]


def test_a_shared_layer_is_read_once_instead_of_twelve_times() -> None:
    without, pinned = done(hw="lunarlake.yaml"), done(*PINNED)
    saved = read(without) - read(pinned)
    assert saved == pytest.approx((LAYERS - 1) * WEIGHTS, rel=0.005)  # and their tables of 16 bytes a channel
    assert saved == pinned.metrics.tier_bytes["mram"]["read"]
    assert pinned.latency_us < without.latency_us


def test_weights_alone_may_be_kept() -> None:
    result = done("memory.tiers.mram.policy=weights of largest reuse first")
    assert result.metrics.tier_bytes["mram"]["write"] == pytest.approx(WEIGHTS, rel=0.005)
    assert read(result) == read(done(*PINNED))


def test_memory_that_loses_nothing_saves_the_first_read_too() -> None:
    once, never = done(*PINNED), done(*PINNED, "memory.tiers.mram.holds=always")
    assert read(once) - read(never) == pytest.approx(WEIGHTS, rel=0.005)
    assert never.metrics.tier_bytes["mram"]["write"] == 0 < once.metrics.tier_bytes["mram"]["write"]


def test_what_is_moved_stays_what_is_moved() -> None:
    """Bytes leave DDR for the tier; none are lost."""
    without, kept = done(hw="lunarlake.yaml"), done()
    for way in ("read", "write"):
        moved = kept.metrics.ddr_bytes[way] + kept.metrics.tier_bytes["mram"][way]
        brought = WEIGHTS * 1.005 if way == "write" else 0  # the first read passes by and is kept
        assert without.metrics.ddr_bytes[way] <= moved <= without.metrics.ddr_bytes[way] + brought


def test_both_engines_agree() -> None:
    assert done(engine="event").latency_us == pytest.approx(done().latency_us, rel=1e-9)


def test_the_largest_reuse_comes_first_and_room_never_costs_traffic() -> None:
    sizes = (1, 64, 256, 1024, 4096, 9216, 32768)
    traffic = [read(done(f"memory.tiers.mram.kib={kib}")) for kib in sizes]
    assert traffic == sorted(traffic, reverse=True)
    assert traffic[-2] < 0.2 * traffic[0]


@pytest.mark.parametrize("each", ["npu", "tile"])
def test_a_faster_tier_is_never_slower(each: str) -> None:
    own = f"memory.tiers.mram.each={each}"
    times = [done(own, f"memory.tiers.mram.read_gbps={gbps}").latency_us for gbps in (10, 30, 60, 120)]
    assert times == sorted(times, reverse=True)
    assert times[0] > times[-1]


def test_each_tile_keeps_its_part_of_what_tiles_share() -> None:
    """The matrix is split over the channels of six tiles: a sixth of it is in each."""
    tight = f"memory.tiers.mram.kib={WEIGHTS / 1024 / 5}"
    assert read(done("memory.tiers.mram.each=tile", tight, *PINNED)) < 0.2 * read(done(hw="lunarlake.yaml"))
    with pytest.raises(npusim.UserError, match="are left"):
        done(tight, *PINNED)


def test_its_energy_is_that_of_its_bytes_and_its_power() -> None:
    free, paid = (done(f"memory.tiers.mram.byte_pj={pj}") for pj in (0, 7))
    moved = sum(free.metrics.tier_bytes["mram"].values())
    assert paid.metrics.energy_uj - free.metrics.energy_uj == pytest.approx(7e-6 * moved)
    idle = done("memory.tiers.mram.byte_pj=0", "memory.tiers.mram.static_mw=105")
    assert idle.metrics.energy_uj - free.metrics.energy_uj == pytest.approx(0.1 * idle.latency_us)


def test_its_figures_are_as_sensitive_as_any() -> None:
    slow = {row.path: row for row in sensitivities(done("memory.tiers.mram.read_gbps=30"))}
    assert slow["memory.tiers.mram.read_gbps"].us_per_percent < 0


def test_a_tensor_that_does_not_fit_is_told_in_one_line() -> None:
    with pytest.raises(
        npusim.UserError, match=r"memory\.tiers\.mram: the weights of 'layers.0.fc'.*levers"
    ) as error:
        done(*PINNED, "memory.tiers.mram.kib=4096")
    assert "\n" not in str(error.value)


def test_pins_that_fit_nothing_keep_nothing() -> None:
    result = done("memory.tiers.mram.pins=[nobody]", "memory.tiers.mram.policy=pins alone")
    assert result.latency_us == done(hw="lunarlake.yaml").latency_us
    assert any("keeps 0 tensors" in one for one in result.program.notes)


@pytest.mark.parametrize(
    ("override", "words"),
    [("ddr.kib=1", "'ddr'|unknown key"), ("memory.tiers.ddr={kib: 1, read_gbps: 1, write_gbps: 1}", "no name"),
     ("memory.tiers.mram.policy=all", "policy"), ("memory.tiers.mram.kb=1", "did you mean 'kib'")],
)  # fmt: skip
def test_mistakes_are_told_in_one_line(override: str, words: str) -> None:
    with pytest.raises(npusim.UserError, match=words) as error:
        npusim.load_hardware(MRAM, [override])
    assert "\n" not in str(error.value)


def test_tiers_that_gain_nothing_are_doubted() -> None:
    found = "\n".join(
        npusim.hardware.check(MRAM, ["memory.tiers.mram.read_gbps=5", "memory.tiers.mram.byte_pj=99"])
    )
    assert "less than DDR has" in found and "more energy than one of DDR" in found
