"""Every page for everybody: axe-core finds no fault, and whoever has a keyboard alone reaches everything."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from tests.report.pages import PAGES
from tests.report.watched import Watched

if TYPE_CHECKING:
    from playwright.sync_api import Browser, Page

pytestmark = pytest.mark.browser
#: Width in pixels and colour scheme.
LOOKS = [(1366, "light"), (390, "dark")]


@pytest.fixture
def watched(request: pytest.FixtureRequest, browser: Browser, folder: Path) -> Iterator[Watched]:
    name, width, scheme = request.param
    context = browser.new_context(
        viewport={"width": width, "height": 800}, color_scheme=scheme, reduced_motion="reduce"
    )
    watched = Watched(context.new_page(), (folder / name / "report.html").as_uri())
    yield watched
    context.close()
    assert watched.wrong == []


def tabs(page: Page) -> list[str]:
    ids = [tab.get_attribute("id") or "" for tab in page.locator('[role="tab"]').all()]
    return [each.removeprefix("tab-") for each in ids]


def faults(page: Page) -> list[str]:
    """What axe-core finds: the rule, and where."""
    axe = pytest.importorskip("axe_playwright_python.sync_playwright")
    found: dict[str, Any] = axe.Axe().run(page).response
    return [
        f"{each['impact']} {each['id']}: {node['html'][:160]} ({node['any'][0]['message'] if node['any'] else ''})"
        for each in found["violations"]
        for node in each["nodes"]
    ]


@pytest.mark.parametrize(
    "watched", [(name, *look) for name in PAGES for look in LOOKS], indirect=True, ids=str
)
def test_axe_finds_no_fault_and_nothing_is_wider_than_the_screen(watched: Watched) -> None:
    for name in tabs(watched.page):
        watched.tab(name)
        watched.page.wait_for_timeout(100)
        assert faults(watched.page) == [], name
        assert watched.page.evaluate("document.documentElement.scrollWidth <= innerWidth"), name


#: What can be clicked in the chosen tab, and is shown.
_CLICKABLE = """() => [...document.querySelectorAll(
    'header button, main button, main select, main input, main canvas, main a[href], main .js-plotly-plot')]
  .filter((node) => node.checkVisibility() && !node.disabled && node.getAttribute('role') !== 'tab')
  .filter((node) => node.ariaHidden !== 'true' && node.getAttribute('role') !== 'img')"""


@pytest.mark.parametrize("watched", [(name, *LOOKS[0]) for name in PAGES], indirect=True, ids=str)
def test_the_keyboard_alone_reaches_everything(watched: Watched) -> None:
    page = watched.page
    names = tabs(page)
    page.keyboard.press("Tab")
    assert page.evaluate("document.activeElement.className") == "skip"
    for number, name in enumerate(names):
        page.evaluate("document.activeElement.blur()")
        page.focus(f"#tab-{names[max(number - 1, 0)]}")
        if number:
            page.keyboard.press("ArrowRight")
        assert page.locator(f"#tab-{name}").get_attribute("aria-selected") == "true"
        wanted = page.evaluate(f"() => {{ window.clickable = ({_CLICKABLE})(); return clickable.length }}")
        page.evaluate("document.activeElement.blur()")
        page.evaluate("getSelection().collapse(document.body, 0)")
        reached: set[int] = set()
        for _ in range(wanted + 40):
            page.keyboard.press("Tab")
            at, seen = page.evaluate(
                "() => { const node = document.activeElement, style = getComputedStyle(node);"
                " return [clickable.indexOf(node), node === document.body || style.outlineStyle !== 'none'] }"
            )
            assert seen, f"{name}: the focus is not shown"
            reached.add(at)
        missed = page.evaluate(
            "(reached) => clickable.filter((_, i) => !reached.includes(i)).map((node) => node.outerHTML.slice(0, 120))",
            sorted(reached),
        )
        assert missed == [], name
