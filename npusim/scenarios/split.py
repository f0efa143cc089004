"""split: a model that begins on this NPU and ends behind a link, cut wherever the graph allows.

    T(cut) = T(head) + host + bytes * 8 / bandwidth + round trip + T(tail on the far side)

The head is lowered and simulated as the model that it then is; so is the tail where the far side is a hardware file,
and where it is a peak and a bandwidth it takes the larger of products and bytes, op by op. Bytes are those of the
tensors that cross, at so many bits a number. (SAC-d, https://arxiv.org/abs/2201.02968, chooses exit, place and bits.)
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from npusim.graph.ir import BITS, Graph
from npusim.hardware.load import load_hardware
from npusim.lowering.conservation import macs_of_op
from npusim.scenarios.parts import Cut, cuts, section, sent_bytes
from npusim.scenarios.spec import Far, Link, SplitSpec
from npusim.scenarios.timed import Bench

#: Bandwidths that the best cut is told for, as multiples of the link's.
_DECADES = np.logspace(-3, 3, 61)
#: The normal distribution's 95th percentile, in standard deviations.
_P95 = 1.645


@dataclass(frozen=True, slots=True)
class SplitPoint:
    """A cut at so many bits: behind ``op`` (empty: everything is far), what is sent, and where the time goes, µs.
    ``last``: everything is here, and nothing is sent."""

    op: str
    position: int
    bits: int
    sent_bytes: float
    head_us: float
    far_us: float
    link_us: float
    rtt_us: float
    jitter_us: float
    energy_uj: float
    last: bool

    @property
    def us(self) -> float:
        """All of it."""
        return self.head_us + self.link_us + self.rtt_us + self.far_us

    @property
    def p95_us(self) -> float:
        """With the round trip that only one message in twenty exceeds."""
        return self.us + _P95 * self.jitter_us

    @property
    def place(self) -> str:
        """Where, in words."""
        return "all here" if self.last else f"behind {self.op}" if self.op else "all far"

    def at(self, gbps: float, before: float) -> SplitPoint:
        """The same over a link of another bandwidth than ``before``."""
        return replace(self, link_us=self.link_us * before / gbps)


@dataclass(frozen=True, slots=True)
class Parted:
    """Every cut at every number of bits, and which is the best over bandwidth (Gbit/s)."""

    points: tuple[SplitPoint, ...]
    over: tuple[tuple[float, SplitPoint], ...]

    @property
    def best(self) -> SplitPoint:
        """The fastest over the link that was given."""
        return fastest(self.points)


def split(bench: Bench, spec: SplitSpec) -> Parted:
    """All cuts of a split. Raises UserError."""
    asked = bench.asked(spec.program)
    graph = asked.graph
    points = []
    for position, cut in enumerate(cuts(graph, spec.at, asked.loops)):
        head_us = head_uj = 0.0
        if cut.count:
            head = bench.call(spec.program, section(graph, 0, cut.count), asked.hardware)
            head_us, head_uj = head.us, head.energy_uj
        tail = cut.count < len(graph.ops)
        far_us = _far_us(bench, section(graph, cut.count, len(graph.ops)), spec.far) if tail else 0.0
        for bits in spec.bits if tail else spec.bits[:1]:
            sent = sent_bytes(graph, cut, bits) if tail else 0.0
            points.append(_point(cut, position, bits, sent, head_us, head_uj, far_us, spec.link))
    bandwidths = spec.gbps or tuple(spec.link.gbps * _DECADES)
    return Parted(tuple(points), tuple((g, best_at(points, g, spec.link.gbps)) for g in bandwidths))


def fastest(points: Sequence[SplitPoint]) -> SplitPoint:
    """The fastest; of equals the one that sends most, nearest to the input."""
    return min(points, key=lambda point: (point.us, -point.sent_bytes, point.position))


def best_at(points: Sequence[SplitPoint], gbps: float, before: float) -> SplitPoint:
    """The fastest over a link of another bandwidth."""
    return fastest([point.at(gbps, before) for point in points])


def _point(
    cut: Cut, position: int, bits: int, sent: float, head_us: float, head_uj: float, far_us: float, link: Link
) -> SplitPoint:
    sends = sent > 0
    return SplitPoint(
        op=cut.op, position=position, bits=bits, sent_bytes=sent, head_us=head_us, far_us=far_us,
        link_us=sent * 8 / (link.gbps * 1e3), rtt_us=1e3 * link.rtt_ms * sends,
        jitter_us=1e3 * link.jitter_ms * sends, energy_uj=head_uj + sent * link.nj_per_byte * 1e-3, last=not sends,
    )  # fmt: skip


def _far_us(bench: Bench, tail: Graph, far: Far) -> float:
    if far.hardware is not None:
        return bench.call("far side", tail, load_hardware(far.hardware)).us
    assert far.tops is not None
    assert far.gbps is not None
    return sum(
        max(
            2 * macs_of_op(tail, op) / (far.tops * 1e6),
            _bytes(tail, op.inputs + op.outputs) / (far.gbps * 1e3),
        )
        for op in tail.ops
    )


def _bytes(graph: Graph, ids: Sequence[int]) -> float:
    tensors = (graph.tensors[i] for i in ids)
    return sum(t.elements * min(BITS[t.stored_dtype], BITS[t.dtype]) / 8 for t in tensors)
