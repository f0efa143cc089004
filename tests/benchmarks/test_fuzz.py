"""Odd inputs: 500 fresh ones, and those that once went wrong. A find's line: python -m benchmarks.fuzz --replay LINE"""

from __future__ import annotations

import gzip
import json
import sys
import time
from contextlib import nullcontext

import pytest

from benchmarks.fuzz import KINDS, fuzz
from benchmarks.fuzzing.case import Broken, Case, check
from benchmarks.fuzzing.documents import MEASUREMENT, REPORTS, _model
from tests.strategies import seed_of_the_code

DIGITS = "9" * 5000
LANE = {"name": "a?t_MatMul", "cat": "DPU", "ph": "X", "ts": 0, "dur": 1, "pid": 0, "tid": 0}
PROCESS = {"name": "process_name", "ph": "M", "pid": 0}
INDEX = "case,model,platform,tiles,dma_engines,trace\n"
ALIASES = "a: &a [1,1,1,1,1,1,1,1,1]\n" + "".join(
    f"{new}: &{new} [{','.join([f'*{old}'] * 9)}]\n" for old, new in zip("abcdefgh", "bcdefghi", strict=True)
)


def test_fresh_inputs_find_nothing(capsys: pytest.CaptureFixture[str]) -> None:
    seed = seed_of_the_code()
    with capsys.disabled():
        print(f"\nfuzz: --inputs 500 --seed {seed}")
    assert fuzz(500, seed, list(KINDS)) == []


def test_a_line_is_the_case() -> None:
    case = Case(("hw", "check", "\udcff"), {"a": bytes(range(256))})
    assert Case.of(case.line()) == case


@pytest.mark.parametrize("told", ["", "note: about 2.0 million tasks, up to 1 s and 1 GiB from here\n"])
def test_a_command_may_take_as_long_as_it_says(told: str, monkeypatch: pytest.MonkeyPatch) -> None:
    def busy(argv: tuple[str, ...]) -> None:
        sys.stderr.write(told)
        until = time.process_time() + 0.3
        while time.process_time() < until:
            pass
        sys.exit(0)

    monkeypatch.setattr("benchmarks.fuzzing.case.SECONDS", 0.1)
    monkeypatch.setattr("npusim.cli.main.main", busy)
    with nullcontext() if told else pytest.raises(Broken, match=r"over 0\.1 s"):
        check(Case(("run",)))


def trace(*events: dict[str, object], **more: object) -> bytes:
    return json.dumps({"traceEvents": list(events), **more}).encode()


def _four_bit_floats() -> bytes:
    """A product by a constant that OpenVINO writes beyond the end of."""
    onnx = pytest.importorskip("onnx")
    helper, kind = onnx.helper, onnx.TensorProto.FLOAT4E2M1
    values = [helper.make_tensor_value_info(name, kind, [8, 8]) for name in ("x", "y")]
    weights = helper.make_tensor("w", kind, [8, 8], [1] * 64)
    graph = helper.make_graph(
        [helper.make_node("MatMul", ["x", "w"], ["y"])], "g", values[:1], values[1:], [weights]
    )
    return bytes(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 21)]).SerializeToString())


RUN = ("run", "--hw", "lunarlake", "--no-report", "--json")


@pytest.mark.parametrize(
    ("argv", "files", "said"),
    [
        ((*RUN, "--model", "m.xml", "--shape", f"given=[{DIGITS}]"), _model(), "at most 2,147,483,647"),
        (("trace", "show", "t"), {"t": trace({**LANE, "ts": int("9" * 400)})}, "no number that can be counted with"),
        (("trace", "show", "t"), {"t": trace({**LANE, "cat": []})}, "not a schedule of an NPU"),
        (("trace", "show", "t"), {"t": trace({**LANE, "dur": 0})}, None),
        (
            ("trace", "show", "t"),
            {"t": trace(LANE, {**PROCESS, "args": {"name": "Cluster (99999999999)"}})},
            "error: t: is of no machine that can be",
        ),
        (("trace", "show", "t"), {"t": trace({**LANE, "name": 'x"y'}).replace(rb"\"", b'"')}, None),
        (("trace", "show", "t"), {"t": gzip.compress(bytes(400 << 20))}, "larger than 256 MiB unpacked"),
        (
            (*RUN, "--model", "m.xml"),
            {"m.xml": _model()["m.xml"].replace(b'size="1024"', b'size="99999999999"')},
            "ends beyond 64 GiB",
        ),
        ((*RUN, "--model", "m.pb"), {"m.pb": bytes(range(256)) * 9}, "not a model that OpenVINO reads"),
        ((*RUN, "--model", "m" * 5000), {}, "no such model file"),
        (
            ("compare-trace", "m", "m"),
            {"m": MEASUREMENT.replace(b"2026-11-29", b"2026-13-45")},
            "created: Input should be a valid datetime",
        ),
        (("compare-trace", "m", "m"), {"m": MEASUREMENT.replace(b"20.0", b"!!float abc")}, "unknown tag"),
        (("compare-trace", "m", "m"), {"m": MEASUREMENT.replace(b"[]", b"[" * 9000)}, "maximum nesting depth"),
        (
            ("validate", "--against", "t.csv"),
            {"t.csv": f"model,metric,measured_us\n{'x' * 200_000},latency,1\n".encode()},
            "field larger than field limit",
        ),
        (
            ("validate", "--index", "i.csv", "--workers", "1"),
            {"i.csv": b"case,model,platform,tiles,dma_engines\na,m.xml,1234,4,2\n", **_model()},
            None,
        ),
        (
            ("validate", "--index", "i.csv", "--case", "a"),
            {"i.csv": f"{INDEX}a,m.xml,4000,4,2,../../../etc/passwd\n".encode(), **_model()},
            "must be a file beside the index",
        ),
        (
            ("validate", "--against", "report.csv", "--platform", "4000"),
            {"report.csv": (REPORTS / "report.csv").read_bytes().replace(b"-m;", b"-shape;x[1,,2]\n-m;")},
            "must have the form input[1,3,224,224]",
        ),
        (("sweep", "--hw", "lunarlake", "--space", "s"), {"s": b"phase: []"}, "has no values"),
        (("sweep", "--hw", "lunarlake", "--space", "s"), {"s": b"tiles: []"}, "has no values"),
        (("sweep", "--hw", "lunarlake", "--axis", "tiles=1:1000000:1000000"), {}, "COUNT must be 1 to 10,000"),
        (("sweep", "--hw", "lunarlake", "--axis", "tiles=1", "--cluster", "nonsense"), {}, "not an address"),
        (("hw", "check", "lunarlake", "--set", "ddr.bandwidth_gbps=1e-320"), {}, "at least 0.001"),
        (("hw", "check", "lunarlake", "--set", "cmx.kib_per_tile=1e-9"), {}, "at least 1"),
        (("hw", "check", "lunarlake", "--set", f"tiles={'9' * 33}"), {}, "at most 64"),
        (("hw", "check", "lunarlake", "--set", "tiles=100000"), {}, "at most 64"),
        (("hw", "check", "h.yaml"), {"h.yaml": ALIASES.encode()}, "values, aliases included"),
        (("hw", "check", "h.yaml"), {"h.yaml": "".join(f"k{i}: 1\n" for i in range(100_000)).encode()}, "unknown key"),
        ((*RUN, "--model", "m.xml", "--shape", "\x1b[31mx=[1]"), _model(), "no input"),
        (
            ("validate", "--index", "i.csv", "--case", "\x1b[31m"),
            {"i.csv": INDEX.encode() + b"\x1b,m.xml,4000,4,2,\n", **_model()},
            "no such row in i.csv",
        ),
        (("compare-trace", "t", "m"), {"t": trace(LANE), "m": MEASUREMENT}, "are they of one model?"),
        (
            ("calibrate", "--hw", "lunarlake", "--against", "m.yaml", "--free", "ddr.latency_ns=9:99", "-o", "o.yaml"),
            {"m.yaml": MEASUREMENT, **_model()},
            "of a median row unexplained",
        ),
        ((*RUN, "--model", "m.onnx"), {"m.onnx": _four_bit_floats()}, "is of f4e2m1, which no NPU reads"),
        (("hw", "show", "\x1b[31mx\x1b]0;y\x07"), {}, "no such hardware file"),
        (("hw", "show", "lunarlake", "--set", "name=\x1b[31m"), {}, "is not allowed"),
    ],
)  # fmt: skip
def test_what_once_went_wrong(argv: tuple[str, ...], files: dict[str, bytes], said: str | None) -> None:
    out, error = check(Case(argv, files))
    assert (said or "") in (error if said else out)
    assert bool(said) == bool(error)


def test_a_page_and_its_table_run_nothing() -> None:
    index = b"case,family,model,platform,tiles,dma_engines,total_us\n=<script>,micro,m.xml,4000,4,2,5\n"
    argv = (
        "validate",
        "--index",
        "i.csv",
        "--workers",
        "1",
        "--predictions",
        "out.csv",
        "--markdown",
        "out.md",
    )
    written = check(Case(argv, {"i.csv": index, **_model()}), read=("out.csv", "out.md"))
    assert "\n'=<script>,4000" in written[0]
    assert "<script>" not in written[1]
    assert "&lt;script&gt;" in written[1]
