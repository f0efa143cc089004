"""A sweep survives being killed, goes on where it was, and keeps to its folder."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pandas as pd
import pytest

from npusim.errors import UserError
from npusim.explore.axes import bind, parse_axis
from npusim.explore.space import Space, grid
from npusim.explore.store import JOURNAL, Journal
from npusim.explore.sweep import sweep
from npusim.workers import DIED, Machines

KILLS = 10

#: Starts a sweep, kills it when it has kept a few points, and again; each time in a process of its own.
SCRIPT = """
import os, signal, sys, time
import numba, openvino
from pathlib import Path
from npusim import load_hardware
from npusim.explore import sweep as module
from npusim.explore.axes import bind, parse_axis
from npusim.explore.space import Space, grid
from npusim.source import ModelSource
def slowly(call, evaluate=module._evaluate):
    time.sleep(0.01)
    return evaluate(call)
module._evaluate = slowly
hw, source = load_hardware("lunarlake.yaml"), ModelSource(file=Path(sys.argv[1]))
folder, kills = Path(sys.argv[2]), int(sys.argv[3])
space = Space(hw, source, bind([parse_axis(text) for text in sys.argv[4:]], hw, source))
def lines():
    journal = folder / "journal.jsonl"
    return journal.read_bytes().count(b"\\n") if journal.exists() else 0
for kill in range(kills):
    least = lines() + 1 + kill % 3
    pid = os.fork()
    if not pid:
        module.sweep(space, grid(space.axes), folder)
        os._exit(0)
    while lines() < least:
        assert os.waitpid(pid, os.WNOHANG) == (0, 0), "it ended before it could be killed"
        time.sleep(0.002)
    os.kill(pid, signal.SIGKILL)
    os.waitpid(pid, 0)
"""
AXES = ("tiles=1,2,4", "ddr.bandwidth_gbps=34:136:6", "clocks.vpu_mhz=800:1200:6")


def test_killed_ten_times_and_not_at_all_give_the_same_bytes(space: Space, tmp_path: Path) -> None:
    axes = bind([parse_axis(text) for text in AXES], space.hardware, space.model)
    whole = Space(space.hardware, space.model, axes)
    sweep(whole, grid(axes), tmp_path / "whole")
    killed = tmp_path / "killed"
    command = [sys.executable, "-c", SCRIPT, str(space.model.file), str(killed), str(KILLS), *AXES]
    subprocess.run(command, check=True)
    done = (killed / JOURNAL).read_bytes().count(b"\n")
    assert KILLS < done < len(grid(axes))
    assert not (killed / "results.csv").exists()
    with (killed / JOURNAL).open("ab") as journal:
        journal.write(b'{"point":"cut sho')  # as a kill in the midst of a write leaves it
    sweep(whole, grid(axes), killed, machines=Machines(2))
    for name in ("results.csv", "results.parquet"):
        assert (killed / name).read_bytes() == (tmp_path / "whole" / name).read_bytes()
    points = [json.loads(line)["point"] for line in (killed / JOURNAL).read_text().splitlines()[1:]]
    assert len(points) == len(set(points)) == len(grid(axes))


def test_the_tables_on_disk_are_the_table(space: Space, tmp_path: Path) -> None:
    found = sweep(space, grid(space.axes), tmp_path)
    pd.testing.assert_frame_equal(pd.read_parquet(tmp_path / "results.parquet"), found.table)
    again = pd.read_csv(tmp_path / "results.csv", keep_default_na=False)
    assert again["latency_us"].tolist() == found.table["latency_us"].tolist()
    assert list(again.columns)[:3] == [axis.name for axis in space.axes]


def test_a_finished_sweep_simulates_nothing(
    space: Space, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    first = sweep(space, grid(space.axes), tmp_path)
    monkeypatch.setattr("npusim.explore.sweep.evaluate", None)
    assert sweep(space, grid(space.axes), tmp_path).table.equals(first.table)


def test_another_space_is_refused(space: Space, tmp_path: Path) -> None:
    sweep(space, grid(space.axes)[:1], tmp_path)
    other = Space(space.hardware.model_copy(update={"tiles": 3}), space.model, space.axes)
    with pytest.raises(UserError, match="another exploration"):
        sweep(other, grid(space.axes)[:1], tmp_path)
    fewer = Space(space.hardware, space.model, space.axes[:1])
    with pytest.raises(UserError, match="its axes differs"):
        sweep(fewer, grid(fewer.axes), tmp_path)


def test_a_journal_that_is_none_is_refused(tmp_path: Path) -> None:
    (tmp_path / JOURNAL).write_text("nonsense\n")
    with pytest.raises(UserError, match=r"journal.jsonl:1: not a line of a journal"):
        Journal(tmp_path, {})
    with pytest.raises(UserError, match="cannot write to"):
        Journal(tmp_path / JOURNAL, {})


ROW = {"latency_us": 1.0, "energy_uj": 1.0, "tasks": 1, "bound": "dma", "error": ""}


@pytest.mark.parametrize("kind", ["link", "folder", "pipe"])
def test_a_journal_that_lies_elsewhere_is_left_alone(kind: str, tmp_path: Path) -> None:
    (precious := tmp_path / "precious").write_text("mine")
    journal = tmp_path / "out" / JOURNAL
    journal.parent.mkdir()
    {
        "link": lambda: journal.symlink_to(precious),
        "folder": journal.mkdir,
        "pipe": lambda: os.mkfifo(journal),
    }[kind]()
    with pytest.raises(UserError, match="is there and not a plain file"):
        Journal(journal.parent, {})
    assert precious.read_text() == "mine"


def test_a_point_whose_process_died_is_tried_again(tmp_path: Path) -> None:
    died = {**ROW, "error": f"{DIED}twice (out of memory?)"}
    with Journal(tmp_path, {}) as journal:
        journal.add({"well": ROW, "died": died})
    with Journal(tmp_path, {}, retry_failed=False) as journal:
        assert set(journal.rows) == {"well", "died"}
    with Journal(tmp_path, {}) as journal:
        assert set(journal.rows) == {"well"}
        journal.add({"died": ROW})
    with Journal(tmp_path, {}) as journal:
        assert journal.rows == {"well": ROW, "died": ROW}


def test_two_are_never_at_work_in_one_folder(tmp_path: Path) -> None:
    with Journal(tmp_path, {}), pytest.raises(UserError, match="another npusim is at work there"):
        Journal(tmp_path, {})
    Journal(tmp_path, {}).__exit__()


@pytest.mark.parametrize("line", [
    "", "[]", "7", "null", '{"point":"a"}', '{"point":"a","row":{}}', '{"point":1,"row":{"error":""}}',
    '{"point":"a","row":{"error":7}}', '{"point":"a","row":{"error":"","latency_us":"x"}}', "[" * 100_000,
    '{"point":"a","row":{"error":"x","tasks":1e999}}', "\x00", f'{{"point":"a","row":{{"tasks":{"9" * 5000}}}}}',
])  # fmt: skip
def test_a_line_that_is_no_point_is_refused(line: str, tmp_path: Path) -> None:
    Journal(tmp_path, {}).__exit__()
    with (tmp_path / JOURNAL).open("a") as file:
        file.write(f"{line}\n")
    with pytest.raises(UserError, match=r"journal.jsonl:2: not a line of a journal; remove the file"):
        Journal(tmp_path, {})
