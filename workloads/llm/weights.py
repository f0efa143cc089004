"""Constants of a decoder: INT8 and INT4 as NNCF compresses them, and where their numbers come from.

A compressed constant is widened and multiplied by a scale a row, or by one for so many numbers of a row."""

from __future__ import annotations

import functools
import math
import zlib
from collections.abc import Mapping

import numpy as np
import openvino as ov
from openvino import Node, Type
from openvino import opset15 as op
from openvino.op import Constant

from npusim.workloads.config import Shape
from npusim.workloads.llm.stored import Stored
from npusim.workloads.nets.maker import shape_of
from npusim.workloads.scope import Constants, Scope

#: Elements up to which a constant is drawn for real; larger ones are views of memory that all models share.
_DRAWN_ELEMENTS = 1 << 17
#: Bytes of that memory; a larger constant is a view of zeros that nobody writes, which take no room.
_REGION_BYTES = 1 << 26
_SCALE = 2e-3


class Weights(Scope):
    """A place in a decoder whose matrices are ``stored`` in a format.

    ``shapes`` are those of weights that are asked for by name alone; with a ``seed`` every number is drawn, without one
    large constants share memory."""

    def __init__(
        self, prefix: str, constants: Constants, stored: Stored, shapes: Mapping[str, Shape], seed: int | None
    ) -> None:
        """As `Scope`, but for what weights are."""
        super().__init__(prefix, constants, lambda _: np.zeros(0))
        self.stored, self.shapes, self.seed = stored, shapes, seed

    def child(self, name: str) -> Weights:
        """The scope ``name`` within this one."""
        inside = {key.removeprefix(f"{name}."): shape for key, shape in self.shapes.items()}
        return self.within(name, inside)

    def within(self, name: str, shapes: Mapping[str, Shape], stored: Stored | None = None) -> Weights:
        """The scope ``name`` within this one, with shapes, and perhaps a format, of its own."""
        return Weights(self._full(name), self.constants, stored or self.stored, shapes, self.seed)

    def weight(self, name: str, shape: Shape | None = None, *, repeats: int = 1) -> Node:
        """A weight in its format, as f32."""
        assert repeats == 1, "one sequence"
        drawn = self.shapes.get(name, shape)
        shape = shape or drawn
        assert shape is not None and drawn is not None, f"no shape is known of {name}"
        full = self._full(name)
        narrow = len(shape) == 2 and min(shape) > 1 and name.endswith("weight") and self.stored.bits < 16
        return self._named(name, self._narrow(full, shape) if narrow else self._wide(full, drawn, shape))

    def linear(self, name: str, x: Node, out: int, bias: bool = False) -> Node:
        """``x`` times the weight [out, in] transposed."""
        columns = shape_of(x)[-1]
        y = self(
            op.matmul,
            name,
            x,
            self.weight(f"{name}.weight", (out, columns)),
            transpose_a=False,
            transpose_b=True,
        )
        return self(op.add, f"{name}.add_bias", y, self.weight(f"{name}.bias", (1, 1, out))) if bias else y

    def _wide(self, full: str, drawn: Shape, shape: Shape) -> Node:
        elements = math.prod(shape)
        if self.seed is None and elements > _DRAWN_ELEMENTS:
            array = _shared(2 * elements).view(np.float16).reshape(shape)
        else:
            array = _drawn(full, drawn, self.seed or 0).reshape(shape)
        return op.convert(Constant(array, shared_memory=True), "f32")

    def _narrow(self, full: str, shape: Shape) -> Node:
        rows, columns = shape
        bits, group = self.stored.bits, self.stored.group
        if group and columns % group:
            group = None
        stored = (rows, columns // group, group) if group else shape
        constant = _packed(full, stored, bits, self.seed)
        scales = np.full((*stored[:-1], 1), _SCALE if bits == 8 else 16 * _SCALE, np.float16)
        y = op.multiply(op.convert(constant, "f32"), op.convert(Constant(scales), "f32"))
        return op.reshape(y, Constant(np.array(shape, np.int64)), False) if group else y


def _packed(full: str, shape: Shape, bits: int, seed: int | None) -> Constant:
    """A constant of INT8 or INT4."""
    size, kind = math.prod(shape) * bits // 8, Type.i8 if bits == 8 else Type.i4
    if seed is None:  # a view, which the region outlives
        return Constant(ov.Tensor(_shared(size), ov.Shape(list(shape)), kind), True)
    tensor = ov.Tensor(kind, ov.Shape(list(shape)))
    tensor.data.reshape(-1).view(np.int8)[:] = _generator(full, seed).integers(-100, 100, size, np.int8)
    return Constant(tensor)


def _shared(size: int) -> np.ndarray:
    """So many bytes that all models share: of small numbers, or of nothing where they are many."""
    return _region()[:size] if size <= _REGION_BYTES else _nothing(1 << (size - 1).bit_length())[:size]


@functools.cache
def _region() -> np.ndarray:
    """Small FP16 numbers, as bytes: any bytes are numbers of 4 and 8 bits. Its period is odd, so that equal rows do not
    line up with it."""
    pattern = (0.02 * np.random.default_rng(0).standard_normal(65521, np.float32)).astype(np.float16)
    return np.resize(pattern, _REGION_BYTES // 2).view(np.int8)


@functools.cache
def _nothing(size: int) -> np.ndarray:
    return np.zeros(size, np.int8)


def _generator(full: str, seed: int) -> np.random.Generator:
    return np.random.default_rng((seed, zlib.crc32(full.encode())))


def _drawn(full: str, shape: Shape, seed: int) -> np.ndarray:
    """Numbers of a size that keeps activations finite: gains about one, decays below zero, the rest small."""
    normal = _generator(full, seed).standard_normal(shape, np.float32)
    if full.endswith((".A", ".A_log")):
        return (-0.1 - np.abs(normal)).astype(np.float16)
    if "norm" in full.rsplit(".", 2)[-2] or full.endswith(".D"):
        return (1 + 0.1 * normal).astype(np.float16)
    return (normal / math.sqrt(shape[-1])).astype(np.float16)
