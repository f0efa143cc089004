"""The packaged reference, a small index made from it, and the command line in this process."""

from __future__ import annotations

import csv
import shutil
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import NamedTuple

import pytest

from benchmarks.vendor.pack import unpack
from npusim.cli.main import main
from npusim.validation.schedules.references import DATA, Reference, open_reference

SMALL = (("abs_s", "4000"), ("abs_s", "3720"), ("add_s", "5010"))


class Done(NamedTuple):
    code: int
    out: str
    err: str


@pytest.fixture(scope="session")
def packaged() -> Reference:
    return open_reference()


@pytest.fixture
def npusim(capsys: pytest.CaptureFixture[str]) -> Callable[..., Done]:
    """Run ``npusim`` with arguments; its exit code and what it printed."""

    def run(*arguments: object) -> Done:
        with pytest.raises(SystemExit) as exit_:
            main([str(argument) for argument in arguments])
        out, err = capsys.readouterr()
        return Done(int(exit_.value.code or 0), out, err)

    return run


def index_rows(folder: Path = DATA / "vendor_schedules") -> list[dict[str, str]]:
    with (folder / "index.csv").open(newline="") as file:
        return list(csv.DictReader(file))


def write_index(path: Path, rows: Sequence[dict[str, str]]) -> Path:
    with path.open("w", newline="") as file:
        writer = csv.DictWriter(file, list(rows[0]))
        writer.writeheader()
        writer.writerows(rows)
    return path


@pytest.fixture(scope="session")
def unpacked(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a packaged set as plain files."""
    folder = tmp_path_factory.mktemp("vendor_schedules")
    unpack(DATA / "vendor_schedules", folder)
    return folder


@pytest.fixture
def small(unpacked: Path, tmp_path: Path) -> Path:
    """An index of a few micro cases in a folder of its own, with models and traces as plain files."""
    rows = [row for row in index_rows(unpacked) if (row["case"], row["platform"]) in SMALL]
    for row in rows:
        for name in (row["model"], row["model"].replace(".xml", ".bin"), row["trace"]):
            (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(unpacked / name, tmp_path / name)
    return write_index(tmp_path / "index.csv", rows)
