"""What is around a convolution that its plan depends on."""

from __future__ import annotations

from dataclasses import dataclass

from npusim.lowering.ir.kernels import KERNELS
from npusim.lowering.ir.shapes import H
from npusim.lowering.ir.values import Dist
from npusim.lowering.split.dpu import Split, Wanted
from npusim.lowering.tile.matmul_estimate import NOTHING, Behind


@dataclass(frozen=True, slots=True)
class Surroundings:
    """What a convolution's neighbours ask of it.

    ``hint`` is how its activation lies in CMX, ``sliced_producer`` that the op before is sliced, ``wanted`` how the
    readers want the result. ``followed``: the elementwise kernel that is the only reader, which can be cut together
    with the convolution; ``gated``: a product finds in CMX what that makes; ``read_us``: what its readers take to load
    it.
    ``reordered``: its activation has just been brought to channels last for it; ``behind``: the op that makes it;
    ``loose``: without the padding it needs.
    """

    hint: Dist | None = None
    sliced_producer: bool = False
    wanted: Wanted = Wanted.ANY
    followed: str = ""
    gated: bool = False
    read_us: float = 0.0
    reordered: bool = False
    behind: Behind = NOTHING
    spilled_us: float = 0.0
    loose: bool = False

    def fuses(self, split: Split | None = None) -> bool:
        """Whether the kernel is cut together with what a MatMul makes of operands that are loaded for it: along any
        axis, or along rows, if the tiles share those."""
        if not self.followed or self.gated or self.hint is not None:
            return False
        return split == "rows" or KERNELS[self.followed].axes[0] != H


#: Nothing around it.
ALONE = Surroundings()
