"""Compressed weights: which of them Intel's compiler (2026.4.1, 4000) multiplies by as they are, decodes, or takes
group by group, and what lowering makes of each."""

from __future__ import annotations

from functools import partial

import numpy as np
import openvino as ov
import pytest
from openvino import opset15 as op

from npusim.graph.ir import Graph
from npusim.graph.load import graph_of
from npusim.hardware import load_hardware
from npusim.lowering import lower
from npusim.lowering.rewrite.long_sums import short_parts, split_sums
from npusim.lowering.rewrite.weights import decode_weights, join_grouped
from npusim.program.work import DmaWork, DpuWork

BYTES = {"i4": (ov.Type.i4, 2), "u4": (ov.Type.u4, 2), "i8": (ov.Type.i8, 1), "u8": (ov.Type.u8, 1)}


def stored(kind: str, shape: tuple[int, ...], value: int | None = None) -> ov.Node:
    """Constants of a type: all bytes alike, or not."""
    element, packed = BYTES[kind]
    tensor = ov.Tensor(element, list(shape))
    data = tensor.data.reshape(-1).view(np.uint8)
    data[:] = np.arange(data.size) % 251 if value is None else value
    assert data.size * packed == int(np.prod(shape))
    return ov.op.Constant(tensor)


def weights(
    kind: str, n: int, k: int, groups: int = 1, point: int | None = None, each: bool = False
) -> ov.Node:
    """[n, k] weights of ``groups`` scales a channel, with one zero point or one for each channel."""
    shape, scales = ((n, groups, k // groups), (n, groups, 1)) if groups > 1 else ((n, k), (n, 1))
    node = op.convert(stored(kind, shape), "f16")
    if each or point is not None:
        node = op.subtract(node, op.convert(stored(kind, scales, None if each else point), "f16"))
    node = op.multiply(node, np.full(scales, 0.01, np.float16))
    return op.reshape(node, np.array([n, k]), False) if groups > 1 else node


def graph(rows: int, *made: ov.Node) -> Graph:
    """Products of one activation by some weights."""
    x = op.parameter([1, rows, made[0].get_output_shape(0)[1]], np.float16)
    return graph_of(ov.Model([op.matmul(x, one, False, True) for one in made], [x], "m"), "m", "m")


def kept(rows: int, node: ov.Node) -> str:
    """The type in which weights are stored for the DPU."""
    (product,) = (one := decode_weights(graph(rows, node), load_hardware("lunarlake-vpunn.yaml"))).ops
    return one.tensors[product.inputs[1]].stored_dtype


@pytest.mark.parametrize(
    ("rows", "coded", "expected"),
    [
        (1, weights("i4", 64, 512), "i4"),
        (64, weights("i4", 64, 512), "i4"),
        (1, weights("u4", 64, 512, point=0x77), "u4"),
        (1, weights("u4", 64, 512, each=True), "f16"),
        (16, weights("i4", 64, 512, groups=4), "i4"),
        (17, weights("i4", 64, 512, groups=4), "f16"),
        (1, weights("i8", 64, 512), "i8"),
        (1, weights("i8", 64, 512, groups=4), "f16"),
        (1, weights("u8", 64, 512, point=128), "u8"),
        (1, weights("u8", 512, 512, point=127), "f16"),
        (1, weights("u8", 512, 1024, point=127), "u8"),
        (1, weights("u8", 512, 1024, each=True), "u8"),
        (1, weights("u8", 1024, 768, each=True), "f16"),
        (2, weights("u8", 512, 1024, each=True), "f16"),
    ],
)
def test_weights_that_the_dpu_can_not_read_are_decoded(rows: int, coded: ov.Node, expected: str) -> None:
    assert kept(rows, coded) == expected


def test_groups_of_4_bits_are_multiplied_one_by_one_and_for_siblings_at_once() -> None:
    short = partial(short_parts, load_hardware("lunarlake-vpunn.yaml"))
    one = split_sums(join_grouped(graph(4, *(weights("i4", n, 512, groups=4) for n in (64, 32)))), short)
    products = [o for o in one.ops if o.type == "MatMul"]
    assert [one.tensors[o.inputs[1]].shape for o in products] == [(96, 128)] * 4
    assert [o.type for o in one.ops].count("Add") == 3
    assert split_sums(join_grouped(one), short) is one


def test_weights_of_4_bits_take_half_a_byte_on_5010_alone() -> None:
    """As the compiler's schedules count them: 3 x 1024^2 in 172,032 bytes a transfer of 2.5 µs, and twice that."""
    counted = {}
    for name in ("lunarlake-vpunn", "pantherlake-vpunn"):
        works = [t.work for t in lower(graph(1, weights("i4", 256, 512)), load_hardware(name)).tasks]
        counted[name] = max(w.counted_bytes / w.bytes for w in works if isinstance(w, DmaWork) and w.bytes)
    assert counted == {"lunarlake-vpunn": 4, "pantherlake-vpunn": 1}


def test_all_groups_are_computed() -> None:
    hw = load_hardware("lunarlake-vpunn")
    macs = [
        sum(
            t.work.macs
            for t in lower(graph(1, one), hw).tasks
            if isinstance(t.work, DpuWork) and t.work.kind == "conv"
        )
        for one in (weights("i4", 256, 512), weights("i4", 256, 512, groups=4))
    ]
    assert macs == [256 * 512] * 2
