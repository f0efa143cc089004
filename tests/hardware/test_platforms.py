"""An NPU generation is a hardware file: what stands for a platform is the file that declares it."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

import pytest

import npusim
from npusim.hardware import HardwareError, file_of, files_of, load_hardware, names_of, shipped
from npusim.hardware.power import power_overrides
from npusim.jobs.machine import machine_of
from npusim.lowering.view import lowering_key

NOVA = """\
extends: pantherlake.yaml
name: Nova
platform: "6000"
tiles: 5
"""


@pytest.fixture
def nova(folder: Path) -> Path:
    """A generation of its own in the current folder, beside YAML of another kind."""
    (folder / "nova.yaml").write_text(NOVA)
    (folder / "compose.yaml").write_text("services: {web: {image: nginx}}\n")
    return folder / "nova.yaml"


def test_a_generation_is_a_file(nova: Path) -> None:
    hw = load_hardware("nova")
    graph = npusim.build_workload("mamba2-130m", phase="decode", layers=1)
    result, parent = (
        npusim.simulate(npusim.lower(graph, one), one)
        for one in (hw, load_hardware("pantherlake", ["tiles=5"]))
    )
    assert hw.platform == "6000"
    assert result.latency_us == parent.latency_us > 0


def test_the_file_of_a_platform_is_the_one_that_declares_it(nova: Path) -> None:
    assert file_of("4000", "estimator") == "lunarlake-vpunn.yaml"
    assert file_of("3720", "silicon") == "meteorlake.yaml"
    assert file_of("6000", "estimator", "silicon") == str(nova)
    assert names_of("3720") == ["Meteor Lake NPU", "Arrow Lake NPU"]
    assert names_of("4000") == ["Lunar Lake NPU"]
    with pytest.raises(
        HardwareError, match=r"no hardware file for platform 7000; known are 3720, 4000, 5010"
    ):
        file_of("7000", "estimator")


def test_one_shipped_file_a_platform_and_role() -> None:
    found = [load_hardware(name) for name in shipped()]
    roles = Counter((hw.platform, hw.role) for hw in found)
    assert {roles[key] for key in roles if key[1] in ("silicon", "estimator")} == {1}
    assert files_of("silicon").keys() == files_of("estimator").keys() == {hw.platform for hw in found}


def test_a_power_mode_sets_the_clocks_that_it_names() -> None:
    hw = load_hardware("lunarlake.yaml")
    for name, mode in hw.power.items():
        limited = machine_of("lunarlake.yaml", ["tiles=4"], name).hardware
        assert limited.clocks.dpu_mhz == mode.dpu_mhz
        assert limited.ddr.bandwidth_gbps == (mode.ddr_gbps or hw.ddr.bandwidth_gbps)
        assert limited.tiles == 4
    assert machine_of("lunarlake.yaml", ["clocks.dpu_mhz=1000"], "17w").hardware.clocks.dpu_mhz == 1000
    assert power_overrides(load_hardware("arrowlake-285h-2026.3.yaml"), "140w") == ()
    with pytest.raises(HardwareError, match=r"--power 18w: .* has no such power mode; it has 30w, 17w"):
        machine_of(hw, (), "18w")
    with pytest.raises(HardwareError, match="it has none"):
        power_overrides(load_hardware("meteorlake.yaml"), "17w")


def test_a_machines_file_is_of_one_machine() -> None:
    """No processor is claimed by two files, and machines keep what the compiler schedules for."""
    real = [name for name in shipped() if load_hardware(name).role in ("silicon", "machine")]
    claims = Counter(words for name in real for words in load_hardware(name).machines)
    assert set(claims.values()) == {1}
    for name in shipped():
        hw = load_hardware(name)
        if hw.role == "machine":
            assert lowering_key(hw) == lowering_key(load_hardware(file_of(hw.platform, "silicon")))
