"""dpu.weight_tables: a machine that looks weights up, and those that do not."""

from __future__ import annotations

import numpy as np
import openvino as ov
import pytest
from openvino import opset15 as op
from openvino.op import Constant

import npusim
from npusim import xamba
from npusim.api import Result
from npusim.graph.load import graph_of
from npusim.hardware import shipped, supposed

TABLES = "whatif/pantherlake-tables.yaml"


def done(passes: str, hw: str, *overrides: str) -> Result:
    weights = np.random.default_rng(0).standard_normal((2048, 2048)).astype(np.float16)
    x = op.parameter([1, 2048], np.float32, name="x")
    model = ov.Model([op.result(op.matmul(x, op.convert(Constant(weights), "f32"), False, True))], [x], "row")
    machine = npusim.load_hardware(hw, overrides)
    graph = graph_of(xamba.apply(model, passes)[0], "row", "row")
    return npusim.simulate(npusim.lower(graph, machine), machine)


def test_a_machine_with_tables_reads_what_is_stored() -> None:
    dense = done("", TABLES)
    for bits in (3, 4):
        tabled = done(f"quantize{{weights={bits}bit-table}}", TABLES)
        share = tabled.metrics.ddr_bytes["read"] / dense.metrics.ddr_bytes["read"]
        assert share == pytest.approx(bits / 16, abs=0.01)
        assert tabled.latency_us < dense.latency_us


def test_a_machine_without_them_reads_fp16() -> None:
    dense, tabled = (done(p, "pantherlake.yaml") for p in ("", "quantize{weights=3bit-table}"))
    assert tabled.latency_us == pytest.approx(dense.latency_us, rel=1e-6)


def test_slower_lookups_never_make_it_faster() -> None:
    passes = "quantize{weights=3bit-table}"
    rates = (4096, 256, 64, 16)
    times = [done(passes, TABLES, f"dpu.weight_tables.lookups_per_cycle={rate}").latency_us for rate in rates]
    assert times == sorted(times)
    assert times[-1] > 1.5 * times[0]


def test_bits_that_no_table_has_are_told_in_one_line() -> None:
    with pytest.raises(npusim.UserError, match=r"dpu\.weight_tables\.bits") as error:
        npusim.load_hardware("pantherlake.yaml", ["dpu.weight_tables={bits: [5], lookups_per_cycle: 1}"])
    assert "\n" not in str(error.value)


def test_hypothetical_machines_are_found_listed_and_marked() -> None:
    hw = npusim.load_hardware("whatif/pantherlake-tables")
    assert "hypothetical" in hw.name
    assert hw.role == "software"
    assert "whatif/pantherlake-tables.yaml" in supposed()
    assert not set(supposed()) & set(shipped())
