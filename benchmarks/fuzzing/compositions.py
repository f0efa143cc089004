"""Documents and options of commands that compose: scenarios, language models from a config.json, rules with options."""

from __future__ import annotations

import json
from typing import Any

import yaml
from hypothesis import strategies as st

from benchmarks.fuzzing.case import Case
from benchmarks.fuzzing.documents import TOKENS, _model, mended
from benchmarks.fuzzing.options import NUMBERS, word

CONFIG = {
    "model_type": "llama", "num_hidden_layers": 2, "hidden_size": 64, "num_attention_heads": 4,
    "num_key_value_heads": 2, "head_dim": 16, "intermediate_size": 96, "vocab_size": 128, "rms_norm_eps": 1e-5,
    "tie_word_embeddings": True, "hidden_act": "silu",
}  # fmt: skip
_FAMILIES: tuple[dict[str, object], ...] = (
    {"model_type": "qwen3"}, {"model_type": "phi3"}, {"model_type": "gemma2", "final_logit_softcapping": 30.0},
    {"model_type": "smollm3", "no_rope_layer_interval": 2}, {"model_type": "lfm2", "full_attn_idxs": [1]},
    {"model_type": "mamba2", "num_heads": 4, "state_size": 16, "chunk_size": 8}, {"model_type": "mamba"},
    {"model_type": "granitemoehybrid", "layer_types": ["mamba", "attention"], "mamba_n_heads": 4, "mamba_d_state": 16},
    {"text_config": CONFIG}, {"num_experts": 4}, {},
)  # fmt: skip
_HEAD = b"name: x\nhardware: lunarlake.yaml\nprograms:\n  a: {model: m.xml}\n  b: {model: m.xml, set: [tiles=2]}\n"
SCENARIOS = (
    _HEAD + b"mix:\n  whole: a\n  outcomes:\n    - {runs: [b], probability: 0.6, gate_us: 10}\n"
    b"    - {runs: [a, b], probability: 0.4}\n",
    _HEAD + b"mix:\n  whole: a\n  segments:\n    - {program: a, probability: 0.5}\n    - {program: b}\n",
    _HEAD + b"split:\n  program: a\n  link: {gbps: 1.2, rtt_ms: 0.2, jitter_ms: 0.1, nj_per_byte: 2}\n"
    b"  far: {tops: 100, gbps: 900}\n  bits: [4, 8, 16]\n",
    _HEAD + b"together:\n  programs: [a, b]\n  by: tiles\n  tiles: [2, 4]\n",
    _HEAD + b"together:\n  programs: [a, b]\n  by: turns\n  switch_us: 5\n",
    _HEAD + b"budget:\n  program: a\n  kib_per_tile: [1440, 512, 64]\n",
    b"name: y\nhardware: meteorlake.yaml\nallow_guess: true\nrows:\n  model: c.json\n  weights: int4\n"
    b"  requests_per_s: [5, 50]\n  prompt: 16\n  generate: 4\n  most_rows: 8\n  pad_to: [1, 8]\n  requests: 4\n",
)  # fmt: skip
#: What YAML 1.1 reads otherwise than people do, and other ways to say things.
_VALUES = (
    b"on", b"no", b"y", b"0o17", b"017", b"1:30:00", b"1_000", b"0b11", b"+1", b"1.", b".5e3", b"-0", b"2026-11-30",
    b"=", b"!!binary aGk=", b"!!set {a, b}", b"!!int '7'", b"&x 1", b"[1, 2]", b"{a: 1}", b"|\n  x", b"m.xml\\nx",
    b"''", b"[[]]", b"'a\tb'", b"9223372036854775808", b"1e18", b"1000000", b"100", b"0", b"m.xml", b"a", b"b",
)  # fmt: skip


def _places(tree: Any) -> list[tuple[Any, Any]]:
    """Every value of a tree of mappings and lists: what it is in, and its key there."""
    items = list(
        tree.items() if isinstance(tree, dict) else enumerate(tree) if isinstance(tree, list) else ()
    )
    return [(tree, key) for key, _ in items] + [place for _, value in items for place in _places(value)]


@st.composite
def _with_values(draw: st.DrawFn, whole: bytes) -> bytes:
    """``whole`` with one to three of its values, or what else may stand there, replaced; one of them as YAML has it."""
    tree = yaml.safe_load(whole)
    for _ in range(draw(st.integers(1, 3))):
        holder, key = draw(st.sampled_from(_places(tree)))
        numbers = [(where, name) for where, name in _places(tree) if type(where[name]) in (int, float)]
        if draw(st.booleans()) and numbers:  # of a kind that the schema lets through
            holder, key = draw(st.sampled_from(numbers))
            holder[key] = draw(st.sampled_from([one for one in _ODD if type(one) in (int, float)]))
        elif draw(st.booleans()):
            holder[key] = draw(st.sampled_from(_ODD))
        else:
            operator = list(tree)[-1]
            tree[operator] = (
                {**tree[operator], draw(st.sampled_from(_MORE)): draw(st.sampled_from(_ODD))}
                if (isinstance(tree[operator], dict))
                else draw(st.sampled_from(_ODD))
            )
    if draw(st.integers(0, 3)):
        return yaml.safe_dump(tree, sort_keys=False).encode()
    holder, key = draw(st.sampled_from(_places(tree)))
    holder[key] = "PLACE"
    return (
        yaml.safe_dump(tree, sort_keys=False)
        .encode()
        .replace(b"PLACE", draw(st.sampled_from(_VALUES + TOKENS)))
    )


_ODD: tuple[Any, ...] = (
    0, 1, 2, 3, 8, 64, -1, 0.5, 0.1, 1e-320, 1e-9, 1e308, 10**5, 10**6, 10**9, 2**63, 10**30, True, None, "", "a", "b",
    "c.json", "m.xml", "x" * 300, [], {}, [1, 2], [0.5] * 3, [1] * 3000, ["a"] * 3, ["a", "b"], [[]], [10**9], "on",
    "lunarlake.yaml", ["tiles=2"], ["tiles=1", "clocks.dpu_mhz=900"], [""], "fp16", "cumba", "prune{share=0.5}",
    "quantize", "Exp_1", {"given": [4, 32]}, {"given": [10**9, 10**9]}, {"tiles": 3}, "a\nb", "\x07", "\u202e",
)  # fmt: skip
_MORE = (
    "gate_us", "probability", "draft", "accept", "seed", "requests", "prompt", "generate", "most_rows", "pad_to",
    "switch_us", "by", "tiles", "at", "gbps", "bits", "far", "link", "program", "programs", "whole", "segments",
    "kib_per_tile", "weights", "requests_per_s",
)  # fmt: skip


@st.composite
def _config(draw: st.DrawFn) -> bytes:
    """A config.json of some family, with fields of other sizes and types."""
    fields: dict[str, object] = CONFIG | draw(st.sampled_from(_FAMILIES))
    odd = st.sampled_from(
        (
            0,
            1,
            2,
            3,
            7,
            64,
            -1,
            10**6,
            10**9,
            10**30,
            1.5,
            1e300,
            None,
            True,
            "x",
            "64",
            [],
            {},
            [[]],
            [1e9],
            "",
        )
    )
    for name in draw(st.lists(st.sampled_from(sorted(fields)), max_size=3)):
        fields = {**fields, name: draw(odd)}
    data = json.dumps(fields).encode()
    return draw(mended(data)) if draw(st.integers(0, 3)) == 0 else data


def scenarios() -> st.SearchStrategy[Case]:
    """Scenario files."""
    whole = st.sampled_from(SCENARIOS)
    more = st.sampled_from((("--json", "--no-report"), ("--out", "out"), ("--no-report", "--out", "out")))
    return st.builds(
        lambda data, config, more: Case(("scenario", "s.yaml", *more), {"s.yaml": data, "c.json": config, **_model()}),
        whole.flatmap(_with_values) | whole.flatmap(_with_values) | whole.flatmap(mended),
        st.just(json.dumps(CONFIG).encode()) | _config(),
        more,
    )  # fmt: skip


def llms() -> st.SearchStrategy[Case]:
    """Language models built from a config.json, with odd options."""
    number = st.sampled_from(NUMBERS) | word()
    rows = st.sampled_from(
        ("prefill:8@8", "decode:8@1024", "verify:4@900,decode:1@1", "prefill:9999999@1", "decode:0@0", "verify:4", ":@")
    )  # fmt: skip
    odd = st.one_of(
        st.sampled_from(("--prompt", "--generate", "--cache", "--accept", "--draft")).flatmap(
            lambda option: number.map(lambda text: (option, text))
        ),
        st.sampled_from(("fp16", "int8", "int4:32", "int4:3", "nf4", "int4:" + "9" * 30)).map(
            lambda text: ("--weights", text)
        ),
        (rows | word()).map(lambda text: ("--rows", text)),
        st.sampled_from(("c.json", "qwen3-0.6b", "m.xml", "nothing")).map(lambda name: ("--speculate", name)),
        st.sampled_from(("cumba", "quantize", "prune{share=0.5}", "auto", "x")).map(
            lambda text: ("--xamba", text)
        ),
        st.sampled_from((("--stock",), ("--allow-guess",), ("--set", "tiles=1"), ("m.xml",), ("c.json",))),
    )
    return st.builds(
        lambda config, odd: Case(
            ("llm", "--hf-config", "c.json", "--hw", "lunarlake", "--no-report", "--json",
             *(w for words in odd for w in words)),
            {"c.json": config, **_model()},
        ),
        _config(),
        st.lists(odd, max_size=2, unique_by=lambda words: words[0]),
    )  # fmt: skip


_RULES = {
    "prune": ("pattern", "share", "ratios", "channels", "heads", "layers", "only", "x"),
    "quantize": ("weights", "group", "sparse", "only"), "binary": ("only", "x"), "cumba": ("block",),
    "reduba": ("norms",), "actiba": ("segments", "range", "functions"), "contract": ("short",), "segsum": ("x",),
}  # fmt: skip


def rules() -> st.SearchStrategy[Case]:
    """Rewrites whose rules have odd options, files of shares among them, and budgets of accuracy."""
    value = (
        st.sampled_from(
            ("0.5", "2:4", "r.yaml", "1+2", "int4", "nf4", "16", "*", "yes", "-1:1", "exp+silu", "²", "1")
        )
        | st.sampled_from(NUMBERS)
        | word()
    )

    def options(rule: str) -> st.SearchStrategy[str]:
        option = st.builds(lambda name, value: f"{name}={value}", st.sampled_from(_RULES[rule]), value)
        return st.lists(option, max_size=2).map(lambda given: f"{rule}{{{','.join(given)}}}")

    text = st.sampled_from(sorted(_RULES)).flatmap(options)
    more = st.sampled_from(
        ((), ("-o", "out.xml"), ("--hw", "lunarlake"), ("--accuracy-budget", "0.1"), ("--accuracy-budget", "nan"))
    )  # fmt: skip
    passes = st.lists(text, min_size=1, max_size=2).map(",".join) | st.sampled_from(
        ("auto", "auto-approximate")
    )
    return st.builds(
        lambda passes, more, shares: Case(
            ("transform", "m.xml", "--passes", passes, "--json", *more), {"r.yaml": shares, **_model()}
        ),
        passes,
        more,
        mended(b"MatMul*: 0.75\n'*': 0.5\n"),
    )
