"""Products that stay channels-last, against the changes of layout that Intel's schedules show."""

import pytest

from npusim.program import Program
from npusim.program.work import DmaWork, DpuWork, ShaveWork
from npusim.validation.schedules.predict import simulate_row
from npusim.validation.schedules.references import open_reference

REFERENCE = open_reference()


def lowered(case: str, platform: str, tiles: int) -> Program:
    row = next(
        r for r in REFERENCE.rows if (r.case, str(r.platform), int(r.tiles)) == (case, platform, tiles)
    )
    return simulate_row(REFERENCE.graph(row), row).program


def pools(program: Program, op: str) -> int:
    """Permuting pools of an op."""
    return sum(
        isinstance(t.work, DpuWork) and t.work.kind == "maxpool" and program.ops[t.op].name.endswith(op)
        for t in program.tasks
    )


@pytest.mark.parametrize(
    ("platform", "tiles"), [("4000", 1), ("4000", 3), ("4000", 4), ("4000", 5), ("4000", 6), ("5010", 3)]
)
def test_mamba_reorders_as_late_as_it_can(platform: str, tiles: int) -> None:
    """The traces' ``reorder_out`` tasks: one op for Mul_4's whole product and one for Mul_5, one for each later step's
    part of Exp_1 (its readers Mul_6, Mul_7 and Mul_8 here), none for what Mul_2 and Mul_3 make."""
    program = lowered("mamba-130m_l1_t4_base", platform, tiles)
    for op in ("Mul_4", "Mul_5", "Mul_6", "Mul_7", "Mul_8"):
        assert pools(program, f"mixer/{op}") >= tiles, op
    for op in ("Mul_2", "Mul_3", "Exp_1"):
        assert pools(program, f"mixer/{op}") == 0, op
    assert sum(pools(program, f"mixer/{op}") for op in ("Mul_5", "Mul_6", "Mul_7", "Mul_8")) == 4 * tiles


@pytest.mark.parametrize(("case", "op"), [("t256_base", "Where_2"), ("t256_cumba", "MatMul")])
def test_ragged_heads_are_sorted_in_two_passes(case: str, op: str) -> None:
    """24 heads innermost: ``reorder_out/0`` and ``/1`` of CumSum_1, ``memperm_NWHC/0`` and ``/1`` before CumBA's
    MatMul; each in two slices on four tiles, 16 tasks. The Exp behind is still repeated on all tiles."""
    program = lowered(f"mamba2-130m_l1_{case}", "4000", 4)
    passes = [pools(program, f"mixer/{name}") for name in (op, "CumSum_1")]
    assert sum(passes) == 16
    exp = [
        t.work.out_elements
        for t in program.tasks
        if isinstance(t.work, ShaveWork) and program.ops[t.op].name.endswith("mixer/Exp_1")
    ]
    assert sum(exp) == 4 * 24 * 256 * 256


@pytest.mark.parametrize(("tiles", "loads"), [(1, 1), (2, 4), (4, 8)])
def test_state_updates_reach_their_sum_as_in_the_traces(tiles: int, loads: int) -> None:
    """Loads of Add_2: both operands come from DDR on several tiles, on one tile the product is in CMX."""
    program = lowered("mamba-130m_l1_t4_base", "4000", tiles)
    found = [
        t.work
        for t in program.tasks
        if program.ops[t.op].name.endswith("mixer/Add_2")
        and isinstance(t.work, DmaWork)
        and (t.work.src, t.work.dst) == ("ddr", "cmx")
        and t.work.kind != "fetch"
    ]
    assert len(found) == loads
