"""Rules that change weights: patterns of zeros, numbers of few bits, and what a simulation makes of them."""

from __future__ import annotations

from itertools import combinations
from pathlib import Path

import numpy as np
import openvino as ov
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from openvino import Type
from openvino import opset15 as op
from openvino.op import Constant

import npusim
from npusim import xamba
from npusim.graph.ir import Graph
from npusim.graph.load import graph_of
from npusim.xamba import codes
from tests.cli.test_cli import npusim as command
from tests.xamba.cpu import run, single


def matmul(rows: int, terms: int, columns: int, *, across: bool = True, seed: int = 0) -> ov.Model:
    """A product with FP16 weights, stored [columns, terms] or the other way round."""
    shape = (columns, terms) if across else (terms, columns)
    weights = (np.random.default_rng(seed).standard_normal(shape) / np.sqrt(terms)).astype(np.float16)
    x = op.parameter([rows, terms], np.float32, name="x")
    return single(op.matmul(x, op.convert(Constant(weights), "f32"), False, across), x)


def conv(channels: int, side: int, *, groups: int = 1, seed: int = 0) -> ov.Model:
    """A 3x3 convolution, dense or in groups."""
    width = channels // groups
    shape = (channels, channels, 3, 3) if groups == 1 else (groups, width, width, 3, 3)
    weights = np.random.default_rng(seed).standard_normal(shape).astype(np.float16)
    x = op.parameter([1, channels, side, side], np.float32, name="x")
    make = op.convolution if groups == 1 else op.group_convolution
    return single(make(x, op.convert(Constant(weights), "f32"), [1, 1], [1, 1], [1, 1], [1, 1]), x)


def weights_of(model: ov.Model) -> np.ndarray:
    """What the op multiplies by, as OpenVINO computes it."""
    [node] = [node for node in model.get_ordered_ops() if node.get_friendly_name() == "site"]
    return run(ov.Model([op.result(node.input_value(1))], [], "weights"), [])[0]


def stored(model: ov.Model) -> dict[str, int]:
    """Bytes of constants by their element type."""
    found: dict[str, int] = {}
    for node in model.get_ordered_ops():
        if node.get_type_name() == "Constant":
            kind = node.get_output_element_type(0).get_type_name()
            found[kind] = found.get(kind, 0) + node.data.nbytes
    return found


def latency(model: ov.Model, hw: str = "lunarlake.yaml") -> float:
    machine = npusim.load_hardware(hw)
    return npusim.simulate(npusim.lower(graph_of(model, "m", "m"), machine), machine).latency_us


@settings(max_examples=20)
@given(st.sampled_from(["2:4", "1:4", "3:8", "4of9", "1of9"]), st.booleans())
def test_of_every_group_the_largest_stay(pattern: str, grouped: bool) -> None:
    model = conv(16, 4, groups=2 if grouped else 1)
    pruned, _ = xamba.apply(model, f"prune{{pattern={pattern}}}")
    before, after = (np.abs(weights_of(m)).reshape(16, -1, 9) for m in (model, pruned))
    keep, of = map(int, pattern.replace("of", ":").split(":"))
    if ":" in pattern:
        before, after = (w.reshape(16, -1, of, 9).transpose(0, 1, 3, 2) for w in (before, after))
    assert ((after > 0).sum(-1) == keep).all()
    best = max(
        combinations(range(of), keep), key=lambda chosen: before[0, 0].reshape(-1, of)[0][list(chosen)].sum()
    )
    assert set(np.flatnonzero(after[0, 0].reshape(-1, of)[0])) == set(best)
    assert (after == np.where(after > 0, before, 0)).all()


@settings(max_examples=15)
@given(st.floats(0.01, 0.99))
def test_the_share_of_zeros_is_the_one_asked_for_and_the_smallest_go(share: float) -> None:
    model = matmul(4, 32, 48)
    pruned, [site] = xamba.apply(model, f"prune{{share={share}}}")
    before, after = weights_of(model), weights_of(pruned)
    gone = (after == 0) & (before != 0)
    assert np.count_nonzero(after == 0) == max(round(share * before.size), np.count_nonzero(before == 0))
    assert np.abs(before[gone]).max(initial=0) <= np.abs(after[after != 0]).min()
    assert site.error_bound == np.abs(before - after).max()
    again, _ = xamba.apply(pruned, f"prune{{share={share}}}")
    assert (weights_of(again) == after).all()


def test_whole_outputs_go_the_smallest_first() -> None:
    model = matmul(4, 32, 48)
    before, after = (
        weights_of(m) for m in (model, xamba.apply(model, "prune{pattern=outputs,share=0.25}")[0])
    )
    gone = ~after.any(1)
    assert gone.sum() == 12
    assert np.linalg.norm(before[gone], axis=1).max() <= np.linalg.norm(before[~gone], axis=1).min()
    assert (after[~gone] == before[~gone]).all()


def test_shares_of_each_op_come_from_a_file(tmp_path: Path) -> None:
    (tmp_path / "ratios.yaml").write_text("si*: 0.75\n'*': 0.5\n")
    (tmp_path / "none.yaml").write_text("other: 0.75\n")
    (tmp_path / "wrong.yaml").write_text("site: 1.5\n")
    (tmp_path / "deep.yaml").write_text("[" * 9000)
    aliases = (
        f"{new}: &{new} [{','.join([f'*{old}'] * 9)}]\n"
        for old, new in zip("abcdefgh", "bcdefghi", strict=True)
    )
    (tmp_path / "aliases.yaml").write_text("a: &a [1]\n" + "".join(aliases))
    pruned, _ = xamba.apply(matmul(4, 32, 48), f"prune{{ratios={tmp_path / 'ratios.yaml'}}}")
    assert np.count_nonzero(weights_of(pruned) == 0) == 0.75 * 32 * 48
    assert not xamba.apply(matmul(4, 32, 48), f"prune{{ratios={tmp_path / 'none.yaml'}}}")[1]
    for file, said in {
        "wrong.yaml": "above 0 and below 1", "absent.yaml": "cannot be read", "deep.yaml": "cannot be read",
        "aliases.yaml": "expected a file of lines",
    }.items():  # fmt: skip
        with pytest.raises(xamba.PipelineError, match=said):
            xamba.apply(matmul(4, 32, 48), f"prune{{ratios={tmp_path / file}}}")


CODES = {
    "int8": 2.0, "int4": 4.0, "int4,group=16": 4.0, "nf4": 4.0, "nf4,group=32": 4.0, "3bit": 16 / 3,
    "3bit-table": 16 / 3, "4bit-table": 4.0, "3bit-table,sparse=0.01": 2 / (3 / 8 + 0.06),
}  # fmt: skip


@pytest.mark.parametrize("code", CODES)
@pytest.mark.parametrize("across", [True, False])
def test_narrow_weights_are_as_near_as_is_said_and_survive_a_file(
    code: str, across: bool, tmp_path: Path
) -> None:
    model = matmul(4, 64, 50 * 8, across=across)
    narrow, [site] = xamba.apply(model, f"quantize{{weights={code}}}")
    error = np.abs(weights_of(model) - weights_of(narrow)).max()
    assert site.error_bound is not None
    assert 0 < error <= site.error_bound * 1.001 + 1e-4  # scales and sums are rounded to FP16
    assert f"{CODES[code]:.2f}x fewer bytes" in site.note
    ov.save_model(narrow, tmp_path / "m.xml")
    x = [np.random.default_rng(1).standard_normal((4, 64)).astype(np.float32)]
    again = run(ov.Core().read_model(tmp_path / "m.xml"), x)[0]
    assert np.allclose(again, run(narrow, x)[0], atol=1e-3)
    assert np.allclose(again, x[0] @ (weights_of(narrow).T if across else weights_of(narrow)), atol=1e-2)


def test_fewer_bits_are_farther_off_and_finer_groups_nearer() -> None:
    model = matmul(4, 256, 64)

    def error(passes: str) -> float:
        return float(np.square(weights_of(model) - weights_of(xamba.apply(model, passes)[0])).mean())

    assert (
        error("quantize")
        < error("quantize{weights=int4}")
        < error("quantize{weights=3bit}")
        < error("binary")
    )
    assert error("quantize{weights=int4,group=32}") < error("quantize{weights=int4}")
    assert error("quantize{weights=nf4}") < error(
        "quantize{weights=int4}"
    )  # of numbers from a normal distribution
    assert error("quantize{weights=3bit-table}") < error("quantize{weights=3bit}")
    assert error("quantize{weights=3bit-table,sparse=0.01}") < error("quantize{weights=3bit-table}")


def test_dense_and_sparse_tables_take_the_bytes_that_squeezellm_publishes() -> None:
    """3 bits and 0.45 % of the weights apart: 0.402 bytes a weight, 4.97 times less than FP16 (arXiv 2306.07629)."""
    model = matmul(1, 4000, 2000)
    narrow, _ = xamba.apply(model, "quantize{weights=3bit-table,sparse=0.0045}")
    kept = stored(narrow)
    apart = kept["i32"] // 4
    assert apart == round(0.0045 * 4000 * 2000)
    assert 2 * 4000 * 2000 / (kept["u3"] + kept["i32"] + 2 * apart) == pytest.approx(4.975, abs=0.001)
    tables = kept["f16"] - 2 * apart
    assert tables == pytest.approx(2000 * 8 * 2, abs=8)  # and the zero that what is apart is added to


@settings(max_examples=20)
@given(st.lists(st.integers(0, 7), min_size=1, max_size=9).map(lambda v: v * 8))
def test_codes_are_packed_as_openvino_packs_them(values: list[int]) -> None:
    for kind, shift in ((Type.u3, 0), (Type.i4, 4), (Type.u4, 0), (Type.nf4, 0), (Type.i8, 4)):
        numbers = np.array(values) - shift
        theirs = Constant(kind, ov.Shape([len(values)]), list(map(int, numbers)))
        ours = codes.packed(kind, numbers.astype(np.int8 if shift else np.uint8))
        assert (ours.data.view(np.uint8) == theirs.data.view(np.uint8)).all(), kind


def test_signs_keep_the_sign_and_the_mean_of_a_row() -> None:
    model = matmul(1, 64, 32)
    before, after = weights_of(model), weights_of(xamba.apply(model, "binary{only=site}")[0])
    assert (np.sign(after) == np.where(before >= 0, 1, -1)).all()
    assert np.allclose(np.abs(after), np.abs(before).mean(1, keepdims=True), rtol=2e-3)
    assert not xamba.apply(model, "binary{only=other}")[1]


def test_constants_of_the_same_memory_stay_so() -> None:
    memory = np.random.default_rng(0).standard_normal((64, 64)).astype(np.float16)
    x = op.parameter([1, 64], np.float32, name="x")
    shared = [op.convert(Constant(memory, shared_memory=True), "f32") for _ in range(2)]
    model = single(op.matmul(op.matmul(x, shared[0], False, True), shared[1], False, True), x)
    pruned, _ = xamba.apply(model, "prune")
    places = {n.data.ctypes.data for n in pruned.get_ordered_ops() if n.get_type_name() == "Constant"}
    assert len(places) == 1


def test_verify_says_whose_weights_the_damage_is_of(tmp_path: Path) -> None:
    ov.save_model(matmul(1, 64, 32), tmp_path / "a.xml", compress_to_fp16=False)
    narrow, _ = xamba.apply(matmul(1, 64, 32), "quantize")
    ov.save_model(narrow, tmp_path / "b.xml", compress_to_fp16=False)
    asked = ("verify", "a.xml", "b.xml", "--tolerance", "1")
    assert "of random weights" in command(*asked, cwd=tmp_path).stdout
    assert "weights: mine" in command(*asked, "--weights", "mine", cwd=tmp_path).stdout
    assert "weights" not in command("verify", "a.xml", "a.xml", cwd=tmp_path).stdout


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("prune{pattern=4:2}", "2:4"),
        ("prune{pattern=2:4,share=0.5}", "leave out share"),
        ("prune{share=1}", "above 0 and below 1"),
        ("quantize{weights=int5}", "one of int8"),
        ("quantize{sparse=0.1}", "sparse is for tables"),
        ("quantize{weights=3bit-table,group=8}", "leave out group"),
        ("binary{only=}", "expected a name"),
    ],
)
def test_mistakes_are_told(text: str, said: str) -> None:
    with pytest.raises(xamba.PipelineError) as error:
        xamba.apply(matmul(1, 8, 8), text)
    assert said in str(error.value)


@pytest.mark.parametrize(
    ("passes", "said"),
    [
        ("prune{pattern=3:7}", "64 terms, no multiple of 7"),
        ("prune{pattern=4of9}", "1 tap, not 9"),
        ("quantize{weights=int4,group=24}", "no multiple of 24"),
        ("quantize,prune", "stored coded already"),
        ("binary,quantize", "stored coded already"),
    ],
)
def test_what_does_not_fit_is_left_with_a_sentence(passes: str, said: str) -> None:
    assert said in xamba.apply(matmul(1, 64, 32), passes)[1][-1].note


def images() -> ov.Model:
    """Three 3x3 convolutions of 256 channels."""
    x = op.parameter([1, 256, 28, 28], np.float32, name="x")
    y: ov.Node = x
    for number in range(3):
        weights = np.random.default_rng(number).standard_normal((256, 256, 3, 3)).astype(np.float16)
        y = op.convolution(y, op.convert(Constant(weights), "f32"), [1, 1], [1, 1], [1, 1], [1, 1])
    return single(y, x)


@pytest.mark.parametrize("hw", ["lunarlake-vpunn.yaml", "meteorlake-vpunn.yaml"])
def test_zeros_are_priced_from_the_numbers(hw: str) -> None:
    """With half of the weights gone images are faster and products of one row slower, as in the compiler's schedules;
    a pattern buys no more than zeros anywhere."""
    row = matmul(1, 2048, 2048)
    dense, half, pattern = (
        latency(xamba.apply(images(), p)[0], hw) for p in ("", "prune", "prune{pattern=2:4}")
    )
    assert half < dense
    assert pattern == pytest.approx(half, rel=0.01)
    assert latency(xamba.apply(row, "prune{pattern=2:4}")[0], hw) > latency(row, hw)


def test_narrow_weights_are_priced_by_what_a_machine_reads() -> None:
    row, machine = matmul(1, 2048, 2048), npusim.load_hardware("lunarlake.yaml")

    def read(passes: str) -> tuple[int, Graph]:
        graph = graph_of(xamba.apply(row, passes)[0], "m", "m")
        done = npusim.simulate(npusim.lower(graph, machine), machine)
        return done.metrics.ddr_bytes["read"], graph

    dense, int8, int4 = (read(p)[0] for p in ("", "quantize", "quantize{weights=int4}"))
    assert dense / int8 == pytest.approx(2, rel=0.02)
    assert dense / int4 == pytest.approx(4, rel=0.05)  # with scales
    for refused in ("quantize{weights=3bit-table}", "quantize{weights=3bit,group=128}", "binary"):
        decoded, graph = read(refused)
        assert decoded == pytest.approx(dense, rel=0.01)
        assert any("compilers of today refuse" in note for note in graph.notes)


@pytest.mark.parametrize(
    "rule", ["quantize{weights=int4}", "quantize{weights=nf4}", "prune{share=0.5}", "binary{}"]
)
@pytest.mark.parametrize("number", [np.nan, np.inf])
def test_weights_that_are_no_numbers_are_left_alone(rule: str, number: float) -> None:
    weights = np.ones((32, 64), np.float16)
    weights[3, 5] = number
    x = op.parameter([4, 64], np.float32, name="x")
    stock = single(op.matmul(x, op.convert(Constant(weights), "f32"), False, True), x)
    _, [site] = xamba.apply(stock, rule)
    assert (site.taken, site.note) == (False, "not all of its weights are finite numbers")
