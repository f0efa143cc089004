"""What the runtime does with sizes: laws, and the figures that its sources state."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

import npusim.workloads.llm
from npusim import load_hardware
from npusim.errors import UserError
from npusim.hardware.software import Runtime
from npusim.llm import runtime as rt
from npusim.llm.built import built
from npusim.llm.predict import Predictor

TOKENS = st.integers(1, 20_000)
VERSIONS = st.sampled_from(["2025.4", "2026.1", "2026.2", "2026.4"])


@given(prompt=TOKENS, generate=TOKENS, version=VERSIONS)
def test_every_prompt_and_answer_fits_what_is_made_for_it(prompt: int, generate: int, version: str) -> None:
    runtime = Runtime(version=version)
    room = rt.window(runtime, prompt, generate)
    passes = rt.prefill_passes(runtime, room, prompt)
    assert sum(one.rows for one in passes) >= prompt
    assert sum(one.rows for one in passes[:-1]) < prompt, "no pass too many"
    assert all(one.rows + one.past <= max(room.prompt, runtime.chunk_tokens * len(passes)) for one in passes)
    assert prompt < rt.cache_size(runtime, room, prompt) <= room.tokens
    assert room.tokens >= prompt + generate


def test_the_defaults_are_those_of_the_pipeline() -> None:
    runtime = Runtime()
    room = rt.window(runtime, 7, 128)
    assert (room.tokens, rt.cache_size(runtime, room, 7)) == (1152, 1152)
    assert rt.prefill_passes(runtime, room, 7) == [rt.Pass(1024, 0)], "7 tokens are padded to 1,024"
    assert rt.prefill_calls(runtime, room, 28) == 28
    assert sum(rt.step_calls(runtime, 28)) == 29
    assert sum(rt.step_calls(Runtime(one_graph=True), 28)) == 2
    assert sum(rt.step_calls(runtime, 6)) == 11, "fusing stops at ten groups"
    long = rt.window(runtime, 3000, 128)
    assert rt.prefill_calls(runtime, long, 28) == 57
    assert rt.prefill_calls(Runtime(version="2026.1"), long, 28) == 28
    assert [one.past for one in rt.prefill_passes(runtime, long, 3000)] == [0, 1024, 2048]
    sizes = [rt.cache_size(runtime, rt.window(runtime, 8192, 128), n) for n in (1000, 2000, 4000, 8000)]
    assert sizes == [1152, 2176, 4224, 8320]


def test_more_of_anything_takes_no_less_time() -> None:
    hw = load_hardware("lunarlake.yaml")
    predictor = Predictor(built(npusim.workloads.llm.published("qwen3-0.6b"), "int4"), hw, allow_guess=True)
    short, long = predictor.answer(512, 64), predictor.answer(1500, 64)
    assert short.first.us < long.first.us
    assert short.token_us["last"] <= long.token_us["last"]
    assert short.handover_us < long.handover_us
    assert predictor.answer(16, 64).first.us == short.first.us, "both are padded"
    for step in (short.steps[0][1], long.steps[0][1]):
        assert step.floor_us < step.graphs.us, "no graph is faster than its bytes"


def test_one_graph_saves_calls_and_nothing_else() -> None:
    model = built(npusim.workloads.llm.published("qwen3-0.6b"), "int4")
    many, one = (
        Predictor(
            model, load_hardware("lunarlake.yaml", [f"software.runtime.one_graph={flag}"]), allow_guess=True
        )
        for flag in ("false", "true")
    )
    a, b = many.step(1152), one.step(1152)
    assert a.graphs == b.graphs
    assert a.calls_us > b.calls_us
    with pytest.raises(UserError, match="do not fit a cache"):
        Predictor(model, many.hw, rt.Window(512, 64)).answer(600, 10)


def test_sizes_of_cache_between_the_marks_of_the_page_may_be_interpolated() -> None:
    from npusim.report.llm_page import between

    model = built(npusim.workloads.llm.published("llama-3.1-8b"), "int4")
    ((_, error),) = between([(Predictor(model, load_hardware("lunarlake.yaml"), allow_guess=True), [])])
    assert error <= 0.01
