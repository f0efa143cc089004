"""What tests of whole pages share."""

from __future__ import annotations

from pathlib import Path

import pytest

from npusim.report.write import write_page
from tests.report.pages import PAGES


@pytest.fixture(scope="session")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder of every kind of page, each in a folder of its name."""
    folder = tmp_path_factory.mktemp("pages")
    for name, (make, _) in PAGES.items():
        write_page(folder / name, make())
    return folder
