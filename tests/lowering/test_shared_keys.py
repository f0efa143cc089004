"""Attention whose heads all share one head of keys: cut into slices of rows as compiled, scores never leave CMX."""

from __future__ import annotations

import numpy as np
import openvino as ov
import pytest
from openvino import opset13 as op

from npusim.api import lower
from npusim.graph import from_openvino
from npusim.hardware import load_hardware
from npusim.lowering.ir.shared_keys import SharedKeys
from npusim.program.work import DmaWork, ShaveWork

NEW, OLD = "lunarlake-vpunn.yaml", "meteorlake-vpunn.yaml"


@pytest.mark.parametrize(
    ("file", "rows", "columns", "depth", "made", "read", "slices"),
    [
        (NEW, 256, 256, 64, True, False, 1),
        (NEW, 512, 256, 64, True, False, 1),
        (NEW, 768, 256, 32, True, False, 2),
        pytest.param(
            NEW,
            1176,
            196,
            64,
            True,
            False,
            2,
            marks=pytest.mark.xfail(strict=True, reason="both are within 0.2 us in the estimate"),
        ),
        (NEW, 2048, 256, 64, True, False, 2),
        (NEW, 2048, 256, 64, True, True, 1),
        (NEW, 1536, 512, 64, True, False, 2),
        (NEW, 1664, 512, 64, True, False, 1),
        (NEW, 2048, 384, 64, True, False, 2),
        (NEW, 2304, 384, 64, True, False, 1),
        (NEW, 3072, 512, 64, True, False, 3),
        (NEW, 2048, 768, 64, True, False, 3),
        (OLD, 512, 128, 64, False, False, 2),
        (OLD, 1024, 384, 128, False, False, 2),
        (OLD, 1536, 512, 64, False, False, 1),
        (OLD, 2048, 256, 64, True, False, 2),
        (OLD, 2048, 256, 64, True, True, 1),
        (OLD, 2048, 512, 64, False, False, 3),
        (OLD, 3072, 512, 64, False, False, 4),
        (OLD, 2048, 768, 64, False, False, 4),
    ],
)
def test_rows_are_cut_as_compiled(
    file: str, rows: int, columns: int, depth: int, made: bool, read: bool, slices: int
) -> None:
    """Each as the compiler cut it, 2026.4.1."""
    found = SharedKeys(rows, columns, depth, depth, made, read).slices(load_hardware(file))
    assert found == slices


def _shared(heads: int, rows: int, columns: int, width: int) -> ov.Model:
    q = op.parameter([1, heads, rows, width], np.float16, name="q")
    keys = [op.parameter([1, 1, columns, width], np.float16, name=name) for name in "kv"]
    many, whole = ([1, 1, heads, columns, width], [1, heads, columns, width])
    k, v = (
        op.reshape(op.broadcast(op.unsqueeze(x, [2]), np.array(many)), np.array(whole), False) for x in keys
    )
    return ov.Model([op.scaled_dot_product_attention(q, k, v)], [q, *keys])


@pytest.mark.parametrize("file", [NEW, OLD])
@pytest.mark.parametrize(("heads", "rows", "columns", "stay"), [(16, 64, 256, True), (4, 256, 512, False)])
def test_scores_stay_unless_those_of_a_head_are_large(
    file: str, heads: int, rows: int, columns: int, stay: bool
) -> None:
    """Transfers bring queries, keys and values and take away the result; large weights wait in DDR for one product."""
    hw = load_hardware(file)
    tasks = lower(from_openvino(_shared(heads, rows, columns, 32)), hw).tasks
    works = [tasks.works[i] for i in tasks.work]
    softmax = sum(
        work.out_bytes for work in works if isinstance(work, ShaveWork) and work.kernel == "softmax"
    )
    moved = sum(work.bytes for work in works if isinstance(work, DmaWork))
    assert softmax == heads * rows * columns * 2
    assert (moved < softmax) == stay
