"""The documents: every link leads somewhere, command lines are found, and the site builds without a warning."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path
from types import ModuleType

import pytest

from tests.docs_scripts import docs_script

ROOT = Path(__file__).parents[1]
_PAGES = sorted(
    page
    for page in ROOT.rglob("*.md")
    if not any(part.startswith(".") for part in page.relative_to(ROOT).parts)
)
_LINK = re.compile(r"\]\(([^)#\s]+)(?:#([^)\s]+))?\)")
#: A file that the text speaks of, in code: with a folder, so that its place is meant.
_FILE = re.compile(r"`((?:docs|examples|hwconfigs|workloads|xamba|npusim|tests|benchmarks|facts)/[\w./-]+)`")


@pytest.fixture(scope="module")
def readme() -> ModuleType:
    return docs_script("readme")


@pytest.mark.parametrize("page", _PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_every_link_leads_somewhere(page: Path) -> None:
    text = page.read_text(encoding="utf-8")
    broken = []
    for target, anchor in _LINK.findall(text):
        if "://" in target:
            continue
        file = page.parent / target
        if not file.exists():
            broken.append(target)
        elif anchor and file.suffix == ".md":
            titles = re.findall(r"^#+ (.+)$", file.read_text(encoding="utf-8"), re.MULTILINE)
            slugs = {re.sub(r"[^\w\- ]", "", title.lower()).replace(" ", "-") for title in titles}
            broken += [] if anchor in slugs else [f"{target}#{anchor}"]
    broken += [name for name in _FILE.findall(text) if not (ROOT / name.rstrip("/.")).exists()]
    assert broken == []


def test_the_lines_of_the_readme_are_found(readme: ModuleType) -> None:
    told = ("npusim run --x  # why", "npusim sweep --axis a=1,2", "other", "pip install . && npusim z")
    text = "text `npusim y`\n" + "\n".join(f"    {line}" for line in told)
    assert readme.lines(text) == ["npusim run --x", "npusim sweep --axis a=1,2", "npusim z"]
    for page in readme.PAGES:
        assert len(readme.lines((ROOT / page).read_text(encoding="utf-8"))) > 5


def test_a_line_that_is_none_fails(readme: ModuleType, tmp_path: Path) -> None:
    assert "No such option" in readme.task(1, "npusim list --no-such").failure(tmp_path, os.environ)


def test_the_site_builds_without_a_warning(tmp_path: Path) -> None:
    pytest.importorskip("mkdocs")
    pytest.importorskip("mkdocstrings")
    command = [sys.executable, "-m", "mkdocs", "build", "--strict", "--quiet", "--site-dir", str(tmp_path)]
    built = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert built.returncode == 0, built.stdout + built.stderr
    reference = (tmp_path / "reference" / "index.html").read_text(encoding="utf-8")
    import npusim

    assert [
        name for name in npusim.__all__ if f">{name}<" not in reference and f"{name}</" not in reference
    ] == []
    for page in tmp_path.rglob("*.html"):
        loaded = re.findall(
            r'<(?:script|link|img)[^>]+(?:src|href)="(https?://[^"]+)"', page.read_text(encoding="utf-8")
        )
        assert [one for one in loaded if "mkdocs.org" not in one] == [], page
