"""A batch of rows in one call: chunks of prompts, tokens of several sequences, and drafts to verify, as one graph.

All sequences lie in one cache one behind the other, and a mask lets every row see its own. Rows are padded to a size
that runs faster than their number, where there is one; what is masked is computed all the same.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal, cast

from npusim.errors import UserError
from npusim.llm.predict import Predictor, Step
from npusim.llm.runtime import padded
from npusim.source import MOST_TOKENS

Kind = Literal["prefill", "decode", "verify"]
_SPEC = re.compile(r"(prefill|decode|verify):(\d{1,7})@(\d{1,7})", re.ASCII)
#: Multiples that rows are padded to, on trial.
_STEPS = (1, 8, 16, 32, 64)


@dataclass(frozen=True, slots=True)
class Rows:
    """Rows of one kind over ``context`` tokens each: a chunk of one prompt, a token of each of ``count`` sequences, or
    drafted tokens of one sequence."""

    kind: Kind
    count: int
    context: int

    @property
    def sequences(self) -> int:
        """How many sequences they are of."""
        return self.count if self.kind == "decode" else 1

    @property
    def remembered(self) -> int:
        """Tokens of the cache that are theirs."""
        return self.sequences * self.context

    @property
    def heard(self) -> int:
        """Rows whose logits are wanted: a prompt's last one only."""
        return 1 if self.kind == "prefill" else self.count

    @property
    def pairs(self) -> int:
        """Pairs of a row and a token that it may see, about: a row sees half of the rows beside it."""
        own = self.count // self.sequences
        return self.count * (self.context + (own + 1) // 2)


@dataclass(frozen=True, slots=True)
class Together:
    """Rows of several kinds in one call: ``step`` is that call, of ``rows`` with padding among them; ``alone`` are the
    calls that each kind would need by itself, and how many."""

    asked: tuple[Rows, ...]
    rows: int
    cache: int
    step: Step
    alone: tuple[tuple[int, Step], ...]

    @property
    def wanted(self) -> int:
        """Rows that were asked for."""
        return sum(one.count for one in self.asked)

    @property
    def padding(self) -> float:
        """Share of the rows that nobody asked for."""
        return 1 - self.wanted / self.rows

    @property
    def masked(self) -> float:
        """Share of the pairs of rows and tokens that are computed for nothing."""
        return 1 - sum(one.pairs for one in self.asked) / (self.rows * self.cache)

    @property
    def alone_us(self) -> float:
        """All of them by themselves, one call after the other."""
        return sum(count * step.us for count, step in self.alone)


def parse_rows(text: str) -> tuple[Rows, ...]:
    """``prefill:64@512,decode:8@1024`` to Rows. Raises UserError for any other form."""
    found = []
    for part in text.split(","):
        match = _SPEC.fullmatch(part.strip())
        if not match:
            raise UserError(
                f"--rows {part}: must be prefill:64@512, decode:8@1024 or verify:4@900 (rows @ context)"
            )
        count, context = int(match[2]), int(match[3])
        if not (1 <= count <= MOST_TOKENS and 1 <= context <= MOST_TOKENS):
            raise UserError(f"--rows {part}: rows and context must be at least 1 and at most {MOST_TOKENS:,}")
        found.append(Rows(cast("Kind", match[1]), count, context))
    return tuple(found)


def together(predictor: Predictor, asked: Sequence[Rows]) -> Together:
    """The rows as one call, padded as runs fastest, and by themselves. Raises UserError for a model of states."""
    if predictor.model.attentions < predictor.model.layers:
        raise UserError(
            f"{predictor.model.name}: rows of several sequences need a cache that a mask can part, and layers with "
            "states have none"
        )
    wanted, heard = sum(one.count for one in asked), sum(one.heard for one in asked)
    past = padded(sum(one.remembered for one in asked))
    sizes = sorted({padded(wanted, step) for step in _STEPS})
    tried = {size: predictor.step(past + size, size, heard) for size in sizes}
    best = min(sizes, key=lambda size: tried[size].us)
    alone = tuple((one.sequences, _by_itself(predictor, one)) for one in asked)
    return Together(tuple(asked), best, past + best, tried[best], alone)


def _by_itself(predictor: Predictor, one: Rows) -> Step:
    rows = one.count // one.sequences
    return predictor.step(padded(one.context) + rows, rows, one.heard // one.sequences)
