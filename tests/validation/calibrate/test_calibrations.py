"""The committed calibrations are of the hardware files as they are."""

from __future__ import annotations

from typing import Any

import pytest

import npusim
from npusim.hints import seen
from npusim.validation.silicon.left_out import carried_calibrations, taken
from npusim.validation.silicon.measurements import Measurement, measurements

#: What the hardware files rest on; a trial that was not taken is of the day it was tried.
TAKEN = [document for document in carried_calibrations() if taken(document)]


@pytest.mark.parametrize("document", TAKEN, ids=lambda d: d["hardware"])
def test_a_calibration_started_from_the_shipped_values(document: dict[str, Any]) -> None:
    """Else the file was changed after its calibration was committed: run its command again."""
    hw = npusim.load_hardware(document["hardware"])
    paths = [
        (path, parameter) for parameter in document["parameters"] for path in parameter["path"].split(",")
    ]
    for path, parameter in paths:
        shipped: Any = hw
        for part in path.split("."):
            shipped = shipped[part] if isinstance(shipped, dict) else getattr(shipped, part)
        assert shipped == parameter["base"]
        low, high = parameter["interval"]
        assert low <= shipped <= high


@pytest.mark.parametrize("document", TAKEN, ids=lambda d: d["hardware"])
def test_a_calibration_predicted_what_is_predicted_now(document: dict[str, Any]) -> None:
    """Its shortest call (no overlap): the device's latency, the host's overhead and the client, to one percent, which
    is far below its residuals; lowering moves on between calibrations (``python -m benchmarks.calibrations``)."""
    row = min(
        (one for one in document["rows"] if one["metric"] == "latency"), key=lambda one: one["measured_us"]
    )
    measured = next(
        one for one in of(document) if (one.workload, one.measured_us) == (row["model"], row["measured_us"])
    )
    hw = npusim.load_hardware(document["hardware"])
    now = seen(measured.model_source.graph(), hw, measured.metric, client=measured.client)
    assert row["base_us"] == pytest.approx(now.us, rel=0.01)


@pytest.mark.parametrize("document", TAKEN, ids=lambda d: d["hardware"])
def test_a_calibration_is_of_all_rows_of_its_grade(document: dict[str, Any]) -> None:
    """Of the machines and networks that it names, as they are in the table now."""
    calibrated = [(row["model"], row["metric"], row["measured_us"]) for row in document["rows"]]
    table = [(row.workload, row.metric, row.measured_us) for row in of(document)]
    networks = {network for network, _, _ in calibrated}
    assert sorted(calibrated) == sorted(row for row in table if row[0] in networks)


def of(document: dict[str, Any]) -> list[Measurement]:
    """The rows that a calibration could have been fitted to."""
    hw = npusim.load_hardware(document["hardware"])
    grade = "B" if "--grade B" in document["command"] else "A"
    return [
        row
        for row in measurements()
        if row.platform == hw.platform
        and row.use == "score"
        and row.grade == grade
        and (not hw.machines or row.on(hw.machines))
    ]
