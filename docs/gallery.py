"""Screenshots of a real report for the README and docs/: needs playwright and Debian's chromium.

python docs/gallery.py
"""

from __future__ import annotations

import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

from playwright.sync_api import Page, sync_playwright

IMAGES = Path(__file__).parent / "img"
FLAGS = [
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
]
TABS = ("summary", "timeline", "time", "roofline", "overtime", "ops")


def shoot(page: Page, name: str) -> None:
    """One picture of what the window shows, once it has settled."""
    page.wait_for_timeout(1500)
    page.screenshot(path=IMAGES / f"{name}.png")
    print(f"docs/img/{name}.png")


def main() -> None:
    """Simulate Mamba-2 130M on Lunar Lake, and photograph every tab of its report."""
    IMAGES.mkdir(exist_ok=True)
    with tempfile.TemporaryDirectory() as folder, sync_playwright() as playwright:
        run = [sys.executable, "-m", "npusim", "run", "--hw", "lunarlake.yaml", "--out", folder]
        subprocess.run(run, check=True, stdout=subprocess.DEVNULL)
        browser = playwright.chromium.launch(executable_path=shutil.which("chromium"), args=FLAGS)
        for scheme in ("light", "dark"):
            page = browser.new_page(viewport={"width": 1440, "height": 900}, color_scheme=scheme)
            page.goto((Path(folder) / "report.html").as_uri())
            page.wait_for_selector("html[data-ready]")
            for tab in TABS if scheme == "light" else ("timeline",):
                page.click(f"#tab-{tab}")
                shoot(page, tab if scheme == "light" else f"{tab}-dark")
        browser.close()


if __name__ == "__main__":
    main()
