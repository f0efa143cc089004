"""The committed calibrations are of the hardware files as they are."""

from __future__ import annotations

from typing import Any

import pytest

import npusim
from npusim.hints import compiled_for
from npusim.validation.accuracy import carried_calibrations


@pytest.mark.parametrize("document", carried_calibrations(), ids=lambda d: d["hardware"])
def test_a_calibration_started_from_the_shipped_values(document: dict[str, Any]) -> None:
    """Else the file was changed after its calibration was committed: run its command again."""
    hw = npusim.load_hardware(document["hardware"])
    for parameter in document["parameters"]:
        shipped: Any = hw
        for part in parameter["path"].split("."):
            shipped = getattr(shipped, part)
        assert shipped == parameter["base"]
        low, high = parameter["interval"]
        assert low <= shipped <= high


@pytest.mark.parametrize("document", carried_calibrations(), ids=lambda d: d["hardware"])
def test_a_calibration_predicted_what_is_predicted_now(document: dict[str, Any]) -> None:
    """MobileNet-v2 INT8 latency (no overlap): the device's latency and the host's overhead."""
    row = next(r for r in document["rows"] if r["model"] == "mobilenet-v2" and r["metric"] == "latency")
    hw = npusim.load_hardware(document["hardware"])
    graph = npusim.build_workload("mobilenet-v2-int8")
    device = compiled_for(hw, "latency")
    latency = npusim.simulate(npusim.lower(graph, device), device).latency_us
    assert row["base_us"] == pytest.approx(latency + hw.host.serial_us + hw.host.overhead_us, rel=0.001)
