"""Recurrences written out step by step, as the compiler runs them: narrow channels, weights, results in a row."""

from __future__ import annotations

from collections import Counter

import numpy as np
import openvino as ov
import pytest
from openvino import opset13 as op

import npusim
from npusim.graph import from_openvino
from npusim.hardware import file_of
from npusim.lowering import lower
from npusim.program import ENGINES, Program
from npusim.program.work import DmaWork
from npusim.validation.schedules.predict import hardware_of
from npusim.validation.schedules.references import Row, open_reference
from npusim.validation.traces.file import read_trace
from npusim.validation.traces.schedule import import_trace

PACKAGED = open_reference(sets=["kinds"])
ROWS = [row for row in PACKAGED.rows if row.family in ("loop", "scan_unrolled")]


def counts(program: Program) -> Counter[str]:
    return Counter(ENGINES[engine] for engine in program.engine)


@pytest.mark.parametrize("row", ROWS, ids=lambda row: f"{row.case}-{row.platform}")
def test_a_recurrence_has_the_tasks_of_the_compilers_schedule(row: Row) -> None:
    hw = hardware_of(row.platform, row.tiles, row.dma_engines)
    ours = counts(lower(PACKAGED.graph(row), hw))
    seen = counts(import_trace(read_trace(PACKAGED.schedule(row), row.case), hw).program)
    assert ours["shave"] == seen["shave"]
    assert ours["dpu"] == pytest.approx(seen["dpu"], rel=0.03)
    assert ours["dma"] == pytest.approx(seen["dma"], rel=0.04)


def recurrent_net(steps: int, width: int) -> ov.Model:
    """h = tanh(x W + h U), ``steps`` times with the same weights; all h are returned."""
    x = op.parameter([steps, width], np.float16, name="x")
    h = op.parameter([1, width], np.float16, name="h")
    rng = np.random.default_rng(0)
    w, u = (op.constant(rng.normal(size=(width, width)).astype(np.float16)) for _ in range(2))
    made, state = [], h.output(0)
    for row in op.split(x, np.int64(0), steps).outputs():
        total = op.add(op.matmul(row, w, False, True), op.matmul(state, u, False, True))
        state = op.tanh(total).output(0)
        made.append(state)
    return ov.Model([op.result(op.concat(made, 0))], [x, h], "recurrent")


def read_bytes(program: Program) -> int:
    return sum(
        program.tasks.works[i].ddr_read_bytes
        for i, engine in zip(program.tasks.work, program.engine, strict=True)
        if ENGINES[engine] == "dma"
    )


@pytest.mark.parametrize("platform", ["3720", "4000", "5010"])
def test_weights_of_a_loop_are_read_once_where_they_stay(platform: str) -> None:
    steps, width = 8, 256
    graph = from_openvino(recurrent_net(steps, width))
    weights = 2 * width * width * 2
    roomy, tight = (
        npusim.load_hardware(file_of(platform, "estimator"), ["tiles=2", *more])
        for more in ((), ("cmx.kib_per_tile=100",))
    )
    assert weights <= read_bytes(lower(graph, roomy)) < 2 * weights
    assert read_bytes(lower(graph, tight)) > 3 * weights


def test_results_that_lie_in_a_row_are_written_where_they_belong() -> None:
    program = lower(from_openvino(recurrent_net(4, 256)), hardware_of("4000", 4, 2))
    works = [program.tasks.works[i] for i in program.tasks.work]
    copies = [w for w in works if isinstance(w, DmaWork) and w.src == w.dst == "ddr"]
    assert not [w for w in copies if w.bytes]


def test_ops_stand_in_the_order_in_which_openvino_sorts_them() -> None:
    x = op.parameter([1, 64], np.float16, name="x")
    first, second = op.tanh(x), op.sigmoid(x)
    both = op.add(op.sqrt(first), op.exp(second))
    model = ov.Model([op.result(op.abs(first)), op.result(both), op.result(second)], [x], "several")
    sorted_ops = [o.get_friendly_name() for o in model.get_ordered_ops()]
    ours = [o.name for o in from_openvino(model).ops]
    assert ours == [name for name in sorted_ops if name in ours]


@pytest.mark.parametrize(
    "row",
    [
        row for row in ROWS if "iterator" in row.case and row.platform != "3720"
    ],  # which has one queue an engine here
    ids=lambda row: row.platform,
)
def test_transfers_of_a_recurrence_are_on_the_compilers_queues(row: Row) -> None:
    """What goes to all tiles is on the first engine, as parts of one operand take both: no turns are taken."""
    hw = hardware_of(row.platform, row.tiles, row.dma_engines)
    ours = lower(PACKAGED.graph(row), hw)
    seen = import_trace(read_trace(PACKAGED.schedule(row), row.case), hw).program
    queues = (Counter(p.queues[q].name for q in p.tasks.queue) for p in (ours, seen))
    mine, theirs = ({k: n for k, n in found.items() if k.startswith("DMA")} for found in queues)
    assert mine == pytest.approx(theirs, abs=5)


def test_what_is_added_to_a_product_comes_before_it() -> None:
    x = op.parameter([1, 64], np.float16, name="x")
    weights = op.constant(np.ones((64, 64), np.float16))
    product, other = op.matmul(x, weights, False, True), op.tanh(x)
    model = ov.Model([op.result(op.add(product, other))], [x], "sum")
    assert [o.type for o in from_openvino(model).ops] == ["Tanh", "MatMul", "Add"]


@pytest.mark.parametrize("platform", ["3720", "4000", "5010"])
def test_a_row_is_loaded_once_for_all_groups_of_a_product(platform: str) -> None:
    """Weights of 28 groups: as many transfers as in the compiler's schedule."""
    blocks = open_reference(sets=["vendor_blocks"])
    row = next(r for r in blocks.rows if r.case == "wmm_1_3584_512_i4g" and r.platform == platform)
    hw = hardware_of(row.platform, row.tiles, row.dma_engines)
    seen = counts(import_trace(read_trace(blocks.schedule(row), row.case), hw).program)["dma"]
    assert counts(lower(blocks.graph(row), hw))["dma"] == pytest.approx(
        seen, abs=3
    )  # of which 28 would be the row


def diagonal_scan(steps: int, channels: int, states: int) -> ov.Model:
    """s = A s + B x, y = sum of C s over the states, ``steps`` times; the products, sums and results are named."""
    rng = np.random.default_rng(0)

    def constant(*shape: int) -> ov.Node:
        return op.constant(rng.normal(size=shape).astype(np.float16))

    x = op.parameter([steps, channels], np.float16, name="x")
    state = op.parameter([1, channels, states], np.float16, name="s")
    given, made = [x, state], []
    rows = op.split(x, np.int64(0), steps).outputs() if steps > 1 else [x]
    for row in rows:
        a, b, c = (constant(1, channels, states) for _ in range(3))
        column = op.reshape(row, np.array([1, channels, 1]), False)
        kept = op.multiply(state, a, name=f"kept{len(made)}")
        state = op.add(kept, op.multiply(column, b), name=f"state{len(made)}")
        total = op.reduce_sum(op.multiply(state, c), np.array([2]), False, name=f"total{len(made)}")
        made.append(op.add(total, op.multiply(row, constant(1, channels))))
    return ov.Model([op.result(op.concat(made, 0)), op.result(state)], given, "scan")


def moved(program: Program, name: str) -> tuple[int, int]:
    """Transfers of an op to CMX and from it."""
    found = Counter(
        work.dst
        for op_number, number in zip(program.tasks.op, program.tasks.work, strict=True)
        if program.ops[op_number].name == name
        and isinstance(work := program.tasks.works[number], DmaWork)
        and work.bytes
        and work.src != work.dst
    )
    return found["cmx"], found["ddr"]


@pytest.mark.parametrize(
    ("channels", "states", "kept", "added"),
    [
        (
            768,
            16,
            [(8, 4), (8, 4)],
            [(8, 4), (8, 4)],
        ),  # products by 256 channels, sums by 11 and 10 rows of 32
        (256, 16, [(8, 4), (8, 4)], [(8, 4), (8, 4)]),  # 96, 80 and 80 channels
        (
            1536,
            16,
            [(8, 0), (4, 0)],
            [(0, 0), (0, 4)],
        ),  # products by 512 channels, sums by 16 rows of 48 each
    ],
)
def test_a_state_stays_in_cmx_where_products_and_sums_cut_it_alike(
    channels: int, states: int, kept: list[tuple[int, int]], added: list[tuple[int, int]]
) -> None:
    """Transfers to CMX and from it of both steps, as compiled for 3 tiles (5010)."""
    program = lower(from_openvino(diagonal_scan(2, channels, states)), hardware_of("5010", 3, 2))
    assert [moved(program, f"kept{i}") for i in range(2)] == kept
    assert [moved(program, f"state{i}") for i in range(2)] == added
