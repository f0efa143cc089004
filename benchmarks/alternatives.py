"""Which of two is faster, as npusim and as Intel's compiler rank them: docs/alternatives.md.

Alternatives are rows of one set and machine whose names differ behind ``__`` alone: one block in several forms, one
model under several rewrites. Tile counts are rows of one model on one platform. ``python -m benchmarks.references``
writes the page from the kept predictions, ``--renew`` from fresh ones.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import combinations

from npusim.validation.schedules.page import markdown_table
from npusim.validation.schedules.predict import Prediction

#: Two latencies that differ by less than this share of the smaller one are no choice that a user needs to be told.
CLEAR = 0.03
#: Pairs that the page lists.
_WORST = 15


@dataclass(frozen=True, slots=True)
class Choice:
    """One of a group: its name there, and its latency as the compiler estimates and as npusim predicts it, µs."""

    name: str
    truth_us: float
    predicted_us: float


@dataclass(frozen=True, slots=True)
class Group:
    """Rows that a user chooses from; ``kind`` is what he chooses."""

    kind: str
    name: str
    platform: str
    choices: tuple[Choice, ...]

    @property
    def pairs(self) -> list[tuple[Choice, Choice]]:
        """Pairs that differ clearly, the faster one first."""
        ranked = sorted(self.choices, key=lambda one: one.truth_us)
        return [(a, b) for a, b in combinations(ranked, 2) if b.truth_us > a.truth_us * (1 + CLEAR)]

    @property
    def wrong(self) -> list[tuple[Choice, Choice]]:
        """Pairs of which npusim does not say that the faster one is faster."""
        return [(a, b) for a, b in self.pairs if a.predicted_us >= b.predicted_us]

    @property
    def regret(self) -> float:
        """What choosing by npusim costs: the share by which its choice takes longer than the best one."""
        chosen = min(self.choices, key=lambda one: one.predicted_us)
        return chosen.truth_us / min(one.truth_us for one in self.choices) - 1


def groups(found: Iterable[Prediction]) -> list[Group]:
    """All groups of two and more among predictions; rows without a prediction are in none."""
    forms, tiles = defaultdict(list), defaultdict(list)
    for one in found:
        row, predicted_us = one.row, one.statistics.get("total_us")
        if predicted_us is None:
            continue
        truth_us = row.truth["total_us"]
        base, _, form = row.case.partition("__")
        if form:
            same = row.set, row.platform, row.tiles, row.dma_engines, base
            forms[same].append(Choice(form, truth_us, predicted_us))
        same_model = row.set, row.platform, 0, row.dma_engines, row.case
        tiles[same_model].append(Choice(str(row.tiles), truth_us, predicted_us))
    return [
        Group("rewrites" if key[0] == "rewrites" else kind, key[-1], key[1], tuple(choices))
        for kind, some in (("forms", forms), ("tiles", tiles))
        for key, choices in some.items()
        if len(choices) > 1
    ]


def page(found: Iterable[Prediction]) -> str:
    """The page of the docs."""
    every = groups(found)
    rows = []
    for kind, platform in sorted({(one.kind, one.platform) for one in every}):
        rows.append(
            (kind, platform, *_score([one for one in every if (one.kind, one.platform) == (kind, platform)]))
        )
    for kind in sorted({one.kind for one in every}):
        rows.append((kind, "all", *_score([one for one in every if one.kind == kind])))
    wrong = sorted(
        ((b.truth_us / a.truth_us, one, a, b) for one in every for a, b in one.wrong),
        key=lambda each: -each[0],
    )
    listed = [
        (f"`{one.name}`", one.platform, a.name, b.name, *(f"{us:,.1f}" for us in _four(a, b)))
        for _, one, a, b in wrong[:_WORST]
    ]
    head = ("what is chosen", "platform", "groups", "clear pairs", "ranked right", "share", "worst regret")
    return "\n".join(
        [
            "# Which is faster",
            "",
            "Written by `python -m benchmarks.references --renew`. Of two alternatives whose latencies differ by more",
            f"than {CLEAR:.0%} for Intel's compiler: does npusim say the same one is faster? Forms are one",
            "block written in several ways, rewrites one model under several pipelines, tiles one model on several",
            "counts of tiles. Regret is by how much longer the choice that npusim would make takes than the best one.",
            "",
            markdown_table(head, rows, 2),
            "",
            f"## Ranked otherwise ({len(wrong)}; the clearest {min(_WORST, len(wrong))})",
            "",
            markdown_table(
                (
                    "block",
                    "platform",
                    "faster",
                    "slower",
                    "compiler µs",
                    "compiler µs",
                    "npusim µs",
                    "npusim µs",
                ),
                listed,
                4,
            ),
            "",
        ]
    )


def _four(a: Choice, b: Choice) -> tuple[float, ...]:
    return a.truth_us, b.truth_us, a.predicted_us, b.predicted_us


def _score(some: Sequence[Group]) -> tuple[str, ...]:
    pairs, wrong = (
        sum(map(len, each)) for each in zip(*((one.pairs, one.wrong) for one in some), strict=True)
    )
    share = f"{1 - wrong / pairs:.1%}" if pairs else ""
    return str(len(some)), str(pairs), str(pairs - wrong), share, f"{max(one.regret for one in some):.1%}"
