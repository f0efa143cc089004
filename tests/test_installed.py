"""What is installed is one package, whatever other folders stand beside it in the repository or at the user's."""

from __future__ import annotations

import re
import subprocess
import sys
import tomllib
from pathlib import Path

ROOT = Path(__file__).parents[1]
#: Folders of the repository that npusim has as links to them, so that nobody's own folder of that name is in the way.
LINKED = ("hwconfigs", "workloads", "xamba")
_BY_ITSELF = re.compile(rf"^\s*(?:from|import) (?:{'|'.join(LINKED)})\b", re.MULTILINE)


def test_the_wheel_is_one_package_with_links_to_the_folders_beside_it() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
    assert project["tool"]["hatch"]["build"]["targets"]["wheel"]["packages"] == ["npusim"]
    for name in LINKED:
        assert (ROOT / "npusim" / name).is_symlink()
        assert (ROOT / "npusim" / name).resolve() == ROOT / name


def test_nothing_imports_these_folders_by_themselves() -> None:
    folders = ("npusim", *LINKED, "tests", "benchmarks", "examples", "docs")
    files = [file for folder in folders for file in (ROOT / folder).rglob("*.py")]
    assert [str(file) for file in files if _BY_ITSELF.search(file.read_text(encoding="utf-8"))] == []


def test_a_users_own_folder_of_that_name_is_the_users(tmp_path: Path) -> None:

    (tmp_path / "workloads").mkdir()
    (tmp_path / "workloads" / "__init__.py").write_text("mine = True\n")
    code = (
        f"import sys, workloads; sys.path.insert(1, {str(ROOT)!r}); import npusim\n"
        "assert workloads.mine\n"
        "print(npusim.run('mamba2-130m', layers=1, tokens=4).latency_us > 0)"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=tmp_path, env={}, capture_output=True, text=True, check=False
    )
    assert done.stdout == "True\n", done.stderr
