"""Ctrl-C, SIGTERM, SIGKILL, full devices: commands end at once, with their workers, and leave nothing behind."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from random import Random

import pytest

from tests.strategies import seed_of_the_code

ROOT = Path(__file__).parents[2]
#: The command, which Ctrl-C interrupts also where the tests run in the background, which starts with it ignored.
CODE = (
    "import signal, sys; signal.signal(signal.SIGINT, signal.default_int_handler); "
    f"sys.path.insert(0, {str(ROOT)!r}); from npusim.cli.main import main; main()"
)
ANSWER_S = 1.0
#: What a machine at full load may take longer.
PATIENCE_S = 2.0
EXAMPLES = ROOT / "examples" / "scenarios"
#: Each takes far more than LATEST_S.
LONG = {
    "run": ("run", "--hw", "lunarlake", "--tokens", "2048", "--out", "out"),
    "validate": ("validate", "--workers", "2", "--predictions", "out.csv", "--markdown", "out.md"),
    "sweep": ("sweep", "--hw", "lunarlake", "--axis", "tokens=64:1124:54", "--workers", "2", "--out", "out"),
    "optimize": ("optimize", "--hw", "lunarlake", "--axis", "tokens=64:1124:54", "--workers", "2", "--out", "out"),
    "advise": ("advise", "--hw", "lunarlake", "--tokens", "1024"),
    "compare": ("compare", "--hw", "lunarlake", "--hw", "pantherlake", "--tokens", "4096", "--out", "out"),
    "sensitivity": ("sensitivity", "--hw", "lunarlake", "--tokens", "4096"),
    "llm": ("llm", "qwen3-8b", "--hw", "lunarlake", "--prompt", "128,512,1024,2048,4096,8192", "--out", "out"),
    "scenario": ("scenario", "many.yaml", "--out", "out"),
    "calibrate": ("calibrate", "--hw", "lunarlake", "--against", "silicon", "--free", "ddr.bandwidth_gbps=20:200",
                  "--free", "clocks.dpu_mhz=900:2500", "-o", "out.yaml"),
    "reproduce": ("reproduce", "xamba", "--workers", "2", "--markdown", "out.md"),
}  # fmt: skip
EARLIEST_S, LATEST_S = 0.8, 3.5
#: Moments and signals, drawn anew with every change of npusim.
DRAWN = Random(seed_of_the_code())


def start(folder: Path, command: str) -> subprocess.Popen[str]:
    if command == "scenario":
        scenario = (EXAMPLES / "rows.yaml").read_text(encoding="utf-8")
        sizes = "pad_to: [1, 8, 16, 32, 64]"
        long = scenario.replace(sizes, f"pad_to: {list(range(1, 65))}").replace(
            "requests: 48", "requests: 900"
        )
        (folder / "many.yaml").write_text(long, encoding="utf-8")
    return subprocess.Popen(
        [sys.executable, "-c", CODE, *LONG[command]],
        cwd=folder,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )


def family(pid: int) -> list[int]:
    """Processes of the session of ``pid`` that live."""
    found = []
    for entry in Path("/proc").iterdir():
        if entry.name.isdecimal():
            try:
                fields = (entry / "stat").read_text().rpartition(")")[2].split()
            except OSError:
                continue
            if int(fields[3]) == pid and fields[0] != "Z":
                found.append(int(entry.name))
    return found


def none_left(pid: int) -> bool:
    until = time.monotonic() + 10
    while family(pid) and time.monotonic() < until:
        time.sleep(0.05)
    return not family(pid)


def drafts(folder: Path) -> list[Path]:
    """What is there beside what was given, and the journal and the study of an exploration."""
    kept = {"out", "journal.jsonl", "study.db", "study.db-journal", "many.yaml"}
    return [path for path in folder.rglob("*") if path.name not in kept]


@pytest.mark.parametrize(
    ("command", "number", "code", "after_s"),
    [
        (
            command,
            *DRAWN.choice([(signal.SIGINT, 130), (signal.SIGTERM, 143)]),
            DRAWN.uniform(EARLIEST_S, LATEST_S),
        )
        for command in LONG
    ],
    ids=list(LONG),
)
def test_it_ends_within_a_second(
    tmp_path: Path, command: str, number: signal.Signals, code: int, after_s: float
) -> None:
    process = start(tmp_path, command)
    time.sleep(after_s)
    asked = time.monotonic()
    os.killpg(process.pid, number)  # a terminal tells all of them
    out, error = process.communicate(timeout=30)
    assert time.monotonic() - asked < ANSWER_S + PATIENCE_S
    assert (process.returncode, out) == (code, "")
    told = [line for line in error.splitlines() if not line.startswith("note: ")]
    assert told in ([], ["interrupted"])
    assert none_left(process.pid)
    assert drafts(tmp_path) == []


@pytest.mark.parametrize("command", DRAWN.sample(["validate", "sweep", "optimize"], 2))
def test_workers_end_with_their_parent(tmp_path: Path, command: str) -> None:
    process = start(tmp_path, command)
    until = time.monotonic() + 30
    while len(family(process.pid)) < 3 and time.monotonic() < until:
        time.sleep(0.05)
    time.sleep(DRAWN.uniform(0, 1))
    assert len(family(process.pid)) > 2
    process.kill()
    process.communicate(timeout=30)
    assert none_left(process.pid)
    assert drafts(tmp_path) == []


@pytest.mark.parametrize("arguments", [("list", "--json"), ("hw", "show", "lunarlake"), ("hw", "schema")])
def test_a_full_device_is_told(tmp_path: Path, arguments: tuple[str, ...]) -> None:
    with Path("/dev/full").open("w") as full:
        done = subprocess.run(
            [sys.executable, "-c", CODE, *arguments],
            stdout=full, stderr=subprocess.PIPE, text=True, cwd=tmp_path, check=False,
        )  # fmt: skip
    assert (done.returncode, done.stderr) == (
        2,
        "error: cannot write to the standard output: No space left on device\n",
    )
