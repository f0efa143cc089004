"""Tables and lines that fit a terminal, whatever is in them."""

from __future__ import annotations

from collections.abc import Callable
from io import StringIO
from pathlib import Path
from types import SimpleNamespace
from typing import TYPE_CHECKING, cast
from unittest.mock import patch

import pytest
from hypothesis import given
from hypothesis import strategies as st

from npusim.analysis.sensitivity import Sensitivity
from npusim.cli.advise import print_advice
from npusim.cli.compare_trace import _print as print_trace
from npusim.cli.explored_tables import print_explored
from npusim.cli.hw import diff
from npusim.cli.llm_tables import print_answers
from npusim.cli.sensitivity import _print as print_sensitivity
from npusim.cli.tables import Column, clipped, fitted, folded, width_of_output
from npusim.cli.terminal import console
from npusim.cli.transform import _print as print_sites
from npusim.hardware import load_hardware
from npusim.hardware.paths import values
from npusim.validation.traces.compare import Comparison as TraceComparison
from npusim.validation.traces.compare import Half, Pair
from npusim.validation.traces.profile import OpProfile
from npusim.xamba import Site
from tests.cli.test_cli import SMALL, npusim
from tests.report.explored import synthetic_explored

if TYPE_CHECKING:
    from npusim.explore.space import Space
    from npusim.jobs.advise import AdviceFor

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


@given(
    st.lists(st.tuples(st.text("abc._", min_size=1, max_size=90), st.text("ab ", max_size=60)), min_size=1),
    st.integers(40, 160),
)
def test_what_folds_is_whole(rows: list[tuple[str, str]], width: int) -> None:
    columns = (Column("path", folds=True), Column("now", "right"), Column("why", folds=True))
    with patch("sys.stdout", StringIO()) as out:
        console(width=width).print(
            fitted(columns, [(key, "1,950 MHz", why) for key, why in rows], width, "title")
        )
    lines = out.getvalue().splitlines()[1:]
    assert max(map(len, lines)) <= width
    start = lines[0].index("now") - len("1,950 MHz") + len("now")
    assert "".join(line[:start].strip() for line in lines[1:]) == "".join(key for key, _ in rows)
    assert sum("1,950 MHz" in line for line in lines) == len(rows)


def test_keys_of_a_hardware_diff_are_whole_in_a_pipe(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("COLUMNS", raising=False)
    known = {**values(load_hardware("lunarlake")), **values(load_hardware("pantherlake"))}
    diff("lunarlake", "pantherlake")
    keys = [line.split("  ")[0] for line in capsys.readouterr().out.splitlines()[1:] if line[0] != " "]
    assert len(keys) > 100
    assert set(keys) <= set(known)


def _sensitivity() -> None:
    rows = [Sensitivity("scheduled_for.kernels.attention.startup_cycles", 1.5e6, "MAC/cycle", -3.25, -0.5)]
    print_sensitivity(rows, "model", "machine", 12.5, None)


def _trace() -> None:
    half = Half(("a",), 1234.5, 1234.5, {}, "DPU", "[1, 2048, 4096, 128]")
    pair = Pair("model.layers.1.self_attn.qkv.weights/fused/matmul", "ScaledDotProductAttention", half, half)
    profile = OpProfile("a.json", "npusim's trace", (), 1234.5)
    print_trace(TraceComparison(profile, profile, "span", (pair,)), 0)


def _front() -> None:
    space = SimpleNamespace(model=SimpleNamespace(name="m"), hardware=SimpleNamespace(name="n"))
    print_explored(cast("Space", space), synthetic_explored(), Path(), 0.1)


def _language_model() -> None:
    row = {
        "prompt": 16384, "generate": 128, "ttft_ms": 123456.0, "tokens_per_s": 14.5, "energy_mj_per_token": 212.4,
        "tpot_ms": {"mean": 68.9, "first": 70.0}, "memory_mib": 4830.0,
    }  # fmt: skip
    token = dict.fromkeys(
        ("weights_ms", "cache_ms", "engines_ms", "calls_ms", "host_ms", "floor_ms", "cache"), 9.0
    )
    print_answers({
        "model": "m", "hardware": "n", "runtime": {"version": "1", "one_graph": True}, "layers": 36,
        "prompts": [{**row, "token": token}],
    })  # fmt: skip


def test_advice_goes_on_below_its_beginning(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", "60")
    how = (
        "give inputs and outputs as FP16 where what is before and behind the model can: no conversion is left"
    )
    result = SimpleNamespace(latency_us=2.0, metrics=SimpleNamespace(provenance_share={"fitted": 1.0}))
    advice = SimpleNamespace(
        what="FP16 inputs", gain=2.0, measure="latency", before_us=2.0, after_us=1.0, how=how, rests_on="fits"
    )
    found = SimpleNamespace(
        advised=SimpleNamespace(result=result, bottleneck="DMA", advice=[advice]), command=lambda one: "",
        subject=SimpleNamespace(title="m"), machine=SimpleNamespace(hardware=SimpleNamespace(name="n")), wall_s=0.1,
    )  # fmt: skip
    print_advice(cast("AdviceFor", found))
    lines = capsys.readouterr().out.splitlines()
    first = next(i for i, line in enumerate(lines) if line.startswith("   how: "))
    last = next(i for i, line in enumerate(lines) if line.startswith("   rests on: "))
    assert last > first + 1
    assert all(line.startswith(" " * len("   how: ")) for line in lines[first + 1 : last])
    assert " ".join(" ".join(lines[first:last]).split()) == f"how: {how}"


def _sites() -> None:
    note = "it is part of an RMS norm, which NPU compilers run as one kernel (norms=yes takes it)"
    print_sites(
        [Site("reduba", "layers.0.mixer.within.reduce_sum/part", "ReduceMean", False, note)], {}, None, ()
    )


@pytest.mark.parametrize(
    ("shown", "kept"),
    [
        (_sites, "skipped"),
        (_sensitivity, "MAC/cycle"),
        (_trace, "1,234.5"),
        (_front, " µJ"),
        (_language_model, "123,456"),
    ],
)
def test_tables_fit_eighty_columns(
    shown: Callable[[], None],
    kept: str,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("COLUMNS", "80")
    shown()
    text = capsys.readouterr().out
    assert kept in text
    assert max(map(len, text.splitlines())) <= 80
