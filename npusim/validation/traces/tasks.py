"""What the tasks of a trace do, as far as it prints: shapes, element types, memories.

A trace names neither kernel windows nor the elements that a kernel charges for, so this is work for rooflines, traffic
and energy; nothing is priced by it. The weights of depth-wise convolutions are packed: their windows count as 1x1.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from math import prod
from typing import Any

from npusim.errors import UserError
from npusim.graph.ir import BITS
from npusim.program.work import DmaWork, DpuKind, DpuWork, Memory, ShaveWork, Work
from npusim.validation.traces.file import Event

_TENSOR = re.compile(r"((?:\d{1,10}x){0,16})([a-z]{1,9}\d\w{0,9})(?=[],\s]|$)", re.ASCII)
#: Bytes and elements beyond these are no task's.
_MOST_DIGITS, _MOST_ELEMENTS = 15, 10**15
_BITS = {"ui": "u", "si": "i"}


@dataclass(frozen=True, slots=True)
class Shape:
    """A tensor as a trace prints it, ``1x192x16x4xf16``."""

    dims: tuple[int, ...]
    bits: int

    @property
    def elements(self) -> int:
        """Number of elements."""
        return prod(self.dims)

    @property
    def bytes(self) -> int:
        """Size, rounded up to whole bytes."""
        return (self.elements * self.bits + 7) // 8


def shapes(text: Any) -> tuple[Shape, ...]:
    """The tensors of ``[1x64x8x8xf16, 64x64x1x1xf16]``; none where the text has none."""
    return _shapes(str(text or ""))


@lru_cache(maxsize=4096)  # the tasks of an op have few shapes
def _shapes(text: str) -> tuple[Shape, ...]:
    found = tuple(
        Shape(tuple(int(dim) for dim in match[1].split("x")[:-1]), _bits(match[2]))
        for match in _TENSOR.finditer(text)
    )
    if any(shape.elements > _MOST_ELEMENTS for shape in found):
        raise UserError(f"a tensor of the trace has more than {_MOST_ELEMENTS:,} elements: {text:.100}")
    return found


def work_of(event: Event) -> Work:
    """What one task does."""
    if event.category == "DMA":
        return _transfer(event.args)
    if event.category == "DPU":
        return _dpu(shapes(event.args.get("Input tensors")), shapes(event.args.get("Output tensors")))
    return _kernel(event)


def detail_of(event: Event) -> str:
    """The task for people: what it reads and writes."""
    args = event.args
    if event.category == "DMA":
        source, target = (args.get(f"{side} memory:", "?") for side in ("Source", "Destination"))
        return f"{source} to {target} {args.get('Output tensor shape', '')}"
    if "Detail" in args:
        return str(args["Detail"])
    return f"{args.get('Input tensors', '')} to {args.get('Output tensors', '')}"


def _transfer(args: Mapping[str, Any]) -> DmaWork:
    told = args.get("Output tensor shape")
    moved = sum(shape.bytes for shape in shapes(told)) or _whole(args.get("Total bytes"))
    source, target = (_memory(args.get(f"{side} memory:")) for side in ("Source", "Destination"))
    return DmaWork(source, target, moved, moved, "fetch" if told and not moved else "copy")


def _memory(text: Any) -> Memory:
    return "cmx" if str(text).upper().startswith("CMX") else "ddr"


def _dpu(inputs: Sequence[Shape], outputs: Sequence[Shape]) -> DpuWork:
    """A convolution where operands differ in all but their channels or the output has other channels than the only
    input; depth-wise where weights have fewer channels than the data; eltwise of two alike; else a pooling."""
    output = outputs[0] if outputs else Shape((1, 1, 1, 1), 16)
    data = inputs[0] if inputs else output
    weights = inputs[1] if len(inputs) > 1 else None
    channels, height, width = _box(output)
    kind: DpuKind = "maxpool"
    reduced = kernel_h = kernel_w = 1
    if weights is None:
        if _box(data)[0] != channels:
            kind, reduced = "conv", _box(data)[0]
    elif weights.dims == data.dims:
        kind = "eltwise"
    elif _box(data)[0] != _box(weights)[0]:
        kind = "dwconv"
    else:
        kind, (reduced, kernel_h, kernel_w) = "conv", _box(weights)
        channels = min(channels, weights.dims[0])
    return DpuWork(
        kind=kind,
        height=height,
        width=width,
        out_channels=channels,
        in_channels=reduced,
        kernel_h=kernel_h,
        kernel_w=kernel_w,
        in_bits=data.bits,
        out_bits=output.bits,
        weight_bits=weights.bits if weights else 16,
    )


def _box(shape: Shape) -> tuple[int, int, int]:
    """Channels, height and width: the dimensions after the first, any beyond four multiplied into height."""
    dims = (*shape.dims, 1, 1, 1, 1)[: max(len(shape.dims), 4)]
    return dims[1], prod(dims[2:-1]), dims[-1]


def _kernel(event: Event) -> ShaveWork:
    inputs, outputs = (shapes(event.args.get(f"{side} tensors")) for side in ("Input", "Output"))
    kernel = event.args.get("Kernel") or event.name.partition("?t_")[2].partition("/")[0].lower()
    elements = sum(shape.elements for shape in outputs) or _whole(event.args.get("Output elements"))
    written = sum(shape.bytes for shape in outputs) or _whole(event.args.get("Output bytes"))
    return ShaveWork(
        str(kernel or "unknown"), elements, written, written + sum(shape.bytes for shape in inputs)
    )


def _whole(value: Any) -> int:
    return int(value) if str(value).isdecimal() and len(str(value)) <= _MOST_DIGITS else 0


def _bits(name: str) -> int:
    """Bits of an element type by the compiler's name of it (``f16``, ``ui8``, ``si32``)."""
    return BITS.get(_BITS.get(name[:2], name[:2]) + name[2:], 8)
