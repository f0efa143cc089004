"""Energy of the NPU and of the package, against the one figure that was measured with a meter."""

from __future__ import annotations

import pytest

import npusim
from npusim.analysis.package import package_energy
from npusim.hints import compiled_for, seen


def test_an_embedding_takes_the_energy_that_a_meter_saw() -> None:
    """BGE-base (BERT-base, INT8 weights), 64 tokens on a 256V: 51.0 mJ of the package above idle, 3.94 ms."""
    hw = npusim.load_hardware("lunarlake-256v-2026.2.yaml")
    graph = npusim.build_workload("bert-base-int8-weights", tokens=64)
    part = compiled_for(hw, "latency")
    program = npusim.lower(graph, part)
    own_uj = npusim.simulate(program, part, engine="fast").metrics.energy_uj
    found = package_energy(own_uj, hw, seen(graph, hw, "latency", client="python", program=program).us)
    assert found is not None
    assert found.package_uj / 1e3 == pytest.approx(51.0, rel=0.2)
    assert found.package_uj == found.npu_uj + found.system_uj > 2 * found.npu_uj


def test_what_is_not_known_of_a_package_is_not_guessed() -> None:
    assert package_energy(1.0, npusim.load_hardware("meteorlake.yaml"), 1.0) is None
