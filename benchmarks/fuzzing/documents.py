"""Documents that npusim reads, each mended badly: bytes and tokens moved, doubled, lost, or put in from elsewhere."""

from __future__ import annotations

import gzip
import json
import tempfile
from functools import cache
from pathlib import Path

from hypothesis import strategies as st

from benchmarks.fuzzing.case import Case

REPORTS = Path(__file__).parents[2] / "tests" / "validation" / "data" / "benchmark_app"
TOKENS = (
    b"0", b"-1", b"1e999", b"1e-320", b"NaN", b"Infinity", b"9" * 25, b"9" * 5000, b"99999999999", b"null",
    b"true", b"[]", b"{}", b'""', b"[" * 300, b'{"a":' * 300, b"\x00", b"\x1b[31m", b"\x1b]0;x\x07",
    "\u202e\u0085\u2028".encode(), b"\xff\xfe", b"=cmd|' /C calc'!A0", b"<script>", b"../../../../etc/passwd",
    b"&a [*a,*a]", b"*a", b"<<: *a", b"!!float abc", b"!!python/object:os.system", b"2026-13-45", b"0x10", b"'",
    b'"', b",", b";", b":", b"\n", b"\t", b"\r\n", b"x" * 5000, "é\U0001f600".encode(), b"%s%n", b"1,2", b"3720",
    b"9999", b"tiles", b"extends: lunarlake", b"1_000", b".inf", b"~",
)  # fmt: skip


@st.composite
def mended(draw: st.DrawFn, whole: bytes) -> bytes:
    """``whole`` after one to six changes."""
    data = whole
    for _ in range(draw(st.integers(1, 6))):
        at = draw(st.integers(0, max(0, len(data) - 1)))
        to = min(len(data), at + draw(st.sampled_from((0, 1, 2, 5, 20, 200))))
        new = draw(
            st.sampled_from(("token", "byte", "cut", "double", "end", "number")) if data else st.just("token")
        )
        if new == "token":
            data = data[:at] + draw(st.sampled_from(TOKENS)) + data[to:]
        elif new == "byte":
            data = data[:at] + draw(st.binary(min_size=1, max_size=4)) + data[to:]
        elif new == "cut":
            data = data[:at] + data[to:]
        elif new == "double":
            data = data[:to] + data[at:to] * draw(st.integers(1, 3)) + data[to:]
        elif new == "end":
            data = data[:at]
        else:
            data = _another_number(data, at, draw(st.sampled_from(TOKENS)))
    return data


def _another_number(data: bytes, at: int, new: bytes) -> bytes:
    """The next number at or after ``at`` replaced."""
    start = next((i for i in range(at, len(data)) if data[i : i + 1].isdigit()), len(data))
    end = next((i for i in range(start, len(data)) if not data[i : i + 1].isdigit()), len(data))
    return data[:start] + new + data[end:]


@cache
def trace() -> bytes:
    """npusim's own trace of a small model, without the hardware's many numbers."""
    return _files()["trace.json"]


@cache
def _files() -> dict[str, bytes]:
    import npusim
    from npusim.report import write_report

    hw = npusim.load_hardware("lunarlake")
    graph = npusim.load_model(_saved()[0])
    with tempfile.TemporaryDirectory() as folder:
        write_report(npusim.simulate(npusim.lower(graph, hw), hw), folder, html=False)
        return {path.name: path.read_bytes() for path in Path(folder).iterdir()}


def warm() -> None:
    """Have what the first command of a process waits for: libraries, and the machine code of the fast engine."""
    import npusim

    hw = npusim.load_hardware("lunarlake")
    npusim.simulate(npusim.lower(npusim.load_model(_saved()[0]), hw), hw, engine="fast")


@cache
def _saved() -> tuple[Path, bytes, bytes]:
    """A small IR: its path, its .xml and its .bin."""
    import numpy as np
    import openvino as ov
    from openvino import opset13 as op

    given = op.parameter([4, 32], np.float16, name="given")
    weights = op.constant(np.full((32, 16), 0.01, np.float16))
    node = op.softmax(op.matmul(op.exp(given), weights, False, False), 1)
    path = Path(tempfile.mkdtemp(prefix="npusim-fuzz-model-")) / "m.xml"
    ov.save_model(ov.Model([node], [given], "m"), path, compress_to_fp16=False)
    return path, path.read_bytes(), path.with_suffix(".bin").read_bytes()


MEASUREMENT = b"""schema: npusim.measurement/1
created: '2026-11-29T10:00:00Z'
npusim: 0.1.0
host: here
model: {name: m, file: m.xml, shapes: {given: [4, 32]}}
device: {name: NPU, architecture: '4000', clock_mhz: 1950.0}
runs:
- {hint: latency, requests: 1, warmup: 1, runs: 10, median_us: 20.0, p5_us: 19.0, p95_us: 22.0, iqr_us: 1.0,
   mean_us: 20.1, per_inference_us: 20.2}
layers:
- {name: MatMul_1, type: MatMul, exec_type: DPU, real_us: 3.0, cpu_us: 1.0}
notes: []
"""
TABLE = b"model,metric,measured_us,tokens,platform\nm.xml,latency,20.5,,4000\nm.xml,throughput,10,,4000\n"
INDEX = b"""case,family,model,platform,tiles,dma_engines,total_us,sum_dma_us,trace
a,micro,m.xml,4000,4,2,20.5,3,t.json
b,micro,m.xml,3720,2,2,31,4,
"""
TEXT = b"""Task(DMA): a?t_Exp Time(us): 1.25 Start(us): 0.00
Layer: a Type: Exp DPU: 0.00 SW: 3.50 DMA: 1.25 Start: 0.00
Layer: b Type: MatMul DPU: 2.00 SW: 0.00 DMA: 1.25 Start: 4.00
Total time: 8us, Real: 8.0us
"""
SPACE = b"tiles: [1, 2]\nddr.bandwidth_gbps: 34:136:2\nxamba: [none, cumba+reduba]\n"


def hardware() -> st.SearchStrategy[Case]:
    """Hardware files."""
    from npusim import hwconfigs

    whole = [path.read_bytes() for path in sorted(hwconfigs.FOLDER.glob("*.yaml"))]
    small = b"extends: lunarlake.yaml\ntiles: 4\nclocks: {dpu_mhz: 1700, vpu_mhz: 971}\nddr:\n  bandwidth_gbps: 97\n"
    text = st.sampled_from(whole).flatmap(mended) | mended(small)
    command = st.sampled_from((("hw", "check", "h.yaml"), ("hw", "show", "h.yaml")))
    return st.builds(lambda argv, data: Case(argv, {"h.yaml": data}), command, text)


def traces() -> st.SearchStrategy[Case]:
    """Schedules, plain and gzipped, npusim's own and such as other tools write."""
    text = st.deferred(lambda: mended(trace()[: 1 << 14] + b"]}") | mended(trace()) | mended(_events()))
    packed = text.map(gzip.compress) | text.map(lambda data: gzip.compress(data)[:-5])
    command = st.sampled_from((("trace", "show", "t.json"), ("trace", "show", "t.json", "--json"),
                               ("compare-trace", "t.json", "r.json", "--csv", "out.csv"),
                               ("trace", "show", "t.json", "--hw", "meteorlake")))  # fmt: skip
    files = st.builds(lambda data: {"t.json": data, "r.json": _files()["run.json"]}, text | text | packed)
    return st.builds(Case, command, files)


def _events() -> bytes:
    lane = {"ph": "X", "ts": 0, "dur": 1, "pid": 0, "tid": 0}
    events = [
        {"name": "process_name", "ph": "M", "pid": 0, "args": {"name": "Cluster (0)"}},
        {"name": "thread_name", "ph": "M", "pid": 0, "tid": 0, "args": {"name": "DPU"}},
        {**lane, "name": "a?t_MatMul/cluster_0", "cat": "DPU",
         "args": {"Input tensors": "[1x64x8x8xf16, 64x64x1x1xf16]", "Output tensors": "[1x64x8x8xf16]"}},
        {**lane, "name": "b?t_Exp", "cat": "Shave", "ts": 1.5, "tid": 1, "args": {"Output tensors": "[1x64x8x8xf16]"}},
        {**lane, "name": "c", "cat": "DMA", "ts": 3, "pid": 1, "args": {"Output tensor shape": "[786432xui8]"}},
    ]  # fmt: skip
    return json.dumps({"traceEvents": events, "workpoint": {"freq": 1850.0}, "taskStatistics": {}}).encode()


def profiles() -> st.SearchStrategy[Case]:
    """What else compare-trace reads."""
    whole = [*(path.read_bytes() for path in sorted(REPORTS.glob("[a-z]*.[cj]s*"))), TEXT, MEASUREMENT]
    text = st.sampled_from(whole).flatmap(mended) | st.deferred(lambda: mended(_files()["run.json"]))
    return st.builds(
        lambda data: Case(
            ("compare-trace", "r.json", "p", "--json"), {"r.json": _files()["run.json"], "p": data}
        ),
        text,
    )


def measured() -> st.SearchStrategy[Case]:
    """Measurements to validate against: files of npusim measure, tables, reports of benchmark_app."""

    def case(name: str, data: bytes, more: tuple[str, ...]) -> Case:
        return Case(("validate", "--against", name, *more), {name: data, **_model()})

    reports = [path.read_bytes() for path in sorted(REPORTS.glob("report.*"))]
    yaml = st.tuples(st.just("m.yaml"), mended(MEASUREMENT))
    table = st.tuples(st.just("m.csv"), mended(TABLE) | st.sampled_from(reports).flatmap(mended))
    more = st.sampled_from(((), ("--platform", "4000"), ("--json",), ("--markdown", "out.md")))
    return st.builds(lambda pair, more: case(*pair, more), yaml | table, more)


def indexes() -> st.SearchStrategy[Case]:
    """Indexes of references."""
    more = st.sampled_from(
        ((), ("--predictions", "out.csv"), ("--markdown", "out.md"), ("--json",), ("--case", "a"))
    )
    return st.builds(
        lambda data, more: Case(
            ("validate", "--index", "i.csv", "--workers", "1", *more),
            {"i.csv": data, "t.json": _events(), **_model()},
        ),
        mended(INDEX),
        more,
    )


def _model() -> dict[str, bytes]:
    _, xml, weights = _saved()
    return {"m.xml": xml, "m.bin": weights}


def models() -> st.SearchStrategy[Case]:
    """Model files: IR with and without its weights, ONNX, and bytes that say they are something."""

    def run(name: str, files: dict[str, bytes]) -> Case:
        return Case(("run", "--hw", "lunarlake", "--model", name, "--no-report", "--json"), files)

    ir = st.deferred(lambda: mended(_saved()[1])).map(lambda xml: run("m.xml", {"m.xml": xml}))
    whole = st.deferred(lambda: mended(_saved()[1])).map(lambda xml: run("m.xml", {**_model(), "m.xml": xml}))
    onnx = st.deferred(lambda: mended(_onnx())).map(lambda data: run("m.onnx", {"m.onnx": data}))
    ending = st.sampled_from(("pb", "pbtxt", "tflite", "pdmodel", "onnx", "xml", "json", "bin", ""))
    noise = st.binary(max_size=200) | st.just(b"\x1c\0\0\0TFL3") | mended(b"\x1c\0\0\0TFL3" + bytes(200))
    other = st.builds(lambda end, data: run(f"m.{end}", {f"m.{end}": data}), ending, noise)
    return ir | whole | onnx | other


@cache
def _onnx() -> bytes:
    from onnx import TensorProto, helper

    float_, shape = TensorProto.FLOAT, [2, 8]
    nodes = [helper.make_node("Exp", ["x"], ["a"]), helper.make_node("Softmax", ["a"], ["y"], axis=1)]
    given, made = (helper.make_tensor_value_info(name, float_, shape) for name in ("x", "y"))
    graph = helper.make_graph(nodes, "g", [given], [made])
    return bytes(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)]).SerializeToString())


def spaces() -> st.SearchStrategy[Case]:
    """Spaces of a sweep that mostly fail before they begin."""
    return st.builds(
        lambda data: Case(
            ("sweep", "--hw", "lunarlake", "--model", "m.xml", "--space", "s.yaml", "--lhs", "2", "--workers", "1",
             "--out", "out"),
            {"s.yaml": data, **_model()},
        ),
        mended(SPACE),
    )  # fmt: skip


def calibrations() -> st.SearchStrategy[Case]:
    """Inputs to observe ranges of."""
    import io

    import numpy as np

    file = io.BytesIO()
    np.savez(file, given=np.ones((4, 32), np.float16))
    return st.builds(
        lambda data: Case(
            ("transform", "m.xml", "--passes", "actiba{range=observed}", "--observe", "c.npz"),
            {"c.npz": data, **_model()},
        ),
        mended(file.getvalue()),
    )
