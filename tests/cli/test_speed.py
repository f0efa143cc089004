"""What a user waits for, in processor time, which a busy machine stretches little: the best of a few tries counts."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
_TRIES = 4


def _processor_s(arguments: list[str], folder: Path) -> float:
    """Processor time of a cold command, s."""
    before = os.times()
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    command = [sys.executable, "-m", "npusim", *arguments]
    subprocess.run(command, cwd=folder, env=environment, check=True, capture_output=True)
    after = os.times()
    return after.children_user + after.children_system - before.children_user - before.children_system


@pytest.mark.parametrize(
    ("command", "most_s"),
    [
        ("--help", 0.15),
        ("run --hw lunarlake.yaml", 10),
        ("run --hw lunarlake.yaml --workload resnet-50", 10),
        ("advise --hw lunarlake.yaml", 10),
        ("advise --hw lunarlake.yaml --workload resnet-50", 5),
    ],
)
def test_nobody_waits_long(command: str, most_s: float, tmp_path: Path) -> None:
    took_s = []
    while len(took_s) < _TRIES and min(took_s, default=most_s + 1) > most_s:
        took_s.append(_processor_s(command.split(), tmp_path))
    assert min(took_s) <= most_s, took_s
