"""Where results go: a name that carries what was asked, and never over the result of another run."""

from __future__ import annotations

import json
from pathlib import Path

from hypothesis import given
from hypothesis import strategies as st

from npusim.cli.folders import asked_of_hardware, asked_of_model, default_folder, free_folder
from npusim.source import ModelSource
from tests.cli.test_cli import SMALL, npusim


def test_a_name_carries_what_was_asked() -> None:
    decode = ModelSource("mamba2-1.3b", phase="decode", layers=2, batch=4)
    parts = (
        decode.name,
        *asked_of_model(decode),
        "lunarlake.yaml",
        *asked_of_hardware(["clocks.dpu_mhz=1700"]),
    )
    assert default_folder(*parts, "auto") == Path(
        "npusim-out/mamba2-1.3b-decode-2layers-batch4-lunarlake-dpu_mhz1700-auto"
    )
    file = ModelSource(file=Path("/some where/model.onnx"), shapes={"pixels": [1, 3, 224, 224]})
    parts = (file.name, *asked_of_model(file), "../hw/mine.yaml")
    assert default_folder(*parts) == Path("npusim-out/model-1x3x224x224-mine")


@given(st.lists(st.text(), min_size=1))
def test_any_name_is_one_folder_that_a_file_system_takes(parts: list[str]) -> None:
    folder = default_folder("m", *parts)
    assert folder.parent == Path("npusim-out")
    assert 1 <= len(folder.name.encode()) <= 4 * 120


def test_long_names_stay_apart() -> None:
    first, second = (default_folder("m", *[f"layers.{n}.name=1" for n in range(99)], end) for end in "ab")
    assert first != second


def test_a_folder_with_another_result_is_left_alone(tmp_path: Path) -> None:
    folder = tmp_path / "x"
    assert free_folder(folder, "run.json", {"latency_us": 1.0}) == folder
    folder.mkdir()
    (folder / "run.json").write_text(json.dumps({"latency_us": 1.0, "wall_s": 9}))
    assert free_folder(folder, "run.json", {"latency_us": 1.0, "wall_s": 3}) == folder
    assert free_folder(folder, "run.json", {"latency_us": 2.0}) == tmp_path / "x-2"
    (tmp_path / "x-2").write_text("somebody's notes")
    assert free_folder(folder, "run.json", {"latency_us": 2.0}) == tmp_path / "x-3"


def test_runs_stay_apart_and_latest_is_the_newest(tmp_path: Path) -> None:
    for more in ((), ("--phase", "decode"), ("--set", "clocks.dpu_mhz=1700"), ()):
        small = ("--layers", "1") if more[:1] == ("--phase",) else SMALL
        assert npusim("run", "--hw", "lunarlake.yaml", *small, *more, cwd=tmp_path).returncode == 0
        newest = (tmp_path / "npusim-out" / "latest").resolve()
        assert (newest / "report.html").is_file()
    names = {path.name for path in (tmp_path / "npusim-out").iterdir()}
    plain = "mamba2-130m-4tokens-1layers-lunarlake"
    assert names == {plain, f"{plain}-dpu_mhz1700", "mamba2-130m-decode-1layers-lunarlake", "latest"}
    assert newest.name == plain


def test_a_changed_hardware_file_keeps_the_earlier_result(tmp_path: Path) -> None:
    for mhz in (1900, 1700):
        (tmp_path / "mine.yaml").write_text(f"extends: lunarlake.yaml\nclocks:\n  dpu_mhz: {mhz}\n")
        done = npusim("run", "--hw", "mine.yaml", *SMALL, cwd=tmp_path)
        assert done.returncode == 0, done.stderr
    names = sorted(path.name for path in (tmp_path / "npusim-out").iterdir())
    assert names == ["latest", "mamba2-130m-4tokens-1layers-mine", "mamba2-130m-4tokens-1layers-mine-2"]
