"""Where depth-wise convolutions run, and how their image is split for the neighbours."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

from npusim.lowering.ir.nodes import Conv, Depthwise
from npusim.lowering.ir.plan import Plan, multicast
from npusim.lowering.ir.values import Fresh
from npusim.lowering.place.kernels import read_in_channels
from npusim.lowering.place.neighbours import Neighbours
from npusim.lowering.plans.dpu.depthwise import plan_depthwise
from npusim.lowering.plans.shave.kernel import plan_shave
from npusim.program.journal import note


def depthwise(node: Depthwise, near: Neighbours, fresh: Fresh) -> Iterator[Plan]:
    """The convolution on the DPU, but of one pixel."""
    value, weights = node.inputs[:2]
    single = value.elements == node.output.elements == node.output.shape[1]
    if single and len(node.inputs) == 2 and not node.post:
        # One pixel meets one tap: a product of channels.
        factors = replace(weights, shape=node.output.shape, order=())
        product = replace(node, inputs=(value, factors))
        note("engine", node.name, "SHAVE: one tap of one pixel is a product of channels")
        yield plan_shave(product, near.hw, "multiply", near.hint(value))
        return
    *before, plan = plan_depthwise(
        node, near.hw, fresh, near.is_turned(value), near.batched, near.read_by_rows(node.output),
        found_in_rows=_finds_rows(node, near), kept=near.between_kernels(node),
    )  # fmt: skip
    readers = near.read_by(node.output)
    convolved = any(isinstance(n, Conv | Depthwise) for n in readers)
    by_channels = plan.out_dist is not None and plan.out_dist.outer > 1 and not node.output.plain
    if by_channels and (convolved or not read_in_channels(node.output, readers, near.hw)):
        plan = multicast(plan, near.hw)
    yield from (*before, plan)


def _finds_rows(node: Depthwise, near: Neighbours) -> bool:
    """Whether a convolution over rows finds its image in CMX: cut so, and not by a kernel, which can not write the rows
    that a window needs of the next tile to both."""
    hint, window = near.hint(node.inputs[0]), node.window
    cut = hint is not None and hint.outer == 1 and len(hint.cuts) > 1
    return cut and (node.inputs[0].storage in near.on_dpu or window.kernel[0] <= window.stride[0])
