"""Lowering depends on nothing but its view of the machine: two machines of one key get one Program."""

from __future__ import annotations

import pytest

from npusim import build_workload, load_hardware, lower
from npusim.graph import Graph
from npusim.hardware import shipped
from npusim.lowering import lowering_key
from npusim.lowering.view import compiler_view

#: One number of every section that changes when tasks run and not which tasks there are.
TIMING = (
    "clocks.dpu_mhz=777",
    "clocks.vpu_mhz=333",
    "ddr.bandwidth_gbps=9",
    "ddr.latency_ns=3000",
    "ddr.contention=false",
    "shave.kernels.exp.per_cycle=0.1",
    "shave.kernels.multiply.startup_cycles=90000",
    "dma.paths.ddr_to_cmx.bytes_per_cycle=1",
    "dma.paths.cmx_to_ddr.startup_cycles=99999",
    "dpu.costs.read_bytes_per_cycle=1",
)
#: What no compiler knows, whatever it assumes of the machine.
DRIVER = (
    "energy.static_mw=5", "host.overhead_us=1", "software.dispatch.dma_us=7", "software.dispatch.shave_us=7",
    "software.hints.latency.tiles=1", "software.hints.throughput.requests=9", "software.fetch.us=5", "name=x",
    "role=machine", "dvfs.highest_dpu_mhz=5000", "shave.vector_bits=64", "dma.bytes_per_cycle=4",
    "dma.provenance=guess", "cmx.bytes_per_cycle=8",
)  # fmt: skip
STRUCTURE = ("tiles=3", "cmx.kib_per_tile=700", "dma.engines=1", "shave.per_tile=1", "software.row_fold=8")


@pytest.fixture(scope="module", params=["prefill", "decode"])
def graph(request: pytest.FixtureRequest) -> Graph:
    if request.param == "decode":
        return build_workload("mamba2-130m", phase="decode", layers=1)
    return build_workload("mamba2-130m", layers=1, tokens=64)


def test_timing_changes_no_program(graph: Graph) -> None:
    hw = load_hardware("lunarlake.yaml")
    slow = load_hardware("lunarlake.yaml", [*TIMING, *DRIVER])
    assert lowering_key(slow) == lowering_key(hw)
    assert lower(graph, slow) == lower(graph, hw)


def test_structure_changes_the_key() -> None:
    keys = {lowering_key(load_hardware("lunarlake.yaml", [change])) for change in STRUCTURE}
    assert len(keys) == len(STRUCTURE)
    assert lowering_key(load_hardware("lunarlake.yaml")) not in keys


def test_without_assumptions_every_number_counts() -> None:
    own = "scheduled_for={clocks: null, dpu_costs: null, kernels: null, dma_paths: null, ddr: null}"
    keys = {lowering_key(load_hardware("lunarlake.yaml", [own, change])) for change in TIMING}
    assert len(keys) == len(TIMING)


@pytest.mark.parametrize("change", DRIVER)
def test_what_no_compiler_knows_is_not_in_the_view(change: str) -> None:
    """So lowering cannot read it, and a sweep over it lowers once."""
    own = "scheduled_for={clocks: null, dpu_costs: null, kernels: null, dma_paths: null, ddr: null}"
    plain, changed = (load_hardware("lunarlake.yaml", [own, *some]) for some in ((), (change,)))
    assert plain != changed
    assert compiler_view(plain) == compiler_view(changed)


@pytest.mark.parametrize("name", shipped())
def test_the_view_is_all_that_lowering_reads(name: str, graph: Graph) -> None:
    hw = load_hardware(name)
    view = compiler_view(hw)
    assert compiler_view(view) == view
    assert lower(graph, view) == lower(graph, hw)


@pytest.mark.parametrize("name", shipped())
def test_shipped_files_say_all_that_they_are_scheduled_for(name: str) -> None:
    assumed = load_hardware(name).scheduled_for
    assert all(getattr(assumed, section) is not None for section in type(assumed).model_fields)
