"""Products of matrices as workloads: by name, by table."""

from __future__ import annotations

from pathlib import Path

import pytest

import npusim
from npusim import workloads
from npusim.analysis.footprint import footprint
from npusim.workloads import gemm
from tests.cli.test_cli import npusim as command


def test_a_product_has_its_macs() -> None:
    graph = npusim.build_workload("gemm-256x768x3072")
    found = footprint(graph, npusim.lower(graph, npusim.load_hardware("lunarlake")))
    assert found.macs == 256 * 768 * 3072
    assert found.parameters == 768 * 3072
    assert "[256, 3072] times [3072, 768]" in workloads.describe("gemm-256x768x3072")


@pytest.mark.parametrize(
    ("precision", "stored"), [("", "FP16"), ("-int8", "INT8"), ("-int4", "INT4"), ("-int8-weights", "INT8")]
)
def test_a_product_has_its_precision(precision: str, stored: str) -> None:
    name = f"gemm-256x768x3072{precision}"
    run = npusim.run(name)
    assert run.subject.model is not None
    assert run.subject.model.stored[0][0] == stored
    assert run.subject.model.quantised == (precision == "-int8")
    (product,) = [row for row in run.metrics.ops if row.type == "MatMul"]
    assert product.engine == "dpu"
    assert stored in workloads.describe(name)


def test_a_table_is_all_its_products(tmp_path: Path) -> None:
    (tmp_path / "layers.csv").write_text("Layer, M, N, K,\nfc, 16, 32, 64,\nfc, 8, 64, 32,\n\n")
    run = npusim.run(tmp_path / "layers.csv")
    ops = run.to_frame()
    assert set(ops["name"]) == {"fc", "fc#2"}
    assert run.subject.model is not None
    assert run.subject.model.macs == 16 * 32 * 64 + 8 * 64 * 32


@pytest.mark.parametrize(
    "text",
    [
        "Layer, M, N, K,\nfc, 16, 32, 64,\n", "name,M,K,N\nfc,16,64,32\n", "fc,16,32,64\n",
        "k,n,m,Layer\n64,32,16,fc\n\n",
    ],
)  # fmt: skip
def test_columns_are_what_the_header_says(text: str) -> None:
    assert gemm.read_table(text.splitlines()) == [gemm.Gemm("fc", 16, 32, 64)]


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("", "no products"),
        ("Layer,M,N,K\n", "no products"),
        ("a,b\n", "line 1: the columns must be"),
        ("Layer,M,N\nfc,1,2\n", "line 1: no column is called K"),
        ("Layer,M,N,K,Sparsity\nfc,1,2,3,4\n", "line 1: .* and not 'Sparsity' too"),
        ("Layer,M,N,K\nfc,1,2\n", "line 2: must be name, m, n, k"),
        ("Layer,M,N,K\nfc,1,2,three\n", "line 2"),
        ("fc,1,2,3\nfc,1,2,-3\n", "line 2"),
        ('"' + "x" * 200_000, "not a CSV file: field larger"),
    ],
)
def test_what_is_no_table(text: str, said: str) -> None:
    with pytest.raises(ValueError, match=said):
        gemm.read_table(text.splitlines())


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ("256x768", "MxNxK"),
        ("256x768x3072-int9", "int9: no such precision; there are fp16, int8"),
        ("0x1x1", "at least 1"),
        ("999999999x1x1", "at most"),
        ("none.csv", "none.csv"),
    ],
)
def test_mistakes_are_told_in_one_line(tmp_path: Path, given: str, said: str) -> None:
    done = command("run", "--hw", "lunarlake", "--gemm", given, cwd=tmp_path)
    assert (done.returncode, done.stderr.count("\n")) == (2, 1)
    assert said in done.stderr
