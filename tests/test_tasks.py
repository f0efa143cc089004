"""The forty tasks of docs/tasks.md, done as a user would, in a folder of their own."""

from __future__ import annotations

import os
import sys
from pathlib import Path
from types import ModuleType

import pytest

from tests.docs_scripts import docs_script

ROOT = Path(__file__).parents[1]


@pytest.fixture(scope="module")
def page() -> ModuleType:
    return docs_script("tasks")


@pytest.fixture
def environment(tmp_path: Path) -> dict[str, str]:
    """A shell in which ``npusim`` and ``python`` are those of this test."""
    folder = tmp_path / "bin"
    folder.mkdir()
    for name, arguments in (("npusim", "-m npusim"), ("python", "")):
        (folder / name).write_text(f'#!/bin/sh\nexec {sys.executable} {arguments} "$@"\n')
        (folder / name).chmod(0o755)
    return {**os.environ, "PATH": f"{folder}:{os.environ['PATH']}", "PYTHONPATH": str(ROOT), "COLUMNS": "100"}


def test_the_page_has_forty_tasks_in_order(page: ModuleType) -> None:
    assert [task.number for task in page.tasks()] == list(range(1, 41))
    assert all(task.shown for task in page.tasks())


def test_every_task_shows_what_it_should(
    page: ModuleType, environment: dict[str, str], tmp_path: Path
) -> None:
    folder = tmp_path / "work"
    folder.mkdir()
    page.make_files(folder)
    failures = [
        f"{task.number}. {failure}" for task in page.tasks() if (failure := task.failure(folder, environment))
    ]
    assert not failures, "\n\n".join(failures)


def test_a_task_that_shows_something_else_fails(
    page: ModuleType, environment: dict[str, str], tmp_path: Path
) -> None:
    task = page.Task(1, "", "npusim --version", 0, ("no such version",))
    assert "no such version" in task.failure(tmp_path, environment)
