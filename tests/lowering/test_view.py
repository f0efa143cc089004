"""Lowering depends on nothing but its view of the machine: two machines of one key get one Program."""

from __future__ import annotations

import pytest

from npusim import build_workload, load_hardware, lower
from npusim.graph import Graph
from npusim.hardware import Hardware, shipped
from npusim.lowering import lowering_key
from npusim.lowering.view import compiler_view

#: One number of every section that changes when tasks run and not which tasks there are.
TIMING = (
    "clocks.dpu_mhz=777", "clocks.vpu_mhz=333", "ddr.bandwidth_gbps=9", "ddr.latency_ns=3000", "ddr.contention=false",
    "shave.kernels.exp.per_cycle=0.1", "shave.kernels.multiply.startup_cycles=90000",
    "dma.paths.ddr_to_cmx.bytes_per_cycle=1", "dma.paths.cmx_to_ddr.startup_cycles=99999",
    "dpu.costs.read_bytes_per_cycle=1", "energy.static_mw=5",
)  # fmt: skip
STRUCTURE = ("tiles=3", "cmx.kib_per_tile=700", "dma.engines=1", "shave.per_tile=1", "software.row_fold=8")


@pytest.fixture(scope="module", params=["prefill", "decode"])
def graph(request: pytest.FixtureRequest) -> Graph:
    if request.param == "decode":
        return build_workload("mamba2-130m", phase="decode", layers=1)
    return build_workload("mamba2-130m", layers=1, tokens=64)


def test_timing_changes_no_program(graph: Graph) -> None:
    hw = load_hardware("lunarlake.yaml")
    slow = load_hardware("lunarlake.yaml", TIMING)
    assert lowering_key(slow) == lowering_key(hw)
    assert lower(graph, slow) == lower(graph, hw)


def test_structure_changes_the_key() -> None:
    keys = {lowering_key(load_hardware("lunarlake.yaml", [change])) for change in STRUCTURE}
    assert len(keys) == len(STRUCTURE)
    assert lowering_key(load_hardware("lunarlake.yaml")) not in keys


def test_without_assumptions_every_number_counts() -> None:
    own = "scheduled_for={clocks: null, dpu_costs: null, kernels: null, dma_paths: null, ddr: null}"
    keys = {lowering_key(load_hardware("lunarlake.yaml", [own, change])) for change in TIMING[:-1]}
    assert len(keys) == len(TIMING) - 1


def test_lowering_reads_nothing_that_the_key_leaves_out(graph: Graph) -> None:
    hw = load_hardware("lunarlake-2025.yaml")
    view = compiler_view(hw)
    kept = {name: getattr(view, name) for name in Hardware.model_fields if name not in ("energy", "host")}
    blind = Hardware.model_construct(**kept)
    for section, name in (("shave", "vector_bits"), ("dma", "bytes_per_cycle"), ("cmx", "bytes_per_cycle")):
        part = getattr(blind, section)
        rest = {key: getattr(part, key) for key in type(part).model_fields if key != name}
        blind = blind.model_copy(update={section: type(part).model_construct(**rest)})
    assert lower(graph, blind) == lower(graph, hw)


@pytest.mark.parametrize("name", shipped())
def test_shipped_files_say_all_that_they_are_scheduled_for(name: str) -> None:
    assumed = load_hardware(name).scheduled_for
    assert all(getattr(assumed, section) is not None for section in type(assumed).model_fields)
