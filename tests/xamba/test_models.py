"""The rewrites on Mamba and Mamba-2: what they take, that the numbers stay, and that nothing else changes."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import openvino as ov
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from openvino import opset15 as op

from npusim import workloads, xamba
from npusim.workloads import Mamba2Config
from npusim.workloads.config import PUBLISHED
from tests.xamba.cpu import assert_same, single, types

TINY = Mamba2Config(name="tiny", title="", layers=2, d_model=32, vocab=40, d_state=16, head_dim=8, chunk=8)
PIPELINES = (
    "cumba", "reduba", "cumba,reduba", "reduba{norms=yes}", "cumba{block=4}", "contract", "segsum",
    "contract{short=yes}", "contract,segsum,cumba,reduba", "segsum,cumba{block=3},contract",
)  # fmt: skip


def _block(name: str | workloads.ModelConfig, **kw: object) -> ov.Model:
    return workloads.build(name, block_only=True, weights="random", with_state=True, **kw)  # type: ignore[arg-type]


@pytest.mark.parametrize("passes", PIPELINES)
@pytest.mark.parametrize(("tokens", "batch"), [(1, 1), (8, 2), (21, 2)])
def test_a_rewritten_mamba2_computes_the_same(passes: str, tokens: int, batch: int) -> None:
    """Whole chunks and ragged ones, below one chunk and several; one sequence and two."""
    stock = _block(TINY, tokens=tokens, batch=batch, layers=2)
    assert_same(stock, xamba.apply(stock, passes)[0])


@pytest.mark.parametrize("name", [name for name in PUBLISHED if name.startswith("mamba2")])
def test_a_published_block_computes_the_same(name: str) -> None:
    stock = _block(name, tokens=12, chunk=8)
    for passes in ("cumba,reduba", "contract,segsum,cumba"):
        assert_same(stock, xamba.apply(stock, passes)[0])


@pytest.mark.parametrize("name", PUBLISHED)
def test_decode_and_mamba_compute_the_same(name: str) -> None:
    decode = _block(name, phase="decode", batch=2)
    assert_same(decode, xamba.apply(decode, "contract,segsum,cumba,reduba{norms=yes}")[0])


def test_contract_and_segsum_leave_no_large_tensor() -> None:
    """A chunk of 64: the product of the scores has 64 x 64 x 24 x 128 elements in the stock model."""
    stock = workloads.build("mamba2-130m", layers=1, tokens=64, chunk=64, lm_head=False)

    def largest(model: ov.Model) -> int:
        made = (node for node in model.get_ops() if node.get_type_name() not in ("Constant", "Convert"))
        return max(int(np.prod(node.get_output_shape(0))) for node in made)

    rewritten, sites = xamba.apply(stock, "contract{short=yes},segsum")
    assert largest(stock) == 64 * 64 * 24 * 128
    assert largest(rewritten) == 24 * 2 * 64 * 128  # the states of both chunks
    assert sum(site.taken for site in sites if site.rule == "contract") == 6
    assert sum(site.taken for site in sites if site.rule == "segsum") == 2
    assert (
        types(rewritten).count("CumSum") == 2
    )  # A's running sum, used again, and that of the chunks' totals


def test_sites_tell_what_was_taken_and_why_the_rest_was_not() -> None:
    stock = workloads.build("mamba2-130m", layers=1, tokens=8, lm_head=False)
    _, sites = xamba.apply(stock, "segsum,contract,cumba,reduba")
    by_op = {(site.rule, site.op): site for site in sites}
    mixer = "layers.0.mixer"
    assert by_op["segsum", f"{mixer}.cumsum_2"].note == "the difference of a prefix sum that the model has"
    assert not by_op["segsum", f"{mixer}.cumsum_1"].taken
    assert "24 x MatMul [256, 128] @ [128, 256]" in by_op["contract", f"{mixer}.scores.reduce_sum"].note
    assert by_op["contract", f"{mixer}.masked.reduce_sum"].note == "a Reshape: there is one term"
    assert "no fewer than the 4 products a column" in by_op["contract", f"{mixer}.pass.reduce_sum"].note
    assert by_op["cumba", f"{mixer}.cumsum_1"].note == "a MatMul with a triangle of 256"
    _, sites = xamba.apply(stock, "reduba")
    notes = {site.op: site.note for site in sites}
    assert notes[f"{mixer}.masked.reduce_sum"] == "a Reshape: one element is summed"
    assert all(site.note for site in sites)


def test_reduba_warns_of_a_product_that_a_compiler_might_have_contracted() -> None:
    stock = workloads.build("mamba2-130m", layers=1, tokens=8, lm_head=False)
    _, sites = xamba.apply(stock, "reduba")
    assert any("product of 201,326,592" in site.note for site in sites)


def test_only_chosen_sites_are_taken() -> None:
    stock = _block(TINY, tokens=8)
    rewritten, sites = xamba.apply(stock, "cumba", choose=lambda rule, name: name.endswith("cumsum_2"))
    assert [site.op.rpartition(".")[2] for site in sites if site.taken] == ["cumsum_2"]
    assert {site.note for site in sites if not site.taken} == {"it was not chosen"}
    assert types(rewritten).count("CumSum") == 2


def test_the_input_model_is_not_changed(tmp_path: Path) -> None:
    stock = workloads.build(TINY, tokens=9, weights="random")
    ov.save_model(stock, tmp_path / "before.xml", compress_to_fp16=False)
    for passes in ("contract,segsum,cumba,reduba,actiba", ""):
        xamba.apply(stock, passes)
    ov.save_model(stock, tmp_path / "after.xml", compress_to_fp16=False)
    for ending in ("xml", "bin"):
        before, after = (tmp_path / f"{name}.{ending}" for name in ("before", "after"))
        assert before.read_bytes() == after.read_bytes()


@pytest.mark.parametrize("passes", ["contract,segsum,cumba{block=4},reduba", "actiba"])
def test_a_saved_model_computes_the_same_and_has_the_same_bytes(passes: str, tmp_path: Path) -> None:
    stock = workloads.build(TINY, tokens=9, weights="random")
    for name in ("a", "b"):
        ov.save_model(xamba.apply(stock, passes)[0], tmp_path / f"{name}.xml", compress_to_fp16=False)
    for ending in ("xml", "bin"):
        assert (tmp_path / f"a.{ending}").read_bytes() == (tmp_path / f"b.{ending}").read_bytes()
    assert_same(xamba.apply(stock, passes)[0], ov.Core().read_model(tmp_path / "a.xml"), 0.0)


SIZES = st.sampled_from((1, 2, 3, 5))


@settings(max_examples=25, deadline=None)
@given(
    st.data(),
    st.lists(st.tuples(SIZES, st.sampled_from(("a", "b", "ab"))), min_size=2, max_size=6),
    st.booleans(),
    st.sampled_from(("contract", "contract{short=yes}")),
)
def test_contract_is_the_sum_of_the_product(
    data: st.DataObject, dims: list[tuple[int, str]], keep_dims: bool, passes: str
) -> None:
    """Every axis belongs to one factor or both; any of them may be summed. What is not taken stays as it is, and the
    product where there is nothing to sum."""
    shapes = [[size if name in where else 1 for size, where in dims] for name in "ab"]
    axes = data.draw(st.lists(st.integers(0, len(dims) - 1), min_size=1, max_size=3, unique=True))
    a, b = (op.parameter(shape, np.float32, name=name) for shape, name in zip(shapes, "ab", strict=True))
    stock = single(op.reduce_sum(op.multiply(a, b), op.constant(np.array(axes, np.int64)), keep_dims), a, b)
    rewritten, [site] = xamba.apply(stock, passes)
    summed = any(dims[axis][0] > 1 for axis in axes)
    assert site.taken or summed
    assert ("ReduceSum" not in types(rewritten)) == site.taken
    assert ("MatMul" in types(rewritten)) == (site.taken and summed) == ("Multiply" not in types(rewritten))
    assert_same(stock, rewritten)


@pytest.mark.parametrize("flip", [False, True])
def test_segsum_takes_masks_of_either_sense_and_refuses_others(flip: bool) -> None:
    def model(diagonal: int) -> ov.Model:
        a = op.parameter([2, 6], np.float32, name="a")
        column = op.unsqueeze(a, op.constant(np.array([-1], np.int64)))
        wide = op.broadcast(column, op.constant(np.array([2, 6, 6], np.int64)))

        def keep(values: ov.Node, up_to: int, other: float) -> ov.Node:
            mask, filler = np.tril(np.ones((6, 6), np.bool_), up_to), op.constant(np.float32(other))
            if flip:
                return op.select(op.constant(~mask), filler, values)
            return op.select(op.constant(mask), values, filler)

        sums = op.cum_sum(keep(wide, diagonal, 0.0), op.constant(np.int64(-2)))
        return single(op.exp(keep(sums, 0, -np.inf)), a)

    rewritten, [site] = xamba.apply(model(-1), "segsum")
    assert site.taken
    assert_same(model(-1), rewritten)
    _, [site] = xamba.apply(model(0), "segsum")
    assert "below the diagonal" in site.note
