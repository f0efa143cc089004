"""The page's record of every op is the one that `npusim run --explain` gives, and takes little room."""

from __future__ import annotations

import base64
import json
import zlib

import pytest

import npusim
from npusim import api
from npusim.analysis.explain import explain
from npusim.program.journal import Entry
from npusim.report.decisions import decisions
from npusim.report.run_page import run_page
from npusim.report.subject import Subject


@pytest.fixture(scope="module")
def run() -> tuple[api.Result, list[Entry]]:
    hw = npusim.load_hardware("lunarlake.yaml")
    program, entries = api.lower_explained(npusim.build_workload("mamba2-130m", tokens=64, layers=9), hw)
    return npusim.simulate(program, hw), entries


def test_the_record_is_that_of_explain(run) -> None:
    result, entries = run
    record = json.loads(zlib.decompress(base64.b64decode(decisions(result, entries)["data"])))
    assert len(record["ops"]) == len(record["waits"]) == len(result.program.ops)
    for op, parts, waits in list(zip(result.program.ops, record["ops"], record["waits"], strict=True))[::7]:
        found = explain(result.timeline, entries, op.name)
        own = [
            tuple(record["decisions"][number][:2])
            for name, numbers in parts
            for number in numbers
            if record["names"][name] == op.name
        ]
        assert own == [(entry.stage, entry.what) for entry in found.decisions]
        assert [(result.program.ops[other].name, engine) for other, engine, _ in waits] == [
            (wait.op, wait.engine) for wait in found.waits
        ]
        assert [us for *_, us in waits] == pytest.approx([wait.us for wait in found.waits], abs=0.01)


def test_all_records_take_a_hundredth_of_the_page(run) -> None:
    result, entries = run
    with_them, without = (len(run_page(result, Subject("mamba"), entries=some)) for some in (entries, ()))
    assert without < with_them < 1.01 * without
