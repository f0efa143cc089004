"""The XAMBA paper's speed-ups and the vendor's CumBA ratios: what npusim says must stay where it is."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest

from npusim.source import NONE
from npusim.validation.paper import page as module
from npusim.validation.paper.speedups import (
    ALTERNATIVES,
    CLAIMS,
    LOOK_UP,
    Reproduced,
    latency_us,
    reproduce,
    reproduction_document,
)
from npusim.validation.paper.tokens import SHOWN, LayerSpeed, Speed
from npusim.validation.schedules.cumba_ratio import cumba_pairs, cumba_ratios
from npusim.validation.schedules.references import Reference

PAPER = {"CumBA": 2.7, "ReduBA": 1.2, "CumBA + ReduBA": 4.8, "ActiBA": 2.6}


@pytest.fixture(scope="module")
def found() -> list[Reproduced]:
    return reproduce()


@pytest.mark.parametrize("name", PAPER)
def test_the_papers_speedups_are_reproduced_within_12_percent(found: list[Reproduced], name: str) -> None:
    one = next(one for one in found if one.claim.name == name)
    assert one.claim.speedup == PAPER[name]
    assert abs(one.error) <= 0.12, f"{name}: {one.speedup:.2f}x, the paper has {PAPER[name]}x"


def test_savings_add_up(found: list[Reproduced]) -> None:
    """CumBA and ReduBA rewrite different ops that run one after the other: together they save what each does."""
    cumba, reduba, both = (one.stock_us - one.rewritten_us for one in found[:3])
    assert both == pytest.approx(cumba + reduba, rel=0.02)


def test_actiba_gains_more_the_longer_the_prompt() -> None:
    gains = [
        latency_us("mamba-130m", tokens, NONE, (LOOK_UP,))
        / latency_us("mamba-130m", tokens, "actiba", (LOOK_UP,))
        for tokens in (1, 4, 16)
    ]
    assert 1 < gains[0] < gains[1] < gains[2]


def test_the_look_up_unit_changes_nothing_without_actiba() -> None:
    assert latency_us("mamba-130m", 4, NONE, (LOOK_UP,)) == latency_us("mamba-130m", 4, NONE, ())


@pytest.mark.parametrize("name", ["six tiles", "sums of products on the DPU", "CumSum on one SHAVE"])
def test_other_assumptions_do_not_fit_the_paper(name: str) -> None:
    """What lunarlake-2025.yaml assumes is what the figures bear out; each of these misses one of them by far."""
    other = next(one for one in ALTERNATIVES if one.name == name)
    assert max(abs(one.error) for one in reproduce(CLAIMS[:3], other.overrides)) > 0.15


def test_the_json_is_one_clean_document(npusim: Callable, found: list[Reproduced]) -> None:
    done = npusim("reproduce", "xamba", "--json")
    assert (done.code, done.err) == (0, "")
    document = json.loads(done.out)
    assert document == reproduction_document(found)
    assert [row["name"] for row in document["rows"]] == list(PAPER)
    for row in document["rows"]:
        assert set(row) == {"name", "paper_speedup", "simulated_speedup", "setting"}
        assert row["paper_speedup"] == PAPER[row["name"]]
        assert "1 layer" in row["setting"] and "--hw lunarlake-2025.yaml" in row["setting"]


def test_the_summary_names_every_rewrite_and_where_to_read_on(npusim: Callable) -> None:
    done = npusim("reproduce", "xamba")
    assert (done.code, done.err) == (0, "")
    for words in (*PAPER, "hwconfigs/lunarlake-2025.yaml", "docs/xamba.md"):
        assert words in done.out


def test_workers_without_a_page_are_refused_in_one_line(npusim: Callable) -> None:
    done = npusim("reproduce", "xamba", "--workers", 2)
    assert (done.code, done.out) == (2, "")
    assert "--workers needs --markdown" in done.err and done.err.count("\n") == 1


@pytest.fixture(scope="module")
def pairs(packaged: Reference) -> list:
    return cumba_pairs(packaged)


def test_the_reference_has_cumba_pairs_on_every_platform(pairs: list) -> None:
    assert {cumba.platform for _, cumba in pairs} == {"3720", "4000", "5010"}
    for stock, cumba in pairs:
        assert stock.key[1:] == cumba.key[1:]
        assert stock.case.removesuffix("_base") == cumba.case.removesuffix("_cumba")


def test_cumba_costs_what_the_vendors_schedules_say_within_8_percent(
    packaged: Reference, pairs: list
) -> None:
    short = [pair for pair in pairs if pair[1].platform != "3720" and "130m" in pair[1].case]
    ratios = cumba_ratios(packaged, short, workers=1)
    assert len(ratios) >= 8
    for one in ratios:
        assert abs(one.error) <= 0.08, (
            f"{one.cumba.label}: {one.predicted:.3f}, the vendor has {one.vendor:.3f}"
        )


def test_the_page_holds_what_was_simulated(
    found: list[Reproduced], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """With the long parts replaced by little ones."""
    whole = [
        Speed("mamba-x", phase, machine, 1000.0, "contract", 500.0, auto_us)
        for phase, auto_us in (("decode", 400.0), ("prefill", 500.0))
        for machine in module.MACHINES
    ]
    layers = [LayerSpeed("mamba-x", dict.fromkeys(SHOWN, 250.0))]
    monkeypatch.setattr(module, "speeds", lambda workers, progress: (whole, layers))
    monkeypatch.setattr(module, "cumba_pairs", lambda reference: [])
    monkeypatch.setattr(module, "ALTERNATIVES", ALTERNATIVES[:1])
    monkeypatch.setattr(module, "PROMPTS", (4,))
    page = module.xamba_page(found, "npusim reproduce xamba --markdown page.md")
    for one in found:
        assert f"| {one.speedup:.2f}x | {one.claim.speedup:.1f}x | {one.error:+.0%} |" in page
    assert "| mamba-x | 1,000.0 | 2,000.0 | contract | 2,500.0 |" in page
    assert "In all 6 rows" in page and "faster than the best of them in 3." in page
    assert "`npusim reproduce xamba --markdown page.md`" in page
    assert "{" not in page.replace("{functions", "")
