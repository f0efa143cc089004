"""Calibration against synthetic measurements: what is known comes back, what no row tells is said to be unknown."""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Sequence
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from zipfile import ZipFile

import numpy as np
import pytest

from npusim.errors import UserError
from npusim.hardware import load_hardware
from npusim.hints import prepare
from npusim.source import ModelSource
from npusim.validation.calibrate.bench import Bench, Case
from npusim.validation.calibrate.fit import calibrate
from npusim.validation.calibrate.parameters import Space, parse_free
from npusim.validation.measure.file import (
    DeviceFacts,
    MeasurementFile,
    ModelFacts,
    RunFacts,
    measurement_text,
)
from npusim.validation.measure.rows import read_measured
from npusim.validation.schedules.references import DATA, Reference, select
from tests.validation.conftest import Done

Npusim = Callable[..., Done]
#: Bound by MACs, by DDR, by SHAVE kernels, and by little at all.
MODELS = ("chain_4matmul_swish", "bmm_b1_m256_k256_n6144", "softmax_1x1x256x768", "abs_s", "add_m")
FREE = ("ddr.bandwidth_gbps=40:120", "clocks.dpu_mhz=900:1950", "host.overhead_us=0:300")
TRUTH = (63.0, 1400.0, 80.0)


def space(*free: str) -> Space:
    return Space("lunarlake.yaml", parse_free(free))


def cases(packaged: Reference, overrides: Sequence[str], models: Sequence[str] = MODELS) -> list[Case]:
    """What npusim itself says of some models with known values, as if it had been measured."""
    hw = load_hardware("lunarlake.yaml", overrides)
    found = []
    for model in models:
        graph = packaged.graph(select(packaged, case=model)[0])
        us = prepare(graph, hw, "latency").seen([hw], allow_guess=True)[0].us
        found.append(Case(model, model, "latency", us, graph))
    return found


@pytest.fixture(scope="module")
def synthetic(packaged: Reference) -> list[Case]:
    paths = [text.partition("=")[0] for text in FREE]
    return cases(packaged, [f"{path}={value}" for path, value in zip(paths, TRUTH, strict=True)])


def test_known_values_come_back(synthetic: list[Case]) -> None:
    """And a value that no row depends on is called flat, and left as it was."""
    found = calibrate(space(*FREE, "energy.mac_int8_pj=0.1:1"), synthetic)
    *fitted, flat = found.parameters
    assert [one.value for one in fitted] == pytest.approx(TRUTH, rel=0.01)
    for one, truth in zip(fitted, TRUTH, strict=True):
        assert one.verdict == "identified"
        assert one.interval is not None
        assert one.interval[0] * 0.99 <= truth <= one.interval[1] * 1.01
    assert (flat.verdict, flat.value, flat.interval) == ("flat", flat.base, None)
    assert flat.moves == 0
    assert found.median("fitted_us") < 0.001 < found.median("base_us")
    assert all(one.left_out_us is not None for one in found.cases)
    assert found.settled
    squares = [math.log(one.base_us / one.case.measured_us) ** 2 for one in found.cases]
    assert found.minimised("base_us") == pytest.approx(sum(squares))
    assert found.minimised("fitted_us") < 1e-4 < found.minimised("base_us")
    counted = [replace(found, loss=loss).minimised("base_us") for loss in ("linear", "soft_l1", "cauchy")]
    assert counted == sorted(counted, reverse=True)


def test_values_that_stand_for_one_another_are_not_identified(packaged: Reference) -> None:
    """Two overheads that only ever appear as a sum: the fit is good, and neither is known."""
    rows = cases(packaged, ["host.overhead_us=200"], ["abs_s", "add_m", "softmax_1x1x256x768"])
    found = calibrate(space("host.overhead_us=1:400"), rows, leave_out=False)
    assert found.parameters[0].verdict == "identified"
    one = space("host.overhead_us=1:400", "ddr.latency_ns=1:1000")
    twice = calibrate(one, rows[:1], leave_out=False)
    assert twice.median("fitted_us") < 0.001
    assert {two.verdict for two in twice.parameters} == {"not identified"}
    assert all(two.interval is None for two in twice.parameters)


def test_paths_that_share_a_value_are_one_parameter(packaged: Reference) -> None:
    """Two overheads that only ever appear as a sum are known where they are the same: 60 each of 120 µs."""
    rows = cases(packaged, ["host.overhead_us=120", "host.serial_us=0"], ["abs_s", "add_m"])
    both = space("host.overhead_us,host.serial_us=1:400")
    (one,) = calibrate(both, rows, leave_out=False).parameters
    assert one.verdict == "identified"
    assert one.value == pytest.approx(60, rel=0.01)
    hw = both.hardware(np.array([0.5]))
    assert hw.host.overhead_us == hw.host.serial_us == pytest.approx(20)
    with pytest.raises(UserError, match=r"'host.serial_us' is given twice"):
        space("host.overhead_us,host.serial_us=1:400", "host.serial_us=1:9")


def test_a_value_at_its_bound_says_so(packaged: Reference) -> None:
    rows = cases(packaged, ["host.overhead_us=500"], ["abs_s", "add_m", "softmax_1x1x256x768"])
    (one,) = calibrate(space("host.overhead_us=10:200"), rows, leave_out=False).parameters
    assert one.verdict == "at its bound"
    assert one.value == pytest.approx(200, rel=0.01)


def test_noise_widens_the_interval(synthetic: list[Case]) -> None:
    """The same noise four times as strong leaves four times as much unknown, or as much as the bounds allow."""
    noise = np.random.default_rng(1).normal(0, 1, len(synthetic))
    found = []
    for spread in (0.002, 0.008):
        noisy = [
            Case(one.label, one.model, one.metric, one.measured_us * float(np.exp(spread * by)), one.graph)
            for one, by in zip(synthetic, noise, strict=True)
        ]
        found.append(calibrate(space(*FREE), noisy, leave_out=False).parameters)
    for quiet, loud, truth in zip(*found, TRUTH, strict=True):
        assert quiet.interval and loud.interval
        assert quiet.interval[0] <= truth <= quiet.interval[1]
        widths = [math.log(one.interval[1] / one.interval[0]) for one in (quiet, loud) if one.interval]
        assert widths[1] > 2 * widths[0]


def test_fixed_programs_are_priced_as_new_ones(synthetic: list[Case]) -> None:
    """Values of time leave lowering as it is, so a Program lowered once is good for all of them."""
    one = space(*FREE)
    bench = Bench.lowered(one, synthetic, one.base)
    for point in (np.array([0.1, 0.9, 0.5]), np.array([0.8, 0.2, 0.0])):
        hw = one.hardware(point)
        again = Bench.lowered(one, synthetic, hw)
        assert again.same_as(bench)
        assert np.array_equal(bench.predict([hw]), again.predict([hw]))


def measured_file(
    path: Path, model: Path, latency_us: float, architecture: str = "4000", device: str = "NPU"
) -> Path:
    """A file of npusim measure with one latency."""
    run = RunFacts(
        hint="latency", requests=1, warmup=1, runs=9, median_us=latency_us, p5_us=latency_us, p95_us=latency_us,
        iqr_us=0, mean_us=latency_us, per_inference_us=latency_us,
    )  # fmt: skip
    found = MeasurementFile(
        schema="npusim.measurement/1",
        created=datetime(2026, 1, 1, tzinfo=UTC),
        npusim="0",
        model=ModelFacts(name=model.stem, file=str(model)),
        device=DeviceFacts(name=device, architecture=architecture),
        runs=[run],
    )
    path.write_text(measurement_text(found, path.suffix == ".json"))
    return path


@pytest.fixture
def files(tmp_path: Path) -> list[Path]:
    """Measurements of three models with ddr.bandwidth_gbps = 60 and host.overhead_us = 90."""
    hw = load_hardware("lunarlake.yaml", ["ddr.bandwidth_gbps=60", "host.overhead_us=90"])
    found = []
    with ZipFile(DATA / "vendor_schedules" / "models.zip") as models:
        for name, suffix in (("bmm_b1_m256_k256_n6144", "yaml"), ("abs_s", "json"), ("add_m", "yaml")):
            for ending in ("xml", "bin"):
                models.extract(f"models/micro/{name}.{ending}", tmp_path)
            model = tmp_path / "models" / "micro" / f"{name}.xml"
            us = prepare(ModelSource(file=model).graph(), hw, "latency").seen([hw], allow_guess=True)[0].us
            found.append(measured_file(tmp_path / f"{name}.{suffix}", model, us))
    return found


def test_the_overlay_is_a_hardware_file(npusim: Npusim, files: list[Path], tmp_path: Path) -> None:
    out = tmp_path / "mine.yaml"
    against = [word for path in files for word in ("--against", path)]
    free = [
        "--free",
        "ddr.bandwidth_gbps=30:120",
        "--free",
        "host.overhead_us=0:300",
        "--free",
        "energy.static_mw=1:9",
    ]
    done = npusim("calibrate", "--hw", "lunarlake", *against, *free, "-o", out)
    assert (done.code, done.err) == (0, "")
    hw = load_hardware(out)
    assert hw.ddr.bandwidth_gbps == pytest.approx(60, rel=0.02)
    assert hw.host.overhead_us == pytest.approx(90, rel=0.02)
    base = load_hardware("lunarlake.yaml")
    assert hw.energy == base.energy
    assert hw.software == base.software
    text = out.read_text()
    for path in files:
        assert path.name in text
    assert "flat: no row depends on it" in text
    assert "left out" in text
    assert "Minimised, the sum of squares of log(predicted / measured)" in text
    printed = npusim("calibrate", "--hw", "lunarlake", *against, *free, "-o", out, "--json")
    assert out.read_text() == text
    document = json.loads(printed.out)
    assert document["schema"] == "npusim.calibrate/1"
    assert [row["error"] for row in document["rows"]] == pytest.approx([0, 0, 0], abs=0.002)
    assert [one["verdict"] for one in document["parameters"]][2] == "flat"


def test_mistakes_cost_one_line(npusim: Npusim, files: list[Path], tmp_path: Path) -> None:
    other = measured_file(tmp_path / "mtl.yaml", tmp_path / "absent.xml", 10.0, architecture="3720")
    gone = measured_file(tmp_path / "gone.yaml", tmp_path / "absent.xml", 10.0)
    free, out = ["--free", "ddr.bandwidth_gbps=30:120"], tmp_path / "mine.yaml"
    wrong = {
        "where to?": [files[0], *free],
        "must end in .yaml": [files[0], *free, "-o", tmp_path / "mine.json"],
        "PATH=LOW:HIGH": [files[0], "--free", "ddr.bandwidth_gbps=30", "-o", out],
        "the upper one above the lower": [files[0], "--free", "ddr.bandwidth_gbps=30:20", "-o", out],
        "given twice": [files[0], *free, *free, "-o", out],
        "there is no 'bandwith' in ddr": [files[0], "--free", "ddr.bandwith=1:2", "-o", out],
        "whole number": [files[0], "--free", "tiles=1:6", "-o", out],
        "must be": [files[0], "--free", "software.name=1:6", "-o", out],
        "measured on platform 3720": [other, *free, "-o", out],
        "no such model file": [gone, *free, "-o", out],
        "cannot be read": [tmp_path / "none.yaml", *free, "-o", out],
        "no row is of 'net'; there are bmm": [files[0], *free, "--only", "net", "-o", out],
        "put it into a hardware file": [files[0], *free, "--set", "tiles=4", "-o", out],
    }  # fmt: skip
    for words, arguments in wrong.items():
        done = npusim("calibrate", "--hw", "lunarlake", "--against", *arguments)
        assert (done.code, done.out, done.err.count("\n")) == (2, "", 1), words
        assert words in done.err
        assert not out.exists()


def test_reports_of_benchmark_app_are_measurements(tmp_path: Path) -> None:
    """Real reports: in one, four inferences ran one after the other, in the others two at a time."""
    reports = Path(__file__).parents[1] / "data" / "benchmark_app"
    (alone,), (apart,) = read_measured(reports / "report.csv"), read_measured(reports / "report.json")
    assert alone.us == {"latency": 21320.0}
    assert apart.us == {"throughput": pytest.approx(1e6 / 52.07)}
    assert (alone.device, apart.device) == ("CPU", "CPU")
    assert alone.model == "m"
    document = json.loads((reports / "report.json").read_text())
    document["cmd_options"]["-shape"] = "x[1,256,768],y[2]"
    changed = tmp_path / "report.json"
    changed.write_text(json.dumps(document))
    assert read_measured(changed)[0].source.shapes == {"x": [1, 256, 768], "y": [2]}
    del document["execution_results"]["throughput"]
    changed.write_text(json.dumps(document))
    with pytest.raises(UserError, match="'throughput' must be a number"):
        read_measured(changed)


def test_tables_of_rows_are_measurements(tmp_path: Path) -> None:
    table = tmp_path / "rows.csv"
    table.write_text(
        "model,metric,measured_us,tokens\nnets/a.xml,latency,12.5,\nmamba2-1.3b,throughput,900,64\n"
    )
    first, second = read_measured(table)
    assert (first.source.file, first.us) == (tmp_path / "nets" / "a.xml", {"latency": 12.5})
    assert (second.source.name, second.source.tokens, second.us) == ("mamba2-1.3b", 64, {"throughput": 900.0})
    wrong = {
        "model,metric\n": "no column 'measured_us'",
        "model,metric,measured_us\na.xml,speed,1\n": "line 2: metric must be",
        "model,metric,measured_us\na.xml,latency,\n": "line 2: 'measured_us' must be a number",
        "model,metric,measured_us,tokens\nmamba2-130m,latency,1,x\n": "line 2: tokens must be",
    }
    for text, words in wrong.items():
        table.write_text(text)
        with pytest.raises(UserError, match=words):
            read_measured(table)


def test_files_are_scored_as_the_published_rows_are(
    npusim: Npusim, files: list[Path], tmp_path: Path
) -> None:
    """What npusim would have measured with other values is off by what it says with its own."""
    page = tmp_path / "accuracy.md"
    done = npusim("validate", "--against", files[0], "--json", "--markdown", page)
    assert (done.code, done.err) == (0, "")
    (row,) = json.loads(done.out)["rows"]
    assert (row["platform"], row["metric"], row["source"]) == ("4000", "latency", str(files[0]))
    assert row["precision"] == "FP16"
    own = load_hardware("lunarlake.yaml")
    assert read_measured(files[0])[0].us == {"latency": row["measured_us"]}
    predicted = prepare(read_measured(files[0])[0].source.graph(), own, "latency").seen([own], True)[0].us
    assert row["predicted_us"] == pytest.approx(predicted, abs=0.001)
    assert f"{row['error']:+.1%}" in page.read_text()
    assert "## Single tasks" not in page.read_text()
