"""Attention: the same whether written out or one op, scaled where it is smaller, and keys of shared heads read once."""

from __future__ import annotations

import numpy as np
import openvino as ov
import pytest
from openvino import opset15 as op

from npusim.graph import from_openvino
from npusim.graph.ir import Graph
from npusim.hardware import Hardware, load_hardware
from npusim.lowering import lower
from npusim.lowering.rewrite.attention import share_heads
from npusim.program.work import DmaWork, DpuWork

DEPTH = 64


@pytest.fixture(scope="module")
def hw() -> Hardware:
    return load_hardware("lunarlake-vpunn.yaml")


def attention(heads: int, shared: int, rows: int, columns: int, *, written: bool, mask: bool = True) -> Graph:
    """Attention of ``heads`` query heads over keys and values of ``shared`` heads, as one op or written out."""
    q = op.parameter([1, heads, rows, DEPTH], np.float16, name="q")
    k = op.parameter([1, shared, columns, DEPTH], np.float16, name="k")
    v = op.parameter([1, shared, columns, DEPTH], np.float16, name="v")
    m = op.parameter([1, 1, rows, columns], np.float16, name="mask")

    def repeated(node: ov.Node) -> ov.Node:
        if shared == heads:
            return node
        many = np.array([1, shared, heads // shared, columns, DEPTH])
        wide = op.broadcast(op.unsqueeze(node, np.array(2)), many)
        return op.reshape(wide, np.array([1, heads, columns, DEPTH]), False)

    if written:
        scores = op.matmul(q, repeated(k), False, True)
        scores = op.multiply(scores, np.float16(DEPTH**-0.5))
        out = op.matmul(op.softmax(op.add(scores, m) if mask else scores, -1), repeated(v), False, False)
    else:
        out = op.scaled_dot_product_attention(q, repeated(k), repeated(v), m, causal=False)
    inputs = [q, k, v, m] if mask else [q, k, v]
    return from_openvino(ov.Model([op.result(out)], inputs, "attention"))


def _works(graph: Graph, hw: Hardware) -> list[DmaWork | DpuWork]:
    program = lower(graph, hw)
    return [program.tasks.works[i] for i in program.tasks.work]


@pytest.mark.parametrize(("heads", "shared", "rows"), [(8, 8, 128), (8, 2, 1), (14, 2, 16)])
def test_written_out_and_as_one_op_are_the_same_work(
    heads: int, shared: int, rows: int, hw: Hardware
) -> None:
    written, fused = (_works(attention(heads, shared, rows, 256, written=w), hw) for w in (True, False))
    assert written == fused


@pytest.mark.parametrize("file", ["lunarlake-vpunn.yaml", "meteorlake-vpunn.yaml", "pantherlake-vpunn.yaml"])
@pytest.mark.parametrize("shared", [1, 2, 4])
def test_keys_and_values_of_shared_heads_are_read_once(shared: int, file: str) -> None:
    works = _works(attention(8, shared, 1, 512, written=False), load_hardware(file))
    read = sum(work.bytes for work in works if isinstance(work, DmaWork) and work.src == "ddr")
    keys = 2 * shared * 512 * DEPTH * 2
    assert (
        keys <= read <= 2 * keys + 200_000
    )  # V is read again once its layout has changed; the rest is small


@pytest.mark.parametrize(("shared", "first"), [(1, "conv"), (2, "maxpool"), (4, "maxpool"), (8, "conv")])
def test_values_of_several_shared_heads_are_transposed_first(shared: int, first: str, hw: Hardware) -> None:
    """As compiled for 4000: those of one head, or of heads that are not shared, when the scores are there."""
    works = _works(attention(8, shared, 1, 512, written=False), hw)
    kinds = [work.kind for work in works if isinstance(work, DpuWork) and work.kind in ("conv", "maxpool")]
    assert kinds[0] == first


@pytest.mark.parametrize(("rows", "leaves"), [(1, True), (8, False)])
def test_weights_of_one_row_of_shared_heads_go_through_ddr(rows: int, leaves: bool, hw: Hardware) -> None:
    """Heads and groups cut them otherwise, as compiled for 4000; of several rows they find them in CMX."""
    program = lower(attention(16, 4, rows, 512, written=False), hw)
    softmax = [t for t in program.tasks if program.ops[t.op].name.endswith("softmax")]
    assert any(isinstance(t.work, DmaWork) and t.work.dst == "ddr" for t in softmax) is leaves


def test_multiplications_are_those_of_all_heads(hw: Hardware) -> None:
    works = _works(attention(8, 2, 32, 256, written=True), hw)
    macs = sum(work.macs for work in works if isinstance(work, DpuWork) and work.kind == "conv")
    assert macs == 2 * 8 * 32 * 256 * DEPTH


@pytest.mark.parametrize(("rows", "columns", "scaled"), [(64, 256, "query"), (256, 64, "key")])
def test_the_smaller_operand_is_scaled(rows: int, columns: int, scaled: str, hw: Hardware) -> None:
    graph = share_heads(attention(8, 8, rows, columns, written=True), hw)
    (scale,) = [one for one in graph.ops if one.type == "Multiply"]
    assert scale.name.endswith(f"scale_{scaled}")
    result = graph.tensors[scale.outputs[0]]
    assert result.shape == (1, 8, min(rows, columns), DEPTH)


@pytest.mark.parametrize(
    ("heads", "shared", "rows", "columns"),
    [(14, 2, 256, 256), (12, 4, 96, 384), (16, 8, 128, 128), (8, 2, 48, 32), (10, 5, 7, 300), (9, 3, 1, 511)],
)
def test_scores_of_shared_heads_are_scaled_by_a_task_of_their_own_on_3720(
    heads: int, shared: int, rows: int, columns: int
) -> None:
    """As compiled: whichever is the smallest, in the order that the scores lie in."""
    file = load_hardware("meteorlake-vpunn.yaml")
    for written in (True, False):
        program = lower(attention(heads, shared, rows, columns, written=written), file)
        scaled = [op for op in program.ops if op.type == "Multiply"]
        assert [(op.name.rpartition("/")[2], op.shape) for op in scaled] == [
            ("scale_multiply", (1, heads, rows, columns))
        ]
        assert "channels last" not in scaled[0].strategy


@pytest.mark.parametrize(("rows", "columns", "spread"), [(96, 384, False), (48, 32, True)])
def test_a_mask_that_is_added_slice_by_slice_is_read_from_ddr(rows: int, columns: int, spread: bool) -> None:
    """As compiled for 3720: else every tile copies its part of the mask from where it is expanded."""
    program = lower(attention(12, 4, rows, columns, written=True), load_hardware("meteorlake-vpunn.yaml"))
    (mask,) = [op for op in program.ops if op.type == "Tile"]
    assert ("for all tiles" in mask.strategy) is spread


#: Attention without a mask (heads, rows, columns) as compiled for 4000, 3720 and 5010: what is scaled by a task of its
#: own ("": nothing).
SCALED = {
    (3, 256, 256): ("query", "", "query"),
    (3, 196, 192): ("", "", "key"),
    (1, 197, 197): ("", "", "query"),
    (6, 128, 128): ("query", "", "query"),
    (3, 32, 32): ("",),
    (8, 197, 197): ("query",),
}


@pytest.mark.parametrize(("shape", "scaled"), SCALED.items())
def test_scores_that_a_head_makes_alone_are_scaled_as_the_compiler_does(
    shape: tuple[int, int, int], scaled: tuple[str, ...]
) -> None:
    heads, rows, columns = shape
    files = ("lunarlake-vpunn.yaml", "meteorlake-vpunn.yaml", "pantherlake-vpunn.yaml")
    for file, wanted in zip(files, scaled, strict=False):
        graph = share_heads(
            attention(heads, heads, rows, columns, written=True, mask=False), load_hardware(file)
        )
        made = [one.name.rpartition("scale_")[2] for one in graph.ops if one.type == "Multiply"]
        assert made == ([wanted] if wanted else []), file


@pytest.mark.parametrize("file", ["lunarlake-vpunn.yaml", "meteorlake-vpunn.yaml", "pantherlake-vpunn.yaml"])
@pytest.mark.parametrize(("heads", "rows"), [(3, 256), (2, 197), (8, 512)])
def test_scores_of_heads_that_run_one_by_one_stay_in_cmx(heads: int, rows: int, file: str) -> None:
    """What goes to DDR is the result, the values as they are permuted and the scaled query."""
    works = _works(attention(heads, heads, rows, rows, written=True, mask=False), load_hardware(file))
    written = sum(work.bytes for work in works if isinstance(work, DmaWork) and work.dst == "ddr")
    assert written <= 4 * heads * rows * DEPTH * 2 * 1.02


@pytest.mark.parametrize(("rows", "apart"), [(1024, True), (512, False)])
def test_a_mask_is_added_head_by_head_to_large_scores_only(rows: int, apart: bool, hw: Hardware) -> None:
    """Of 1 MiB a head."""
    graph = share_heads(attention(3, 3, rows, rows, written=True), hw)
    assert any(one.attrs.get("by_head") for one in graph.ops) is apart


@pytest.mark.parametrize(
    ("heads", "rows", "file", "slices"),
    [
        (8, 256, "lunarlake-vpunn.yaml", 1),
        (12, 256, "lunarlake-vpunn.yaml", 2),
        (8, 384, "lunarlake-vpunn.yaml", 3),
        (16, 320, "lunarlake-vpunn.yaml", 4),
        (4, 256, "meteorlake-vpunn.yaml", 1),
        (8, 256, "meteorlake-vpunn.yaml", 2),
        (12, 256, "meteorlake-vpunn.yaml", 3),
        (6, 448, "meteorlake-vpunn.yaml", 4),
        (8, 384, "pantherlake-vpunn.yaml", 3),
        (6, 448, "pantherlake-vpunn.yaml", 3),
    ],
)
def test_a_large_mask_is_added_in_the_slices_of_the_softmax(
    heads: int, rows: int, file: str, slices: int
) -> None:
    """As compiled; the masked scores do not leave CMX then."""
    hw = load_hardware(file)
    program = lower(attention(heads, heads, rows, rows, written=True), hw)
    added = [t.work for t in program.tasks if program.ops[t.op].name.endswith("mask_add")]
    assert sum(isinstance(work, DpuWork) for work in added) == slices * hw.tiles
    assert not [work for work in added if isinstance(work, DmaWork) and work.dst == "ddr"]


@pytest.mark.parametrize(
    ("heads", "rows", "mask", "leave"),
    [(8, 197, False, False), (6, 49, False, True), (8, 49, True, True), (8, 48, True, False)],
)
def test_scores_of_padded_columns_are_cut_to_size_in_ddr(
    heads: int, rows: int, mask: bool, leave: bool, hw: Hardware
) -> None:
    """As compiled for 4000: where a mask is added, or tiles have different numbers of heads."""
    program = lower(attention(heads, heads, rows, rows, written=True, mask=mask), hw)
    scores = [t.work for t in program.tasks if program.ops[t.op].name.endswith("qk_matmul")]
    stored = [w for w in scores if isinstance(w, DmaWork) and (w.src, w.dst) == ("cmx", "ddr")]
    assert bool(stored) is leave


def test_the_results_of_the_model_keep_their_shapes(hw: Hardware) -> None:
    before = attention(8, 2, 16, 64, written=True)
    after = share_heads(before, hw)
    assert after.outputs == before.outputs
    assert {t.id for t in after.tensors} >= {i for one in after.ops for i in (*one.inputs, *one.outputs)}
    maker = {i: one for one in after.ops for i in one.outputs}
    assert after.tensors[maker[after.outputs[0]].outputs[0]].shape == (1, 8, 16, DEPTH)
    assert not [one for one in after.ops if one.type == "Broadcast"]


def test_what_is_no_attention_stays_as_it_is(hw: Hardware) -> None:
    a = op.parameter([1, 4, 16, 16], np.float16, name="a")
    b = op.parameter([1, 4, 16, 16], np.float16, name="b")
    soft = op.softmax(op.matmul(a, b, False, True), 1)  # over the heads, not the keys
    graph = from_openvino(ov.Model([op.result(op.matmul(soft, b, False, False))], [a, b], "other"))
    assert share_heads(graph, hw) is graph


@pytest.mark.parametrize("file", ["lunarlake-vpunn.yaml", "meteorlake-vpunn.yaml", "pantherlake-vpunn.yaml"])
@pytest.mark.parametrize("beside", [None, 1, 2], ids=["alone", "beside other heads", "among other rows"])
def test_a_cache_and_a_new_token_are_loaded_side_by_side(file: str, beside: int | None) -> None:
    """Keys of a cache joined with the new one are read once where they are needed, and never written; the new one may
    be part of another tensor (18 such products compiled for three platforms)."""
    q = op.parameter([1, 8, 1, DEPTH], np.float16, name="q")
    past, new = (op.parameter([1, 8, n, DEPTH], np.float16, name=f"k{n}") for n in (511, 1))
    joined = new
    if beside is not None:
        shape = [1, 8, 1, DEPTH]
        shape[beside] *= 2
        new = op.parameter(shape, np.float16, name="k1")
        half = np.array([shape[beside] // 2]), np.array([shape[beside]])
        joined = op.slice(new, *half, np.array([1]), np.array([beside]))
    scores = op.matmul(q, op.concat([past, joined], 2), False, True)
    graph = from_openvino(ov.Model([op.result(scores)], [q, past, new], "cache"))
    moves = [work for work in _works(graph, load_hardware(file)) if isinstance(work, DmaWork)]
    assert not [work for work in moves if work.src == work.dst == "ddr" and work.bytes]
    read = sum(work.bytes for work in moves if work.src == "ddr")
    written = sum(work.bytes for work in moves if work.dst == "ddr")
    keys = 8 * 512 * DEPTH * 2
    assert keys <= read <= 1.25 * keys  # and Q, weight tables, task descriptors
    assert written < keys / 4


def test_a_cache_that_the_model_returns_is_written(hw: Hardware) -> None:
    q = op.parameter([1, 8, 1, DEPTH], np.float16, name="q")
    past, new = (op.parameter([1, 8, n, DEPTH], np.float16, name=f"k{n}") for n in (511, 1))
    keys = op.concat([past, new], 2)
    scores = op.matmul(q, keys, False, True)
    graph = from_openvino(ov.Model([op.result(scores), op.result(keys)], [q, past, new], "cache"))
    moves = [work for work in _works(graph, hw) if isinstance(work, DmaWork)]
    assert sum(work.bytes for work in moves if work.dst == "ddr") >= 8 * 512 * DEPTH * 2


@pytest.mark.parametrize(
    ("heads", "shared", "file", "leave"),
    [
        (9, 3, "lunarlake-vpunn.yaml", True),
        (9, 3, "meteorlake-vpunn.yaml", True),
        (8, 8, "meteorlake-vpunn.yaml", True),
        (8, 8, "lunarlake-vpunn.yaml", False),
    ],
)
def test_masked_scores_of_odd_rows_are_padded_in_ddr(heads: int, shared: int, file: str, leave: bool) -> None:
    """As compiled: rows of 300 columns, but for groups that the tiles share evenly."""
    program = lower(attention(heads, shared, 300, 300, written=True), load_hardware(file))
    added = [t.work for t in program.tasks if program.ops[t.op].name.endswith("mask_add")]
    assert any(isinstance(work, DmaWork) and work.dst == "ddr" for work in added) is leave


@pytest.mark.parametrize(
    ("file", "joined"),
    [("meteorlake-vpunn.yaml", True), ("lunarlake-vpunn.yaml", False), ("pantherlake-vpunn.yaml", False)],
)
def test_keys_of_no_multiple_of_16_are_joined_first_where_heads_are_products_of_their_own(
    file: str, joined: bool
) -> None:
    """A product of one head reads padded keys on into the next head's, for which they have to lie in a row (six caches
    compiled for 3720 and 4000); groups of a product are padded as they are loaded."""
    q = op.parameter([1, 8, 1, DEPTH], np.float16, name="q")
    past, new = (op.parameter([1, 8, n, DEPTH], np.float16, name=f"k{n}") for n in (512, 1))
    scores = op.matmul(q, op.concat([past, new], 2), False, True)
    graph = from_openvino(ov.Model([op.result(scores)], [q, past, new], "cache"))
    moves = [work for work in _works(graph, load_hardware(file)) if isinstance(work, DmaWork)]
    copied = sum(work.bytes for work in moves if work.src == work.dst == "ddr")
    assert (copied >= 8 * 513 * DEPTH * 2) == joined


@pytest.mark.parametrize(("past", "through_ddr"), [(511, False), (512, True)])
def test_values_of_no_multiple_of_16_go_through_ddr_to_be_padded(past: int, through_ddr: bool) -> None:
    """Values that are turned for a product of groups are found in CMX where they need no padding, also where the
    queries that share a head are rows of it."""
    hw, keys = load_hardware("lunarlake-vpunn.yaml"), past + 1
    q, k = (op.parameter([1, heads, n, DEPTH], np.float16) for heads, n in ((16, 1), (8, keys)))
    old, new = (op.parameter([1, 8, n, DEPTH], np.float16) for n in (past, 1))
    spread = [
        op.reshape(
            op.broadcast(op.unsqueeze(x, np.array([2])), np.array([1, 8, 2, keys, DEPTH])),
            np.array([1, 16, keys, DEPTH]),
            False,
        )
        for x in (k, op.concat([old, new], 2))
    ]
    out = op.scaled_dot_product_attention(q, *spread)
    graph = from_openvino(ov.Model([op.result(out)], [q, k, old, new], "values"))
    moves = [work for work in _works(graph, hw) if isinstance(work, DmaWork)]
    written = sum(work.bytes for work in moves if work.dst == "ddr")
    assert (written >= 8 * keys * DEPTH * 2) == through_ddr


@pytest.mark.parametrize(
    ("file", "passed_on"),
    [("meteorlake-vpunn.yaml", False), ("lunarlake-vpunn.yaml", True), ("pantherlake-vpunn.yaml", True)],
)
def test_keys_that_dma_permutes_are_copied_to_the_tiles_that_read_them(file: str, passed_on: bool) -> None:
    """As compiled: within CMX on 4000 and 5010, through DDR on 3720."""
    x = op.parameter([1, 128, 384], np.float16, name="x")
    q = op.parameter([1, 12, 128, 32], np.float16, name="q")
    made = op.reshape(
        op.matmul(x, np.ones((384, 384), np.float16), False, True), np.array([1, 128, 12, 32]), False
    )
    scores = op.matmul(q, op.transpose(made, np.array([0, 2, 1, 3])), False, True)
    program = lower(from_openvino(ov.Model([op.result(scores)], [x, q], "keys")), load_hardware(file))
    named = [(t.work, program.ops[t.op].name) for t in program.tasks if isinstance(t.work, DmaWork)]
    copied = sum(work.bytes for work, _ in named if (work.src, work.dst) == ("cmx", "cmx"))
    keys = 128 * 384 * 2
    assert copied == (2 * keys if passed_on else keys)


def test_a_mask_is_spread_before_its_attention_is_projected(hw: Hardware) -> None:
    """As compiled: nothing that the transfers of an input wait for keeps them."""
    x = op.parameter([1, 64, 128], np.float16, name="x")
    mask = op.parameter([1, 1, 1, 64], np.float16, name="mask")
    weights = np.random.default_rng(0).standard_normal((3, 128, 128)).astype(np.float16)
    heads, order = np.array([1, 64, 4, 32]), np.array([0, 2, 1, 3])
    q, k, v = (op.transpose(op.reshape(op.matmul(x, w, False, True), heads, False), order) for w in weights)
    out = op.scaled_dot_product_attention(q, k, v, mask)
    laid = share_heads(from_openvino(ov.Model([op.result(out)], [x, mask], "masked")), hw)
    types = [one.type for one in laid.ops]
    assert types.index("Tile") < types.index("MatMul")
