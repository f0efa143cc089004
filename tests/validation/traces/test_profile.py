"""Profiles of all kinds: what a report adds up to is what it says itself, and mistakes are told in one line."""

from __future__ import annotations

import gzip
import json
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import openvino as ov
import pytest

from npusim.errors import UserError
from npusim.hardware import load_hardware
from npusim.report.document import document_text, run_document
from npusim.report.subject import Subject
from npusim.report.trace import trace_text
from npusim.validation.schedules.predict import simulate_row
from npusim.validation.schedules.references import Reference, select
from npusim.validation.traces.file import TraceFile, read_trace
from npusim.validation.traces.profile import profile_of, read_profile
from npusim.validation.traces.schedule import import_trace

REPORTS = Path(__file__).parents[1] / "data" / "benchmark_app"
CHAIN = "chain_4matmul_swish"


def said_us(name: str) -> float:
    """What a report says all layers take together, mean over its inferences, µs."""
    text = (REPORTS / name).read_text()
    if name.endswith(".json"):
        document = json.loads(text)
        given = document.get("detailed_performance", [document.get("avg_performance")])
        return 1000 * float(np.mean([float(request["total_real_time"]) for request in given]))
    totals = re.findall(r"^Total;;;;([\d.]+)", text, re.M) or re.findall(r"Total time: ([\d.]+)", text)
    return 1000 * float(np.mean([float(total) for total in totals]))


@pytest.mark.parametrize(
    "name", ["average.csv", "detailed.csv", "sorted.csv", "detailed.json", "sorted.json"]
)
def test_layers_add_up_to_what_the_report_says(name: str) -> None:
    profile = read_profile(REPORTS / name)
    assert sum(op.span_us for op in profile.ops) == pytest.approx(said_us(name), abs=10)
    assert {op.type for op in profile.ops} == {"FullyConnected", "Subgraph"}
    assert {op.name for op in profile.ops if op.type == "FullyConnected"} == {
        "MatMul_2058", "MatMul_2064", "MatMul_2070", "MatMul_2076",
    }  # fmt: skip


def test_cpp_and_python_reports_are_read_alike() -> None:
    """The tool in C++ writes numbers where Python writes text, bare status names, and rows that end in a separator."""
    python = (REPORTS / "detailed.json").read_text()
    cpp = re.sub(r'"((?:real|cpu)_time)": "([\d.]+)"', r'"\1": \2', python).replace("Status.", "")
    assert cpp != python
    assert profile_of(cpp.encode(), "x").ops == profile_of(python.encode(), "x").ops
    table = (REPORTS / "detailed.csv").read_text()
    with_ends = table.replace("\n", ";\n").replace("Status.", "")
    assert profile_of(with_ends.encode(), "x").ops == profile_of(table.encode(), "x").ops


def test_profiling_info_of_a_real_run() -> None:
    x = ov.opset13.parameter([1, 64, 64], np.float32, name="x")
    product = ov.opset13.matmul(
        x, ov.opset13.constant(np.ones((64, 64), np.float32)), False, False, name="product"
    )
    model = ov.Model([ov.opset13.result(ov.opset13.tanh(product, name="bend"))], [x])
    request = ov.Core().compile_model(model, "CPU", {"PERF_COUNT": True}).create_infer_request()
    lists = []
    for _ in range(2):
        request.infer([np.zeros((1, 64, 64), np.float32)])
        lists.append(list(request.get_profiling_info()))

    def dumped(time: Callable[[Any], object]) -> bytes:
        return json.dumps(
            [
                [
                    {
                        "node_name": info.node_name,
                        "node_type": info.node_type,
                        "exec_type": info.exec_type,
                        "status": str(info.status),
                        "real_time": time(info.real_time),
                        "cpu_time": time(info.cpu_time),
                    }
                    for info in infos
                ]
                for infos in lists
            ]
        ).encode()

    as_text = profile_of(dumped(str), "info.json")
    as_numbers = profile_of(dumped(lambda took: took.total_seconds() * 1e6), "info.json")
    executed = [[info for info in infos if info.status == info.Status.EXECUTED] for infos in lists]
    assert [op.name for op in as_text.ops] == [info.node_name for info in executed[0]]
    for op, other, infos in zip(as_text.ops, as_numbers.ops, zip(*executed, strict=True), strict=True):
        mean = np.mean([info.real_time.total_seconds() * 1e6 for info in infos])
        assert op.span_us == pytest.approx(other.span_us) == pytest.approx(mean)
        assert op.name == infos[0].node_name


def as_npu_text(trace: TraceFile) -> str:
    """A trace as NPU_PRINT_PROFILING=TEXT prints one (vpux printProfilingAsText)."""
    lines = []
    for task in trace.tasks:
        name = {"Shave": "SW"}.get(task.category, task.category)
        cycles = "\tCycles:100(20)" if name == "SW" else ""
        lines.append(
            f"Task({name}): {task.name:<60}\tTime(us): {task.duration_us:<8.2f}{cycles}"
            f"\tStart(us): {task.start_us:<8.2f}"
        )
    for layer in trace.layers:
        told = {
            engine: micros(str(layer.args.get(f"{engine} time", "0ns"))) for engine in ("DPU", "Shave", "DMA")
        }
        lines.append(
            f"Layer: {layer.name:<40} Type: {layer.args['Layer type']:<20} DPU: {told['DPU']:<8.2f} "
            f"SW: {told['Shave']:<8.2f} DMA: {told['DMA']:<8.2f}\tStart: {layer.start_us:.2f}"
        )
    lines.append(f"Total time: 0.00us, Real: {trace.statistics['total_us']:.2f}us")
    return "\n".join(lines)


def micros(text: str) -> float:
    """``1us 40ns``."""
    units = {"us": 1.0, "ns": 1e-3, "ms": 1e3}
    return sum(float(count) * units[unit] for count, unit in re.findall(r"(\d+)(ms|us|ns)", text))


def test_npu_text_tells_what_the_trace_tells(packaged: Reference) -> None:
    row = select(packaged, case=CHAIN, platform="4000")[0]
    trace = read_trace(packaged.schedule(row), row.trace)
    profile = profile_of(as_npu_text(trace).encode(), "profile.txt")
    assert profile.latency_us == pytest.approx(row.truth["total_us"], abs=0.01)
    layers = {layer.name: layer for layer in trace.layers}
    assert {op.name for op in profile.ops} == set(layers)
    for op in profile.ops:
        layer = layers[op.name]
        assert op.span_us == pytest.approx(layer.duration_us, abs=0.02)
        assert op.busy_us["dpu"] == pytest.approx(micros(layer.args.get("DPU time", "")), abs=0.01)


def test_profiles_of_2023_are_read(packaged: Reference) -> None:
    """They call Shave SW, number lanes anew in every process, and tell nothing of a transfer."""
    row = select(packaged, case="mamba2-130m_l1_decode_base", platform="3720")[0]
    document = json.loads(packaged.schedule(row))
    for event in document["traceEvents"]:
        if event.get("cat") == "Shave":
            event["cat"] = "SW"
        if event.get("ph") == "X" and event.get("cat") == "DMA":
            event["args"] = {}
    trace = read_trace(json.dumps(document).encode(), "old")
    result = import_trace(trace, load_hardware("meteorlake-vpunn.yaml"))
    assert result.metrics.statistics == pytest.approx(row.truth, abs=1e-5)
    assert not any(getattr(task.work, "kind", "") == "fetch" for task in result.program.tasks)


def test_run_and_trace_tell_the_same(packaged: Reference) -> None:
    row = select(packaged, case=CHAIN, platform="4000")[0]
    result = simulate_row(packaged.graph(row), row)
    run = profile_of(document_text(run_document(result, Subject.of(result), 0.0)).encode(), "run.json")
    trace = profile_of(gzip.compress(trace_text(result).encode()), "trace.json.gz")
    assert run.latency_us == pytest.approx(trace.latency_us, abs=0.002)
    told = {op.name: op for op in trace.ops}
    for op in run.ops:
        assert told[op.name].fused == op.fused
        assert told[op.name].shape == op.shape
        assert told[op.name].type == op.type
    assert sum(op.exposed_us or 0 for op in trace.ops) == pytest.approx(trace.latency_us)


WRONG = {
    b"": "is not a profile: known are",
    b"{}": "is not a profile: known are",
    b"[]": "has no layer that was executed",
    b"[1]": "entry 0: is not a ProfilingInfo",
    b"{": "not JSON",
    b"[[": "not JSON",
    b"[" * 100_000: "nested too deeply",
    b"\x1f\x8bxx": "is not a gzip file",
    b"\xff\xfe": "not UTF-8 text",
    b"layerName;execStatus\na;b": "line 1: no column 'layerType'",
    b'{"traceEvents": []}': "has no DMA, DPU or Shave tasks",
    b'{"schema": "npusim.run/1"}': "is not a run.json of npusim",
    b'{"schema": "npusim.measurement/1"}': "created: Field required",
    b'{"avg_performance": {"nodes": [{"status": "EXECUTED", "real_time": "soon"}]}}': "node 0: a time must",
    b'{"avg_performance": {"nodes": 3}}': "no list 'nodes'",
    b'{"detailed_performance": [1]}': "no list 'nodes'",
    b'[{"node_name": "a", "real_time": -1}]': "entry 0: a time must be at least 0",
    b'[{"node_name": "a", "real_time": true}]': "entry 0: a time must be a number",
}


@pytest.mark.parametrize("data", WRONG)
def test_mistakes_are_told_in_one_line(data: bytes) -> None:
    with pytest.raises(UserError) as caught:
        profile_of(data, "odd.json")
    assert str(caught.value).startswith("odd.json:")
    assert WRONG[data] in str(caught.value)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("name", ["report.csv", "report.json", "average.json"])
def test_reports_without_layers_say_which_have_them(name: str) -> None:
    with pytest.raises(UserError, match="detailed_counters"):
        read_profile(REPORTS / name)
