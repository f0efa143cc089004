"""Odd command lines: values of --set, --shape, --axis, --passes, and words where none belong."""

from __future__ import annotations

from hypothesis import strategies as st

from benchmarks.fuzzing.case import Case
from benchmarks.fuzzing.documents import TOKENS, _model

NUMBERS = (
    "0", "1", "-1", "3", "7", "64", "65", "1e-320", "1e309", "nan", ".inf", "9" * 20, "9" * 33, "9" * 5000, "1_0",
    "0x10", "1e6", "2.5", "true", "null", "[]", "{}", "", " ", "1:2:3", "1,,2", "1:1000000:1000000",
)  # fmt: skip
PATHS = (
    "tiles", "clocks.dpu_mhz", "clocks.vpu_mhz", "ddr.bandwidth_gbps", "ddr.latency_ns", "cmx.kib_per_tile",
    "dma.engines", "shave.per_tile", "dpu.macs_per_cycle.int8", "dpu.macs_per_cycle.fp16", "energy.mac_int8_pj",
    "software.row_fold", "software.fetch.us", "software.tiling.buffer_bytes", "platform", "name", "extends",
    "shave.kernels.exp.per_cycle", "x.y", "software.fused_activations", "scheduled_for.ddr.bandwidth_gbps",
    "tokens", "layers", "xamba", "workload", "phase",
)  # fmt: skip
RULES = (
    "cumba", "reduba", "actiba", "contract", "segsum", "auto", "none", "cumba{block=256}",
    "actiba{range=observed}", "prune{share=0.5}", "quantise", "cumba{block=" + "9" * 40 + "}", "a+b", "{}", ",",
    "cumba,,reduba",
)  # fmt: skip


def word() -> st.SearchStrategy[str]:
    """A word as a shell can hand it over."""
    token = st.sampled_from(TOKENS).map(lambda data: data.decode(errors="surrogateescape"))
    text = st.text(max_size=12) | token | st.sampled_from(NUMBERS)
    return text.map(lambda text: text.replace("\0", "")).filter(lambda text: len(text) < 6000)


def setting(separator: str = "=") -> st.SearchStrategy[str]:
    """``path=value``, or something like it."""
    value = st.sampled_from(NUMBERS) | word()
    pair = st.builds(lambda path, value: f"{path}{separator}{value}", st.sampled_from(PATHS) | word(), value)
    return pair | pair | word()


def options() -> st.SearchStrategy[Case]:
    """Commands on a small model with one or two odd options."""
    small = ("--model", "m.xml", "--no-report", "--json")
    shape = st.builds(lambda name, dims: f"{name}={dims}", st.sampled_from(("given", "x", "")), word())
    odd = st.one_of(
        setting().map(lambda text: ("--set", text)),
        setting().map(lambda text: ("--set", text)),
        shape.map(lambda text: ("--shape", text)),
        st.sampled_from(RULES).map(lambda text: ("--xamba", text)),
        word().map(lambda text: ("--xamba", text)),
        word().map(lambda text: (text,)),
        st.sampled_from(("--out", "--hint", "--engine", "--tokens", "--hw", "--chunk")).flatmap(
            lambda option: word().map(lambda text: (option, text))
        ),
    )
    inside = odd.filter(lambda words: not (words[0] == "--out" and ("/" in words[1] or len(words[1]) > 3)))
    command = st.sampled_from(
        (("run", "--hw", "lunarlake", *small), ("run", "--hw", "meteorlake", *small),
         ("sensitivity", "--hw", "pantherlake", "--model", "m.xml", "--json"))
    )  # fmt: skip
    return st.builds(
        lambda argv, odd: Case((*argv, *(w for words in odd for w in words)), _model()),
        command,
        st.lists(inside.filter(lambda words: words[0] != "--out"), min_size=1, max_size=2),
    )


def shows() -> st.SearchStrategy[Case]:
    """Settings alone, which is the cheapest way through the schema."""
    return st.lists(setting(), min_size=1, max_size=3).map(
        lambda texts: Case(("hw", "check", "lunarlake", *(w for text in texts for w in ("--set", text))))
    )


def axes() -> st.SearchStrategy[Case]:
    """Axes of a small sweep."""
    given = st.lists(setting(), min_size=1, max_size=2)
    return given.map(
        lambda texts: Case(
            ("sweep", "--hw", "lunarlake", "--model", "m.xml", "--lhs", "2", "--workers", "1", "--out", "out",
             *(w for text in texts for w in ("--axis", text))),
            _model(),
        )
    )  # fmt: skip


def pipelines() -> st.SearchStrategy[Case]:
    """Pipelines of rewrites."""
    text = st.lists(st.sampled_from(RULES) | word(), min_size=1, max_size=3).map(",".join)
    return text.map(lambda text: Case(("transform", "m.xml", "--passes", text, "--json"), _model()))
