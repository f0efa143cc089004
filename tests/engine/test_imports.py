"""The reference engine, which a run uses by default, does not pay for the fast one."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

SCRIPT = """
import sys
import npusim.api, npusim.engine.event, npusim.engine.fast, npusim.analysis.sensitivity, npusim.cli.app
print(sorted({"numba", "pandas", "plotly", "scipy"} & set(sys.modules)))
"""


def test_nothing_heavy_is_imported_before_it_is_needed() -> None:
    root = Path(__file__).parents[2]
    done = subprocess.run(
        [sys.executable, "-c", SCRIPT], cwd=root, check=True, capture_output=True, text=True
    )
    assert done.stdout.strip() == "[]"
