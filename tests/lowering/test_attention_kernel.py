"""Attention that one kernel of 5010 computes: which that is, and what it loads."""

from __future__ import annotations

import numpy as np
import openvino as ov
import pytest
from openvino import opset15 as op

from npusim.graph import from_openvino
from npusim.graph.ir import Graph
from npusim.hardware import load_hardware
from npusim.lowering import lower
from npusim.program.work import DmaWork, ShaveWork

KERNEL = "attention"


def attention(heads: int, shared: int, rows: int, columns: int, depth: int) -> Graph:
    """Attention with a mask where heads share keys, else without."""
    q = op.parameter([1, heads, rows, depth], np.float16, name="q")
    k = op.parameter([1, shared, columns, depth], np.float16, name="k")
    v = op.parameter([1, shared, columns, depth], np.float16, name="v")
    m = op.parameter([1, 1, rows, columns], np.float16, name="mask")

    def repeated(node: ov.Node) -> ov.Node:
        many = np.array([1, shared, heads // shared, columns, depth])
        wide = op.broadcast(op.unsqueeze(node, np.array(2)), many)
        return op.reshape(wide, np.array([1, heads, columns, depth]), False)

    if shared == heads:
        out, inputs = op.scaled_dot_product_attention(q, k, v, causal=False), [q, k, v]
    else:
        out, inputs = (
            op.scaled_dot_product_attention(q, repeated(k), repeated(v), m, causal=False),
            [q, k, v, m],
        )
    return from_openvino(ov.Model([op.result(out)], inputs, "attention"))


#: (heads, heads of keys, rows, columns, depth) and whether one kernel computes it, as compiled for 5010.
COMPILED = [
    ((8, 1, 1, 512, 64), True),
    ((8, 1, 128, 512, 64), True),
    ((12, 1, 16, 2048, 64), True),
    ((32, 1, 1, 4096, 128), False),
    ((8, 2, 1, 1024, 64), False),
    ((12, 12, 512, 512, 64), True),
    ((16, 16, 256, 256, 64), True),
    ((12, 12, 577, 577, 64), False),
    ((8, 8, 256, 256, 64), False),
]


@pytest.mark.parametrize(("shape", "wanted"), COMPILED)
def test_one_kernel_computes_what_the_compiler_gives_it(
    shape: tuple[int, int, int, int, int], wanted: bool
) -> None:
    program = lower(attention(*shape), load_hardware("pantherlake-vpunn.yaml"))
    kernels = {w.kernel for w in program.tasks.works if isinstance(w, ShaveWork)}
    assert (KERNEL in kernels) is wanted
    assert ("softmax" in kernels) is not wanted


def test_other_generations_have_no_such_kernel() -> None:
    for file in ("lunarlake-vpunn.yaml", "meteorlake-vpunn.yaml"):
        program = lower(attention(8, 1, 128, 512, 64), load_hardware(file))
        assert KERNEL not in {w.kernel for w in program.tasks.works if isinstance(w, ShaveWork)}


@pytest.mark.parametrize("rows", [1, 2, 3, 128])
def test_keys_are_loaded_once_and_nothing_but_the_result_is_stored(rows: int) -> None:
    heads, columns, depth = 8, 512, 64
    program = lower(attention(heads, 1, rows, columns, depth), load_hardware("pantherlake-vpunn.yaml"))
    works = [program.tasks.works[i] for i in program.tasks.work]
    read, written = (
        sum(w.bytes for w in works if isinstance(w, DmaWork) and getattr(w, side) == "ddr" and w.src != w.dst)
        for side in ("src", "dst")
    )
    operands = (heads * rows * depth + 2 * columns * depth + rows * columns) * 2
    assert operands <= read <= operands + 20_000  # tables and descriptors
    assert written == heads * rows * depth * 2


@pytest.mark.parametrize("tiles", [1, 2, 3])
def test_all_products_are_made(tiles: int) -> None:
    graph = attention(8, 1, 128, 512, 64)
    program = lower(graph, load_hardware("pantherlake-vpunn.yaml", [f"tiles={tiles}"]))
    works = [program.tasks.works[i] for i in program.tasks.work]
    macs = sum(w.macs for w in works if isinstance(w, ShaveWork) and w.kernel == KERNEL)
    assert macs == 8 * 128 * 512 * 64 * 2
