"""A trace is served to Perfetto's page once, and to nobody else's."""

from __future__ import annotations

import subprocess
import sys
import urllib.error
import urllib.request
from pathlib import Path

import pytest

from npusim.cli.perfetto import trace_in
from npusim.errors import UserError

ROOT = Path(__file__).parents[2]


def test_a_trace_is_served_once(tmp_path: Path) -> None:
    folder = tmp_path / "run"
    folder.mkdir()
    (folder / "trace.json").write_text('{"traceEvents": []}')
    code = f"import sys; sys.path.insert(0, {str(ROOT)!r}); from npusim.cli.main import main; main()"
    command = [sys.executable, "-c", code, "trace", "open", "run", "--no-browser"]
    process = subprocess.Popen(command, cwd=tmp_path, stdout=subprocess.PIPE, text=True)
    assert process.stdout is not None
    link = process.stdout.readline().strip()
    assert link == "https://ui.perfetto.dev/#!/?url=http://127.0.0.1:9001/trace.json"
    local = link.partition("?url=")[2]
    with pytest.raises(urllib.error.HTTPError):
        urllib.request.urlopen(local.replace("trace.json", "run.json"))
    with urllib.request.urlopen(local) as answer:
        assert answer.headers["Access-Control-Allow-Origin"] == "https://ui.perfetto.dev"
        assert answer.read() == (folder / "trace.json").read_bytes()
    assert process.wait(20) == 0
    process.stdout.close()


def test_where_there_is_no_trace_is_said(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="no trace there"):
        trace_in(tmp_path)
