"""Two profiles side by side: residuals add up to the gap, pairing survives new numbers, mistakes cost one line."""

from __future__ import annotations

import csv
import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from npusim.report.write import write_report
from npusim.validation.schedules.predict import simulate_row
from npusim.validation.schedules.references import Reference, select
from npusim.validation.traces.compare import compare_profiles
from npusim.validation.traces.profile import profile_of, read_profile
from npusim.validation.traces.types import OpProfile, OpTime
from tests.validation.conftest import Done

Npusim = Callable[..., Done]
REPORTS = Path(__file__).parents[1] / "data" / "benchmark_app"


@pytest.fixture(scope="module")
def sim(packaged: Reference, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of a run of a reference model."""
    row = select(packaged, case="chain_attention", platform="4000")[0]
    result = simulate_row(packaged.graph(row), row)
    return write_report(result, tmp_path_factory.mktemp("sim") / "out", html=False)


@pytest.fixture(scope="module")
def schedule(packaged: Reference, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The vendor's schedule of the same model."""
    row = select(packaged, case="chain_attention", platform="4000")[0]
    path = tmp_path_factory.mktemp("vendor") / "schedule.json.gz"
    path.write_bytes(packaged.schedule(row))
    return path


def test_a_profile_equals_itself(sim: Path) -> None:
    profile = read_profile(sim / "run.json")
    found = compare_profiles(profile, profile)
    assert len(found.matched) == len(found.pairs) == len(profile.ops)
    assert all(pair.delta_us == 0 for pair in found.pairs)


def test_residuals_add_up_to_the_gap(sim: Path, schedule: Path) -> None:
    """Shares of the latency are compared, so what the rows differ by is what the latencies differ by."""
    ours, theirs = read_profile(sim / "trace.json"), read_profile(schedule)
    found = compare_profiles(ours, theirs)
    assert found.measure == "exposed"
    assert ours.latency_us and theirs.latency_us
    assert sum(pair.delta_us for pair in found.pairs) == pytest.approx(ours.latency_us - theirs.latency_us)
    gaps = [abs(pair.delta_us) for pair in found.pairs]
    assert gaps == sorted(gaps, reverse=True)
    assert {name for pair in found.pairs if pair.left for name in pair.left.ops} >= {
        op.name for op in ours.ops
    }
    assert all(pair.left for pair in found.pairs if pair.right)


def test_sides_may_be_swapped(sim: Path, schedule: Path) -> None:
    ours, theirs = read_profile(sim / "run.json"), read_profile(schedule)
    there, back = compare_profiles(ours, theirs), compare_profiles(theirs, ours)
    assert sorted(pair.delta_us for pair in there.pairs) == pytest.approx(
        sorted(-pair.delta_us for pair in back.pairs)
    )


def test_other_numbers_are_paired_in_order(sim: Path) -> None:
    ours = read_profile(sim / "run.json")
    renamed = tuple(replace(op, name=f"{op.type}_{1000 + n}", fused=()) for n, op in enumerate(ours.ops))
    found = compare_profiles(ours, replace(ours, ops=renamed))
    assert all(pair.left and pair.right and pair.delta_us == 0 for pair in found.pairs)
    fewer = compare_profiles(ours, replace(ours, ops=renamed[1:]))
    assert len(fewer.matched) < len(ours.ops)


def test_what_one_side_fuses_is_one_row() -> None:
    """Overlapping spans count once where starts are told, and add up where they are not."""
    apart = (
        OpTime("conv", "Convolution", 10.0, 0.0, busy_us={"dpu": 8.0}),
        OpTime("bend", "Tanh", 4.0, 8.0, busy_us={"shave": 4.0}),
    )
    fused = OpTime("conv", "Convolution", 20.0, fused=("bend",))
    (pair,) = compare_profiles(OpProfile("a", "a", apart), OpProfile("b", "b", (fused,))).pairs
    assert pair.left and pair.right
    assert (pair.left.us, pair.right.us, pair.delta_us) == (12.0, 20.0, -8.0)
    assert pair.left.busy_us == {"dma": 0.0, "dpu": 8.0, "shave": 4.0}
    timeless = tuple(replace(op, start_us=None) for op in apart)
    (pair,) = compare_profiles(OpProfile("a", "a", timeless), OpProfile("b", "b", (fused,))).pairs
    assert pair.delta_us == -6.0


def test_the_command_prints_the_same_rows_in_all_forms(npusim: Npusim, sim: Path, tmp_path: Path) -> None:
    real, table = sim / "run.json", tmp_path / "rows.csv"
    done = npusim("compare-trace", sim / "trace.json", real, "--json", "--csv", table)
    assert (done.code, done.err) == (0, "")
    document = json.loads(done.out)
    assert document["schema"] == "npusim.compare-trace/1"
    assert document["measure"] == "exposed"
    with table.open(newline="") as file:
        rows = list(csv.DictReader(file))
    assert [row["name"] for row in rows] == [op["name"] for op in document["ops"]]
    assert [float(row["delta_us"]) for row in rows] == [op["delta_us"] for op in document["ops"]]
    shown = npusim("compare-trace", sim / "trace.json", real, "--top", "3")
    assert "3 of" in shown.out
    assert rows[0]["name"] in shown.out
    assert npusim("compare-trace", sim / "trace.json", real, "--top", "3").out == shown.out


def test_profiles_that_have_nothing_in_common_are_refused(npusim: Npusim, sim: Path, tmp_path: Path) -> None:
    done = npusim(
        "compare-trace", sim / "trace.json", REPORTS / "detailed.csv", "--csv", tmp_path / "rows.csv"
    )
    assert (done.code, done.out, done.err.count("\n")) == (2, "", 1)
    assert "are they of one model?" in done.err
    assert list(tmp_path.iterdir()) == []


def test_one_line_for_a_bad_file(npusim: Npusim, sim: Path, tmp_path: Path) -> None:
    bad, table = tmp_path / "bad.json", tmp_path / "rows.csv"
    bad.write_text("{")
    for right in (bad, tmp_path / "absent.json"):
        done = npusim("compare-trace", sim / "run.json", right, "--csv", table)
        assert done.code == 2
        assert done.out == ""
        assert done.err.startswith("error: ")
        assert str(right) in done.err
        assert done.err.count("\n") == 1
        assert not table.exists()
    done = npusim("compare-trace", sim / "run.json", REPORTS / "detailed.csv", "--by", "exposed")
    assert (done.code, done.err.count("\n")) == (2, 1)
    assert "--by span" in done.err


def test_descriptors_are_a_row_of_their_own(schedule: Path) -> None:
    profile = profile_of(schedule.read_bytes(), "schedule")
    assert [op.name for op in profile.ops if op.name.startswith("(")] == ["(task descriptors)"]
