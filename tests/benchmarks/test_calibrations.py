"""Carried calibrations can be run again by the command that they carry."""

from __future__ import annotations

import json
import shlex

import pytest

from benchmarks import calibrations


def test_every_document_is_of_one_command_that_prints_it() -> None:
    found = calibrations.files([])
    assert {path.stem for path in found} >= {"calibration-256v", "calibration-3720", "calibration-4000"}
    for path in found:
        words = shlex.split(json.loads(path.read_text(encoding="utf-8"))["command"])
        assert words[:2] == ["npusim", "calibrate"]
        assert words[-1] == "--json"


def test_a_name_that_there_is_not_is_told() -> None:
    with pytest.raises(SystemExit, match="no calibration is called 9999; there are 256v"):
        calibrations.files(["9999"])
