"""Hardware files from scratch: what is written, compared and warned of."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from npusim.hardware import check, editor_schema, load_hardware, new_file, shipped
from npusim.hardware.paths import values
from npusim.hardware.reference import reference
from npusim.jobs.public import run
from npusim.lowering.ir.kernels import called_kernels
from tests.cli.test_cli import SMALL, npusim


@pytest.mark.parametrize("parent", shipped())
def test_the_comments_of_a_new_file_are_its_parents_values(tmp_path: Path, parent: str) -> None:
    """With every # of a value taken away the file says the same: each of them is valid where it stands."""
    hw = load_hardware(parent)
    text = new_file(parent, hw, "mine.yaml", "mine: a name")
    head, _, body = text.partition("role: software\n")
    stated = [
        line[1:] if line.startswith("#") and not line.startswith("##") else line for line in body.splitlines()
    ]
    for name, lines in (("commented", body.splitlines()), ("stated", stated)):
        path = tmp_path / f"{name}.yaml"
        path.write_text(f"{head}role: software\n" + "\n".join(lines))
        mine = values(load_hardware(path))
        different = {key for key, value in values(hw).items() if mine.get(key) != value}
        assert different <= {"name", "role"}
    assert sum(line.startswith("##") for line in body.splitlines()) > 50


def test_new_check_diff_path_as_a_user_does_them(tmp_path: Path) -> None:
    made = npusim("hw", "new", "mine.yaml", "--from", "lunarlake", cwd=tmp_path)
    assert (made.returncode, made.stderr) == (0, "")
    text = (tmp_path / "mine.yaml").read_text()
    (tmp_path / "mine.yaml").write_text(text.replace("#tiles: 6", "tiles: 4"))
    assert "ok: mine" in npusim("hw", "check", "mine.yaml", cwd=tmp_path).stdout
    told = json.loads(npusim("hw", "diff", "lunarlake", "mine.yaml", "--json", cwd=tmp_path).stdout)
    assert told["tiles"] == [6, 4]
    assert told.keys() == {"name", "role", "tiles"}
    shown = npusim("hw", "diff", "lunarlake", "lunarlake", cwd=tmp_path).stdout
    assert "say the same" in shown
    path = Path(npusim("hw", "path", "lunarlake", cwd=tmp_path).stdout.strip())
    assert path.read_text().startswith("# Intel Lunar Lake")
    again = npusim("hw", "new", "mine.yaml", "--from", "lunarlake", cwd=tmp_path)
    assert (again.returncode, "is there already" in again.stderr) == (2, True)
    assert npusim("run", "--hw", "mine.yaml", *SMALL, "--no-report", cwd=tmp_path).returncode == 0


def test_all_missing_keys_are_named(tmp_path: Path) -> None:
    (tmp_path / "bare.yaml").write_text("name: x\nplatform: 4000\nclocks: {dpu_mhz: 1000}\n")
    told = npusim("hw", "check", "bare.yaml", cwd=tmp_path).stderr
    assert told.count("\n") == 1
    for key in ("tiles", "vpu_mhz", "dpu", "shave", "dma", "ddr", "cmx", "energy", "software"):
        assert f"'{key}'" in told


def test_the_editor_schema_takes_files_that_extend_others() -> None:
    schema = editor_schema()
    assert "extends" in schema["properties"]
    assert not any("required" in part for part in (schema, *schema["$defs"].values()))


def test_the_reference_is_that_of_the_schema() -> None:
    page = Path(__file__).parents[2] / "docs" / "hardware.md"
    assert page.read_text() == reference(), "npusim hw schema --markdown > docs/hardware.md"
    for path in ("clocks", "shave.kernels.NAME", "software", "dma.paths"):
        assert f"## `{path}`" in reference()


def test_a_kernel_that_no_run_reads_is_warned_of() -> None:
    row = "{startup_cycles: 1, per_cycle: 2, counts: macs, provenance: guess}"
    (told,) = check("lunarlake", [f"shave.kernels.lstmsequence={row}"], called_kernels())
    assert "no run reads it; did you mean 'lstm'?" in told
    assert check("lunarlake", [f"shave.kernels.lstm={row}"], called_kernels()) == []


def test_a_run_says_what_a_check_of_its_file_does(tmp_path: Path) -> None:
    (own := tmp_path / "own.yaml").write_text("extends: lunarlake.yaml\ntiles: 12\n")
    notes = run("gemm-16x16x16", own).result.program.notes
    assert notes == tuple(check(own, (), called_kernels()))
    assert f"{own}:2:1: tiles: 12 are more than" in notes[0]


@pytest.mark.parametrize(
    "command",
    [
        ("run", "--no-report"),
        ("compare", "--xamba", "none", "--xamba", "cumba", "--no-report"),
        ("sensitivity",),
        ("advise",),
        ("sweep", "--axis", "clocks.vpu_mhz=900,1000", "--workers", "1"),
    ],
)
def test_doubtful_overrides_are_warned_of_in_every_command(tmp_path: Path, command: tuple[str, ...]) -> None:
    name, *more = command
    done = npusim(name, "--hw", "lunarlake", *SMALL, "--set", "clocks.dpu_mhz=5000", *more, cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    assert "5000 MHz is outside 900 to 1950" in done.stdout + done.stderr


def test_more_tiles_than_the_platform_has_are_explained(tmp_path: Path) -> None:
    done = npusim("run", "--hw", "lunarlake", *SMALL, "--set", "tiles=12", "--no-report", cwd=tmp_path)
    assert "scheduled_for" in done.stdout
    assert "--explain" in done.stdout
