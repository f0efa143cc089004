"""What ``npusim llm`` shows on a terminal."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from rich.text import Text

from npusim.cli.tables import WHOLE, Column, fitted, width_of_output
from npusim.cli.terminal import console
from npusim.text import printable

_ANSWERS = (
    Column("prompt", "right"), Column("generated", "right", 2), Column("first token, ms", "right"),
    Column("tokens/s", "right"), Column("ms a token", "right"), Column("second", "right", 4),
    Column("mJ a token", "right", 3), Column("MiB", "right", 1),
)  # fmt: skip


def print_documents(documents: Sequence[dict[str, Any]]) -> None:
    """All models, one below the other."""
    for one in documents:
        print_answers(one)
        if "rows" in one:
            print_rows(one["rows"])
        if "speculation" in one:
            print_speculation(one["speculation"])


def print_answers(one: dict[str, Any]) -> None:
    """A model's answers as tables."""
    screen = console(width=width_of_output(WHOLE))
    runtime = one["runtime"]
    calls = "all layers one call" if runtime["one_graph"] else "a call a layer"
    screen.print(
        Text.assemble(
            (printable(one["model"]), "bold"), " on ", (printable(one["hardware"]), "bold"),
            f", OpenVINO {runtime['version']}, {one['layers']} layers, {calls}",
        )
    )  # fmt: skip
    rows = [
        (
            f"{row['prompt']:,}", f"{row['generate']:,}", f"{row['ttft_ms']:,.0f}", f"{row['tokens_per_s']:.2f}",
            f"{row['tpot_ms']['mean']:.2f}", f"{row['tpot_ms']['first']:.1f}", f"{row['energy_mj_per_token']:,.1f}",
            f"{row['memory_mib']:,.0f}",
        )
        for row in one["prompts"]
    ]  # fmt: skip
    screen.print(fitted(_ANSWERS, rows, screen.width))
    token = one["prompts"][-1]["token"]
    whole = sum(token[name] for name in ("weights_ms", "cache_ms", "engines_ms", "calls_ms", "host_ms"))
    screen.print(
        f"A token of {whole:.2f} ms: weights {token['weights_ms']:.2f}, cache of {token['cache']:,} tokens "
        f"{token['cache_ms']:.2f}, engines and latencies {token['engines_ms']:.2f}, calls {token['calls_ms']:.2f}, "
        f"host {token['host_ms']:.2f}; bytes over bandwidth alone are {token['floor_ms']:.2f} ms."
    )


def print_rows(one: dict[str, Any]) -> None:
    """Rows in one call, beside calls of their own."""
    screen = console(width=width_of_output(WHOLE))
    screen.print(
        f"\n{one['asked']}: {one['rows']} rows in one call ({one['padding']:.0%} padding) over {one['cache']:,} tokens "
        f"take {one['ms']:.2f} ms, {one['us_per_row']:,.0f} µs a row that is wanted; {one['masked']:.0%} of what they "
        f"attend to is masked. {one['alone_calls']} calls of their own take {one['alone_ms']:.2f} ms."
    )


def print_speculation(one: dict[str, Any]) -> None:
    """Drafting and verifying, beside the model alone."""
    screen = console(width=width_of_output(WHOLE))
    screen.print(
        f"\nDrafted by {printable(one['draft'])}, {one['drafted']} tokens a round, accepted with {one['accept']:g}: "
        f"{one['tokens_per_round']:.2f} tokens in {one['round_ms']:.1f} ms ({one['drafted']} x {one['draft_ms']:.1f} + "
        f"{one['verify_ms']:.1f}), {one['tokens_per_s']:.2f} tokens/s, {one['speedup']:.2f} times the model alone."
    )
