"""A row of a sweep is what a careful single run says, and what cannot be is a row too."""

from __future__ import annotations

import pytest

from npusim import api, load_hardware
from npusim.explore.axes import bind, parse_axis, parse_rewrites
from npusim.explore.rewrites import graph_for
from npusim.explore.space import Space, grid
from npusim.explore.sweep import sweep
from npusim.source import ModelSource

TEXTS = ["tiles=2,6", "clocks.vpu_mhz=700,1300.5", "ddr.bandwidth_gbps=20:90:2", "tokens=16,24"]


def small() -> Space:
    hw, source = load_hardware("lunarlake.yaml"), ModelSource("mamba-130m", layers=1)
    texts = [*map(parse_axis, TEXTS), *parse_rewrites(["none,cumba"])]
    return Space(hw, source, bind(texts, hw, source))


def test_every_row_is_a_single_run() -> None:
    space = small()
    points = grid(space.axes)
    table = sweep(space, points).table
    assert (table["error"] == "").all()
    for place in (0, 13, len(points) - 1):
        tiles, vpu, ddr, tokens, passes = points[place]
        hw = load_hardware(
            "lunarlake.yaml", [f"tiles={tiles}", f"clocks.vpu_mhz={vpu!r}", f"ddr.bandwidth_gbps={ddr!r}"]
        )
        source = ModelSource("mamba-130m", layers=1, tokens=int(tokens))
        program = api.lower(graph_for(source, str(passes), hw), hw)
        fast, event = (api.simulate(program, hw, engine=engine) for engine in ("fast", "event"))
        row = table.iloc[place]
        assert row["latency_us"] == fast.latency_us == pytest.approx(event.latency_us, rel=1e-9)
        assert row["energy_uj"] == pytest.approx(fast.metrics.energy_uj, rel=1e-12)
        for name in ("dma_us", "dpu_us", "shave_us", "idle_us"):
            assert row[name] == fast.metrics.statistics[name]
        exposed = fast.metrics.exposed_us
        transfers = sum(exposed[kind] for kind in ("start-up", "dma", "ddr"))
        most = max(
            {"dma": transfers, "dpu": exposed["dpu"], "shave": exposed["shave"]}.items(), key=lambda x: x[1]
        )[0]
        assert row["bound"] == most if most != "dma" else row["bound"] in ("start-up", "dma", "ddr")
        assert row["guess_share"] == pytest.approx(fast.metrics.provenance_share["guess"], abs=1e-12)
        assert row["tasks"] == len(program.tasks)
        assert row["tokens_per_s"] == pytest.approx(tokens / fast.latency_us * 1e6)
        assert row["macs_per_cycle"] == tiles * hw.dpu.macs_per_cycle.int8
        assert row["cmx_bytes"] == tiles * hw.cmx.kib_per_tile * 1024


def test_what_cannot_be_is_a_row_with_the_reason(tiny: ModelSource) -> None:
    hw = load_hardware("lunarlake.yaml")
    space = Space(
        hw,
        tiny,
        bind([parse_axis("cmx.kib_per_tile=1,1439"), parse_axis("clocks.dpu_mhz=900,1000")], hw, tiny),
    )
    found = sweep(space, grid(space.axes))
    assert found.failed == 2
    assert found.table["error"].str.contains("does not fit the scratchpad").tolist() == [
        True,
        True,
        False,
        False,
    ]
    assert found.table["latency_us"].isna().tolist() == [True, True, False, False]
    assert not found.front[:2].any()
    assert found.front[2:].any()


def test_an_unknown_kernel_is_a_row_unless_guesses_are_allowed(tiny: ModelSource) -> None:
    hw = load_hardware("lunarlake.yaml", ["shave.kernels={default: {startup_cycles: 1, per_cycle: 1}}"])
    axes = bind([parse_axis("clocks.dpu_mhz=900,1000")], hw, tiny)
    refused = sweep(Space(hw, tiny, axes), grid(axes)).table
    assert refused["error"].str.contains("no cost for SHAVE kernel 'exp'").all()
    guessed = sweep(Space(hw, tiny, axes, allow_guess=True), grid(axes)).table
    assert (guessed["error"] == "").all()
    assert (guessed["guess_share"] > 0).all()
