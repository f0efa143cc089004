"""The hardware files that npusim ships: one YAML file an NPU, every number with its source beside it."""

from __future__ import annotations

from pathlib import Path

FOLDER = Path(__file__).resolve().parent
"""Where the YAML files are."""
