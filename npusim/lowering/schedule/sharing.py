"""Sharing: loads from DDR that several plans find in CMX."""

from __future__ import annotations

from npusim.lowering.ir.convolution import brings_weights
from npusim.lowering.ir.images import is_image
from npusim.lowering.ir.nodes import Conv
from npusim.lowering.ir.plan import load_bytes
from npusim.lowering.ir.values import Dist
from npusim.lowering.schedule.steps import Residency


class Sharing:
    """Lets a convolution or sum of images find an activation where a convolution before it has loaded it in the same
    parts: to the compiler the copies are one (the 36 projections per head of bert on 6 tiles load their input once). A
    row comes as a whole for all groups of a MatMul whose weights are quantised by groups."""

    def __init__(self, found: Residency) -> None:
        """Nothing loaded yet."""
        self.found = found
        self.loaded: dict[tuple[int, Dist, str], tuple[int, int]] = {}
        self.weights: dict[tuple[object, ...], int] = {}

    def share(self, reader: int, operand: int) -> None:
        """An operand that a plan reads from DDR: share what is loaded, or note that it is from here on."""
        found, plan = self.found, self.found.plans[reader]
        value, dist = plan.inputs[operand], plan.in_dists[operand]
        reads = isinstance(plan.node, Conv) or (plan.node.runs("add") and is_image(value.shape))
        row = value.partial and isinstance(plan.node, Conv) and plan.node.m == 1 and plan.node.window is None
        if not reads or dist is None or (value.partial and not row) or len(plan.slices) != 1:
            return
        key = value.storage, dist, plan.node.name if value.partial else ""
        first = self.loaded.get(key)
        if first is not None:
            step, end = found.steps_of[first[0]][0], found.steps_of[reader][0]
            size = found.load_bytes(step, first[1])
            between = range(found.shared_until.get(first, step) + 1, end)
            if size == found.load_bytes(end, operand) and found.take(dict.fromkeys(between, size)):
                found.shared[reader, operand] = first
                found.shared_until[first] = end
                return
        if isinstance(plan.node, Conv):
            self.loaded[key] = reader, operand

    def share_weights(self, reader: int) -> None:
        """Let a plan find its weights where one before it has loaded the same constant in the same parts, as long as
        there is room for them (the steps of a loop), or note that it loads them. Those that are stored sparse come for
        each anew."""
        found, plan = self.found, self.found.plans[reader]
        if not isinstance(plan.node, Conv) or plan.node.zeros or len(plan.slices) != 1:
            return
        loads = [load for load in plan.slices[0].loads if brings_weights(load)]
        if not loads:
            return
        key = plan.function, plan.node.inputs[1].storage, *((x.tile, x.cmx_bytes) for x in loads)
        first = self.weights.setdefault(key, reader)
        if first == reader:
            return
        (end,) = found.steps_of[reader]
        last = found.weights_until.get(first, found.steps_of[first][0])
        if found.take(dict.fromkeys(range(last + 1, end), load_bytes(loads, found.tiles))):
            found.weights[reader] = first
            found.weights_until[first] = end
        else:
            self.weights[key] = reader
