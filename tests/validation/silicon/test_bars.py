"""What the files of measured machines are held to, on the rows that are cheap to predict."""

from __future__ import annotations

import csv

import pytest

import npusim
from npusim.validation.silicon.measurements import PACKAGED, Measurement, measurements
from npusim.validation.silicon.predict import predict
from npusim.validation.silicon.scores import median_error

#: A whole call shorter than this is mostly host and driver, µs.
TINY_US = 300.0


def rows(kind: str) -> list[Measurement]:
    return [row for row in measurements() if row.use == "score" and row.kind == kind and row.batch == 1]


@pytest.mark.parametrize("kind", ["mlp", "ssm-step"])
def test_mlps_and_recurrences_of_one_row_are_within_ten_percent(kind: str) -> None:
    """The median of those on Lunar Lake."""
    found, _ = predict([row for row in rows(kind) if row.platform == "4000"], workers=1)
    assert len(found) >= 5
    assert median_error(found) <= 0.10


def test_calls_of_tiny_nets_are_within_fifteen_percent() -> None:
    """All of them, on whatever machine."""
    short = [row for kind in ("tiny", "mlp", "tcn") for row in rows(kind) if row.measured_us <= TINY_US]
    found, _ = predict(short, workers=1)
    assert len(found) >= 5
    assert max(abs(one.error) for one in found) <= 0.15


def test_the_package_of_a_256v_draws_what_was_measured() -> None:
    """Within a fifth of a differential reading of its meter; the NPU's own share is named apart and smaller."""
    with (PACKAGED / "others.csv").open(encoding="utf-8", newline="") as file:
        (measured_mj,) = (
            float(row["value"]) for row in csv.DictReader(file)
            if row["metric"] == "energy_per_inference" and row["unit"] == "mJ"
        )  # fmt: skip
    run = npusim.run(
        "bert-base-int8-weights", "lunarlake-256v-2026.2.yaml", tokens=64, client="python", allow_guess=True
    )
    energy = run.subject.package_energy(run.result)
    assert energy is not None
    assert energy.package_uj / 1e3 == pytest.approx(measured_mj, rel=0.20)
    assert 0 < energy.npu_uj < energy.package_uj / 2
