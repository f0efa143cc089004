"""What ``npusim reproduce`` shows on a terminal."""

from __future__ import annotations

from collections.abc import Sequence

from npusim.cli.tables import Column, fitted, width_of_output
from npusim.cli.terminal import console
from npusim.validation.paper.speedups import HARDWARE, Reproduced


def print_reproduction(found: Sequence[Reproduced]) -> None:
    """The paper's speed-ups beside the simulated ones, and what they rest on."""
    width = width_of_output()
    screen = console(soft_wrap=True)
    columns = (
        Column("rewrite"), Column("stock", "right", 2), Column("rewritten", "right", 1), Column("simulated", "right"),
        Column("paper", "right"), Column("difference", "right"),
    )  # fmt: skip
    rows = [
        (
            one.claim.name, f"{one.stock_us:,.0f} µs", f"{one.rewritten_us:,.0f} µs", f"{one.speedup:.2f}x",
            f"{one.claim.speedup:.1f}x", f"{one.error:+.0%}",
        )
        for one in found
    ]  # fmt: skip
    title = "XAMBA (arXiv 2502.06924): speed-ups on Core Ultra Series 2"
    screen.print(fitted(columns, rows, width, title))
    screen.print()
    for one in found:
        screen.print(f"{one.claim.name}: {one.claim.setting}", markup=False)
    screen.print()
    screen.print(
        f"That software can't be run any more: hwconfigs/{HARDWARE} states what is assumed of it, with the "
        "evidence, and docs/xamba.md what other assumptions give.",
        markup=False,
    )
