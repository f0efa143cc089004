"""Tables and lines that fit a terminal, whatever is in them."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from npusim.cli.tables import Column, clipped, fitted, folded, width_of_output
from npusim.cli.terminal import console
from tests.cli.test_cli import SMALL, npusim

COLUMNS = (
    Column("op"), Column("type", rank=1, most=16), Column("time", "right"), Column("share", "right"),
    Column("bound by", rank=3), Column("cost is", rank=2),
)  # fmt: skip


def drawn(rows: list[tuple[str, ...]], width: int, capsys: pytest.CaptureFixture[str]) -> list[str]:
    console(width=width).print(fitted(COLUMNS, rows, width))
    return capsys.readouterr().out.splitlines()


@pytest.mark.parametrize("width", [60, 80, 100, 160])
def test_a_table_keeps_its_width_and_its_units(width: int, capsys: pytest.CaptureFixture[str]) -> None:
    long = "layers.*.mixer.scores.reduce_sum/part/of/a/very/long/name/indeed/that/goes/on ×24"
    rows = [(long, "ScaledDotProductAttention", "75.87 ms", "67.6%", "dma", "fitted"),
            ("x", "MatMul", "1.00 µs", "0.1%", "shave", "guess")]  # fmt: skip
    lines = drawn(rows, width, capsys)
    assert max(map(len, lines)) <= width
    text = "\n".join(lines)
    assert all(word in text for word in ("75.87 ms", "67.6%", "1.00 µs", " ×24"))
    assert ("bound by" in text) <= ("cost is" in text)  # the less useful column goes first


def test_a_long_type_name_is_folded_not_cut(capsys: pytest.CaptureFixture[str]) -> None:
    lines = drawn([("op", "ScaledDotProductAttention", "1.00 µs", "1.0%", "dma", "fitted")], 80, capsys)
    assert "ScaledDotProduct" in lines[1]
    assert lines[2].strip() == "Attention"


@given(st.text(), st.integers(4, 60))
def test_clipped_text_fits_and_keeps_both_ends(text: str, width: int) -> None:
    short = clipped(text, width)
    assert len(short) <= width
    assert short == text or (text.startswith(short.split("…")[0]) and text[-1] == short[-1])


@given(st.lists(st.text("ab ", min_size=1, max_size=30), min_size=1), st.integers(40, 100))
def test_folded_parts_are_whole_and_fit(parts: list[str], width: int) -> None:
    lines = folded(parts, width, "model     ").split("\n")
    assert all(len(line) <= width for line in lines)
    assert [part.strip() for part in " · ".join(line[10:] for line in lines).split(" · ")] == [
        part.strip() for part in parts
    ]


def test_columns_is_honoured_in_a_pipe(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "80")
    assert width_of_output() == 80
    monkeypatch.setenv("COLUMNS", "wide")
    assert width_of_output(120) == 120


@pytest.mark.parametrize("columns", ["80", "60"])
def test_a_summary_fits(tmp_path: Path, columns: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", columns)
    done = npusim("run", "--hw", "lunarlake.yaml", *SMALL, "--no-report", "--hint", "latency", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    assert max(len(line) for line in done.stdout.splitlines() if not line.startswith("note:")) <= int(columns)
    for word in (
        "wall time",
        "inside the NPU",
        "tokens/s",
        "parameters",
        "of weights",
        "KiB a tile",
        "critical path",
    ):
        assert word in done.stdout
