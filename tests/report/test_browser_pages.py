"""The other pages in a headless chromium: comparison, exploration, validation, sensitivities."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from npusim.report.validate_page import silicon_page
from npusim.validation.silicon.measurements import measurements
from npusim.validation.silicon.scores import Scored
from tests.report.pages import PAGES
from tests.report.synthetic import HOSTILE
from tests.report.watched import Watched

if TYPE_CHECKING:
    from playwright.sync_api import Browser

pytestmark = pytest.mark.browser
MARKUP = "main script, main img, main a[href]"


@pytest.fixture
def watched(request: pytest.FixtureRequest, browser: Browser, folder: Path) -> Iterator[Watched]:
    name, scheme = request.param
    context = browser.new_context(viewport={"width": 1366, "height": 768}, color_scheme=scheme)
    watched = Watched(context.new_page(), (folder / name / "report.html").as_uri())
    yield watched
    context.close()
    assert watched.wrong == []


def page(name: str, scheme: str = "light") -> pytest.MarkDecorator:
    return pytest.mark.parametrize("watched", [(name, scheme)], indirect=True, ids=[name])


@pytest.mark.parametrize(
    "watched", [(name, ("light", "dark")[number % 2]) for number, name in enumerate(PAGES)], indirect=True,
    ids=list(PAGES),
)  # fmt: skip
def test_every_tab_has_its_content(watched: Watched, request: pytest.FixtureRequest, tmp_path: Path) -> None:
    content = PAGES[request.node.callspec.id][1]
    tabs = [tab.get_attribute("id") for tab in watched.page.locator('[role="tab"]').all()]
    assert tabs == [f"tab-{name}" for name in content]
    for name, selector in content.items():
        watched.tab(name)
        watched.page.locator(f"#panel-{name} {selector}").first.wait_for(state="visible")
        assert len(watched.page.screenshot(path=str(tmp_path / f"{name}.png"))) > 10_000
        assert watched.page.locator(MARKUP).count() == 0
    if request.node.callspec.id in ("compare", "explore", "sensitivity"):
        assert watched.page.locator("h1").inner_text() == HOSTILE


def test_rows_that_show_an_order_only_are_in_no_summary() -> None:
    rows = [row for row in measurements() if row.use in ("score", "trend")]
    html = silicon_page(
        "x", [Scored(row, row.measured_us * (1.25 if row.use == "score" else 9), None) for row in rows]
    )
    assert '"label":"Median error","value":"25.0"' in html
    assert '"label":"Worst","value":"25.0"' in html
    assert f"{sum(row.use == 'trend' for row in rows)} show an order only" in html


@page("explore")
def test_brushing_follows_into_the_table_and_the_front(watched: Watched) -> None:
    page = watched.page
    watched.tab("points")
    rows = page.locator("#panel-points tbody tr")
    assert rows.count() == 18
    tiles = page.locator("button.axis").first
    box = tiles.bounding_box()
    assert box is not None
    page.mouse.move(box["x"] + 14, box["y"] + 2)
    page.mouse.down()
    page.mouse.move(box["x"] + 14, box["y"] + box["height"] * 0.2)
    page.mouse.up()
    assert rows.count() == 6  # four tiles
    page.locator("button.axis").nth(1).focus()
    page.keyboard.press("ArrowUp")  # the upper half of the bandwidths
    assert rows.count() == 2
    assert "2 of 18 points" in page.locator("#panel-points .count").first.inner_text()
    watched.tab("front")
    assert page.locator("#panel-front .pareto .scatterlayer path.point").count() <= 4
    watched.tab("points")
    page.click("button:has-text('Drop all ranges')")
    assert rows.count() == 18
    page.fill("#panel-points input[type=search]", "does not fit")
    assert rows.count() == 3
    assert HOSTILE in rows.first.inner_text()


@page("explore")
def test_measures_and_axes_can_be_chosen(watched: Watched) -> None:
    page = watched.page
    page.locator("#panel-front select").nth(0).select_option("tokens_per_s")
    page.locator("#panel-front select").nth(2).select_option("axis:tiles")
    page.locator("#panel-front .pareto .colorbar, #panel-front .pareto .cbaxis").first.wait_for(
        state="attached"
    )
    assert "Throughput, tokens/s" in str(page.locator("#panel-front .xtitle").text_content())
    watched.tab("heat")
    page.locator("#panel-heat select").nth(1).select_option("axis:xamba")
    assert page.locator("#panel-heat .annotation-text").all_text_contents() == ["failed"]
    assert HOSTILE in page.locator("#panel-heat .ytick").all_text_contents()


@page("compare")
def test_hover_of_the_waterfall_and_filter_of_the_changes(watched: Watched) -> None:
    page = watched.page
    watched.tab("steps")
    page.locator("#panel-steps .waterfalllayer .point").first.hover(force=True)
    page.locator("#panel-steps .hovertext").first.wait_for()
    watched.tab("changes")
    rows = page.locator("#panel-changes tbody tr")
    before = rows.count()
    page.fill("#panel-changes input[type=search]", "matmul")
    assert 0 < rows.count() < before


@page("validate")
def test_hover_and_worst_case_first(watched: Watched) -> None:
    page = watched.page
    page.locator("#panel-scatter .scatterlayer .point").last.hover(force=True)
    hover = page.locator("#panel-scatter .hovertext").first
    hover.wait_for()
    assert "predicted" in str(hover.text_content())
    watched.tab("cases")
    first = page.locator("#panel-cases tbody tr").first.inner_text()
    assert "100.0" in first  # the row that failed
    page.select_option("#panel-cases select", "4000")
    assert page.locator("#panel-cases tbody tr").count() == 12


#: Texts of a plot that lie over one another, or outside of it.
_OVERLAPPING = """(selector) => {
  const plot = document.querySelector(selector), frame = plot.getBoundingClientRect();
  const texts = [...plot.querySelectorAll('.ytick text, .xtick text, .annotation-text, .legendtext, .bartext')]
    .filter((node) => node.textContent.trim());
  const boxes = texts.map((node) => [node.textContent, node.getBoundingClientRect()]);
  const out = boxes.filter(([, box]) => box.left < frame.left - 1 || box.right > frame.right + 1);
  const over = boxes.flatMap(([a, one], i) => boxes.slice(i + 1).filter(([, two]) =>
    one.left < two.right - 2 && two.left < one.right - 2 && one.top < two.bottom - 4 && two.top < one.bottom - 4)
    .map(([b]) => `${a} / ${b}`));
  return [...out.map(([text]) => text), ...over];
}"""


@pytest.mark.parametrize(
    ("name", "tab", "plot"),
    [("compare", "steps", ".plot"), ("sensitivity", "sensitivity", ".plot"), ("run", "time", ".plot.bars"),
     ("run", "roofline", ".plot"), ("validate", "errors", ".plot")],
)  # fmt: skip
def test_texts_of_plots_stand_apart_on_a_phone(
    name: str, tab: str, plot: str, browser: Browser, folder: Path
) -> None:
    context = browser.new_context(viewport={"width": 390, "height": 844})
    watched = Watched(context.new_page(), (folder / name / "report.html").as_uri())
    watched.tab(tab)
    watched.page.locator(f"#panel-{tab} {plot} .ytick text").first.wait_for()
    assert watched.page.evaluate(_OVERLAPPING, f"#panel-{tab} {plot}") == []
    context.close()
