"""run.json, ops.csv, trace.json, and the folder they are written to."""

from __future__ import annotations

import csv
import gzip
import io
import json
from itertools import pairwise
from pathlib import Path

import numpy as np
import openvino as ov
import pytest
from openvino import opset15 as ops

import npusim
from npusim import __version__
from npusim.api import Result
from npusim.errors import UserError
from npusim.files import all_or_nothing
from npusim.hints import HintName
from npusim.report import write_report
from npusim.report.document import run_document
from npusim.report.opwork import op_work
from npusim.report.subject import Subject
from npusim.report.tables import ops_csv
from npusim.report.trace import trace_text
from npusim.validation.measure.rows import read_measured
from npusim.validation.traces.file import read_trace
from npusim.validation.traces.schedule import machine_of
from tests.report.synthetic import HOSTILE, synthetic_result

SUBJECT = Subject("synthetic", "lunarlake.yaml", ("clocks.dpu_mhz=1700",), "prefill", 256, "npusim run")
STATISTICS = {
    "total_us", "dma_us", "dpu_us", "shave_us", "dma_dpu_overlap_us", "dma_shave_overlap_us", "shave_dpu_overlap_us",
    "idle_us", "sum_dma_us", "sum_dpu_us", "sum_shave_us",
}  # fmt: skip
CONTRACT = {
    "schema", "hardware", "workload", "engine", "latency_us", "statistics", "tasks", "ops", "ddr_bytes", "energy_uj",
    "wall_s",
}  # fmt: skip
OP_KEYS = {
    "name",
    "type",
    "engine",
    "start_us",
    "end_us",
    "dma_us",
    "dpu_us",
    "shave_us",
    "bound",
    "provenance",
}


@pytest.fixture(scope="module")
def result() -> Result:
    return synthetic_result()


def test_document_keeps_the_contract(result: Result) -> None:
    document = run_document(result, SUBJECT, 1.25)
    assert document.keys() >= CONTRACT
    assert document["statistics"].keys() == STATISTICS
    assert document["tasks"].keys() == {"dma", "dpu", "shave"}
    assert document["ddr_bytes"] == {"read": 3 * 65536, "write": 3 * 32768}
    assert all(op.keys() >= OP_KEYS for op in document["ops"])
    assert document["latency_us"] == pytest.approx(result.latency_us, abs=1e-6)
    assert sum(op["exposed_us"] for op in document["ops"]) == pytest.approx(result.latency_us, abs=1e-4)
    assert document["tokens_per_s"] == pytest.approx(256 / result.latency_us * 1e6)


def test_csv_has_a_row_an_op(result: Result) -> None:
    rows = list(csv.DictReader(io.StringIO(ops_csv(result))))
    assert [row["name"] for row in rows] == [op.name for op in result.program.ops]
    assert rows[0]["name"] == HOSTILE
    assert float(rows[0]["dpu_us"]) == pytest.approx(result.metrics.ops[0].dpu_us, abs=1e-6)


def test_a_trace_carries_its_hardware(result: Result) -> None:
    read = read_trace(trace_text(result).encode(), "trace.json")
    assert machine_of(read).hardware == result.hardware
    assert machine_of(read, "meteorlake.yaml").hardware.platform == "3720"


def test_work_is_conserved(result: Result) -> None:
    work = op_work(result.program)
    assert work.tasks.sum() == len(result.program.tasks)
    assert work.macs.sum() == 3 * 2 * 4 * 16 * 256 * 256
    assert work.elements.sum() == 3 * 2 * 2 * 2048


def test_what_sql_asks_of_a_trace_is_in_its_arguments(result: Result) -> None:
    trace = json.loads(trace_text(result))
    layers = [event["args"] for event in trace["traceEvents"] if event.get("cat") == "Layer"]
    assert sum(layer["exposed_us"] for layer in layers) == pytest.approx(result.latency_us, abs=1e-4)
    tasks = [event["args"] for event in trace["traceEvents"] if event.get("cat") == "DPU"]
    assert {task["Op type"] for task in tasks} == {"MatMul"}
    assert trace["otherData"] == {
        "npusim": __version__, "hardware": result.hardware.name, "software": result.hardware.software.name,
        "workload": result.program.name,
    }  # fmt: skip


@pytest.mark.parametrize("hint", ["latency", "throughput"])
def test_benchmark_apps_report_is_read_as_it_was_seen(hint: HintName, tmp_path: Path) -> None:
    data = ops.parameter([8, 64], np.float32, name="data")
    model = ov.Model(
        [ops.relu(ops.matmul(data, np.ones((64, 32), np.float32), False, False))], [data], "small"
    )
    file = tmp_path / "small.xml"
    ov.save_model(model, file, compress_to_fp16=False)
    run = npusim.run(file, "meteorlake", hint=hint)
    run.report(tmp_path / "out")
    (found,) = read_measured(tmp_path / "out" / "benchmark_report.json")
    assert run.subject.seen is not None
    assert found.us == {hint: pytest.approx(run.subject.seen.us, rel=1e-3)}
    assert found.source.file == file
    assert found.source.shapes == {"data": [8, 64]}
    plain = npusim.run(file, "meteorlake").report(tmp_path / "plain")
    assert not (plain.parent / "benchmark_report.json").exists()


def test_trace_speaks_the_vendors_dialect(result: Result) -> None:
    trace = json.loads(trace_text(result))
    events = trace["traceEvents"]
    processes = [event["args"]["name"] for event in events if event["name"] == "process_name"]
    assert processes == ["DMA", "Cluster (0)", "Cluster (1)", "Layers", "Counters"]
    lanes = {(e["pid"], e["tid"]): e["args"]["name"] for e in events if e["name"] == "thread_name"}
    assert [name for (pid, _), name in lanes.items() if pid == 1] == ["DPU", "Shave", "Shave"]
    tasks = [event for event in events if event["ph"] == "X" and event["cat"] != "Layer"]
    assert len(tasks) == len(result.program.tasks)
    assert {event["cat"] for event in tasks} == {"DMA", "DPU", "Shave"}
    assert trace["taskStatistics"]["total duration"] == pytest.approx(result.latency_us, abs=1e-3)
    for pid_tid in lanes:
        mine = sorted(
            (e["ts"], e["dur"]) for e in events if e["ph"] == "X" and (e["pid"], e["tid"]) == pid_tid
        )
        assert all(a[0] + a[1] <= b[0] + 1e-9 for a, b in pairwise(mine))


def test_counters_integrate_to_the_traffic(result: Result) -> None:
    events = [
        e
        for e in json.loads(trace_text(result))["traceEvents"]
        if e["ph"] == "C" and e["name"] == "DDR bandwidth"
    ]
    moved = sum((b["ts"] - a["ts"]) * a["args"]["GB/s"] * 1000 for a, b in pairwise(events))
    assert moved == pytest.approx(3 * (65536 + 32768), rel=0.01)


def test_same_bytes_again(result: Result) -> None:
    again = synthetic_result()
    assert trace_text(result) == trace_text(again)
    assert ops_csv(result) == ops_csv(again)
    assert run_document(result, SUBJECT, 0) == run_document(again, SUBJECT, 0)


def test_folder_appears_with_all_files(result: Result, tmp_path: Path) -> None:
    folder = write_report(result, tmp_path / "deep" / "down", SUBJECT, html=False)
    assert sorted(path.name for path in folder.iterdir()) == ["ops.csv", "run.json", "trace.json"]


def test_failure_leaves_nothing(tmp_path: Path) -> None:
    with pytest.raises(ZeroDivisionError), all_or_nothing(tmp_path / "out" / "deep") as folder:
        (folder / "half").write_text("written")
        raise ZeroDivisionError
    assert list(tmp_path.iterdir()) == []


def test_failure_keeps_what_was_there(tmp_path: Path) -> None:
    (tmp_path / "run.json").write_text("old")
    with pytest.raises(ZeroDivisionError), all_or_nothing(tmp_path) as folder:
        (folder / "run.json").write_text("new")
        raise ZeroDivisionError
    assert [(path.name, path.read_text()) for path in tmp_path.iterdir()] == [("run.json", "old")]


@pytest.mark.parametrize("below", ["", "deeper"])
def test_a_file_in_the_way_is_the_users_mistake(tmp_path: Path, below: str) -> None:
    (tmp_path / "file").write_text("in the way")
    with pytest.raises(UserError, match="cannot write to"), all_or_nothing(tmp_path / "file" / below):
        pass


def test_a_long_trace_is_packed(result: Result, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write_report(result, tmp_path, html=False)
    plain = (tmp_path / "trace.json").read_bytes()
    monkeypatch.setattr("npusim.report.write._MOST_PLAIN", 1000)
    write_report(result, tmp_path, html=False)
    assert gzip.decompress((tmp_path / "trace.json.gz").read_bytes()) == plain
    assert sorted(path.name for path in tmp_path.iterdir()) == ["ops.csv", "run.json", "trace.json.gz"]
