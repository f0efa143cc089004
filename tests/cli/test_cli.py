"""The command line as a user meets it: exit codes, one line an error, clean JSON, nothing half-written."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from npusim import __version__, workloads
from npusim.cli.app import COMMANDS, load
from npusim.hardware import shipped
from npusim.hardware.files import supposed
from npusim.workloads.llm import published_names

ROOT = Path(__file__).parents[2]
SMALL = ("--layers", "1", "--tokens", "4")


def npusim(*arguments: str, cwd: Path) -> subprocess.CompletedProcess[str]:
    code = f"import sys; sys.path.insert(0, {str(ROOT)!r}); from npusim.cli.main import main; main()"
    return subprocess.run(
        [sys.executable, "-c", code, *arguments],
        capture_output=True,
        text=True,
        cwd=cwd,
        check=False,
        timeout=120,
    )


def test_run_prints_a_summary_and_writes_the_folder(tmp_path: Path) -> None:
    done = npusim("run", "--hw", "lunarlake.yaml", *SMALL, cwd=tmp_path)
    assert (done.returncode, done.stderr) == (0, "")
    for word in (
        "mamba2-130m",
        "Lunar Lake",
        "tokens/s",
        "costliest ops",
        "critical path",
        "idle",
        "npusim-out/mamba2-130m-4tokens-1layers-lunarlake/",
    ):
        assert word in done.stdout
    folder = tmp_path / "npusim-out" / "mamba2-130m-4tokens-1layers-lunarlake"
    assert sorted(p.name for p in folder.iterdir()) == ["ops.csv", "report.html", "run.json", "trace.json"]
    assert "npusim run --hw lunarlake.yaml" in (folder / "report.html").read_text()


def test_json_is_one_clean_document(tmp_path: Path) -> None:
    done = npusim("run", "--hw", "lunarlake.yaml", *SMALL, "--no-report", "--json", cwd=tmp_path)
    assert (done.returncode, done.stderr) == (0, "")
    document = json.loads(done.stdout)
    assert document["schema"] == "npusim.run/1"
    assert document["workload"] == "mamba2-130m"
    assert document["statistics"]["total_us"] == document["latency_us"] > 0
    assert list(tmp_path.iterdir()) == []


def test_same_inputs_same_bytes(tmp_path: Path) -> None:
    for folder in ("a", "b"):
        assert npusim("run", "--hw", "lunarlake.yaml", *SMALL, "--out", folder, cwd=tmp_path).returncode == 0
    for name in ("ops.csv", "trace.json", "report.html"):
        assert (tmp_path / "a" / name).read_bytes() == (tmp_path / "b" / name).read_bytes()
    documents = [json.loads((tmp_path / folder / "run.json").read_text()) for folder in ("a", "b")]
    for document in documents:
        del document["wall_s"]
    assert documents[0] == documents[1]


def test_a_faster_clock_is_faster(tmp_path: Path) -> None:
    latency = []
    for more in ((), ("--set", "clocks.vpu_mhz=2000", "--set", "clocks.dpu_mhz=3500")):
        done = npusim("run", "--hw", "lunarlake.yaml", *SMALL, *more, "--no-report", "--json", cwd=tmp_path)
        latency.append(json.loads(done.stdout)["latency_us"])
    assert latency[1] < latency[0]


def test_no_report_with_a_folder_leaves_the_page_out(tmp_path: Path) -> None:
    done = npusim("run", "--hw", "lunarlake", *SMALL, "--no-report", "--out", "here", cwd=tmp_path)
    assert done.returncode == 0
    assert sorted(p.name for p in (tmp_path / "here").iterdir()) == ["ops.csv", "run.json", "trace.json"]


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("run",), "--hw"),
        (("rum",), "run"),
        (("run", "--hw", "lunarlake.yaml", "--frobnicate"), "--frobnicate"),
        (("run", "--hw", "lunarlak.yaml"), "did you mean 'lunarlake"),
        (("run", "--hw", "lunarlake.yaml", "--workload", "mamba2-130"), "mamba2-130m"),
        (("run", "--hw", "lunarlake.yaml", "--layers", "99"), "layers"),
        (("run", "--hw", "lunarlake.yaml", "--tokens", "0"), "--tokens"),
        (("run", "--hw", "lunarlake.yaml", "--engine", "warp"), "--engine"),
        (("run", "--hw", "lunarlake.yaml", "--set", "clocks.dpu_mhz=-1"), "clocks.dpu_mhz"),
        (("run", "--hw", "lunarlake.yaml", "--set", "clocks.dpu_mgz=1"), "did you mean 'dpu_mhz'"),
        (("run", "--hw", "lunarlake.yaml", "--model", "no-such.xml"), "no-such.xml"),
        (("run", "--hw", "lunarlake.yaml", "--model", "m.xml", "--workload", "mamba2-130m"), "contradict"),
        (("run", "--hw", "lunarlake.yaml", "--model", "m.xml", "--layers", "2"), "contradict"),
        (("run", "--hw", "lunarlake.yaml", "--shape", "input=[1,4]"), "--shape needs --model"),
        (("run", "--hw", "lunarlake.yaml", "--model", "m.xml", "--shape", "input=[1,x]"), "NAME=[1,256]"),
        (("run", "--hw", "lunarlake.yaml", "--model", "m.xml", "--shape", "input"), "NAME=[1,256]"),
        (("run", "--hw", "lunarlake.yaml", *SMALL, "--out", "file/below"), "cannot write to file/below"),
        (("hw", "check", "nothing.yaml"), "nothing.yaml"),
        (("hw", "show", "bad.yaml"), "bad.yaml:1"),
        (("hw",), "command"),
    ],
)
def test_mistakes_are_told_in_one_line(tmp_path: Path, arguments: tuple[str, ...], said: str) -> None:
    (tmp_path / "file").write_text("in the way")
    (tmp_path / "bad.yaml").write_text("nmae: x\n")
    done = npusim(*arguments, cwd=tmp_path)
    assert done.returncode == 2
    assert done.stdout == ""
    assert done.stderr.startswith("error: ")
    assert done.stderr.count("\n") == 1
    assert said in done.stderr
    assert sorted(path.name for path in tmp_path.iterdir()) == ["bad.yaml", "file"]


def test_a_model_file(tmp_path: Path) -> None:
    import numpy as np
    import openvino
    from openvino import opset13 as ops

    data = ops.parameter([-1, 64], np.float32, name="data")
    model = openvino.Model([ops.relu(ops.matmul(data, np.ones((64, 32), np.float32), False, False))], [data])
    openvino.save_model(model, tmp_path / "net.xml")
    arguments = ("run", "--hw", "meteorlake.yaml", "--model", "net.xml")
    dynamic = npusim(*arguments, cwd=tmp_path)
    assert (dynamic.returncode, dynamic.stderr.count("\n")) == (2, 1)
    assert "--shape data=" in dynamic.stderr
    done = npusim(*arguments, "--shape", "data=[16,64]", cwd=tmp_path)
    assert (done.returncode, done.stderr) == (0, "")
    assert (tmp_path / "npusim-out" / "net-16x64-meteorlake" / "report.html").exists()
    (tmp_path / "net.bin").unlink()
    again = npusim(*arguments, "--shape", "data=[16,64]", "--no-report", cwd=tmp_path)
    assert again.returncode == 0
    assert "note: net.bin is missing" in again.stdout


def test_list_names_what_is_built_in(tmp_path: Path) -> None:
    done = npusim("list", cwd=tmp_path)
    assert done.returncode == 0
    assert "lunarlake.yaml" in done.stdout
    assert "mamba2-2.7b" in done.stdout
    document = json.loads(npusim("list", "--json", cwd=tmp_path).stdout)
    assert {"hardware", "workloads", "language_models"} == document.keys()


def test_list_is_one_short_line_a_workload_and_can_be_filtered(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", "80")
    lines = npusim("list", cwd=tmp_path).stdout.splitlines()
    assert (
        len(lines)
        <= len(shipped()) + len(supposed()) + len(workloads.variants()) + len(published_names()) + 8
    )
    assert max(map(len, lines)) <= 80
    assert "  resnet-50 *" in "\n".join(lines)
    found = npusim("list", "yolo11n", cwd=tmp_path).stdout
    assert "yolo11n-int8-weights" in found
    assert "resnet" not in found
    assert "  qwen3-8b " in npusim("list", "Qwen", cwd=tmp_path).stdout
    nothing = npusim("list", "alexnet", cwd=tmp_path)
    assert (nothing.returncode, nothing.stderr.count("\n")) == (2, 1)


@pytest.mark.parametrize(
    ("words", "offered"),
    [
        ("npusim run --hw lunarlake-v", "lunarlake-vpunn.yaml"),
        ("npusim run --workload mamba2-1", "mamba2-1.3b"),
        ("npusim sens", "sensitivity"),
    ],
)
def test_a_shell_completes_values(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, words: str, offered: str
) -> None:
    for name, value in (("_NPUSIM_COMPLETE", "complete_bash"), ("COMP_WORDS", words)):
        monkeypatch.setenv(name, value)
    monkeypatch.setenv("COMP_CWORD", str(words.count(" ")))
    assert offered in npusim(cwd=tmp_path).stdout.split()


def test_no_colour_in_a_pipe(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TERM", "xterm-256color")
    assert "\x1b" not in npusim("run", "--hw", "lunarlake.yaml", *SMALL, "--no-report", cwd=tmp_path).stdout


def test_hw_show_check_schema(tmp_path: Path) -> None:
    shown = npusim("hw", "show", "lunarlake.yaml", "--set", "clocks.dpu_mhz=1700", cwd=tmp_path)
    assert "dpu_mhz: 1700" in shown.stdout
    (tmp_path / "mine.yaml").write_text(shown.stdout)
    checked = npusim("hw", "check", "mine.yaml", cwd=tmp_path)
    assert checked.returncode == 0
    assert "mine.yaml: ok" in checked.stdout
    schema = json.loads(npusim("hw", "schema", "lunarlake.yaml", cwd=tmp_path).stdout)
    assert {"properties", "examples"} <= schema.keys()


def test_version_and_help(tmp_path: Path) -> None:
    assert npusim("--version", cwd=tmp_path).stdout == f"npusim {__version__}\n"
    assert npusim(cwd=tmp_path).stdout == npusim("--help", cwd=tmp_path).stdout != ""


def test_a_shell_is_told_how_to_complete_and_what(tmp_path: Path) -> None:
    assert "_npusim_completion" in npusim("--show-completion", "bash", cwd=tmp_path).stdout
    code = f"import sys; sys.path.insert(0, {str(ROOT)!r}); from npusim.cli.main import main; main()"
    asked = {"_NPUSIM_COMPLETE": "complete_bash", "COMP_WORDS": "npusim s", "COMP_CWORD": "1"}
    command = [sys.executable, "-c", code]
    done = subprocess.run(command, env={**os.environ, **asked}, capture_output=True, text=True, check=True)
    assert done.stdout.split() == [name for name in COMMANDS if name.startswith("s")]


def test_help_names_every_command_in_a_line_of_80_columns(tmp_path: Path) -> None:
    shown = npusim("--help", cwd=tmp_path).stdout.split("Commands:\n")[1].splitlines()
    assert [line.split()[0] for line in shown] == list(COMMANDS)
    assert all(len(line) < 80 for line in shown)
    for name in COMMANDS:
        assert load(name).name == name


def test_help_imports_nothing_heavy(tmp_path: Path) -> None:
    commands = tuple(f"npusim.cli.{command.home.split(':')[0]}" for command in COMMANDS.values())
    heavy = ("numpy", "pandas", "plotly", "openvino", "simpy", "yaml", "rich", *commands)
    code = (
        f"import sys; sys.path.insert(0, {str(ROOT)!r}); from npusim.cli.main import main\n"
        "try: main(['--help'])\n"
        f"except SystemExit: print([m for m in {heavy!r} if m in sys.modules])"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, cwd=tmp_path, check=True
    )
    assert done.stdout.splitlines()[-1] == "[]"


def test_a_bug_has_a_traceback_and_exit_code_1(tmp_path: Path) -> None:
    code = (
        f"import sys; sys.path.insert(0, {str(ROOT)!r}); import npusim.cli.main, npusim.hardware\n"
        "def broken(*_): raise RuntimeError('a bug')\n"
        "npusim.hardware.shipped = broken\n"
        "npusim.cli.main.main(['list'])"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, cwd=tmp_path, check=False
    )
    assert done.returncode == 1
    assert "Traceback" in done.stderr
    assert "a bug" in done.stderr


def test_a_reader_who_leaves_is_no_error(tmp_path: Path) -> None:
    code = f"import sys; sys.path.insert(0, {str(ROOT)!r}); from npusim.cli.main import main; main()"
    process = subprocess.Popen(
        [sys.executable, "-c", code, "hw", "schema"],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        cwd=tmp_path,
    )
    assert process.stdout is not None
    assert process.stderr is not None
    process.stdout.close()
    assert process.stderr.read() == b""
    process.stderr.close()
    assert process.wait(60) == -signal.SIGPIPE
