"""A convolution, the kernel that reads it and the convolution of single pixels behind that, run strip by strip.

While the SHAVEs work on one strip, the DPU computes the next strip of the first convolution, or the one before of the
last (vertical fusion as a pipeline). It takes all three: a convolution that fits in CMX is not cut for the sake of its
kernel alone.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Literal

from npusim.costs.price import work_us
from npusim.hardware.schema import Hardware
from npusim.lowering.ir.convolution import is_stem
from npusim.lowering.ir.moves import moves_us
from npusim.lowering.ir.nodes import Conv, Unary
from npusim.lowering.ir.plan import CONSTANT, Plan, Slice, booked_bytes, cmx_capacity
from npusim.lowering.place.chain import follows
from npusim.lowering.place.neighbours import Neighbours
from npusim.lowering.plans.dpu.strips import Strips, plan_strips, strip_parts
from npusim.lowering.split.dpu import choose
from npusim.program.work import ShaveWork

#: Strips are not narrower than the cells that the DPU computes, pixels.
LEAST_SIDE = 4
#: Share of CMX that two strips of all three may take (npu_compiler, vertical_fusion v2: pipelining).
PIPELINED_SHARE = 0.95
#: The kernel whose price stands for that of one that schedules take as nothing.
USUAL_KERNEL = "swish"


def begins_pipeline(node: Conv, plan: Plan, near: Neighbours) -> Plan | None:
    """The plan of a convolution in strips, if it pays to run the two ops behind it with it."""
    shared = plan.out_dist is not None and not plan.out_dist.whole and near.hw.tiles > 1
    rows = shared and len(plan.slices) == 1
    return plan_strips(node, near.hw, strips) if rows and (strips := _strips(node, near)) else None


def ends_pipeline(node: Conv, near: Neighbours) -> Plan | None:
    """The plan of the last of the three, if the two before it, placed just now, run in strips."""
    kernel = near.sliced.get(node.inputs[0].storage)
    first = near.sliced.get(kernel.inputs[0].storage) if kernel is not None else None
    if kernel is None or first is None or kernel is not near.latest or not isinstance(first.node, Conv):
        return None
    chained = isinstance(kernel.node, Unary) and kernel.chain == first.chain_number
    strips = _strips(first.node, near) if chained else None
    if strips is None or first.strategy != strips.strategy(near.hw):
        return None  # the first is in slices that it needs by itself
    return plan_strips(node, near.hw, strips, kernel.chain)


def _strips(first: Conv, near: Neighbours) -> Strips | None:
    """How a convolution and the two ops behind it are cut, if that takes less time than one after the other."""
    kernel = near.sole_reader(first.output)
    last = near.sole_reader(kernel.output) if isinstance(kernel, Unary) else None
    if not isinstance(kernel, Unary) or not isinstance(last, Conv) or not follows(kernel, near):
        return None
    if not _is_row_of_three(first, last) or choose(last, near.hw, True) != "rows":
        return None
    three = _Three(first, kernel, last, not near.read_by(last.output), near.hw)
    ways = [way for way in (three.fewest("rows"), three.fewest("columns")) if way is not None]
    best = min(ways, key=three.together_us, default=None)
    return best if best is not None and three.together_us(best) <= three.apart_us() else None


def _is_row_of_three(first: Conv, last: Conv) -> bool:
    """Whether two convolutions are of one image, and the second of its single pixels."""
    images = all(len(conv.output.shape) == 4 and conv.inputs[1].constant for conv in (first, last))
    windows = first.window is not None and last.window is not None and last.window.point
    return images and windows and not is_stem(first) and first.output.shape[2:] == last.output.shape[2:]


@dataclass(frozen=True, slots=True)
class _Three:
    """The convolution, its kernel and the last convolution, as the compiler weighs them."""

    first: Conv
    kernel: Unary
    last: Conv
    returned: bool
    hw: Hardware

    def fewest(self, axis: Literal["rows", "columns"]) -> Strips | None:
        """The fewest strips of an axis of which two fit, if the axis is long enough for them."""
        side = self.first.output.shape[2 if axis == "rows" else 3]
        counts = (Strips(axis, count) for count in range(2, side // LEAST_SIDE + 1))
        return next(filter(self._fits, counts), None)

    def apart_us(self) -> float:
        """How long the three compute one after the other."""
        return sum(times for stage in self._stages(Strips("rows", 1)) for times in stage)

    def together_us(self, strips: Strips) -> float:
        """How long they do strip by strip. The first strip's operand is waited for, others' as far as the convolution
        before does not hide them; what the strips make is written, unless the model returns it anyway."""
        stages, shave = self._stages(strips), 0.0
        reads, writes = self._moves_us(strips)
        dpu = stages[0][0] + reads[0]
        for number, (_, kernel, last) in enumerate(stages):
            shave = max(shave, dpu) + kernel
            if number + 1 < len(stages):
                dpu += max(stages[number][0], reads[number + 1]) - stages[number][0] + stages[number + 1][0]
            dpu = max(dpu, shave) + last
        return dpu + (0.0 if self.returned else sum(writes))

    def _stages(self, strips: Strips) -> list[tuple[float, float, float]]:
        """What each strip takes in each of the three, us."""
        firsts, lasts = (strip_parts(conv, self.hw, strips) for conv in (self.first, self.last))
        return [
            (_computes_us(a, self.hw), self._kernel_us(a), _computes_us(b, self.hw))
            for a, b in zip(firsts, lasts, strict=True)
        ]

    def _kernel_us(self, part: Slice) -> float:
        """What a strip takes in the kernel as it is weighed: on one SHAVE, divided by all."""
        out = self.kernel.output
        size = sum(part.out_bytes)
        work = ShaveWork(self.kernel.kernel, size * 8 // out.bits, size, 2 * size)
        us = work_us(work, self.hw, True) or work_us(replace(work, kernel=USUAL_KERNEL), self.hw, True)
        return us / (self.hw.tiles * self.hw.shave.per_tile)

    def _moves_us(self, strips: Strips) -> tuple[list[float], list[float]]:
        """What the transfers of each strip take: of the operand, and of the result."""
        firsts, lasts = (strip_parts(conv, self.hw, strips) for conv in (self.first, self.last))
        acts = [[load.work.bytes for load in part.loads if load.operand != CONSTANT] for part in firsts]
        results = [[store.work.bytes for store in part.stores] for part in lasts]
        reads, writes = ([moves_us(sizes, self.hw) for sizes in moves] for moves in (acts, results))
        return reads, writes

    def _fits(self, strips: Strips) -> bool:
        """Whether two strips fit beside all weights; the kernel works in place."""
        firsts, lasts = (strip_parts(conv, self.hw, strips) for conv in (self.first, self.last))
        own = weights = 0
        for part in (firsts[0], lasts[0]):
            weights += booked_bytes([x for x in part.loads if x.operand == CONSTANT], self.hw.tiles)
            own += max(part.out_bytes)
        own += booked_bytes([x for x in firsts[0].loads if x.operand != CONSTANT], self.hw.tiles)
        return 2 * own + weights <= PIPELINED_SHARE * cmx_capacity(self.hw)


def _computes_us(part: Slice, hw: Hardware) -> float:
    return max(work_us(work, hw) for _, work in part.computes)
