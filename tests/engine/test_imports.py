"""What an import does not load: the reference engine does not pay for the fast one, nor any engine for lowering."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parents[2]


def _loaded(imports: str, wanted: str) -> str:
    """The modules beginning with ``wanted`` that a fresh interpreter has loaded after ``imports``."""
    script = (
        f"import sys, {imports}\nprint(sorted(m for m in sys.modules if (m + '.').startswith('{wanted}.')))"
    )
    done = subprocess.run(
        [sys.executable, "-c", script], cwd=ROOT, check=True, capture_output=True, text=True
    )
    return done.stdout.strip()


def test_nothing_heavy_is_imported_before_it_is_needed() -> None:
    imports = (
        "npusim.api, npusim.engine.event, npusim.engine.fast, npusim.analysis.sensitivity, npusim.cli.app"
    )
    for heavy in ("numba", "pandas", "plotly", "scipy"):
        assert _loaded(imports, heavy) == "[]"


def test_engine_costs_and_analysis_load_no_lowering() -> None:
    imports = "npusim.engine.event, npusim.engine.fast, npusim.costs.price, npusim.analysis.metrics"
    assert _loaded(imports, "npusim.lowering") == "[]"
    assert "npusim.lowering" in _loaded("npusim.lowering", "npusim.lowering")
