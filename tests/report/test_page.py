"""The page without a browser: what it embeds, and what names from strangers become."""

from __future__ import annotations

import json
import re
from html.parser import HTMLParser
from importlib.resources import files

import pytest

from npusim.analysis.compare import Case, compare
from npusim.report.compare_page import compare_page
from npusim.report.looks import KINDS, TYPE_PALETTE
from npusim.report.page import embedded_json, plot_text, render
from npusim.report.run_page import run_page
from npusim.report.subject import Subject
from tests.report.synthetic import HOSTILE, synthetic_result


class Scripts(HTMLParser):
    """Collects the script elements of a page as a browser would see them, and every other start tag."""

    def __init__(self) -> None:
        super().__init__()
        self.texts: list[str] = []
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.inside = False

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))
        if tag == "script":
            self.inside = True
            self.texts.append("")

    def handle_endtag(self, tag: str) -> None:
        self.inside = self.inside and tag != "script"

    def handle_data(self, data: str) -> None:
        if self.inside:
            self.texts[-1] += data


@pytest.fixture(scope="module")
def page() -> str:
    return run_page(
        synthetic_result(), Subject(f"model {HOSTILE}", "lunarlake.yaml", (), "prefill", 256, "npusim run")
    )


def parsed(page: str) -> Scripts:
    scripts = Scripts()
    scripts.feed(page)
    return scripts


def test_hostile_names_do_not_end_the_payload(page: str) -> None:
    scripts = parsed(page).texts
    assert len(scripts) == 3  # payload, plotly, ours
    payload = json.loads(scripts[0])
    names = payload["tables"]["ops"]["columns"][0]["values"]
    assert HOSTILE in names
    assert HOSTILE not in page
    assert "alert(1)" in page


def test_nothing_is_loaded_from_elsewhere(page: str) -> None:
    for tag, attributes in parsed(page).tags:
        assert tag not in ("link", "img", "iframe", "object", "embed")
        assert "src" not in attributes
    policy = next(a["content"] for t, a in parsed(page).tags if t == "meta" and a.get("http-equiv"))
    assert policy is not None
    assert "default-src 'none'" in policy
    assert "http" not in policy


def test_all_slots_are_filled(page: str) -> None:
    assert not re.search("@@[A-Z]+@@", page)


def test_slots_in_texts_stay_texts() -> None:
    assert "@@JS@@" in render("@@JS@@", "", {"tabs": [], "tables": {}})


@pytest.mark.parametrize("text", ["</script>", "<!--<script>", "\u2028", "\ud800", "&lt;"])
def test_embedded_json_reads_back(text: str) -> None:
    embedded = embedded_json({"name": text})
    assert "<" not in embedded
    embedded.encode("utf-8")
    if text != "\ud800":
        assert json.loads(embedded) == {"name": text}


def test_plot_text_leaves_no_markup() -> None:
    assert plot_text("<b>a</b> & $x$\x1b") == "&lt;b&gt;a&lt;/b&gt; &amp; &#36;x&#36;�"


def test_same_bytes_again(page: str) -> None:
    again = run_page(
        synthetic_result(), Subject(f"model {HOSTILE}", "lunarlake.yaml", (), "prefill", 256, "npusim run")
    )
    assert again == page


def test_a_comparison_says_why_a_timeline_is_missing(monkeypatch: pytest.MonkeyPatch) -> None:
    small, large = synthetic_result(kernels=2), synthetic_result(kernels=8)
    assert len(small.program.tasks) < len(large.program.tasks)
    monkeypatch.setattr("npusim.report.compare_page._MOST_TASKS", len(small.program.tasks))
    cases = [Case(label, one.program.ops, one.metrics) for label, one in (("many", large), ("few", small))]
    payload = json.loads(parsed(compare_page(compare(cases), [large, small], "m", "")).texts[0])
    tabs = {tab["title"]: tab for tab in payload["tabs"]}
    assert "Timeline: few" in tabs
    assert "Timeline: many" not in tabs
    (notes,) = [block["items"] for block in tabs["Summary"]["blocks"] if block["kind"] == "notes"]
    assert notes[0].startswith(f"many: its {len(large.program.tasks):,} tasks")


def test_a_colour_means_an_engine_or_an_op_type_never_both() -> None:
    style = (files("npusim.report") / "assets" / "page.css").read_text()
    engines = set(re.findall(r"--(?:dma|dpu|shave|startup): (#[0-9a-f]{6})", style))
    kinds = {colour for _, colour in KINDS.values()}
    assert not (engines | kinds) & set(TYPE_PALETTE)
    core = (files("npusim.report") / "assets" / "core.js").read_text()
    assert re.findall(r"#[0-9a-f]{6}", core.partition("npusim.typePalette = ")[2].partition(";")[0]) == list(
        TYPE_PALETTE
    )
