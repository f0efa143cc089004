"""The committed calibrations are of the hardware files as they are."""

from __future__ import annotations

from typing import Any

import pytest

import npusim
from npusim.hints import compiled_for
from npusim.validation.silicon.measurements import measurements
from npusim.validation.silicon.page import carried_calibrations


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


@pytest.mark.parametrize("document", carried_calibrations(), ids=lambda d: d["hardware"])
def test_a_calibration_is_of_all_rows_of_grade_a(document: dict[str, Any]) -> None:
    """Of the networks that it names, as they are in the table now."""
    platform = npusim.load_hardware(document["hardware"]).platform
    calibrated = [(row["model"], row["metric"], row["measured_us"]) for row in document["rows"]]
    table = [
        (row.workload, row.metric, row.measured_us)
        for row in measurements()
        if row.platform == platform and row.use == "score" and row.grade == "A"
    ]
    networks = {network for network, _, _ in calibrated}
    assert sorted(calibrated) == sorted(row for row in table if row[0] in networks)
