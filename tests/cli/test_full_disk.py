"""Every command that writes, where the disk has no room for it: one line, and nothing is left of what was begun."""

from __future__ import annotations

import json
import resource
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from benchmarks.fuzzing.case import _run
from benchmarks.fuzzing.compositions import CONFIG, SCENARIOS
from benchmarks.fuzzing.documents import INDEX, MEASUREMENT, _files, _model, trace


@contextmanager
def little_room() -> Iterator[None]:
    """Files may have 256 bytes, as on a disk that is full."""
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (256, before[1]))
    yield
    resource.setrlimit(resource.RLIMIT_FSIZE, before)


AS_SIMULATED = MEASUREMENT.replace(b"20.", b"280.").replace(b"19.0", b"279.0").replace(b"22.0", b"282.0")
INDEX_OF_ONE = b"\n".join(INDEX.split(b"\n")[::2]) + b"\n"


@pytest.mark.parametrize(
    "argv",
    [
        ("run", "--hw", "lunarlake", "--model", "m.xml", "--out", "out"),
        ("compare", "--hw", "lunarlake", "--hw", "meteorlake", "--model", "m.xml", "--out", "out", "--no-report"),
        ("compare-trace", "run.json", "trace.json", "--csv", "out.csv"),
        ("trace", "show", "trace.json", "--out", "out"),
        ("transform", "m.xml", "--passes", "quantize", "-o", "out.xml"),
        ("scenario", "s.yaml", "--out", "out", "--no-report"),
        ("llm", "--hf-config", "c.json", "--hw", "lunarlake", "--out", "out", "--no-report"),
        ("sweep", "--hw", "lunarlake", "--model", "m.xml", "--axis", "tiles=1,2", "--workers", "1", "--out", "out"),
        ("validate", "--index", "i.csv", "--workers", "1", "--markdown", "out.md", "--predictions", "out.csv"),
        ("calibrate", "--hw", "lunarlake", "--against", "m.yaml", "--free", "ddr.bandwidth_gbps=9:99", "--no-leave-out",
         "-o", "out.yaml"),
        ("hw", "new", "out.yaml", "--from", "lunarlake"),
    ],
    ids=lambda argv: argv[0],
)  # fmt: skip
def test_a_full_disk_is_told_in_one_line(argv: tuple[str, ...], tmp_path: Path) -> None:
    given = {
        "s.yaml": SCENARIOS[-2], "c.json": json.dumps(CONFIG).encode(), "m.yaml": AS_SIMULATED, "i.csv": INDEX_OF_ONE,
        **_model(), "run.json": _files()["run.json"], "trace.json": trace(),
    }  # fmt: skip
    for name, data in given.items():
        (tmp_path / name).write_bytes(data)
    with little_room():
        code, out, error = _run(argv, tmp_path)
    assert (code, out) == (2, "")
    assert error.startswith("error: cannot write")
    assert error.count("\n") == 1
    left = {str(path.relative_to(tmp_path)) for path in tmp_path.rglob("*")} - set(given)
    assert left <= {"out", "out/journal.jsonl"}
