"""The page in a headless chromium: it draws without errors and requests, and its controls work."""

from __future__ import annotations

import csv
from collections.abc import Iterator
from math import inf
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from npusim.program.journal import Entry
from npusim.report import write_report
from npusim.report.run_page import run_page
from npusim.report.subject import Subject
from npusim.text import printable
from tests.report.synthetic import HOSTILE, HOSTILE_MARKUP, synthetic_result
from tests.report.watched import Watched

if TYPE_CHECKING:
    from playwright.sync_api import Browser

pytestmark = pytest.mark.browser
LAYERS = 120  # 240 ops: more than one page of the table
DECIDED = (
    Entry("split", "layers.9/in_proj", "channels", (("channels", 12.5), (HOSTILE_MARKUP, inf))),
    Entry("residency", "layers.9/in_proj", f"operand 0, made by {HOSTILE}: found in CMX"),
    Entry("fuse", "bias", "done by its MatMul"),
)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    result = synthetic_result(LAYERS)
    edges = tuple((op, op + 1) for op in range(2 * LAYERS - 1)) + ((0, 5), (0, 2 * LAYERS - 1))
    subject = Subject(
        f"model {HOSTILE}",
        "lunarlake.yaml",
        (),
        "prefill",
        256,
        "npusim run --hw lunarlake.yaml",
        edges=edges,
    )
    return write_report(result, tmp_path_factory.mktemp("report"), subject, entries=DECIDED)


@pytest.fixture(params=["light", "dark"])
def watched(request: pytest.FixtureRequest, browser: Browser, folder: Path) -> Iterator[Watched]:
    context = browser.new_context(viewport={"width": 1440, "height": 900}, color_scheme=request.param)
    watched = Watched(context.new_page(), (folder / "report.html").as_uri())
    yield watched
    context.close()
    assert watched.wrong == []


def test_every_tab_has_its_content(watched: Watched, tmp_path: Path) -> None:
    page = watched.page
    content = {
        "summary": ".card", "timeline": "canvas.lanes", "graph": "canvas.model",
        "time": ".treemap .slice", "roofline": ".scatterlayer .point",
        "overtime": ".scatterlayer .js-line", "ops": "tbody tr",
    }  # fmt: skip
    assert page.locator('[role="tab"]').count() == len(content)
    for name, selector in content.items():
        watched.tab(name)
        page.locator(f"#panel-{name} {selector}").first.wait_for(state="visible")
        picture = page.screenshot(path=str(tmp_path / f"{name}.png"))
        assert len(picture) > 10_000
    assert page.locator("#panel-time .bars .point").count() > 0
    assert page.title() == f"model {HOSTILE} · prefill"


def test_names_from_strangers_are_text(watched: Watched) -> None:
    page = watched.page
    for name in ("summary", "timeline", "graph", "time", "roofline", "overtime", "ops"):
        watched.tab(name)
        page.wait_for_timeout(50)
        assert page.locator("main script, main a[href], main b:has-text('bold')").count() == 0
    assert page.locator("h1").inner_text() == f"model {HOSTILE} · prefill"
    watched.tab("time")
    assert HOSTILE in page.locator("#panel-time .bars .ytick").all_text_contents()
    x, y = page.evaluate(
        "() => { const bars = [...document.querySelectorAll('#panel-time .bars .point path')];"
        " const boxes = bars.map((bar) => bar.getBoundingClientRect()).sort((a, b) => b.width - a.width);"
        " return [boxes[0].x + boxes[0].width / 2, boxes[0].y + boxes[0].height / 2] }"
    )
    page.mouse.move(x, y)
    page.locator("#panel-time .bars .hovertext").first.wait_for()
    assert page.locator("#panel-time .hovertext a, #panel-time .hovertext [style*='bold']").count() == 0


def test_equal_layers_stand_together_and_keep_their_sum(watched: Watched) -> None:
    page = watched.page
    watched.tab("ops")

    def latency_us() -> float:
        while page.locator("#panel-ops .more").is_visible():
            page.click("#panel-ops .more button:has-text('Show all')")
        cells = page.locator("#panel-ops tbody td:nth-child(4)").all_inner_texts()
        return sum(float(text.replace(",", "") or 0) for text in cells)

    together, folded = page.locator("#panel-ops tbody tr").count(), latency_us()
    assert "×" in page.locator("#panel-ops tbody").inner_text()
    page.uncheck("#panel-ops .tools input[type=checkbox]")
    assert latency_us() == pytest.approx(folded, rel=1e-3)
    assert page.locator("#panel-ops tbody tr").count() > together


def test_table_sorts_filters_and_downloads(watched: Watched, folder: Path, tmp_path: Path) -> None:
    page = watched.page
    watched.tab("ops")
    rows = page.locator("#panel-ops tbody tr")
    page.uncheck("#panel-ops .tools input[type=checkbox]")
    assert rows.count() == 100
    page.click("#panel-ops .more button:has-text('Show all')")
    assert rows.count() == 2 * LAYERS
    page.click('#panel-ops th[data-key="start_us"] button')
    page.click('#panel-ops th[data-key="start_us"] button')
    assert page.get_attribute('#panel-ops th[data-key="start_us"]', "aria-sort") == "ascending"
    starts = [
        float(text.replace(",", "") or 0)
        for text in page.locator("#panel-ops tbody td:nth-child(12)").all_inner_texts()
    ]
    assert starts == sorted(starts)
    page.fill("#panel-ops input[type=search]", "layers.7 matmul")
    assert rows.count() == 11  # layers.7 and layers.70 to 79
    page.select_option("#panel-ops select", "CumSum")
    assert rows.count() == 0
    page.select_option("#panel-ops select", "MatMul")
    with page.expect_download() as download:
        page.click("#panel-ops button:has-text('Download CSV')")
    download.value.save_as(tmp_path / "ops.csv")
    with (tmp_path / "ops.csv").open(newline="") as file:
        saved = list(csv.DictReader(file))
    assert [row["Type"] for row in saved] == ["MatMul"] * 11


def test_timeline_hovers_zooms_and_follows_causes(watched: Watched) -> None:
    page = watched.page
    watched.tab("timeline")
    canvas = page.locator("canvas.lanes")
    lane_top = page.evaluate("npusim.lanes.tops[4]")  # the first SHAVE of tile 0
    at = page.evaluate("npusim.lanes.x(npusim.lanes.tasks.start[npusim.lanes.tasks.byLane[3][5]] + 2)")
    canvas.hover(position={"x": at, "y": lane_top + 6})
    tip = page.locator(".tip")
    tip.wait_for(state="visible")
    assert "Cost source" in tip.inner_text()
    assert "guess" in tip.inner_text()
    canvas.click(position={"x": at, "y": lane_top + 6})
    page.click(".chosen button:has-text('Zoom to it')")
    span = page.evaluate("npusim.lanes.to - npusim.lanes.from")
    assert span == pytest.approx(3 * 4.5, rel=1e-3)
    before = page.evaluate("npusim.lanes.chosen")
    page.click(".chosen button:has-text('Go to what it waited for')")
    assert page.evaluate("npusim.lanes.chosen") != before
    canvas.focus()
    page.keyboard.press("0")
    assert page.evaluate("npusim.lanes.from") == 0
    page.keyboard.press("+")
    assert page.evaluate("npusim.lanes.to - npusim.lanes.from") < page.evaluate("npusim.lanes.tasks.latency")
    page.keyboard.press("n")
    page.select_option("#panel-timeline select", "reason")
    page.check("#panel-timeline input[type=checkbox]")
    page.fill("#panel-timeline input[type=search]", "matmul")


def test_from_an_op_to_its_tasks(watched: Watched) -> None:
    page = watched.page
    watched.tab("ops")
    page.locator("#panel-ops tbody .link").nth(3).click()
    page.locator("#panel-timeline canvas.lanes").wait_for(state="visible")
    assert (
        page.evaluate("npusim.lanes.to - npusim.lanes.from") < page.evaluate("npusim.lanes.tasks.latency") / 2
    )


def test_an_op_says_what_was_decided_about_it(watched: Watched) -> None:
    page = watched.page
    watched.tab("ops")
    page.fill("#panel-ops input[type=search]", "layers.9/in_proj")
    page.locator("#panel-ops tbody .link").first.click()
    record = page.locator("#panel-timeline .decisions")
    record.locator("h3").first.wait_for(state="visible")
    split, residency = (record.locator(f"dt:has-text('{stage}') + dd") for stage in ("split", "residency"))
    cells = split.locator("td").all_text_contents()
    assert cells == ["channels", "12.50 µs", printable(HOSTILE_MARKUP), "does not fit"]
    assert residency.text_content() == printable(DECIDED[1].what)
    assert record.locator("h3").all_text_contents()[:2] == ["layers.9/in_proj", "bias"]
    assert record.locator("script, a, b").count() == 0
    page.locator("canvas.lanes").press("Escape")
    assert record.count() == 0


def test_the_critical_path_is_a_row_without_gaps(watched: Watched) -> None:
    watched.tab("timeline")
    assert watched.page.evaluate("npusim.lanes.tasks.rows[0].name") == "Critical path"
    covered, latency = watched.page.evaluate(
        "() => { const { tasks } = npusim.lanes;"
        " return [tasks.rows[0].tasks.reduce((sum, task) => sum + tasks.duration[task], 0), tasks.latency] }"
    )
    assert covered == pytest.approx(latency, rel=1e-6)


def test_types_have_one_colour_everywhere(watched: Watched) -> None:
    page = watched.page
    watched.tab("timeline")
    legend = page.evaluate(
        "() => Object.fromEntries([...document.querySelectorAll('#panel-timeline > .block > .legend li')]"
        ".map((item) => [item.textContent, getComputedStyle(item.firstChild).backgroundColor]))"
    )
    watched.tab("time")
    page.locator("#panel-time .treemap .slice").first.wait_for(state="visible")
    tiles = page.evaluate(
        "() => { const { labels, parents, marker } = document.querySelector('#panel-time .treemap').data[0];"
        " const paint = document.createElement('i'); document.body.append(paint);"
        " const rgb = (colour) => { paint.style.color = colour; return getComputedStyle(paint).color };"
        " return Object.fromEntries(labels.flatMap((label, i) =>"
        " parents[i] === 'all' ? [[label, rgb(marker.colors[i])]] : [])) }"
    )
    assert tiles["MatMul"] == legend["MatMul"]
    assert tiles["CumSum"] == legend["CumSum"]


def test_all_tabs_are_printed(watched: Watched) -> None:
    page = watched.page
    page.evaluate("window.dispatchEvent(new Event('beforeprint'))")
    for name in ("summary", "timeline", "graph", "time", "roofline", "overtime", "ops"):
        assert page.locator(f"#panel-{name}").is_visible()
    width = page.locator("#panel-roofline .main-svg").first.bounding_box()
    assert width is not None
    assert 800 < width["width"] < 1040
    assert page.evaluate("document.querySelector('canvas.lanes').width") > 0
    page.evaluate("window.dispatchEvent(new Event('afterprint'))")
    assert not page.locator("#panel-roofline").is_visible()


def test_from_a_dot_of_the_roofline_to_its_tasks(watched: Watched) -> None:
    watched.tab("roofline")
    watched.page.locator("#panel-roofline .scatterlayer .point").last.click(force=True)
    watched.page.locator("#panel-timeline canvas.lanes").wait_for(state="visible")


def test_the_keyboard_walks_through_the_marks_of_a_plot(watched: Watched) -> None:
    page = watched.page
    watched.tab("roofline")
    page.locator("#panel-roofline .plot").focus()
    for _ in range(4):  # past the roofs
        page.keyboard.press("ArrowDown")
    page.keyboard.press("ArrowRight")
    page.locator("#panel-roofline .said:has-text('of the latency, bound by')").wait_for()
    before = page.evaluate("document.querySelector('#panel-roofline .plot').layout.yaxis.range")
    page.keyboard.press("+")
    low, high = page.evaluate("document.querySelector('#panel-roofline .plot').layout.yaxis.range")
    assert high - low == pytest.approx(0.7 * (before[1] - before[0]))
    page.keyboard.press("Enter")
    page.locator("#panel-timeline canvas.lanes").wait_for(state="visible")
    watched.tab("time")
    page.locator("#panel-time .plot.treemap").focus()
    page.keyboard.press("ArrowRight")
    page.keyboard.press("ArrowRight")
    assert "%" in page.locator("#panel-time .plot.treemap + .said").inner_text()
    page.keyboard.press("Enter")
    assert page.evaluate("document.querySelector('#panel-time .plot.treemap').data[0].level") == "g0"


def test_keyboard_and_theme(watched: Watched) -> None:
    page = watched.page
    page.focus("#tab-summary")
    page.keyboard.press("ArrowRight")
    assert page.locator("#tab-timeline").get_attribute("aria-selected") == "true"
    page.keyboard.press("End")
    assert page.locator("#tab-ops").get_attribute("aria-selected") == "true"
    watched.tab("roofline")
    theme = page.locator("html").get_attribute("data-theme")
    page.click("#theme")
    assert {theme, page.locator("html").get_attribute("data-theme")} == {"light", "dark"}


def test_many_tasks_redraw_fast(browser: Browser, tmp_path: Path) -> None:
    file = tmp_path / "report.html"
    file.write_text(run_page(synthetic_result(layers=1400, kernels=36), Subject("many")), encoding="utf-8")
    page = browser.new_page(viewport={"width": 1440, "height": 900})
    page.goto(file.as_uri() + "#timeline")
    page.wait_for_selector("html[data-ready]")
    assert page.evaluate("npusim.lanes.tasks.count") > 100_000
    took_ms = page.evaluate(
        "() => { const from = performance.now(); for (let i = 0; i < 5; i++) npusim.lanes.draw();"
        " return (performance.now() - from) / 5 }"
    )
    page.close()
    assert took_ms < 200
