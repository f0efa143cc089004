"""Every claim that code and hardware files name is in docs/evidence, and every tag that they use is explained there."""

from __future__ import annotations

import csv
import re
import tokenize
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
PAGES = sorted((ROOT / "docs/evidence").glob("*.md"))
CITING = sorted(
    path
    for folder in ("npusim", "hwconfigs", "workloads", "xamba", "benchmarks")
    for path in (ROOT / folder).rglob("*")
    if path.suffix in (".py", ".yaml")
)
_NUMBER = r"\d+(?:\.\d+)*"
_CLAIM = re.compile(rf"^#+ ({_NUMBER}) |^\| (\d+\.\d+\.\d+) \|", re.MULTILINE)
_REFERENCE = re.compile(rf"evidence/(\w+)\.md((?:(?:,| and)?\s*(?:#:?\s+)?#{_NUMBER})*)")
_BRACKETS = re.compile(rf"\[({_NUMBER}(?:, {_NUMBER})*)\]")
_TAG = re.compile(r"\b(?:[CDS]2\d|GT|NN|FIT|INF)\b")


def claims(page: Path) -> list[str]:
    return [heading or row for heading, row in _CLAIM.findall(page.read_text())]


def references() -> Iterator[tuple[str, str, str]]:
    """(where, page, claim or nothing) of all references."""
    for path in CITING:
        text = path.read_text()
        for match in _REFERENCE.finditer(text):
            where = f"{path.relative_to(ROOT)}:{text.count(chr(10), 0, match.start()) + 1}"
            yield from ((where, match[1], claim) for claim in re.findall(rf"#({_NUMBER})", match[2]) or [""])


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.stem)
def test_a_claim_stands_once(page: Path) -> None:
    found = claims(page)
    assert len(found) == len(set(found))


def test_references_resolve() -> None:
    known = {page.stem: {"", *claims(page)} for page in PAGES}
    found = list(references())
    lost = [one for one in found if one[2] not in known.get(one[1], ())]
    assert not lost
    assert {page for _, page, _ in found} == known.keys()


def test_claims_in_brackets_resolve() -> None:
    """The software of lunarlake.yaml names claims of lowering.md in brackets."""
    comments = re.findall(
        r"#(.*)", (ROOT / "hwconfigs/lunarlake.yaml").read_text().partition("\nsoftware:")[2]
    )
    found = {one for comment in comments for many in _BRACKETS.findall(comment) for one in many.split(", ")}
    assert found
    assert found <= set(claims(ROOT / "docs/evidence/lowering.md"))


def test_tags_are_explained() -> None:
    explained = set(re.findall(r"^\| (\w+) \|", (ROOT / "docs/evidence/README.md").read_text(), re.MULTILINE))
    used = {tag for path in CITING if path.suffix == ".yaml" for tag in _TAG.findall(path.read_text())}
    assert used
    assert used <= explained


def test_nothing_points_out_of_the_project() -> None:
    """``facts``, ``/reference`` and ``/shared`` are folders of those who build npusim, which users do not have."""
    away = re.compile(r"\bfacts/|\bfacts \d|/work/|shared/(?:facts|reference)|(?<!\w)/reference/")
    found = [str(path.relative_to(ROOT)) for path in CITING if away.search(path.read_text())]
    assert not found


def test_prose_counts_and_names_no_cases() -> None:
    """A count such as "22 of 22" in a docstring is one that nothing counts again, and the name of a case tells nothing
    to who never saw it: the reference rows are counted by tests/references, and what a threshold rests on stands in
    docs/evidence/thresholds.csv."""
    tally = re.compile(r"\b\d[\d,]* of (?:the )?\d[\d,]*\b|\b\d+/\d+\b|\b[Ii]n all cases\b|\b\w+_\*")
    rows = csv.DictReader((ROOT / "tests/references/predictions.csv").read_text().splitlines())
    cases = {row["case"] for row in rows}
    found = []
    for folder in ("lowering", "costs", "hardware", "engine", "program", "graph"):
        for path in sorted((ROOT / "npusim" / folder).rglob("*.py")):
            with tokenize.open(path) as file:
                tokens = list(tokenize.generate_tokens(file.readline))
            for token in tokens:
                if token.type == tokenize.COMMENT or token.string.startswith('"""'):
                    text = re.sub(r"\s*\n[\s#:]*", " ", token.string)
                    named = [word for word in re.findall(r"[\w-]+_[\w-]+", text) if word in cases]
                    where = f"{path.relative_to(ROOT)}:{token.start[0]}"
                    found += [f"{where}: {one}" for one in (*tally.findall(text), *named)]
    assert not found


def test_every_fault_has_a_test_that_is_there() -> None:
    rows = [
        line for line in (ROOT / "docs/evidence/faults.md").read_text().splitlines() if "| tests/" in line
    ]
    assert rows
    for row in rows:
        file, _, test = row.split("|")[2].strip().partition("::")
        assert f"def {test}(" in (ROOT / file).read_text(), row
