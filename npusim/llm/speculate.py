"""Drafting and verifying on one NPU: a small model writes ahead, the large one reads what it wrote in one pass."""

from __future__ import annotations

from dataclasses import dataclass

from npusim.llm.predict import Predictor


@dataclass(frozen=True, slots=True)
class Speculation:
    """Rounds of ``drafted`` tokens that are accepted with probability ``accept`` each. Times in µs."""

    draft: str
    drafted: int
    accept: float
    draft_us: float
    verify_us: float
    alone_us: float

    @property
    def tokens(self) -> float:
        """Tokens that a round yields on average: those accepted in a row, and one of the verifier's own (Leviathan et
        al., arXiv 2211.17192, equation 1)."""
        if self.accept == 1:
            return self.drafted + 1
        return (1 - self.accept ** (self.drafted + 1)) / (1 - self.accept)

    @property
    def round_us(self) -> float:
        """Drafting and verifying, one after the other."""
        return self.drafted * self.draft_us + self.verify_us

    @property
    def tokens_per_s(self) -> float:
        """Of both models together."""
        return 1e6 * self.tokens / self.round_us

    @property
    def speedup(self) -> float:
        """Over the large model alone."""
        return self.alone_us * self.tokens / self.round_us


def speculate(target: Predictor, draft: Predictor, cache: int, drafted: int, accept: float) -> Speculation:
    """A round over a cache of so many tokens: ``drafted`` steps of the draft, one pass of as many rows and one."""
    return Speculation(
        draft.model.name, drafted, accept, draft.step(cache).us, target.step(cache, drafted + 1).us,
        target.step(cache).us,
    )  # fmt: skip
