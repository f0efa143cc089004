"""The model as a graph, in a headless chromium: how it is drawn, and the ways through it."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import npusim
from npusim.report.page import render
from tests.report.watched import Watched

if TYPE_CHECKING:
    from playwright.sync_api import Browser, Page

pytestmark = pytest.mark.browser


@pytest.fixture(scope="module")
def report(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return npusim.run("resnet-50", "lunarlake").report(tmp_path_factory.mktemp("graph"))


@pytest.fixture(params=[1366, 390])
def watched(request: pytest.FixtureRequest, browser: Browser, report: Path) -> Iterator[Watched]:
    context = browser.new_context(viewport={"width": request.param, "height": 800})
    watched = Watched(context.new_page(), report.as_uri())
    watched.tab("graph")
    yield watched
    context.close()
    assert watched.wrong == []


@pytest.fixture(scope="module")
def blank(browser: Browser, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Page]:
    file = tmp_path_factory.mktemp("blank") / "page.html"
    notes = {"kind": "notes", "items": ["nothing"]}
    tabs = [{"id": "only", "title": "Only", "blocks": [notes]}]
    file.write_text(render("blank", "", {"tabs": tabs, "tables": {}}), encoding="utf-8")
    page = browser.new_page()
    page.goto(file.as_uri())
    page.wait_for_selector("html[data-ready]")
    yield page
    page.close()


@st.composite
def drawings(draw: st.DrawFn) -> tuple[int, list[list[int]]]:
    count = draw(st.integers(1, 24))
    pairs = st.tuples(st.integers(0, count - 1), st.integers(0, count - 1)).filter(
        lambda pair: pair[0] < pair[1]
    )
    return count, [list(pair) for pair in draw(st.sets(pairs, max_size=40) if count > 1 else st.just(set()))]


@given(drawing=drawings())
@settings(max_examples=60)
def test_readers_stand_below_and_nothing_overlaps(blank: Page, drawing: tuple[int, list[list[int]]]) -> None:
    count, edges = drawing
    size = {"width": 190, "height": 46, "gap": 18, "lane": 22, "row": 78}
    drawn: dict[str, Any] = blank.evaluate(
        "([count, edges, size]) => { const { x, y, paths } = npusim.layered(count, edges, size);"
        " return { x: [...x], y: [...y], paths } }",
        [count, edges, size],
    )
    assert all(drawn["y"][a] < drawn["y"][b] for a, b in edges)
    for op in range(count):
        for other in range(op):
            if drawn["y"][op] == drawn["y"][other]:
                assert abs(drawn["x"][op] - drawn["x"][other]) >= size["width"] + size["gap"] - 1e-6
    for (a, b), path in zip(edges, drawn["paths"], strict=True):
        assert path[0] == [drawn["x"][a], drawn["y"][a]]
        assert path[-1] == [drawn["x"][b], drawn["y"][b]]
        for x, y in path[1:-1]:  # a lane leads past the boxes, not through them
            assert all(
                abs(x - drawn["x"][op]) >= size["width"] / 2 for op in range(count) if drawn["y"][op] == y
            )


def test_the_first_op_is_seen_at_once(watched: Watched) -> None:
    at = watched.page.evaluate(
        "() => { const { graph, left, top, scale } = npusim.model.state();"
        " const box = document.querySelector('canvas.model').getBoundingClientRect();"
        " return [(graph.x[0] - left) * scale / box.width, (graph.y[0] - top) * scale / box.height] }"
    )
    assert 0 < at[0] < 1
    assert 0 < at[1] < 0.5


def test_the_keyboard_walks_along_the_edges(watched: Watched) -> None:
    page = watched.page
    page.focus("canvas.model")
    page.keyboard.press("ArrowDown")
    page.keyboard.press("ArrowDown")
    page.keyboard.press("ArrowDown")
    chosen = page.locator("#panel-graph .chosen")
    assert "stages.0.0.reduce" in chosen.inner_text()
    page.keyboard.press("ArrowRight")
    assert "stages.0.0.shortcut" in chosen.inner_text()
    page.keyboard.press("ArrowUp")
    assert "stem.pool" in chosen.inner_text()
    page.keyboard.press("Enter")
    page.locator("#panel-timeline canvas.lanes").wait_for(state="visible")
    page.click(".chosen button:has-text('Show in the graph')")
    assert "stem.pool" in page.locator("#panel-graph .chosen").inner_text()


def test_what_is_found_is_chosen_in_turn(watched: Watched) -> None:
    page = watched.page
    page.fill("#panel-graph input[type=search]", "shortcut")
    assert page.locator("#panel-graph .count").inner_text() == "4 found"
    seen = set()
    for _ in range(4):
        page.press("#panel-graph input[type=search]", "Enter")
        seen.add(page.evaluate("npusim.model.state().at"))
    assert len(seen) == 4


def test_layers_are_boxes_that_open(watched: Watched) -> None:
    page = watched.page
    page.select_option("#panel-graph select", "layers")
    page.focus("canvas.model")
    page.keyboard.press("Home")
    whole = page.evaluate("npusim.model.state().graph.boxes.map(({ us }) => us).reduce((a, b) => a + b)")
    layers = page.evaluate("npusim.model.state().graph.boxes.length")
    page.select_option("#panel-graph select", "all")
    every = page.evaluate("npusim.model.state().graph.boxes.map(({ us }) => us).reduce((a, b) => a + b)")
    assert whole == pytest.approx(every)
    assert layers < page.evaluate("npusim.model.state().graph.boxes.length")
    page.select_option("#panel-graph select", "layers")
    layer = page.evaluate("npusim.model.state().graph.boxes.findIndex(({ layer }) => layer)")
    page.focus("canvas.model")
    page.keyboard.press("Home")
    for _ in range(layer):
        page.keyboard.press("ArrowDown")
    page.keyboard.press("Enter")
    assert page.locator("#panel-graph select").input_value().startswith("in ")
