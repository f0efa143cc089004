"""What ``npusim reproduce`` shows on a terminal."""

from __future__ import annotations

from collections.abc import Sequence

from rich.table import Table

from npusim.cli.terminal import console
from npusim.validation.paper.speedups import HARDWARE, Reproduced


def print_reproduction(found: Sequence[Reproduced]) -> None:
    """The paper's speed-ups beside the simulated ones, and what they rest on."""
    screen = console(soft_wrap=True)
    table = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0), header_style="dim", title_justify="left")
    table.title = "XAMBA (arXiv 2502.06924): speed-ups on Core Ultra Series 2"
    table.add_column("rewrite")
    for name in ("stock", "rewritten", "simulated", "paper", "difference"):
        table.add_column(name, justify="right")
    for one in found:
        table.add_row(
            one.claim.name, f"{one.stock_us:,.0f} µs", f"{one.rewritten_us:,.0f} µs", f"{one.speedup:.2f}x",
            f"{one.claim.speedup:.1f}x", f"{one.error:+.0%}",
        )  # fmt: skip
    screen.print(table)
    screen.print()
    for one in found:
        screen.print(f"{one.claim.name}: {one.claim.setting}", markup=False)
    screen.print()
    screen.print(
        f"That software can't be run any more: hwconfigs/{HARDWARE} states what is assumed of it, with the "
        "evidence, and docs/xamba.md what other assumptions give.",
        markup=False,
    )
