"""Forms of ops that people's models have and that once ended in a traceback: each lowers, on every platform."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import openvino as ov
import pytest
from openvino import opset15 as op

from npusim import api
from npusim.errors import UserError
from npusim.graph import from_openvino

VOLUME = (1, 16, 8, 16, 16)
Made = tuple[ov.Node, list[ov.op.Parameter]]


def inputs(*shapes: tuple[int, ...]) -> list[ov.op.Parameter]:
    return [op.parameter(list(shape), np.float16, name=f"x{i}") for i, shape in enumerate(shapes)]


def weights(*shape: int) -> ov.Node:
    return op.constant(np.ones(shape, np.float16))


def unary(make: Callable[[ov.Node], ov.Node], *shape: int) -> Made:
    (x,) = inputs(shape)
    return make(x), [x]


def binary(make: Callable[[ov.Node, ov.Node], ov.Node], one: tuple[int, ...], other: tuple[int, ...]) -> Made:
    a, b = inputs(one, other)
    return make(a, b), [a, b]


def indices_of_a_pool(x: ov.Node) -> ov.Node:
    pool = op.max_pool(x, [2, 2], [1, 1], [0, 0], [0, 0], [2, 2], index_element_type="i32")
    return op.add(op.convert(pool.output(1), "f16"), pool.output(0))


def select_by_scalar(x: ov.Node) -> ov.Node:
    positive = op.greater(op.reduce_sum(x, [0, 1], False), np.float16(0))
    return op.select(positive, x, np.float16(1))


def scalar_quantised(x: ov.Node) -> ov.Node:
    bounds = (np.float16(v) for v in (-1, 1, -1, 1))
    return op.fake_quantize(op.reduce_sum(x, [0, 1], False), *bounds, 256)


def scalar_norm(x: ov.Node) -> ov.Node:
    total = op.reduce_sum(x, [0, 1], False)
    return op.normalize_l2(total, op.constant(np.zeros(0, np.int64)), 1e-6, "add")


def convolved(
    kernel: tuple[int, ...], stride: int = 1, gap: int = 1, pad: int = 0
) -> Callable[[ov.Node], ov.Node]:
    axes = len(kernel) - 2
    pads = [pad] * axes
    return lambda x: op.convolution(x, weights(*kernel), [stride] * axes, pads, pads, [gap] * axes)


def in_volumes(make: str, *kernel: int) -> Callable[[ov.Node], ov.Node]:
    flat = ([1] * 3, [0] * 3, [0] * 3, [1] * 3)
    places = ([2] * 3,) if make.endswith("backprop_data") else flat
    return lambda x: getattr(op, make)(x, weights(*kernel), *places)


def largest(*kernel: int) -> Callable[[ov.Node], ov.Node]:
    return lambda x: op.max_pool(x, [1] * 3, [1] * 3, [0] * 3, [0] * 3, list(kernel)).output(0)


def enlarged(x: ov.Node) -> ov.Node:
    return op.interpolate(x, np.array([2, 2, 2], np.float32), "nearest", "scales", axes=np.array([2, 3, 4]))


def product(a: ov.Node, b: ov.Node) -> ov.Node:
    return op.matmul(a, b, False, False)


FORMS: dict[str, Callable[[], Made]] = {
    "a sum of scalars": lambda: binary(op.add, (), ()),
    "a sum with a scalar": lambda: binary(op.add, (1, 16, 64), ()),
    "a choice by a scalar": lambda: unary(select_by_scalar, 16, 64),
    "a quantised scalar": lambda: unary(scalar_quantised, 16, 64),
    "two vectors": lambda: binary(product, (128,), (128,)),
    "a matrix and a vector": lambda: binary(product, (64, 128), (128,)),
    "a vector and a matrix": lambda: binary(product, (128,), (128, 64)),
    "a vector of weights": lambda: unary(lambda x: product(x, weights(128)), 4, 16, 128),
    "a norm of everything": lambda: unary(lambda x: op.reduce_l2(x, [0, 1, 2], False), 4, 16, 64),
    "a norm of a scalar": lambda: unary(scalar_norm, 16, 64),
    "a norm of one axis": lambda: unary(lambda x: op.reduce_l2(x, [1], False), 4, 16, 64),
    "a window longer than its signal, by groups": lambda: unary(
        lambda x: op.group_convolution(x, weights(16, 8, 8, 128), [1], [64], [64], [1]), 1, 128, 49
    ),
    "a long window": lambda: unary(convolved((32, 1, 400), 160), 1, 1, 16000),
    "a 1-D convolution that is cut": lambda: unary(convolved((512, 512, 3), 2, pad=1), 1, 512, 3000),
    "a long stride of few channels": lambda: unary(convolved((768, 3, 32, 32), 32), 1, 3, 224, 224),
    "gaps of 12": lambda: unary(convolved((64, 64, 3, 3), gap=12, pad=12), 1, 64, 33, 33),
    "places of the largest": lambda: unary(indices_of_a_pool, 1, 16, 32, 32),
    "volumes, convolved by channels": lambda: unary(
        in_volumes("group_convolution", 16, 1, 1, 3, 3, 3), *VOLUME
    ),
    "volumes, convolved back": lambda: unary(
        in_volumes("convolution_backprop_data", 16, 16, 2, 2, 2), *VOLUME
    ),
    "the largest of volumes": lambda: unary(largest(2, 2, 2), *VOLUME),
    "the largest of their slices": lambda: unary(largest(1, 3, 3), *VOLUME),
    "the largest of their columns": lambda: unary(largest(3, 1, 1), *VOLUME),
    "means of volumes": lambda: unary(
        lambda x: op.avg_pool(x, [1] * 3, [0] * 3, [0] * 3, [8, 16, 16], False), *VOLUME
    ),
    "volumes, enlarged": lambda: unary(enlarged, *VOLUME),
    "a diagonal": lambda: unary(lambda x: op.einsum([x], "ii->i"), 32, 32),
    "a sum of a diagonal": lambda: binary(lambda a, b: op.einsum([a, b], "iij,jk->ik"), (8, 8, 16), (16, 32)),
    "any batch": lambda: binary(
        lambda a, b: op.einsum([a, b], "...ij,...jk->...ik"), (2, 3, 16, 32), (3, 32, 16)
    ),
    "a batch that is repeated": lambda: binary(
        lambda a, b: op.einsum([a, b], "...ij,...jk"), (2, 3, 16, 32), (1, 3, 32, 16)
    ),
    "a product of three": lambda: binary(
        lambda a, b: op.einsum([a, b, a], "ij,jk,ij->ik"), (16, 32), (32, 64)
    ),
    "a sum by itself": lambda: unary(lambda x: op.einsum([x], "ijk->ki"), 8, 16, 32),
}


@pytest.mark.parametrize("machine", ["meteorlake", "lunarlake", "pantherlake"])
@pytest.mark.parametrize("form", FORMS)
def test_it_runs(form: str, machine: str) -> None:
    node, parameters = FORMS[form]()
    graph = from_openvino(ov.Model([op.result(node)], parameters, "m"))
    hw = api.load_hardware(f"{machine}-vpunn.yaml")
    assert api.simulate(api.lower(graph, hw), hw, "fast", allow_guess=True).latency_us > 0


def test_a_kernel_of_unknown_cost_behind_a_product_is_named_when_it_is_priced() -> None:
    (x,) = inputs((4096, 1024))
    node = op.exp(op.matmul(x, weights(1024, 1024), False, False))
    graph = from_openvino(ov.Model([op.result(node)], [x], "m"))
    hw = api.load_hardware("lunarlake.yaml")
    known = {name: row for name, row in hw.shave.kernels.items() if name != "exp"}
    hw = hw.model_copy(update={"shave": hw.shave.model_copy(update={"kernels": known})})
    program = api.lower(graph, hw)
    with pytest.raises(UserError, match="no cost for SHAVE kernel 'exp'"):
        api.simulate(program, hw, "fast")
    assert api.simulate(program, hw, "fast", allow_guess=True).latency_us > 0


def test_what_is_padded_keeps_the_bits_of_a_result_that_is_quantised() -> None:
    (x,) = inputs((2, 32, 251))
    bounds = (np.float16(v) for v in (-1, 1, -1, 1))
    quantised = op.fake_quantize(x, *bounds, 2)
    padded = op.pad(quantised, np.array([1, 2, 0]), np.array([0, 2, 1]), "constant", np.float16(0))
    model = ov.Model([op.result(padded), op.result(quantised)], [x], "m")
    hw = api.load_hardware("pantherlake-vpunn.yaml")
    assert api.lower(
        from_openvino(model), hw
    ).tasks  # every byte of both results is written, or it raises BrokenLaw
