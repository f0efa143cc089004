"""Screenshots of real reports for the README and docs/: needs playwright and Debian's chromium.

python docs/gallery.py
"""

from __future__ import annotations

import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

from playwright.sync_api import Browser, sync_playwright

IMAGES = Path(__file__).parent / "img"
FLAGS = [
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
]
SWEEP = ["--layers", "1", "--axis", "tiles=2,4,6", "--axis", "ddr.bandwidth_gbps=34,68,102,136"]
#: A model of states, a hybrid and a transformer of about a billion parameters, as they stand and rewritten.
LLMS = [
    "mamba2-1.3b",
    "granite-4.0-h-1b",
    "llama-3.2-1b",
    "--xamba",
    "auto",
    "--stock",
    "--prompt",
    "128,512,2048,4096",
]
#: Picture: the report it is of, the tab, and the colours of the system.
PICTURES = {
    "summary": ("run", "summary", "light"),
    "timeline": ("run", "timeline", "light"),
    "timeline-dark": ("run", "timeline", "dark"),
    "graph": ("net", "graph", "light"),
    "time": ("run", "time", "light"),
    "roofline": ("run", "roofline", "light"),
    "overtime": ("run", "overtime", "light"),
    "ops": ("run", "ops", "light"),
    "compare": ("compare", "steps", "light"),
    "explore": ("sweep", "front", "light"),
    "parallel": ("sweep", "points", "light"),
    "sensitivity": ("sensitivity", "sensitivity", "light"),
    "validate": ("validate", "scatter", "light"),
    "llm": ("llm", "llm", "light"),
}


def npusim(*arguments: str) -> None:
    """Run one command."""
    command = [sys.executable, "-m", "npusim", *arguments]
    subprocess.run(command, check=True, stdout=subprocess.DEVNULL)


def compare(folder: Path) -> None:
    """Mamba-2 130M before and after its rewrites."""
    import npusim
    from npusim.analysis.compare import Case
    from npusim.analysis.compare import compare as compared
    from npusim.report.compare_page import compare_page
    from npusim.report.write import write_page

    hw = npusim.load_hardware("lunarlake.yaml")
    runs = {
        label: npusim.simulate(npusim.lower(npusim.build_workload("mamba2-130m", passes=passes), hw), hw)
        for label, passes in (("as it is", ""), ("cumba", "cumba"))
    }
    cases = [Case(label, run.program.ops, run.metrics) for label, run in runs.items()]
    write_page(folder, compare_page(compared(cases), list(runs.values()), "mamba2-130m", f"on {hw.name}"))


def shoot(browser: Browser, name: str, report: Path, tab: str, scheme: str) -> None:
    """One picture of what the window shows, once it has settled."""
    page = browser.new_page(viewport={"width": 1440, "height": 900}, color_scheme=scheme)  # type: ignore[arg-type]
    page.goto(f"{report.as_uri()}#{tab}")
    page.wait_for_selector("html[data-ready]")
    page.wait_for_timeout(2500)
    page.screenshot(path=IMAGES / f"{name}.png")
    page.close()
    print(f"docs/img/{name}.png")


def main() -> None:
    """Make a report of every kind, and photograph the tabs that the documentation shows."""
    IMAGES.mkdir(exist_ok=True)
    with tempfile.TemporaryDirectory() as folder, sync_playwright() as playwright:
        out = {
            name: Path(folder) / name
            for name in ("run", "net", "compare", "sweep", "sensitivity", "validate", "llm")
        }
        npusim("run", "--hw", "lunarlake.yaml", "--out", str(out["run"]))
        npusim("run", "--hw", "lunarlake.yaml", "--workload", "resnet-50", "--out", str(out["net"]))
        npusim("sweep", "--hw", "lunarlake.yaml", *SWEEP, "--out", str(out["sweep"]))
        npusim("sensitivity", "--hw", "lunarlake.yaml", "--out", str(out["sensitivity"]))
        npusim("validate", "--family", "micro", "--platform", "4000", "--out", str(out["validate"]))
        npusim("llm", "--hw", "lunarlake.yaml", *LLMS, "--out", str(out["llm"]))
        compare(out["compare"])
        browser = playwright.chromium.launch(executable_path=shutil.which("chromium"), args=FLAGS)
        for name, (report, tab, scheme) in PICTURES.items():
            shoot(browser, name, out[report] / "report.html", tab, scheme)
        browser.close()


if __name__ == "__main__":
    main()
