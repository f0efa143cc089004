"""Documents are read within bounds, and every refusal is one line with the place."""

from __future__ import annotations

import gzip
import os
import threading
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

import npusim
from npusim.errors import UserError
from npusim.files import exists, parse_json, read_bytes, read_table, read_text, reading, unpacked
from npusim.llm import source
from npusim.scenarios.read import read_scenario
from npusim.validation.schedules.references import open_reference

MEBIBYTE = 1 << 20


@given(st.binary(max_size=2000))
def test_gzip_gives_back_what_was_packed(data: bytes) -> None:
    assert unpacked(gzip.compress(data) + gzip.compress(data), "x") == 2 * data


@given(st.binary(max_size=200))
def test_any_bytes_are_unpacked_or_refused(data: bytes) -> None:
    try:
        assert unpacked(b"\x1f\x8b" + data, "x", MEBIBYTE) is not None
    except UserError as error:
        assert str(error).startswith("x: is not a gzip file")


def test_a_bomb_is_refused_before_it_is_large() -> None:
    with pytest.raises(UserError, match="larger than 1 MiB unpacked"):
        unpacked(gzip.compress(bytes(200 * MEBIBYTE)), "x", MEBIBYTE)


@given(st.text(max_size=200))
def test_any_text_is_json_or_refused(text: str) -> None:
    try:
        parse_json(text, "x", "a trace")
    except UserError as error:
        assert str(error).startswith("x: is not a trace: ")


@pytest.mark.parametrize("text", ["[" * 100_000, '{"a":' * 100_000])
def test_depth_is_bounded(text: str) -> None:
    with pytest.raises(UserError, match="nested too deeply"):
        parse_json(text, "x", "a trace")


def test_endless_numbers_are_floats() -> None:
    assert parse_json("[12345678901234567890]", "x", "y") == [12345678901234567890]
    assert parse_json(f"[{'9' * 40}, -{'9' * 40}]", "x", "y") == [1e40, -1e40]
    with pytest.raises(UserError, match=r"x: is not y: -9{19} is no number that can be counted with"):
        parse_json(f"[-{'9' * 5000}]", "x", "y")


def test_a_cell_beyond_all_measure_is_refused_with_its_line() -> None:
    assert list(read_table('a,"b\nc"\n', "x")) == [(2, ["a", "b\nc"])]
    with pytest.raises(UserError, match=r"x:\d+: is not a CSV file: field larger than field limit"):
        list(read_table(f"a,b\n{'1' * 200_000},2\n", "x"))


def test_files_that_cannot_be_read(tmp_path: Path) -> None:
    (tmp_path / "large").write_bytes(bytes(100))
    (tmp_path / "latin").write_bytes("a\nbä".encode("latin-1"))
    (tmp_path / "marked").write_bytes(b"\xef\xbb\xbfa")
    assert read_text(tmp_path / "marked") == "a"
    for path, said in (
        (tmp_path, "cannot be read"), (tmp_path / "none", "cannot be read"), (tmp_path / ("x" * 300), "cannot be read"),
        (Path("a\0b"), "not the name of a file"), (tmp_path / "latin", "latin:2:2: not UTF-8 text"),
    ):  # fmt: skip
        with pytest.raises(UserError, match=said):
            read_text(path)
    with pytest.raises(UserError, match="larger than 0 MiB"):
        read_bytes(tmp_path / "large", 99)
    assert len(read_bytes(tmp_path / "large", 100)) == 100
    assert not exists(Path("x" * 300))
    assert not exists(Path("a\0b"))
    assert exists(tmp_path)


def test_a_pipe_is_read_as_its_writer_writes(tmp_path: Path) -> None:
    pipe = tmp_path / "p"
    os.mkfifo(pipe)

    def write() -> None:
        with pipe.open("wb") as stream:
            for part in (b"tiles", b": ", b"4\n" * MEBIBYTE):
                stream.write(part)
                stream.flush()

    writer = threading.Thread(target=write)
    writer.start()
    assert read_bytes(pipe) == b"tiles: " + b"4\n" * MEBIBYTE
    writer.join()


@pytest.mark.parametrize(
    "read",
    [
        npusim.load_hardware,
        npusim.load,
        read_scenario,
        open_reference,
        lambda path: source.find(str(path)),
    ],
)
def test_a_pipe_that_nobody_writes_to_is_refused(
    read: Callable[[Path], object], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(reading, "_WRITER_OPENS_S", 0.05)
    pipe = tmp_path / "p.json"
    os.mkfifo(pipe)
    with pytest.raises(UserError, match="it is a pipe that nothing is written to"):
        read(pipe)
