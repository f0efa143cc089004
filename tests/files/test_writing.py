"""Outputs appear whole and together, or not at all."""

from __future__ import annotations

import resource
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from npusim.errors import UserError
from npusim.files import all_or_nothing, new_file, new_files, spreadsheet_cell

LEFT_BEHIND = """
import os, signal, sys
from pathlib import Path
from npusim.files import all_or_nothing
with all_or_nothing(Path(sys.argv[1])) as workshop:
    (workshop / "half").write_text("x")
    os.kill(os.getpid(), signal.SIGKILL)
"""


@pytest.fixture
def little_room() -> Iterator[None]:
    """Files may have a kilobyte, as on a disk that is full."""
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (1024, before[1]))
    yield
    resource.setrlimit(resource.RLIMIT_FSIZE, before)


def test_a_full_disk_leaves_what_was_there(tmp_path: Path, little_room: None) -> None:
    path = tmp_path / "out.csv"
    path.write_text("old")
    with pytest.raises(UserError, match="File too large"), new_file(path) as write:
        write("x" * 5000)
    with pytest.raises(UserError, match="File too large"), all_or_nothing(tmp_path) as workshop:
        (workshop / "out.csv").write_text("new")
        (workshop / "more").write_text("x" * 5000)
    assert path.read_text() == "old"
    assert list(tmp_path.iterdir()) == [path]


def test_of_several_files_all_appear_or_none(tmp_path: Path, little_room: None) -> None:
    few, many = tmp_path / "few", tmp_path / "many"
    for first, second in ((few, many), (many, few)):
        with (
            pytest.raises(UserError, match=r"cannot write to .*many: File too large"),
            new_files(first, None, second) as (write_first, nothing, write_second),
        ):
            assert nothing is None
            for path, write in ((first, write_first), (second, write_second)):
                assert write is not None
                write("x" * (5000 if path == many else 5))
        assert list(tmp_path.iterdir()) == []


def test_what_a_killed_process_left_is_removed_and_what_is_at_work_stays(tmp_path: Path) -> None:
    subprocess.run([sys.executable, "-c", LEFT_BEHIND, str(tmp_path)], check=False)
    assert len(list(tmp_path.iterdir())) == 1
    with all_or_nothing(tmp_path) as one, all_or_nothing(tmp_path) as other:
        assert set(tmp_path.iterdir()) == {one, other}
        (one / "a").write_text("a")
        (other / "b").write_text("b")
    assert {path.name for path in tmp_path.iterdir()} == {"a", "b"}


@pytest.mark.parametrize("name", ["x" * 300, "a\0b", "folder", "no/such/folder"])
def test_where_nothing_can_be_written(tmp_path: Path, name: str) -> None:
    (tmp_path / "folder").mkdir()
    with pytest.raises(UserError, match="cannot write"), new_file(tmp_path / name):
        pytest.fail("it was begun")


def test_files_have_the_rights_that_any_new_file_has(tmp_path: Path) -> None:
    with new_file(tmp_path / "a") as write:
        write("x")
    (tmp_path / "b").touch()
    assert (tmp_path / "a").stat().st_mode == (tmp_path / "b").stat().st_mode


@pytest.mark.parametrize("text", ["=cmd|' /C calc'!A0", "@SUM(1)", "+1", "-1", "\t=1", "\r=1"])
def test_what_a_spreadsheet_would_compute_is_text(text: str) -> None:
    assert spreadsheet_cell(text) == "'" + text
    assert spreadsheet_cell("a=1") == "a=1"
