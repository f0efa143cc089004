"""Nodes: the ops of a Graph after fusion, still without hardware; what placement chooses an engine for.

A class of node is a kind of work, and its fields are the facts of it that the operands do not say. What is decided
later (split, slices, what lies where) belongs to the Plan.
"""

from __future__ import annotations

from dataclasses import dataclass
from math import prod
from typing import Literal

from npusim.lowering.ir.values import Value


@dataclass(frozen=True, slots=True)
class Window:
    """What slides over an image: its extent and steps along rows and columns. ``pads`` are those before all spatial
    dimensions, then those behind them. ``grown``: the image is read with so many pixels for each, zeros but for the
    first. ``width``: columns of the result as the DPU computes it, where it takes groups of pixels for one (0: all).
    ``addressed``: pixels are read through a table of their addresses (storage elements)."""

    kernel: tuple[int, int] = (1, 1)
    stride: tuple[int, int] = (1, 1)
    pads: tuple[int, ...] = (0, 0, 0, 0)
    grown: int = 1
    width: int = 0
    addressed: bool = False

    @property
    def top(self) -> int:
        """Rows of padding above the image."""
        return self.pads[0]

    @property
    def bottom(self) -> int:
        """Rows of padding below it."""
        return self.pads[len(self.pads) // 2]

    @property
    def point(self) -> bool:
        """Each pixel of the result depends on the one of the image at its place."""
        return self.kernel == self.stride == (1, 1) and not any(self.pads)


#: The window of an op that works on every pixel by itself.
POINT = Window()


@dataclass(frozen=True, slots=True)
class Node:
    """One fused operation.

    ``name`` and ``type`` are those of the model's op that gives it its place in reports; ``fused`` the other ops it
    covers. ``inputs`` are its operands in the model's order. ``post`` is the activation that the DPU applies to its
    result, ``bias`` says that it adds one. ``region``: the function of the model that it belongs to, which is compiled
    apart from the rest. ``each``: each tile works on an image of its own.
    """

    name: str
    type: str
    inputs: tuple[Value, ...]
    output: Value
    fused: tuple[str, ...] = ()
    post: str = ""
    bias: bool = False
    region: str = ""
    each: bool = False

    def runs(self, *kernels: str) -> bool:
        """Whether it is arithmetic or a kernel by one of these names."""
        return False


@dataclass(frozen=True, slots=True, kw_only=True)
class Product(Node):
    """Sums of products: ``m`` rows (pixels) by ``k`` with ``n`` columns (channels) by ``k``; of images where it has a
    ``window``. ``shared``: its activation is loaded once for many like it. ``zeros``: the share of its weights that is
    zero, by construction (the gaps of a dilated kernel, the other groups of a grouped one) or by chance, and stored
    sparse. ``rectified``: its activation is what a ReLU made, on a DPU that skips such zeros."""

    m: int
    n: int
    k: int
    window: Window | None = None
    shared: bool = False
    zeros: float = 0.0
    rectified: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Conv(Product):
    """An activation times constant weights: MatMul, Convolution."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Bmm(Product):
    """A MatMul of two activations, ``batch`` of them; ``on`` the DPU, or by a SHAVE kernel. ``regrouped``: who
    makes its left side, or reads its result, sees other groups than it, and so leaves or finds them in DDR.
    ``four``: the model gives both its factors four dimensions."""

    batch: int = 1
    four: bool = False
    regrouped: Literal["", "left", "result", "both"] = ""
    on: Literal["dpu", "shave"] = "dpu"


@dataclass(frozen=True, slots=True, kw_only=True)
class Depthwise(Node):
    """A depth-wise convolution."""

    window: Window


@dataclass(frozen=True, slots=True, kw_only=True)
class Pool(Node):
    """Max or average pooling."""

    window: Window
    largest: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class Scale(Node):
    """A scale and shift by constants that are scalar or vary along ``axis``: a depth-wise 1x1 convolution.
    ``additive``: a shift alone. ``any_order``: the reader takes the result in any order of its elements."""

    axis: int | None
    additive: bool = False
    any_order: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Kernel(Node):
    """What a SHAVE ``kernel`` of this name runs, unless the DPU can. ``outer``: it works on a product that stays
    channels-last (``fuse.outer``)."""

    kernel: str
    outer: bool = False

    def runs(self, *kernels: str) -> bool:
        """Whether it is arithmetic or a kernel by one of these names."""
        return self.kernel in kernels


@dataclass(frozen=True, slots=True)
class Further(Node):
    """A further result of the kernel call that is the node before it; what that reads, it does not read again."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Resize(Kernel):
    """An image resized by a kernel: ``step`` rows of it make one of the result, which reads so many ``before`` and
    ``behind`` the one at its place, by weights of a table for rows and one for columns where it is ``weighted``."""

    step: float
    before: int = 0
    behind: int = 0
    weighted: bool = False


@dataclass(frozen=True, slots=True)
class AttentionKernel(Node):
    """A whole attention by one kernel: query, key, transposed value and, where there is one, a mask."""

    def runs(self, *kernels: str) -> bool:
        """Whether it is arithmetic or a kernel by one of these names."""
        return "attention" in kernels


@dataclass(frozen=True, slots=True, kw_only=True)
class Unary(Kernel):
    """One activation, elementwise or along ``axis``. ``low``: what a Clamp begins at. ``repeated``: the batch of the
    Select before it, or how many products run one after the other have made its operand; 1: every tile does it all.
    ``planes``: it works along lines [1, N, C, H * W] that are the planes of images. ``beside``: bits of ``Further``
    results for each element of its own."""

    axis: int | None = None
    low: float | None = None
    repeated: int = 0
    planes: bool = False
    beside: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class Eltwise(Kernel):
    """Two (or three) activations, broadcast. ``scaled``: its operands lie such that it can be a scale of channels.
    ``batched``: the batch that one mask of a Select serves."""

    scaled: bool = False
    batched: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class Reduce(Node):
    """A sum, mean, maximum or minimum over ``axes``, which lie side by side in memory."""

    by: Literal["sum", "mean", "max", "min"]
    axes: tuple[int, ...]

    @property
    def view(self) -> tuple[int, int, int]:
        """The operand in memory: what lies outside of the axes, the axes, what lies inside."""
        value = self.inputs[0]
        order = value.memory_order
        places = [order.index(a) for a in self.axes]
        dims = [value.shape[d] for d in order]
        first, last = min(places), max(places) + 1
        return prod(dims[:first]), prod(dims[first:last]), prod(dims[last:])


@dataclass(frozen=True, slots=True, kw_only=True)
class Transpose(Node):
    """Data that are really moved, and stored ``copies`` times. ``reorder``: of a product that stayed channels-last."""

    reorder: bool = False
    copies: int = 1


@dataclass(frozen=True, slots=True)
class ChannelsLast(Node):
    """An image of planes written with its channels innermost, for several readers."""


@dataclass(frozen=True, slots=True)
class Upsample(Node):
    """An image whose pixels are written so many apart, between zeros, in the order in which it lies."""


@dataclass(frozen=True, slots=True)
class DepthToSpace(Node):
    """Channels of an image spread over its pixels, channels last before and after."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Concat(Node):
    """Pieces written side by side: Concat, Pad."""

    axis: int


@dataclass(frozen=True, slots=True)
class Copy(Node):
    """A Slice or Split whose result must exist by itself."""


@dataclass(frozen=True, slots=True)
class Broadcast(Node):
    """Broadcast, Tile: a value repeated."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Gather(Node):
    """Rows or elements picked by index."""

    axis: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Convert(Node):
    """A change of element type; ``quantize``: to 8 bits, on the DPU."""

    quantize: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class BlockCall(Node):
    """What one call of the unit ``block`` beside the tiles computes: ``macs``, ``levels`` products deep."""

    block: str
    macs: int
    levels: int


def axis_of(node: Node) -> int | None:
    """The axis that a node works along, if any."""
    return node.axis if isinstance(node, Scale | Unary | Concat | Gather) else None
