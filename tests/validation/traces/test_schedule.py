"""Imported schedules: statistics are the vendor's own, waits are explained, mistakes are told in one line."""

from __future__ import annotations

import gzip
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from npusim.engine.timeline import WAIT_REASONS
from npusim.errors import UserError
from npusim.hardware import load_hardware
from npusim.report.trace import trace_text
from npusim.validation.schedules.predict import simulate_row
from npusim.validation.schedules.references import STATISTICS, Reference, select
from npusim.validation.traces.file import read_trace
from npusim.validation.traces.schedule import import_trace, infer_waits, machine_of
from npusim.validation.traces.tasks import Shape, shapes
from tests.validation.conftest import Done

Npusim = Callable[..., Done]
HARDWARE = {"3720": "meteorlake-vpunn.yaml", "4000": "lunarlake-vpunn.yaml", "5010": "pantherlake-vpunn.yaml"}


@pytest.mark.parametrize("offset", [0, 1, 2])
def test_statistics_are_the_vendors(packaged: Reference, offset: int) -> None:
    """Of a sample of all sets, platforms and numbers of tiles."""
    rows = [row for row in packaged.rows if row.trace][offset * 13 :: 39]
    hardware = {platform: load_hardware(file) for platform, file in HARDWARE.items()}
    assert {row.platform for row in rows} == set(HARDWARE)
    for row in rows:
        trace = read_trace(packaged.schedule(row), row.trace)
        result = import_trace(trace, hardware[row.platform])
        assert set(trace.statistics) == set(STATISTICS)
        assert result.metrics.statistics == pytest.approx(trace.statistics, abs=1e-5)
        assert result.metrics.statistics == pytest.approx(row.truth, abs=1e-5)
        assert sum(op.exposed_us for op in result.metrics.ops) == pytest.approx(result.latency_us, rel=1e-4)
        assert result.metrics.exposed_us["barrier/dependency"] < 0.01 * result.latency_us
        assert machine_of(trace).file == HARDWARE[row.platform]


def test_ops_are_the_models(packaged: Reference) -> None:
    row = select(packaged, case="chain_4matmul_swish", platform="4000")[0]
    trace = read_trace(packaged.schedule(row), row.trace)
    result = import_trace(trace, load_hardware("lunarlake-vpunn.yaml"))
    layers = {layer.name: layer.args["Layer type"] for layer in trace.layers}
    assert {op.name: op.type for op in result.program.ops} == layers
    macs = sum(task.work.macs for task in result.program.tasks if getattr(task.work, "kind", "") == "conv")
    model = packaged.graph(row)
    products = [op for op in model.ops if op.type == "MatMul"]
    expected = sum(
        model.tensors[op.outputs[0]].elements * model.tensors[op.inputs[0]].shape[-1] for op in products
    )
    assert macs == expected


def test_our_own_trace_comes_back(packaged: Reference) -> None:
    row = select(packaged, case="mamba2-130m_l1_decode_base", platform="4000")[0]
    ours = simulate_row(packaged.graph(row), row)
    back = import_trace(read_trace(trace_text(ours).encode(), "own"), ours.hardware)
    assert back.program.name == ours.program.name
    rounding = 0.001 * sum(back.metrics.tasks.values())
    assert back.metrics.statistics == pytest.approx(dict(ours.metrics.statistics), abs=rounding)
    assert back.metrics.tasks == ours.metrics.tasks
    assert {op.name for op in back.program.ops} == {op.name for op in ours.program.ops}
    assert back.metrics.ddr_bytes == ours.metrics.ddr_bytes
    assert set(back.prices.provenance.tolist()) == set(ours.prices.provenance.tolist())


def event(
    name: str, category: str, start: float, us: float, lane: tuple[int, int], **args: str
) -> dict[str, Any]:
    return {
        "name": name, "cat": category, "ph": "X", "ts": start, "dur": us, "pid": lane[0], "tid": lane[1], "args": args,
    }  # fmt: skip


def profile() -> dict[str, Any]:
    """A profile of a real run: it starts late, has gaps, and an engine that npusim does not know."""
    return {
        "traceEvents": [
            {"name": "process_name", "ph": "M", "pid": 0, "args": {"name": "DMA"}},
            {"name": "thread_name", "ph": "M", "pid": 0, "tid": 0, "args": {"name": "DMA 0 DDR"}},
            {"name": "process_name", "ph": "M", "pid": 1, "args": {"name": "Cluster (0)"}},
            {"name": "thread_name", "ph": "M", "pid": 1, "tid": 1, "args": {"name": "Shave"}},
            {"name": "thread_name", "ph": "M", "pid": 1, "tid": 2, "args": {"name": "Shave"}},
            event("a?t_Exp", "DMA", 100.0, 2.0, (0, 0), **{"Source memory:": "DDR", "Destination memory:": "CMX",
                  "Output tensor shape": "[1x8xf16]"}),
            event("a?t_Exp/tile_0", "Shave", 103.0, 5.0, (1, 1), **{"Output tensors": "[1x8xf16]"}),
            event("a?t_Exp/tile_1", "Shave", 103.0, 4.0, (1, 2), **{"Output tensors": "[1x8xf16]"}),
            event("b?t_Crop", "M2I", 108.0, 1.0, (1, 3)),
            event("a", "Layer", 100.0, 8.0, (2, 4), **{"Layer type": "Exp"}),
        ],
        "workpoint": {"freq": 1700.0, "status": "OK"},
    }  # fmt: skip


def test_a_real_profile() -> None:
    trace = read_trace(json.dumps(profile()).encode(), "profile")
    assumed = machine_of(trace, "lunarlake.yaml")
    assert assumed.overrides == ("tiles=1", "clocks.dpu_mhz=1700")
    result = import_trace(trace, assumed.hardware)
    assert result.latency_us == pytest.approx(8.0)
    assert [(queue.name, queue.servers) for queue in result.program.queues] == [
        ("DMA 0 DDR", 1),
        ("SHAVE 0", 2),
    ]
    assert result.metrics.exposed_us["barrier/dependency"] == pytest.approx(1.0)
    assert result.metrics.provenance_share["measured"] == 1.0
    assert result.metrics.ddr_bytes == {"read": 16, "write": 0}
    assert result.program.notes == ("1 tasks of category M2I are left out",)
    assert result.metrics.energy_uj > 0


def test_waits_are_inferred() -> None:
    start = np.array([0.0, 0.0, 2.0, 3.001, 9.0])
    end = np.array([2.0, 3.0, 5.0, 4.0, 9.5])
    lane = np.array([[0, 0], [1, 0], [0, 0], [0, 1], [1, 0]])
    reason, cause = infer_waits(start, end, lane)
    assert cause.tolist() == [-1, -1, 0, 1, 2]
    assert [WAIT_REASONS[number] for number in reason] == ["none", "none", "queue", "barrier", "none"]


def test_chains_of_waits_end_among_tasks_of_no_duration() -> None:
    start = np.array([0.0, 1.0, 1.0, 1.0])
    end = np.array([1.0, 1.0, 1.0, 1.0])
    lane = np.array([[0, 0], [0, 0], [1, 0], [2, 0]])
    _, cause = infer_waits(start, end, lane)
    assert all(before < task for task, before in enumerate(cause.tolist()))


def test_shapes_as_traces_print_them() -> None:
    assert shapes("[1x64x8x8xf16, 64x64x1x1xui8]") == (Shape((1, 64, 8, 8), 16), Shape((64, 64, 1, 1), 8))
    assert shapes("4 chunks of [6144xui8]") == (Shape((6144,), 8),)
    assert shapes("[3xi4]")[0].bytes == 2
    assert shapes("[f32]")[0].elements == 1
    assert shapes("[]") == shapes(None) == ()


def broken(**values: Any) -> bytes:
    document = profile()
    document["traceEvents"][5].update(values)
    return json.dumps(document).encode()


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (b"", "not JSON"),
        (b"{", "not JSON"),
        (b"\xff\xfe", "not UTF-8 text"),
        (b"\x1f\x8b\x00", "not a gzip file"),
        (gzip.compress(b"{}", mtime=0)[:-6], "not a gzip file"),
        (b"{}", "no list 'traceEvents'"),
        (b"3", "no list 'traceEvents'"),
        (b"[3]", "event 0: is not an object"),
        (b"[]", "has no DMA, DPU or Shave tasks"),
        (b"[" * 100_000, "is not a trace"),
        (broken(ts="soon"), "event 5: 'ts' must be a time in µs (got 'soon')"),
        (broken(ts=float("nan")), "NaN is no number that can be counted with"),
        (broken(ts=10**400), "is no number that can be counted with"),
        (broken(dur=-1), "event 5: 'dur' must be a time of at least 0 µs (got -1)"),
        (broken(dur=None), "event 5: 'dur'"),
        (broken(pid="x"), "event 5: 'pid' must be a whole number of 31 bits (got 'x')"),
    ],
    ids=range(16),
)
def test_what_is_no_trace_is_told_in_one_line(
    npusim: Npusim, tmp_path: Path, data: bytes, message: str
) -> None:
    with pytest.raises(UserError, match="file") as error:
        read_trace(data, "file")
    assert message in str(error.value)
    path = tmp_path / "trace.json"
    path.write_bytes(data)
    done = npusim("trace", "show", path)
    assert (done.code, done.out) == (2, "")
    assert done.err.count("\n") == 1


def test_show_a_trace(npusim: Npusim, packaged: Reference, tmp_path: Path) -> None:
    row = select(packaged, case="softplus_m", platform="5010")[0]
    path = tmp_path / "trace.json.gz"
    path.write_bytes(packaged.schedule(row))
    done = npusim("trace", "show", path, "--out", tmp_path / "report")
    assert (done.code, done.err) == (0, "")
    assert "pantherlake-vpunn.yaml is assumed by its DPU clock of 2100 MHz" in " ".join(done.out.split())
    assert "\nmemory" not in done.out  # which a trace does not tell
    assert sorted(file.name for file in (tmp_path / "report").iterdir()) == [
        "ops.csv", "report.html", "run.json", "trace.json",
    ]  # fmt: skip
    document = json.loads(npusim("trace", "show", path, "--json", "--hw", "pantherlake.yaml").out)
    assert document["statistics"] == pytest.approx(row.truth, abs=1e-3)
    assert document["engine"] == "imported"
    again = npusim("trace", "show", tmp_path / "report" / "trace.json", "--json")
    assert json.loads(again.out)["statistics"] == pytest.approx(row.truth, abs=0.01)


def test_no_such_file(npusim: Npusim, tmp_path: Path) -> None:
    done = npusim("trace", "show", tmp_path / "none.json")
    assert (done.code, done.err) == (
        2,
        f"error: {tmp_path}/none.json: cannot be read: No such file or directory\n",
    )
