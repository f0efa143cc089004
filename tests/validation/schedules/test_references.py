"""The reference sets: the packaged one is whole, others are read alike, and a bad index is told in one line."""

from __future__ import annotations

import csv
from collections.abc import Callable
from pathlib import Path
from zipfile import ZipFile

import pytest

from benchmarks.vendor.pack import pack
from npusim.errors import UserError
from npusim.validation.schedules.references import DATA, SETS, STATISTICS, Reference, open_reference, select
from npusim.validation.traces.file import read_trace
from tests.validation.conftest import index_rows, write_index

Table = list[dict[str, str]]


@pytest.mark.parametrize("name", SETS)
def test_a_packaged_set_is_whole(name: str) -> None:
    packaged = open_reference(sets=[name])
    assert len({row.key for row in packaged.rows}) == len(packaged.rows)
    assert {row.platform for row in packaged.rows} <= {"3720", "4000", "5010"}
    assert all(set(row.truth) == set(STATISTICS) and row.set == name for row in packaged.rows)
    with ZipFile(DATA / name / "models.zip") as models, ZipFile(DATA / name / "traces.zip") as traces:
        assert {row.model for row in packaged.rows} <= set(models.namelist())
        assert {row.trace.removesuffix(".gz") for row in packaged.rows if row.trace} == set(traces.namelist())


def test_the_packaged_reference_is_all_sets(packaged: Reference) -> None:
    assert packaged.rows == tuple(row for name in SETS for row in open_reference(sets=[name]).rows)
    assert len({row.key for row in packaged.rows}) == len(packaged.rows)
    with pytest.raises(UserError, match=r"--set kind: no such set; there is .*kinds"):
        open_reference(sets=["kind"])


def test_a_folder_and_its_zips_are_read_alike(packaged: Reference, small: Path, tmp_path: Path) -> None:
    plain = open_reference(small)
    pack(tmp_path, tmp_path / "zipped")
    zipped = Reference("zipped", tmp_path / "zipped", True, plain.rows)
    for row in plain.rows:
        original = next(one for one in packaged.rows if one.key == row.key)
        assert row.truth == original.truth
        assert plain.graph(row) == zipped.graph(row) == packaged.graph(original)
        schedules = [plain.schedule(row), zipped.schedule(row), packaged.schedule(original)]
        assert len({repr(read_trace(schedule, row.case)) for schedule in schedules}) == 1


def test_packing_twice_gives_the_same_bytes(small: Path, tmp_path: Path) -> None:
    for name in ("one", "two"):
        pack(small.parent, tmp_path / name)
    names = ["index.csv", "models.zip", "traces.zip"]
    assert sorted(path.name for path in (tmp_path / "one").iterdir()) == names
    assert all(
        (tmp_path / "one" / name).read_bytes() == (tmp_path / "two" / name).read_bytes() for name in names
    )


def without(*columns: str) -> Callable[[Table], Table]:
    return lambda rows: [{name: row[name] for name in row if name not in columns} for row in rows]


def changed(**values: str) -> Callable[[Table], Table]:
    return lambda rows: [rows[0], {**rows[1], **values}]


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (without("tiles"), "missing column tiles"),
        (without("case", "platform"), "missing columns case, platform"),
        (changed(tiles="four"), ":3: column tiles: must be a whole number from 1 to 64 (got 'four')"),
        (changed(dma_engines="0"), ":3: column dma_engines: must be a whole number"),
        (changed(platform=""), ":3: column platform is empty"),
        (changed(total_us="fast"), ":3: column total_us: must be a time in µs (got 'fast')"),
        (changed(total_us="nan"), ":3: column total_us: must be a time"),
        (changed(model="gone.xml"), ":3: no such model file"),
    ],
)
def test_a_bad_index_is_told_in_one_line(small: Path, change: Callable[[Table], Table], message: str) -> None:
    with small.open(newline="") as file:
        write_index(small, change(list(csv.DictReader(file))))
    with pytest.raises(UserError) as error:
        open_reference(small)
    assert str(error.value).startswith(f"{small}:")
    assert message in str(error.value)
    assert "\n" not in str(error.value)


@pytest.mark.parametrize(
    "content", [b"", b"case,model,platform,tiles,dma_engines\n", b"\xff\xfe\x00", b"\x00"]
)
def test_what_is_no_index_is_refused(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "index.csv"
    path.write_bytes(content)
    with pytest.raises(UserError, match=r"index\.csv"):
        open_reference(path)
    with pytest.raises(UserError, match="cannot be read"):
        open_reference(tmp_path / "none.csv")


def test_truth_and_groups_may_be_absent(small: Path) -> None:
    rows = [row for row in index_rows() if row["case"] == "abs_s"]
    kept = ("case", "model", "platform", "tiles", "dma_engines")
    write_index(small, [{name: row[name] for name in kept} for row in rows])
    reference = open_reference(small)
    assert all(not row.truth and not row.family and not row.trace for row in reference.rows)
    with pytest.raises(UserError, match="no trace"):
        reference.schedule(reference.rows[0])


def test_selecting_rows(packaged: Reference) -> None:
    assert [row.tiles for row in select(packaged, case="resnet50", platform="4000")] == [4, 6]
    with pytest.raises(UserError, match=r"--platform 3700: no such row .*there is 3720, 4000, 5010"):
        select(packaged, platform="3700")
    with pytest.raises(UserError, match=r"--case resnet5: .*did you mean resnet50"):
        select(packaged, case="resnet5")
