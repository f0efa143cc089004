"""``npusim validate``: the contract of the predictions, rows that fail, one case op by op, and mistakes."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Callable
from pathlib import Path

import pytest

from npusim.files import new_file
from npusim.validation.schedules.compare_case import DESCRIPTORS, compare
from npusim.validation.schedules.predict import predict, predictions_csv, simulate_row
from npusim.validation.schedules.references import KEY, STATISTICS, Reference, open_reference, select
from npusim.validation.traces.file import read_trace
from npusim.validation.traces.schedule import import_trace
from tests.validation.conftest import Done, write_index

Npusim = Callable[..., Done]


def rows_of(path: Path) -> list[dict[str, str]]:
    with path.open(newline="") as file:
        return list(csv.DictReader(file))


def score_of(index: list[dict[str, str]], predictions: list[dict[str, str]]) -> list[float]:
    """Relative errors of total_us, as whoever reads both files finds them."""
    found = {tuple(row[column] for column in KEY): float(row["total_us"] or 0) for row in predictions}
    truth = {tuple(row[column] for column in KEY): float(row["total_us"]) for row in index}
    return [abs(found[key] - us) / us for key, us in truth.items() if found[key] > 0]


def test_predictions_keep_the_contract(npusim: Npusim, small: Path, tmp_path: Path) -> None:
    out = tmp_path / "out.csv"
    done = npusim("validate", "--index", small, "--predictions", out, "--workers", 1, "--json")
    assert (done.code, done.err) == (0, "")
    document = json.loads(done.out)
    with out.open(newline="") as file:
        assert next(csv.reader(file)) == [*KEY, *STATISTICS]
    index, predicted = rows_of(small), rows_of(out)
    assert [[row[column] for column in KEY] for row in predicted] == [
        [row[column] for column in KEY] for row in index
    ]
    assert all(float(row[name]) >= 0 for row in predicted for name in STATISTICS)
    errors = score_of(index, predicted)
    assert document["groups"][-1]["total_us"]["worst"] == pytest.approx(max(errors), abs=1e-5)
    assert max(errors) < 0.5


def test_truth_is_not_needed_and_changes_nothing(npusim: Npusim, small: Path, tmp_path: Path) -> None:
    npusim("validate", "--index", small, "--predictions", tmp_path / "with.csv", "--workers", 1)
    kept = (*KEY, "model")
    rows = [{name: row[name] for name in kept} for row in rows_of(small)]
    write_index(small, [{**row, "total_us": ""} for row in rows])
    done = npusim("validate", "--index", small, "--predictions", tmp_path / "without.csv", "--workers", 1)
    assert done.code == 0
    assert "no total_us to compare with" in done.out
    assert (tmp_path / "with.csv").read_bytes() == (tmp_path / "without.csv").read_bytes()


def test_workers_change_nothing(small: Path) -> None:
    reference = open_reference(small)
    counts: list[int] = []
    alone, together = (predict(reference, reference.rows, workers, counts.append) for workers in (1, 2))
    assert predictions_csv(alone) == predictions_csv(together)
    assert max(counts) == len(reference.rows)


def test_a_row_that_fails_is_reported_and_empty(npusim: Npusim, small: Path, tmp_path: Path) -> None:
    rows = rows_of(small)
    (tmp_path / "broken.xml").write_text("<net>")
    write_index(small, [{**rows[0], "model": "broken.xml"}, {**rows[1], "platform": "1234"}, rows[2]])
    done = npusim("validate", "--index", small, "--predictions", tmp_path / "out.csv", "--workers", 1)
    assert done.code == 0
    assert "2 rows failed" in done.out
    assert "not a model that OpenVINO reads" in done.out
    assert "no hardware file for platform 1234" in done.out
    predicted = rows_of(tmp_path / "out.csv")
    assert [bool(row["total_us"]) for row in predicted] == [False, False, True]
    assert len(score_of(rows_of(small), predicted)) == 1


def test_a_generation_of_ones_own_is_found_by_its_platform(
    npusim: Npusim, small: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A hardware file of the current folder predicts its platform's rows as its parent does those of its own."""
    (tmp_path / "nova.yaml").write_text('extends: pantherlake-vpunn.yaml\nplatform: "6000"\n')
    monkeypatch.chdir(tmp_path)
    row = next(row for row in rows_of(small) if row["platform"] == "5010")
    write_index(small, [row, {**row, "platform": "6000"}])
    done = npusim("validate", "--index", small, "--predictions", tmp_path / "out.csv", "--workers", 1)
    assert done.code == 0
    parent, own = rows_of(tmp_path / "out.csv")
    assert own == {**parent, "platform": "6000"}
    assert float(own["total_us"]) > 0


def test_the_tables_and_the_page(npusim: Npusim, small: Path, tmp_path: Path) -> None:
    page = tmp_path / "validation.md"
    done = npusim("validate", "--index", small, "--markdown", page, "--workers", 1)
    assert done.code == 0
    for text in (done.out, page.read_text()):
        assert "abs_s" in text
        assert "micro" in text
    again = npusim("validate", "--index", small, "--markdown", page, "--workers", 1)
    assert again.code == 0
    assert page.read_text().count("| micro |") == 3


def test_one_case_beside_the_vendors(npusim: Npusim) -> None:
    done = npusim("validate", "--case", "softplus_m", "--json")
    assert (done.code, done.err) == (0, "")
    document = json.loads(done.out)
    assert (document["platform"], document["tiles"]) == ("4000", "4")
    both = [op for op in document["ops"] if op["reference"] and op["predicted"]]
    assert any(op["reference"]["tasks"]["shave"] and op["predicted"]["tasks"]["shave"] for op in both)
    text = npusim("validate", "--case", "softplus_m", "--platform", "5010").out
    assert "softplus_m on 5010 with 3 tiles" in text
    assert text.count("vendor") == text.count("npusim") > 1


@pytest.mark.parametrize("case", ["chain_4matmul_swish", "mamba2-130m_l1_decode_base"])
def test_gaps_add_up_to_the_gap_of_the_latency(packaged: Reference, case: str) -> None:
    row = select(packaged, case=case, platform="4000")[0]
    graph = packaged.graph(row)
    ours = simulate_row(graph, row)
    vendor = import_trace(read_trace(packaged.schedule(row), case), ours.hardware)
    found = compare(ours, vendor, graph)
    gap = ours.latency_us - vendor.latency_us
    assert sum(pair.gap_us for pair in found) == pytest.approx(gap, abs=0.01)
    for result, side in ((ours, "ours"), (vendor, "vendor")):
        sides = [getattr(pair, side) for pair in found if getattr(pair, side)]
        tasks = {engine: sum(one.tasks[engine] for one in sides) for engine in ("dma", "dpu", "shave")}
        assert tasks == result.metrics.tasks
    matched = [pair for pair in found if pair.vendor and pair.ours]
    assert len(matched) > len(found) / 2
    assert DESCRIPTORS in {pair.name for pair in matched}


def test_several_sets_are_scored_side_by_side_and_one_by_its_families(npusim: Npusim) -> None:
    some = ("--platform", "3720", "--family", "decode", "--workers", 1)
    both = npusim("validate", "--set", "vendor_networks", "--set", "vendor_blocks", *some)
    one = npusim("validate", "--set", "vendor_networks", *some, "--json")
    assert (both.code, both.err, one.code, one.err) == (0, "", 0, "")
    rows = [line.split() for line in both.out.splitlines()]
    assert {row[0] for row in rows if row[1:2] == ["3720"]} >= {"vendor_networks", "vendor_blocks"}
    (group,) = json.loads(one.out)["groups"]
    assert (group["set"], group["family"], group["platform"]) == ("vendor_networks", "decode", "3720")


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--set", "vendor_block"], "--set vendor_block: no such set; there is vendor_schedules"),
        (["--index", "none.csv", "--set", "kinds"], "--index and --set contradict each other"),
        (["--index", "none.csv"], "none.csv: cannot be read"),
        (["--platform", "1"], "--platform 1: no such row"),
        (["--case", "nope"], "--case nope: no such row"),
        (["--case", "abs_s", "--predictions", "out.csv"], "--case and --predictions contradict each other"),
        (["--family", "micro", "--predictions", "/nowhere/out.csv"], "cannot write /nowhere/out.csv"),
        (["--family", "micro", "--predictions", "/dev/null"], "cannot write /dev/null"),
        (["--workers", "0"], "--workers"),
    ],
)
def test_mistakes_are_one_line(npusim: Npusim, arguments: list[str], message: str) -> None:
    done = npusim("validate", *arguments)
    assert (done.code, done.out) == (2, "")
    assert done.err.count("\n") == 1
    assert message in done.err


def test_a_file_appears_whole_or_not_at_all(tmp_path: Path) -> None:
    path = tmp_path / "out.csv"
    path.write_text("old")
    with pytest.raises(RuntimeError), new_file(path) as write:
        write("half")
        raise RuntimeError
    assert path.read_text() == "old"
    with new_file(path) as write:
        write("new\n")
    assert path.read_text() == "new\n"
    assert list(tmp_path.iterdir()) == [path]


def test_a_csv_of_nothing_has_a_header() -> None:
    assert list(csv.reader(io.StringIO(predictions_csv([])))) == [[*KEY, *STATISTICS]]
