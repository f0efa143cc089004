"""Measuring on a real device: the CPU takes the NPU's place, and what is written is read back as it was."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import openvino as ov
import pytest
import yaml

from npusim.errors import UserError
from npusim.validation.measure.device import device_facts
from npusim.validation.measure.file import measurement_text, model_source, parse_measurement, read_measurement
from npusim.validation.measure.machine import memory_speed
from npusim.validation.measure.submit import submission
from npusim.validation.silicon.measurements import PACKAGED
from npusim.validation.traces.profile import read_profile
from tests.validation.conftest import Done

Npusim = Callable[..., Done]


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A small model with inputs of both kinds, and one op that the CPU fuses into another."""
    ids = ov.opset13.parameter([1, 8], np.int64, name="ids")
    x = ov.opset13.parameter([1, 8, 16], np.float32, name="x")
    table = ov.opset13.constant([[float(row)] * 16 for row in range(2)], np.float32)
    total = ov.opset13.add(ov.opset13.gather(table, ids, ov.opset13.constant(0, np.int64)), x, name="total")
    weights = ov.opset13.constant([[0.1] * 16] * 16, np.float32)
    product = ov.opset13.matmul(total, weights, False, False, name="product")
    for node, name in ((ids, "ids"), (x, "x")):
        node.output(0).set_names({name})
    path = tmp_path_factory.mktemp("model") / "small.xml"
    ov.save_model(ov.Model([ov.opset13.relu(product, name="bend")], [ids, x]), path, compress_to_fp16=False)
    return path


@pytest.fixture(scope="module")
def measured(model: Path) -> Path:
    """A measurement of it."""
    from npusim.cli.main import main

    path = model.parent / "measured" / "small.yaml"
    path.parent.mkdir()
    arguments = ["measure", str(model), "--device", "CPU", "--warmup", "1", "--runs", "6", "-o", str(path)]
    with pytest.raises(SystemExit) as exit_:
        main(arguments)
    assert not exit_.value.code
    return path


def test_what_is_measured(measured: Path, model: Path) -> None:
    found = read_measurement(measured)
    assert found.device.name == "CPU"
    assert found.device.openvino == ov.get_version()
    assert found.device.full_name == ov.Core().get_property("CPU", "FULL_DEVICE_NAME")
    assert [run.hint for run in found.runs] == ["latency", "throughput"]
    for run in found.runs:
        assert (run.runs, run.warmup) == (6, 1)
        assert run.p5_us <= run.median_us <= run.p95_us
        assert run.iqr_us <= run.p95_us - run.p5_us
    latency, throughput = found.runs
    assert latency.per_inference_us == pytest.approx(latency.mean_us)
    assert throughput.requests >= 1
    assert throughput.measured_us == throughput.per_inference_us
    assert found.model.inputs == {"ids": "1x8 i64", "x": "1x8x16 f32"}
    assert (measured.parent / str(found.model.file)).samefile(model)
    assert model_source(found, measured.parent).graph().inputs
    layer = next(layer for layer in found.layers if layer.name == "product")
    assert "bend" in layer.fused
    assert all(layer.real_us >= 0 for layer in found.layers)


def test_yaml_and_json_say_the_same(measured: Path) -> None:
    found = read_measurement(measured)
    for as_json in (True, False):
        text = measurement_text(found, as_json)
        assert parse_measurement(text, "again") == found
        assert yaml.safe_load(text)["schema"] == "npusim.measurement/1"


def test_its_layers_are_a_profile(measured: Path) -> None:
    found, profile = read_measurement(measured), read_profile(measured)
    assert profile.latency_us == found.runs[0].median_us
    assert [(op.name, op.span_us) for op in profile.ops] == [(one.name, one.real_us) for one in found.layers]


@pytest.mark.skipif("NPU" in ov.Core().available_devices, reason="there is an NPU here")
def test_without_an_npu_one_line_says_how_to_get_one(npusim: Npusim, model: Path, tmp_path: Path) -> None:
    out = tmp_path / "measured.yaml"
    done = npusim("measure", model, "-o", out)
    assert (done.code, done.out, done.err.count("\n")) == (2, "", 1)
    for word in ("no NPU", "driver", "--device CPU"):
        assert word in done.err
    assert not out.exists()


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (["-o", "a.txt"], "must end in .yaml or .json"),
        ([], "where to?"),
        (["-o", "a.yaml", "--hint", "speed"], "'speed' is not known"),
        (["-o", "a.yaml", "--hint", ","], "nothing is named"),
        (["-o", "a.yaml", "--device", "TPU"], "there is no TPU"),
        (["-o", "a.yaml", "--workload", "mamba2-130m"], "--workload"),
        (["-o", "absent/a.yaml", "--device", "CPU", "--runs", "1"], "cannot write absent"),
    ],
)
def test_mistakes(npusim: Npusim, model: Path, options: list[str], words: str) -> None:
    done = npusim("measure", model, *options)
    assert (done.code, done.out, done.err.count("\n")) == (2, "", 1)
    assert words in done.err


def test_dynamic_shapes_are_told(npusim: Npusim, tmp_path: Path) -> None:
    x = ov.opset13.parameter([-1, 16], np.float32, name="x")
    x.output(0).set_names({"x"})
    ov.save_model(ov.Model([ov.opset13.relu(x)], [x]), tmp_path / "open.xml")
    refused = npusim("measure", tmp_path / "open.xml", "--device", "CPU", "--json")
    assert (refused.code, refused.err.count("\n")) == (2, 1)
    assert "--shape x=[1,256]" in refused.err
    options = ("--shape", "x=[2,16]", "--runs", "2", "--warmup", "0", "--hint", "latency")
    done = npusim("measure", tmp_path / "open.xml", "--device", "CPU", "--json", *options)
    document = json.loads(done.out)
    assert document["model"]["shapes"] == {"x": [2, 16]}
    assert document["model"]["inputs"] == {"x": "2x16 f32"}


def change(document: dict[str, Any], **changes: object) -> str:
    return json.dumps({**document, **changes})


def test_files_are_checked(measured: Path) -> None:
    document = yaml.safe_load(measured.read_text())
    document["created"] = str(document["created"])
    run = document["runs"][0]
    wrong = {
        change(document, extra=1): "odd.json: extra: Extra inputs are not permitted",
        change(document, runs=[]): "odd.json: runs: ",
        change(document, runs=[{**run, "median_us": -1}]): "odd.json: runs.0.median_us: ",
        change(document, schema="npusim.measurement/9"): "odd.json: schema: ",
        change(document, schema="other"): "no 'schema: npusim.measurement/1'",
        "{": "is not a measurement",
        "a: [": "is not a measurement",
        "3": "no 'schema",
    }
    for text, words in wrong.items():
        with pytest.raises(UserError) as caught:
            parse_measurement(text, "odd.json")
        assert words in str(caught.value)
        assert "\n" not in str(caught.value)


class _Npu:
    """What a Lunar Lake tells (DEVICE_GOPS of a 258V: 46694.4 for INT8)."""

    def get_property(self, device: str, name: str) -> object:
        assert device == "NPU"
        told = {
            "FULL_DEVICE_NAME": "Intel(R) AI Boost",
            "DEVICE_ARCHITECTURE": "4000",
            "NPU_MAX_TILES": 6,
            "NPU_DRIVER_VERSION": 1752233225,
            "DEVICE_GOPS": {ov.Type.i8: 46694.4, ov.Type.f16: 23347.2, ov.Type.f32: 0.0},
        }
        if name not in told:
            raise RuntimeError(f"unsupported {name}")
        return told[name]


def test_an_npu_tells_its_clock() -> None:
    facts = device_facts(_Npu(), "NPU")
    assert facts.clock_mhz == 1900.0
    assert (facts.architecture, facts.driver) == ("4000", "1752233225")


def memory_device(speed: int, kind: int = 17) -> bytes:
    """One structure of an SMBIOS table: its length, its configured speed at 0x20, and a string behind it."""
    body = bytes([kind, 0x28, 0, 0]) + bytes(0x1C) + speed.to_bytes(2, "little") + bytes(6)
    return body + b"DIMM A\0\0"


def test_the_speed_of_memory_is_the_first_device_that_has_one() -> None:
    assert memory_speed(memory_device(0, kind=4) + memory_device(0) + memory_device(8533)) == 8533
    assert memory_speed(b"") is None
    assert memory_speed(memory_device(0)) is None
    assert memory_speed(memory_device(7467)[:10]) is None


def test_a_submission_is_rows_of_the_projects_table(measured: Path) -> None:
    """Its header is the table's, and what the file says stands where the table has it."""
    found = read_measurement(measured)
    rows = list(csv.DictReader(io.StringIO(submission(found))))
    table = (PACKAGED / "measured.csv").read_text(encoding="utf-8").splitlines()[0]
    assert ",".join(rows[0]) == table
    assert [row["metric"] for row in rows] == ["latency", "throughput"]
    times = [run.measured_us for run in found.runs]
    assert [float(row["measured_us"]) for row in rows] == pytest.approx(times, rel=1e-5)
    assert {row["openvino"] for row in rows} == {ov.get_version().partition("-")[0]}
    assert {row["client"] for row in rows} == {"benchmark_app"}


def test_a_file_says_what_is_around_the_device(measured: Path) -> None:
    found = read_measurement(measured)
    assert found.machine.processor == str(ov.Core().get_property("CPU", "FULL_DEVICE_NAME")).strip()
    assert found.machine.clocks_mhz == []
