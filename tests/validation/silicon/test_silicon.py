"""Measured rows and their scores. Predictions of all rows take minutes, so a few cheap ones stand for them here."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import openvino as ov
import pytest
from openvino import opset15 as op
from typer.testing import CliRunner

from npusim import workloads
from npusim.cli.app import app
from npusim.errors import UserError
from npusim.graph import from_openvino
from npusim.hardware import files_of, load_hardware
from npusim.source import ModelSource
from npusim.validation.measure.to_score import rows_of
from npusim.validation.schedules.references import open_reference
from npusim.validation.silicon.document import silicon_document
from npusim.validation.silicon.engines import layer_shares
from npusim.validation.silicon.measurements import Measurement, measurements, operator_shares
from npusim.validation.silicon.predict import file_for, predict, vendor_estimates
from npusim.validation.silicon.scores import (
    CASES,
    Scored,
    median_error,
    platform_speedups,
    precision_speedups,
    size_steps,
    vendor_median_error,
)


def rows(**wanted: object) -> list[Measurement]:
    return [row for row in measurements() if all(getattr(row, k) == v for k, v in wanted.items())]


def test_every_row_says_what_it_is() -> None:
    assert len(set(measurements())) == len(measurements()) > 150
    for row in measurements():
        assert row.measured_us > 0
        assert row.source
        assert row.shows
        assert row.grade in ("A", "B+", "B", "C")
        assert row.platform in files_of("silicon")
        assert row.use in ("score", "trend", "steps", "contradicts", "aside") or row.use.startswith("no: ")
        if row.use in ("score", "trend", "steps", "contradicts"):
            assert row.model_source.workload in workloads.names()


@pytest.mark.parametrize("workload", ["resnet-50", "mobilenet-v2", "bert-base", "yolov8n"])
def test_both_machines_were_measured_in_both_precisions(workload: str) -> None:
    for platform in ("3720", "4000"):
        found = {(row.precision, row.metric) for row in rows(workload=workload, platform=platform, grade="A")}
        assert found == {("FP16", "throughput"), ("INT8", "throughput"), ("INT8", "latency")}


def test_transcribed_figures() -> None:
    """As the guide to the measurements quotes them: 2073 FPS and 0.74 ms of ResNet-50 INT8 on a 288V."""
    found = {
        row.metric: row.measured_us for row in rows(workload="resnet-50", platform="4000", precision="INT8")
    }
    assert found == pytest.approx({"throughput": 1e6 / 2072.98, "latency": 740.0})


def test_operators_were_measured_up_to_8192_tokens() -> None:
    trend = rows(use="trend")
    assert len(trend) == 51
    assert {row.tokens for row in trend} == {128, 512, 1024, 2048, 4096, 8192}
    assert {one.workload for one in operator_shares()} == {row.workload for row in trend}
    assert all(one.dpu + one.dma + one.shave == pytest.approx(100, abs=0.2) for one in operator_shares())


def test_vendor_estimates_are_those_of_the_schedules() -> None:
    found = vendor_estimates()
    assert set(CASES.values()) <= {case for case, _, _ in found}
    truth = {(row.case, row.platform, row.tiles): row.truth["total_us"] for row in open_reference().rows}
    assert found["resnet50", "4000", 6] == truth["resnet50", "4000", 6] == pytest.approx(1436.665)


def test_cheap_rows_are_predicted_well() -> None:
    """MobileNet-v2 within 12 % (one row within 15), and nearer than the vendor's estimate where there is one."""
    found, _ = predict(rows(workload="mobilenet-v2", use="score"), workers=1)
    assert len(found) == 12
    *others, worst = sorted(abs(one.error) for one in found)
    assert others[-1] < 0.12
    assert worst < 0.15
    assert median_error(one for one in found if one.vendor_us) < vendor_median_error(found)
    document = silicon_document("silicon", found, [])
    promised = {
        "model",
        "platform",
        "precision",
        "metric",
        "grade",
        "measured_us",
        "predicted_us",
        "vendor_us",
        "source",
    }
    assert promised <= set(document["rows"][0])
    again, _ = predict([one.row for one in found], workers=1)
    assert json.dumps(document) == json.dumps(silicon_document("silicon", again, []))


def test_larger_networks_are_compared_with_the_smallest_of_their_family() -> None:
    """A constant that a harness adds to all does not matter; another release, machine or precision does."""
    steps = rows(use="steps", platform="4000")
    shifted = [Scored(row, row.measured_us - 5000.0, None) for row in steps]
    found = size_steps(shifted)
    assert len(found) == len(steps) // 5 * 4
    assert all(one.error == pytest.approx(0, abs=1e-9) for one in found)
    assert [one.measured for one in found if one.what.startswith("yolo11x")] == pytest.approx([35.58, 25.13])


@pytest.mark.parametrize(
    ("device", "file"),
    [
        ("Ultra 7 265K (Arrow Lake-S)", "arrowlake.yaml"),
        ("Ultra 7 256V (Lunar Lake)", "lunarlake-256v-2026.2.yaml"),
        ("Ultra 9 288V (Lunar Lake)", "lunarlake-288v-2024.5.yaml"),
        ("Ultra 7 258V (Lunar Lake)", "lunarlake-258v-2026.2.yaml"),
    ],
)
def test_a_machine_is_predicted_by_its_own_file(device: str, file: str) -> None:
    assert {file_for(row) for row in measurements() if row.device == device} == {file}


def test_one_lowering_serves_all_machines_of_a_platform(monkeypatch: pytest.MonkeyPatch) -> None:
    """Clocks, memory and host change when tasks run, not which."""
    from npusim import api

    lowered = []
    lower = api.lower
    monkeypatch.setattr(api, "lower", lambda *given: lowered.append(given) or lower(*given))
    row = rows(workload="mlp-4x512", batch=1)[0]
    machines = [replace(row, device=device) for device in ("256V", "288V", "another")]
    found, _ = predict([*machines, replace(row, device="288V", client="python")], workers=1)
    assert len(lowered) == 1
    times = [one.predicted_us for one in found]
    assert times[1] == times[2] != times[0]
    assert times[3] > times[1]


def test_speedups_compare_equal_rows_only() -> None:
    base = rows(workload="resnet-50", platform="3720", metric="throughput", precision="FP16")[0]
    int8 = replace(base, precision="INT8", measured_us=base.measured_us / 2)
    lunar = replace(base, platform="4000", device="another", measured_us=base.measured_us / 4)
    other = replace(int8, metric="latency")
    scored = [Scored(row, row.measured_us, None) for row in (base, int8, lunar, other)]
    assert [one.measured for one in precision_speedups(scored)] == [2.0]
    assert [one.measured for one in platform_speedups(scored)] == [4.0]
    assert all(one.error == 0 for one in (*precision_speedups(scored), *platform_speedups(scored)))


def test_shares_of_layers_add_up() -> None:
    from npusim import api

    hw = load_hardware("meteorlake.yaml")
    x, y = op.parameter([256, 64], np.float16), op.parameter([256, 64], np.float16)
    weight = op.constant(np.ones((64, 64), np.float16))
    for first, moves in ((op.concat([x, y], 0), True), (op.add(x, y), False)):  # a Concat computes nothing
        graph = from_openvino(ov.Model([op.matmul(first, weight, False, False)], [x, y], "two"))
        shares = layer_shares(api.simulate(api.lower(graph, hw), hw))
        assert sum(shares.values()) == pytest.approx(100)
        assert (shares["dma"] > 0) == moves
        assert shares["dpu"] > 0


def test_toeplitz_attention_is_the_ops_that_the_paper_counts() -> None:
    """Seven on the DPU, three that move data, none on SHAVE (arXiv 2509.25155, section III-D)."""
    ops = [one.type for one in ModelSource("toeplitz-attention", tokens=512).graph().ops]
    assert sum(one in ("MatMul", "Convolution") for one in ops) == 7
    assert set(ops) <= {"MatMul", "Convolution", "Reshape", "Convert", "Parameter", "Result", "Constant"}


def test_the_command_scores_a_users_table(tmp_path: Path) -> None:
    table = tmp_path / "mine.csv"
    table.write_text("model,metric,measured_us,platform\nmobilenet-v2,throughput,327.2,4000\n")
    slow = tmp_path / "slow.yaml"
    serial_us = load_hardware("lunarlake.yaml").host.serial_us + 1000
    slow.write_text(f"extends: lunarlake.yaml\nhost: {{serial_us: {serial_us}}}\n")
    plain, slower = (
        json.loads(CliRunner().invoke(app, ["validate", "--against", str(table), "--json", *more]).stdout)
        for more in ([], ["--hw", str(slow)])
    )
    assert plain["rows"][0]["vendor_us"] == pytest.approx(303.659)
    assert slower["rows"][0]["predicted_us"] == pytest.approx(plain["rows"][0]["predicted_us"] + 1000)
    shown = CliRunner().invoke(app, ["validate", "--against", str(table)]).stdout
    assert "median error over 1 scored rows" in shown


def test_a_row_of_an_unknown_generation_asks_for_its_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    table = tmp_path / "mine.csv"
    table.write_text("model,metric,measured_us,platform\nmobilenet-v2,latency,1000,6000\n")
    monkeypatch.chdir(tmp_path)
    command = ["validate", "--against", str(table), "--json"]
    with pytest.raises(UserError, match=r"no hardware file for platform 6000; .*role: silicon"):
        CliRunner().invoke(app, command, catch_exceptions=False)
    nova = tmp_path / "nova.yaml"
    nova.write_text('extends: pantherlake.yaml\nplatform: "6000"\nrole: machine\n')
    given = CliRunner().invoke(app, [*command, "--hw", str(nova)]).stdout
    nova.write_text('extends: pantherlake.yaml\nplatform: "6000"\n')
    found = CliRunner().invoke(app, command).stdout
    assert json.loads(given) == json.loads(found)


@pytest.mark.parametrize(("name", "precision"), [("bert-base-int4", "INT4"), ("mobilenet-v2-fp8", "FP8"),
                                                 ("mobilenet-v2-int8", "INT8"), ("mobilenet-v2", "FP16")])  # fmt: skip
def test_a_row_has_the_precision_of_its_model(name: str, precision: str, tmp_path: Path) -> None:
    table = tmp_path / "mine.csv"
    table.write_text(f"model,metric,measured_us,platform\n{name},latency,1000,5010\n")
    [row] = rows_of(str(table), None)
    assert row.precision == precision
    published = replace(row, given=None, workload=name.removesuffix(f"-{precision.lower()}"))
    assert published.model_source.name == name


def test_what_cannot_be_scored_is_refused() -> None:
    with pytest.raises(UserError, match="--platform 6000: no such row in silicon; there is 3720, 4000, 5010"):
        rows_of("silicon", "6000")
    with pytest.raises(UserError, match="--against silicon and --tiles contradict"):
        CliRunner().invoke(app, ["validate", "--against", "silicon", "--tiles", "2"], catch_exceptions=False)
    with pytest.raises(UserError, match="--against vendor and --hw contradict"):
        CliRunner().invoke(app, ["validate", "--hw", "lunarlake.yaml"], catch_exceptions=False)


def test_a_page_of_one_platform_is_written(tmp_path: Path) -> None:
    page = tmp_path / "accuracy.md"
    asked = ["validate", "--against", "silicon", "--platform", "5010", "--markdown", str(page)]
    done = CliRunner().invoke(app, asked, catch_exceptions=False)
    assert done.exit_code == 0
    assert "--platform 5010" in page.read_text()
