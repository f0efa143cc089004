"""What ``npusim llm --json`` prints, and the same as a table."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from npusim.llm.predict import Answer, Predictor
from npusim.llm.rows import Together
from npusim.llm.speculate import Speculation

if TYPE_CHECKING:
    import pandas as pd

#: Name and version of the document; the number grows when a key changes its meaning or goes.
SCHEMA = "npusim.llm/1"


def document(predictor: Predictor, answers: Sequence[Answer]) -> dict[str, Any]:
    """One model's answers to prompts. Times are ms, memory MiB, energy mJ; those of tokens are behind the first one."""
    model, runtime = predictor.model, predictor.runtime
    return {
        "schema": SCHEMA,
        "model": model.name,
        "hardware": predictor.hw.name,
        "runtime": {"version": runtime.version, "one_graph": runtime.one_graph},
        "layers": model.layers,
        "prompts": [_prompt(one) for one in answers],
    }


def _prompt(one: Answer) -> dict[str, Any]:
    last = one.steps[-1][1]
    token = {name: _ms(us) for name, us in one.token_us.items()}
    return {
        "prompt": one.prompt,
        "generate": one.generate,
        "ttft_ms": _ms(one.first.us),
        "tpot_ms": token,
        "tokens_per_s": round(one.tokens_per_s, 3),
        "energy_mj_per_token": round(one.energy_uj / 1e3, 3),
        "memory_mib": round(sum(one.memory.values()) / 2**20, 1),
        "device_ms": _ms(last.graphs.us),
        "host_ms": _ms(last.calls_us + last.host_us),
        "memory": {name: round(size / 2**20, 1) for name, size in one.memory.items()},
        "prefill": {
            "passes": one.first.passes, "rows": one.first.rows, "device_ms": _ms(one.first.graphs.us),
            "calls_ms": _ms(one.first.calls_us), "host_ms": _ms(one.first.host_us),
        },
        "token": {
            "cache": last.cache, "weights_ms": _ms(last.weights_us), "cache_ms": _ms(last.cache_us),
            "engines_ms": _ms(last.graphs.us - last.floor_us), "calls_ms": _ms(last.calls_us),
            "host_ms": _ms(last.host_us), "floor_ms": _ms(last.floor_us),
        },
        "handover_ms": _ms(one.handover_us),
    }  # fmt: skip


def rows_document(found: Together, asked: str) -> dict[str, Any]:
    """Rows in one call, beside calls of their own."""
    return {
        "asked": asked,
        "rows": found.rows,
        "cache": found.cache,
        "ms": _ms(found.step.us),
        "us_per_row": round(found.step.us / found.wanted, 3),
        "padding": round(found.padding, 6),
        "masked": round(found.masked, 6),
        "alone_calls": sum(count for count, _ in found.alone),
        "alone_ms": _ms(found.alone_us),
    }


def speculation_document(found: Speculation) -> dict[str, Any]:
    """Drafting and verifying, beside the model alone."""
    return {
        "draft": found.draft,
        "drafted": found.drafted,
        "accept": found.accept,
        "tokens_per_round": round(found.tokens, 4),
        "round_ms": _ms(found.round_us),
        "draft_ms": _ms(found.draft_us),
        "verify_ms": _ms(found.verify_us),
        "tokens_per_s": round(found.tokens_per_s, 3),
        "speedup": round(found.speedup, 4),
    }


def frame(documents: Sequence[dict[str, Any]]) -> pd.DataFrame:
    """A row a model and prompt."""
    import pandas as pd

    rows = []
    for one in documents:
        for prompt in one["prompts"]:
            flat = {k: v for k, v in prompt.items() if not isinstance(v, dict)}
            flat |= {f"tpot_{name}_ms": value for name, value in prompt["tpot_ms"].items()}
            flat |= {f"token_{name}": value for name, value in prompt["token"].items()}
            rows.append({"model": one["model"], "hardware": one["hardware"], **flat})
    return pd.DataFrame(rows)


def _ms(us: float) -> float:
    return round(us / 1e3, 4)
