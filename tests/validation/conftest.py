"""The packaged reference, a small index made from it, and the command line in this process."""

from __future__ import annotations

import csv
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import NamedTuple
from zipfile import ZipFile

import pytest

from npusim.cli.main import main
from npusim.validation.references import PACKAGED, Reference, open_reference

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


def index_rows() -> list[dict[str, str]]:
    with (PACKAGED / "index.csv").open(newline="") as file:
        return list(csv.DictReader(file))


def write_index(path: Path, rows: Sequence[dict[str, str]]) -> Path:
    with path.open("w", newline="") as file:
        writer = csv.DictWriter(file, list(rows[0]))
        writer.writeheader()
        writer.writerows(rows)
    return path


@pytest.fixture
def small(tmp_path: Path) -> Path:
    """An index of a few micro cases in a folder of its own, with models and traces as plain files."""
    rows = [row for row in index_rows() if (row["case"], row["platform"]) in SMALL]
    with ZipFile(PACKAGED / "models.zip") as models, ZipFile(PACKAGED / "traces.zip") as traces:
        for row in rows:
            models.extract(row["model"], tmp_path)
            models.extract(row["model"].replace(".xml", ".bin"), tmp_path)
            traces.extract(row["trace"], tmp_path)
    return write_index(tmp_path / "index.csv", rows)
