"""Pruning in place: weights that become zero, by their size, in patterns or anywhere.

Shapes stay as they are. What zeros are worth is for the compiler to say: it stores sparse weights with a bit map and
skips their products, whatever pattern they have (npusim.lowering.rewrite.weights). Patterns of nine taps: pattern
pruning (https://arxiv.org/abs/2003.06513); N of M terms: the 2:4 of NVIDIA's Ampere.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from fnmatch import fnmatchcase

import numpy as np
from openvino import Node
from openvino.op import Constant

from npusim.xamba.channels import GRANULE, Region, kept_places, narrow, region_of
from npusim.xamba.heads import drop, kept_groups, largest
from npusim.xamba.labels import ROOTS, Attention, attention_of
from npusim.xamba.layers import ENDS, Layer, layer_ending, leave_out
from npusim.xamba.maker import Maker
from npusim.xamba.options import glob, option, proportion, ratios, share_or_numbers, share_or_ratios
from npusim.xamba.rule import Rewritten, Rule, Skip
from npusim.xamba.weights import SUMS, Weights, weights_of

RANDOM, OUTPUTS = "random", "outputs"
#: Patterns of which a share says how many are zeros.
SHARED = (RANDOM, OUTPUTS)
#: Unless a share is given.
HALF = 0.5
_OF_TERMS, _OF_TAPS = re.compile(r"(\d+):(\d+)"), re.compile(r"(\d+)of(\d+)")


def pattern(text: str) -> str:
    """N:M, NofM, random or outputs"""
    found = _OF_TERMS.fullmatch(text) or _OF_TAPS.fullmatch(text)
    if text not in SHARED and (found is None or not 0 < int(found[1]) < int(found[2])):
        raise ValueError("expected 2:4 (of so many terms), 4of9 (of so many taps), outputs or random")
    return text


@dataclass(frozen=True)
class Prune(Rule["Weights | Region | Attention | Layer"]):
    """The smallest weights of MatMuls and convolutions become zeros, so many of every group or of all; or whole
    channels, heads or layers go, and what carries them becomes narrower.
    """

    name = "prune"
    types = (*SUMS, *ROOTS, *ENDS)

    pattern: str = option(
        RANDOM,
        pattern,
        "2:4 keeps 2 of every 4 terms of a sum, 4of9 4 of the 9 taps of a window; outputs takes whole outputs, random "
        "single weights.",
    )
    share: float | None = option(
        None, proportion, f"of the weights that become zero, for random and outputs ({HALF} unless given)."
    )
    ratios: tuple[tuple[str, float], ...] = option(
        (),
        ratios,
        "a YAML file of shares by op: 'layers.3.*: 0.75'; the first name that fits counts, others are kept.",
    )
    channels: tuple[tuple[str, float], ...] = option(
        (),
        share_or_ratios,
        f"share of the outputs of a product that go, with all that carries them, or a file of shares as ratios; "
        f"multiples of {GRANULE} stay.",
    )
    heads: tuple[tuple[str, float], ...] = option(
        (),
        share_or_ratios,
        "share of the heads of an attention that go, with caches and states, or a file of shares as ratios; heads that "
        "share keys go together.",
    )
    layers: tuple[int, ...] | float | None = option(
        None,
        share_or_numbers,
        "share of the layers that go, with caches and states: the deepest but the last; or their numbers joined by +.",
    )
    only: str = option("*", glob, "names of the ops whose weights are pruned; * stands for anything.")

    def __post_init__(self) -> None:
        """A pattern says how many are zeros."""
        others = self.share is not None or self.ratios or self.pattern != RANDOM
        given = [name for name in ("channels", "heads", "layers") if getattr(self, name)]
        for name in given:
            if others or len(given) > 1:
                raise ValueError(f"{name} is a pruning by itself: leave out the other options but only")
        if self.share is not None and self.ratios:
            raise ValueError("share is for all ops and ratios says it of each: leave out one")
        if (self.share is not None or self.ratios) and self.pattern not in SHARED:
            raise ValueError(
                f"pattern={self.pattern} says itself how many weights are zeros: leave out share"
            )

    def check(self, node: Node) -> Weights | Region | Attention | Layer | None:
        """The weights, if the pattern fits them, or the channels or heads that are narrowed together."""
        if self.layers is not None:
            ends = node.get_type_name() in ENDS and fnmatchcase(node.get_friendly_name(), self.only)
            return layer_ending(node, self.layers) if ends else None
        if self.channels or self.heads:
            return self._structure(node)
        if node.get_type_name() not in SUMS:
            return None
        found = weights_of(node, self.only)
        if found is None or not self._share(node):
            return None
        sizes = [found.shape[axis] for axis in found.order[found.outputs :]]
        terms, taps = sizes[0], int(np.prod(sizes[1:]))
        if (of := _OF_TERMS.fullmatch(self.pattern)) and terms % int(of[2]):
            raise Skip(f"its sums have {terms} terms, no multiple of {of[2]}")
        if (of := _OF_TAPS.fullmatch(self.pattern)) and taps != int(of[2]):
            raise Skip(f"its window has {taps} tap{'s' if taps > 1 else ''}, not {of[2]}")
        return found

    def _structure(self, node: Node) -> Region | Attention | None:
        share = _first(self.channels or self.heads, node.get_friendly_name())
        if not share or not fnmatchcase(node.get_friendly_name(), self.only):
            return None
        if self.heads:
            attention = attention_of(node) if node.get_type_name() in ROOTS else None
            if attention is not None:
                kept_groups(attention, share)
            return attention
        region = region_of(node) if node.get_type_name() in SUMS else None
        if region is not None:
            kept_places(region, share)
        return region

    def rewrite(self, node: Node, found: Weights | Region | Attention | Layer, make: Maker) -> Rewritten:
        """The constant with zeros in it, or with fewer outputs."""
        if isinstance(found, Region):
            return self._narrowed(node, found)
        if isinstance(found, Layer):
            gone = leave_out(found, node, make)
            note = f"layer {found.number} goes, and {gone} of its inputs, results and states"
            return Rewritten(node, found.enters.get_node(), note, known=True)
        if isinstance(found, Attention):
            kept = kept_groups(found, _first(self.heads, node.get_friendly_name()))
            lost = max(largest(weights, labels, kept) for _, weights, labels in found.producers.values())
            together = found.heads // found.groups
            by = f", {together} of which share keys" if together > 1 else ""
            caches = len(found.inputs) + len(found.states)
            note = (
                f"{len(kept) * together} of {found.heads} heads{by}; {len(found.carried)} constants and {caches} "
                "caches narrowed too"
            )
            return Rewritten(*drop(found, kept, make), note, lost)
        memory = np.asarray(found.constant.data)
        part = self._share(node)
        pruned, lost = make.once_for(memory, (self, part, found.order), lambda: self._pruned(found, part))
        zeros = 1 - np.count_nonzero(pruned) / max(pruned.size, 1)
        constant = make.node(found.constant.get_friendly_name(), Constant(pruned, shared_memory=True))
        note = f"{zeros:.1%} of {pruned.size:,} weights are zeros ({self.pattern})"
        return Rewritten(found.constant, constant, note, lost)

    def _narrowed(self, node: Node, region: Region) -> Rewritten:
        kept = kept_places(region, _first(self.channels, node.get_friendly_name()))
        lost = max(float(np.abs(np.delete(w.rows(), kept, 0)).max()) for _, w in region.producers.values())
        others = len(region.producers) - 1
        beside = f", with {others} other{'s' if others > 1 else ''}" if others else ""
        note = f"{len(kept)} of {region.channels} channels{beside}, and {len(region.carried)} constants narrowed too"
        return Rewritten(*narrow(region, kept, node), note, lost)

    def _share(self, node: Node) -> float:
        """Of the weights that become zero, where a share says that."""
        if not self.ratios:
            return self.share or HALF
        return _first(self.ratios, node.get_friendly_name())

    def _pruned(self, found: Weights, part: float) -> tuple[np.ndarray, float]:
        """The weights in the constant's own type and order, and the largest that was lost."""
        rows = found.rows()
        if of := _OF_TERMS.fullmatch(self.pattern):
            outputs, terms, taps = rows.shape
            groups = rows.reshape(outputs, terms // int(of[2]), int(of[2]), taps)
            small = _smallest(groups, int(of[2]) - int(of[1]), axis=2).reshape(rows.shape)
        elif of := _OF_TAPS.fullmatch(self.pattern):
            small = _smallest(rows, int(of[2]) - int(of[1]), axis=2)
        elif self.pattern == OUTPUTS:
            sizes = np.square(rows).sum(axis=(1, 2))
            small = np.broadcast_to(
                _smallest(sizes, round(part * len(rows)), axis=0)[:, None, None], rows.shape
            )
        else:
            count = round(part * rows.size)
            small = _smallest(rows.reshape(-1), count, axis=0).reshape(rows.shape)
        lost = float(np.abs(rows[small]).max(initial=0))
        kept = np.where(small, np.float32(0), rows)
        return np.ascontiguousarray(found.unrolled(kept), found.constant.data.dtype), lost


def _first(shares: tuple[tuple[str, float], ...], name: str) -> float:
    """The share of the first pattern that fits a name; 0 where none does."""
    return next((part for known, part in shares if fnmatchcase(name, known)), 0.0)


def _smallest(values: np.ndarray, count: int, axis: int) -> np.ndarray:
    """Where the ``count`` smallest magnitudes along an axis are."""
    small = np.zeros(values.shape, bool)
    if count:
        chosen = np.argpartition(np.abs(values), count - 1, axis=axis)
        np.put_along_axis(small, chosen.take(range(count), axis=axis), True, axis=axis)
    return small
