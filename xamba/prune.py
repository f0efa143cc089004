"""Pruning in place: weights that become zero, by their size, in patterns or anywhere.

Shapes stay as they are. What zeros are worth is for the compiler to say: it stores sparse weights with a bit map and
skips their products, whatever pattern they have (npusim.lowering.rewrite.weights). Patterns of nine taps: pattern
pruning (https://arxiv.org/abs/2003.06513); N of M terms: the 2:4 of NVIDIA's Ampere.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

import numpy as np
from openvino import Node
from openvino.op import Constant

from xamba.maker import Maker
from xamba.options import glob, option, share
from xamba.rule import Rewritten, Rule, Skip
from xamba.weights import SUMS, Weights, weights_of

RANDOM = "random"
_OF_TERMS, _OF_TAPS = re.compile(r"(\d+):(\d+)"), re.compile(r"(\d+)of(\d+)")


def pattern(text: str) -> str:
    """N:M, NofM or random"""
    found = _OF_TERMS.fullmatch(text) or _OF_TAPS.fullmatch(text)
    if text != RANDOM and (found is None or not 0 < int(found[1]) < int(found[2])):
        raise ValueError("expected 2:4 (of so many terms), 4of9 (of so many taps) or random")
    return text


@dataclass(frozen=True)
class Prune(Rule[Weights]):
    """The smallest weights of MatMuls and convolutions become zeros, so many of every group or of all."""

    name = "prune"
    types = SUMS

    pattern: str = option(
        RANDOM,
        pattern,
        "2:4 keeps 2 of every 4 terms of a sum, 4of9 4 of the 9 taps of a window, random any.",
    )
    share: float | None = option(
        None, share, "of the weights that become zero, for pattern=random (0.5 unless given)."
    )
    only: str = option("*", glob, "names of the ops whose weights are pruned; * stands for anything.")

    def __post_init__(self) -> None:
        """A pattern says how many are zeros."""
        if self.share is not None and self.pattern != RANDOM:
            raise ValueError(
                f"pattern={self.pattern} says itself how many weights are zeros: leave out share"
            )

    def check(self, node: Node) -> Weights | None:
        """The weights, if the pattern fits them."""
        found = weights_of(node, self.only)
        if found is None:
            return None
        sizes = [found.shape[axis] for axis in found.order[found.outputs :]]
        terms, taps = sizes[0], int(np.prod(sizes[1:]))
        if (of := _OF_TERMS.fullmatch(self.pattern)) and terms % int(of[2]):
            raise Skip(f"its sums have {terms} terms, no multiple of {of[2]}")
        if (of := _OF_TAPS.fullmatch(self.pattern)) and taps != int(of[2]):
            raise Skip(f"its window has {taps} tap{'s' if taps > 1 else ''}, not {of[2]}")
        return found

    def rewrite(self, node: Node, found: Weights, make: Maker) -> Rewritten:
        """The constant with zeros in it."""
        memory = np.asarray(found.constant.data)
        pruned, lost = make.once_for(memory, (self, found.order), lambda: self._pruned(found))
        zeros = 1 - np.count_nonzero(pruned) / max(pruned.size, 1)
        constant = make.node(found.constant.get_friendly_name(), Constant(pruned, shared_memory=True))
        note = f"{zeros:.1%} of {pruned.size:,} weights are zeros ({self.pattern})"
        return Rewritten(found.constant, constant, note, lost)

    def _pruned(self, found: Weights) -> tuple[np.ndarray, float]:
        """The weights in the constant's own type and order, and the largest that was lost."""
        rows = found.rows()
        if of := _OF_TERMS.fullmatch(self.pattern):
            outputs, terms, taps = rows.shape
            groups = rows.reshape(outputs, terms // int(of[2]), int(of[2]), taps)
            small = _smallest(groups, int(of[2]) - int(of[1]), axis=2).reshape(rows.shape)
        elif of := _OF_TAPS.fullmatch(self.pattern):
            small = _smallest(rows, int(of[2]) - int(of[1]), axis=2)
        else:
            count = round((self.share or 0.5) * rows.size)
            small = _smallest(rows.reshape(-1), count, axis=0).reshape(rows.shape)
        lost = float(np.abs(rows[small]).max(initial=0))
        kept = np.where(small, np.float32(0), rows)
        return np.ascontiguousarray(found.unrolled(kept), found.constant.data.dtype), lost


def _smallest(values: np.ndarray, count: int, axis: int) -> np.ndarray:
    """Where the ``count`` smallest magnitudes along an axis are."""
    small = np.zeros(values.shape, bool)
    if count:
        chosen = np.argpartition(np.abs(values), count - 1, axis=axis)
        np.put_along_axis(small, chosen.take(range(count), axis=axis), True, axis=axis)
    return small
