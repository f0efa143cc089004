"""Making nodes of a network in FP16, INT8, FP8, or with compressed weights.

INT8 is what NNCF's post-training quantisation leaves in an IR (read off OpenVINO's own quantised ResNet-50 and
BERT-base): weights are INT8 constants with a Convert and a Multiply by one scale an output channel; activations pass
a FakeQuantize of 256 levels before everything that computes in INT8. FP8 is the same with E4M3 constants and
FakeConvert; mixed is INT8 in every other layer. Compressed weights are the constants alone: INT8, or INT4 with one
scale for 128 reduced channels where they divide so (MatMuls: NNCF compresses no 4-bit convolutions or embeddings,
which get INT8).
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import openvino as ov
from openvino import Node, Type
from openvino import opset15 as op
from openvino.op import Constant
from openvino.utils.node_factory import NodeFactory

from npusim.workloads.config import Shape
from npusim.workloads.nets import Precision
from npusim.workloads.scope import Value

# Odd, so that equal rows do not line up with the pattern's period.
_PATTERN_ELEMENTS = 65521
#: Weights of a row that share a scale in INT4.
_GROUP = 128
# E4M3 with all bits of exponent and fraction set is not a number; these are below two.
_FP8_FINITE = np.int8(-65)


class Maker:
    """Makes the nodes of one model. Weights refer to one region of random values, whatever their number."""

    def __init__(self, name: str, precision: Precision) -> None:
        """A model of this name without nodes."""
        self.name = name
        self.precision = precision
        self._kernels = 0
        self._parameters: list[Node] = []
        generator = np.random.default_rng(0)
        self._fp16 = (0.02 * generator.standard_normal(_PATTERN_ELEMENTS, np.float32)).astype(np.float16)
        self._bytes = generator.integers(-127, 128, _PATTERN_ELEMENTS).astype(np.int8)

    # -- inputs, outputs, constants ------------------------------------------------------------------------------

    def input(self, name: str, shape: Shape, dtype: type = np.float32) -> Node:
        """An input of the model."""
        node = op.parameter(list(shape), dtype, name=name)
        node.output(0).set_names({name})
        self._parameters.append(node)
        return node

    def model(self, *outputs: Value) -> ov.Model:
        """The model that returns ``outputs``."""
        results = [op.result(value) for value in outputs]
        return ov.Model(results, self._parameters, self.name)

    def literal(self, value: Any, dtype: type = np.int64) -> Node:
        """A small constant."""
        return Constant(np.array(value, dtype))

    def float_weight(self, name: str, shape: Shape) -> Node:
        """A constant stored as FP16 and widened to f32, as every floating-point IR has them."""
        self._fp16 = _at_least(self._fp16, math.prod(shape))
        array = self._fp16[: math.prod(shape)].reshape(shape)
        return self._named(f"{name}.weight", op.convert(Constant(array, shared_memory=True), "f32"))

    def weight(self, name: str, shape: Shape, table: bool = False) -> Node:
        """A kernel, output channels first, or the ``table`` of an embedding; with scales where it is stored narrow."""
        self._kernels += 1
        if self.precision == "fp16" or (self.precision == "mixed" and self._kernels % 2 == 0):
            return self.float_weight(name, shape)
        if self.precision == "int4" and not table and len(shape) == 2 and shape[1] % _GROUP == 0:
            grouped = self._scaled((shape[0], shape[1] // _GROUP, _GROUP), Type.i4, 2)
            return self._named(f"{name}.weight", op.reshape(grouped, self.literal(shape), False))
        return self._named(
            f"{name}.weight", self._scaled(shape, Type.f8e4m3 if self.precision == "fp8" else Type.i8, 1)
        )

    def _scaled(self, shape: Shape, stored: Type, axes: int) -> Node:
        """A constant of a narrow type, widened and multiplied by one scale for every index of its first axes."""
        scale = np.full((*shape[:axes], *(1 for _ in shape[axes:])), 1e-3, np.float32)
        return op.multiply(op.convert(self._packed(shape, stored), "f32"), Constant(scale))

    def _packed(self, shape: Shape, kind: Type) -> Node:
        """A constant of 8-bit or 4-bit elements."""
        size = math.prod(shape) * kind.bitwidth // 8
        self._bytes = _at_least(self._bytes, size)
        data = self._bytes[:size]
        if kind == Type.f8e4m3:
            data = data & _FP8_FINITE
        if kind == Type.i8:
            return Constant(data.reshape(shape), shared_memory=True)
        # Memory of its own: a Constant keeps a tensor alive, but not an array that the tensor is a view of.
        tensor = ov.Tensor(kind, ov.Shape(list(shape)))
        tensor.data.reshape(-1).view(np.int8)[:] = data
        return Constant(tensor)

    @property
    def quantises(self) -> bool:
        """Whether activations are quantised, too."""
        return self.precision in ("int8", "mixed", "fp8")

    # -- ops -----------------------------------------------------------------------------------------------------

    def __call__(self, make: Callable[..., Node], name: str, *operands: Any, **attributes: Any) -> Node:
        """A node by an opset function; tuples and ints among ``operands`` become i64 constants, floats f32."""
        inputs = [_operand(value) for value in operands]
        return self._named(name, make(*inputs, **attributes))

    def quantised(self, name: str, x: Value) -> Value:
        """``x`` behind the FakeQuantize or FakeConvert of a quantised model; ``x`` itself where it stays FP16."""
        if self.precision == "fp8":
            return self._named(f"{name}.quantised", op.fake_convert(x, Constant(np.array(1.0, np.float32))))
        if not self.quantises:
            return x
        limits = [Constant(np.array(value, np.float32)) for value in (-4.0, 3.96875, -4.0, 3.96875)]
        return self._named(f"{name}.quantised", op.fake_quantize(x, *limits, 256))

    def smoothed(self, name: str, x: Value, width: int) -> Value:
        """``x`` scaled by channel and quantised, as NNCF's SmoothQuant does; ``x`` itself where it stays FP16."""
        if not self.quantises:
            return x
        scale = Constant(np.linspace(0.5, 1.5, width, dtype=np.float32).reshape(1, 1, width))
        return self.quantised(name, self._named(f"{name}.smoothed", op.multiply(x, scale)))

    def conv(
        self, name: str, x: Value, out: int, kernel: int = 1, stride: int = 1, same_upper: bool = False
    ) -> Node:
        """A convolution whose batch norm has been folded in; padded by half the kernel, or as TensorFlow pads."""
        weight = self.weight(name, (out, _channels(x), kernel, kernel))
        return self._named(name, op.convolution(x, weight, *_geometry(kernel, stride, same_upper)))

    def depthwise(self, name: str, x: Value, kernel: int, stride: int = 1, same_upper: bool = False) -> Node:
        """A convolution of every channel by itself."""
        weight = self.weight(name, (_channels(x), 1, 1, kernel, kernel))
        return self._named(name, op.group_convolution(x, weight, *_geometry(kernel, stride, same_upper)))

    def transposed_conv(self, name: str, x: Value, out: int, stride: int) -> Node:
        """A transposed convolution whose kernel is as large as its stride."""
        weight = self.weight(name, (_channels(x), out, stride, stride))
        geometry = {"pads_begin": [0, 0], "pads_end": [0, 0], "dilations": [1, 1]}
        return self._named(name, op.convolution_backprop_data(x, weight, [stride] * 2, **geometry))

    def linear(self, name: str, x: Value, out: int) -> Node:
        """``x`` times the weight [out, in] transposed."""
        weight = self.weight(name, (out, _channels(x, -1)))
        return self._named(name, op.matmul(x, weight, False, True))

    def swish(self, name: str, x: Value) -> Node:
        """x * sigmoid(x). Not opset15.swish, which adds the optional beta of one as a constant input."""
        return self._named(name, NodeFactory("opset15").create("Swish", [x]))

    def reshape(self, name: str, x: Value, shape: Sequence[int]) -> Node:
        """``x`` with another shape."""
        return self(op.reshape, name, x, tuple(shape), special_zero=True)

    def transpose(self, name: str, x: Value, order: Sequence[int]) -> Node:
        """``x`` with its dimensions in another order."""
        return self(op.transpose, name, x, tuple(order))

    def concat(self, name: str, parts: Sequence[Value], axis: int) -> Node:
        """The parts one after another along an axis."""
        return self._named(name, op.concat(list(parts), axis))

    def _named(self, name: str, node: Node) -> Node:
        node.set_friendly_name(name)
        return node


def _operand(value: Any) -> Any:
    if isinstance(value, float):
        return Constant(np.array(value, np.float32))
    return Constant(np.array(value, np.int64)) if isinstance(value, (int, tuple)) else value


def _at_least(pattern: np.ndarray, elements: int) -> np.ndarray:
    return pattern if len(pattern) >= elements else np.resize(pattern[:_PATTERN_ELEMENTS], elements)


def shape_of(x: Value) -> list[int]:
    """The dimensions of a node's only output, or of an output."""
    return [int(d) for d in (x.shape if isinstance(x, Node) else x.get_shape())]


def _channels(x: Value, axis: int = 1) -> int:
    return shape_of(x)[axis]


def _geometry(kernel: int, stride: int, same_upper: bool) -> tuple[list[int], ...]:
    """Strides, padding before and after, dilations. TensorFlow pads a strided kernel less in front."""
    before = (kernel - stride) // 2 if same_upper and kernel > 1 else kernel // 2
    after = kernel - stride - before if same_upper and kernel > 1 else kernel // 2
    return [stride] * 2, [before] * 2, [after] * 2, [1, 1]
