"""Rows of several kinds in one call, and drafting and verifying: laws."""

from __future__ import annotations

import pytest

import npusim.workloads.llm
from npusim import load_hardware
from npusim.errors import UserError
from npusim.llm.built import built
from npusim.llm.predict import Predictor
from npusim.llm.rows import Rows, parse_rows, together
from npusim.llm.speculate import Speculation, speculate


@pytest.fixture(scope="module")
def predictor() -> Predictor:
    model = built(npusim.workloads.llm.published("qwen2.5-0.5b"), "int4")
    return Predictor(model, load_hardware("lunarlake.yaml"), allow_guess=True)


def test_what_is_asked_is_read() -> None:
    assert parse_rows("prefill:64@512, decode:8@1024,verify:4@900") == (
        Rows("prefill", 64, 512), Rows("decode", 8, 1024), Rows("verify", 4, 900),
    )  # fmt: skip
    assert [(one.sequences, one.heard) for one in parse_rows("prefill:64@5,decode:8@5,verify:4@5")] == [
        (1, 1), (8, 8), (1, 4),
    ]  # fmt: skip
    for text in ("decode", "decode:0@5", "decode:1@0", "encode:1@5", "decode:1@5,", "decode:1.5@5"):
        with pytest.raises(UserError, match="--rows"):
            parse_rows(text)


def test_one_kind_of_one_row_is_a_step(predictor: Predictor) -> None:
    found = together(predictor, parse_rows("decode:1@1024"))
    assert found.rows == 1
    assert found.padding == 0
    assert found.alone_us == found.step.us
    assert found.masked < 0.01


def test_rows_share_weights_and_see_their_own(predictor: Predictor) -> None:
    four = together(predictor, parse_rows("decode:4@256"))
    assert four.step.us < four.alone_us, "weights are read once"
    assert four.masked > 0.7, "of four sequences in one cache a row sees one"
    assert four.rows >= four.wanted == 4
    mixed = together(predictor, parse_rows("prefill:32@64,decode:4@256,verify:3@128"))
    assert mixed.wanted == 39
    assert mixed.padding == pytest.approx(1 - 39 / mixed.rows)


def test_padding_is_chosen_because_it_is_faster(predictor: Predictor) -> None:
    found = together(predictor, parse_rows("verify:17@512"))
    bare = predictor.step(found.cache - found.rows + 17, 17)
    assert found.step.us <= bare.us


def test_states_cannot_be_parted_by_a_mask() -> None:
    model = built(npusim.workloads.llm.published("mamba2-130m"), "int4")
    with pytest.raises(UserError, match="states"):
        together(Predictor(model, load_hardware("lunarlake.yaml")), parse_rows("decode:2@64"))


@pytest.mark.parametrize(("accept", "tokens"), [(0.0, 1.0), (1.0, 5.0), (0.5, 1.9375)])
def test_a_round_yields_what_is_accepted_and_one_more(accept: float, tokens: float) -> None:
    assert Speculation("d", 4, accept, 1.0, 2.0, 2.0).tokens == tokens


def test_a_draft_as_slow_as_the_model_gains_nothing(predictor: Predictor) -> None:
    found = speculate(predictor, predictor, 1152, 4, 0.7)
    assert found.draft_us == found.alone_us
    assert found.verify_us >= found.alone_us
    assert found.speedup < 1
    assert found.tokens_per_s == pytest.approx(1e6 / found.alone_us * found.speedup)
