"""What a task does, apart from how long it takes: the terms that a cost model prices.

A Program holds work, never durations, so that the same Program can be priced for many clocks, bandwidths and
kernel speeds.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

#: ``ddr``, ``cmx``, or the name of a tier of the hardware file that a tensor is kept in instead of DDR.
Memory = str
DpuKind = Literal["conv", "dwconv", "maxpool", "avgpool", "eltwise", "permute"]
MpeMode = Literal["16x16", "8x16", "4x16"]
#: What a transfer does to its bytes besides moving them.
DmaKind = Literal["copy", "resize", "gather", "convert", "fetch", "sync"]


@dataclass(frozen=True, slots=True)
class DmaWork:
    """One transfer. ``bytes`` is what one copy puts on the wire (a multicast to all tiles costs one copy).

    ``counted_bytes`` is what the cost model charges for: the bytes, except where an estimator is known to count
    another number (whole table of a gather, two bytes for every element wider than one). ``ddr_read_bytes`` and
    ``ddr_write_bytes`` are the real DRAM traffic. ``kept``: the tier that keeps what passes.
    """

    src: Memory
    dst: Memory
    bytes: int
    counted_bytes: int
    kind: DmaKind = "copy"
    kept: Memory = ""

    @property
    def read_bytes(self) -> int:
        """Bytes read from DRAM, or from a tier in its place."""
        return self.bytes if self.src != "cmx" else 0

    @property
    def ddr_read_bytes(self) -> int:
        """Bytes read from DRAM."""
        return self.bytes if self.src == "ddr" else 0

    @property
    def ddr_write_bytes(self) -> int:
        """Bytes written to DRAM."""
        return self.bytes if self.dst == "ddr" else 0


@dataclass(frozen=True, slots=True)
class DpuWork:
    """One DPU task on one tile: what its MAC array computes, output side.

    ``height``, ``width``, ``out_channels`` are the output's; ``in_channels`` the reduced channels of a conv (1 for
    depth-wise, pooling and eltwise); ``variant_channels`` > 0 cuts the task into workloads of at most so many
    channels that run one after another (depth-wise, pooling), 0 keeps it whole. ``mpe_mode`` is the stencil that the
    compiler chose for the whole layer. ``lut`` marks a fused look-up activation. ``skipped`` is the share of the
    multiply-accumulates that the few channels of a first convolution save, ``zeros`` the share of zeros in weights that
    are stored without them; ``relu``: its activation is what a ReLU made, on a DPU that skips such zeros. ``planes``:
    the result is written as planes, channels outermost, or otherwise with another dimension innermost than the op has;
    ``upended``: with the rows innermost. ``fp8``: 8-bit operands are floats. ``shared_rows``: the tiles share the rows
    of an image whose windows are pooled or convolved channel by channel. ``everywhere``: the result of a dense product
    is written to all tiles.
    """

    kind: DpuKind
    height: int
    width: int
    out_channels: int
    in_channels: int = 1
    kernel_h: int = 1
    kernel_w: int = 1
    stride: int = 1
    in_bits: int = 16
    out_bits: int = 16
    weight_bits: int = 16
    mpe_mode: MpeMode = "16x16"
    variant_channels: int = 0
    lut: bool = False
    skipped: float = 0.0
    zeros: float = 0.0
    relu: bool = False
    planes: bool = False
    upended: bool = False
    fp8: bool = False
    shared_rows: bool = False
    everywhere: bool = False

    @property
    def macs(self) -> int:
        """Multiply-accumulates (for eltwise and permute: output elements), those with zero weights left out."""
        out = self.height * self.width * self.out_channels
        kept = (1 - self.skipped) * (1 - self.zeros)
        return int(out * self.in_channels * self.kernel_h * self.kernel_w * kept)


@dataclass(frozen=True, slots=True)
class ShaveWork:
    """One SHAVE kernel call: ``kernel`` names the row of the kernel table (``exp``, ``cumsum``, ``softmax`` ...).

    ``out_elements`` and ``out_bytes`` are this call's share of the output; ``io_bytes`` all its inputs and outputs
    (a broadcast operand counts its real bytes). ``macs`` are the products that ``dot`` adds up, 0 for other kernels.
    """

    kernel: str
    out_elements: int
    out_bytes: int
    io_bytes: int
    macs: int = 0


@dataclass(frozen=True, slots=True)
class BlockWork:
    """One call of a unit beside the tiles, named as in the hardware file: ``macs`` multiply-accumulates that it stands
    for, in ``levels`` products one behind the other; ``out_elements`` results, ``io_bytes`` of inputs and results."""

    block: str
    macs: int
    levels: int
    out_elements: int
    io_bytes: int


Work = DmaWork | DpuWork | ShaveWork | BlockWork
