"""A page in a browser, with everything that must not happen on it."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from playwright.sync_api import Page


class Watched:
    """A page, with everything that must not happen on it."""

    def __init__(self, page: Page, url: str) -> None:
        self.page = page
        self.wrong: list[str] = []
        page.on("console", lambda message: self.wrong.append(f"console {message.type}: {message.text}"))
        page.on("pageerror", lambda error: self.wrong.append(f"error: {error}"))
        page.on("dialog", lambda dialog: (self.wrong.append(f"dialog: {dialog.message}"), dialog.dismiss()))
        page.on("request", lambda request: self.wrong.append(request.url) if request.url != url else None)
        page.goto(url)
        page.wait_for_selector("html[data-ready]")

    def tab(self, name: str) -> None:
        self.page.click(f"#tab-{name}")
